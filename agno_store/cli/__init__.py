"""The command line: each command reads its options, asks the library, shows the answer, and exits with a code."""

from __future__ import annotations

import io
import sys

from agno_store.cli import changing, checking, doctor, lint, looking, upgrading
from agno_store.cli.app import app
from agno_store.cli.exits import code_of
from agno_store.cli.render import Output
from agno_store.errors import AgnoStoreError

__all__ = ["app", "changing", "checking", "doctor", "lint", "looking", "main", "upgrading"]


def main() -> None:
    """Run ``agno-store``; every failure ends in a sentence on stderr and an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal cannot show is no reason to fail after the work is done.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="agno-store")
    except AgnoStoreError as error:
        code = code_of(error)
        Output.of_arguments(sys.argv).failure(error, code)
        sys.exit(code)
