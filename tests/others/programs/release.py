"""Say which agno this is, and whose agno_store."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import agno

import agno_store

if __name__ == "__main__":
    found = {"release": version("agno"), "agno": agno.__file__, "agno_store": agno_store.__file__}
    sys.stdout.write(json.dumps(found))
