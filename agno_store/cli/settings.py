"""Where options come from: the command line, then ``AGNO_STORE_...``, then ``[tool.agno-store]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agno_store.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEYS = {"db-url": "db_url", "table": "table", "schema": "schema", "lock-timeout": "lock_timeout"}


def from_pyproject(start: Path | None = None) -> dict[str, Any]:
    """Return the options in ``[tool.agno-store]`` of the nearest pyproject.toml, going up from ``start``.

    Raises ConfigurationError for a file that cannot be read and for a key that is none of ``KEYS``.
    """
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            return _options(file)
    return {}


def _options(file: Path) -> dict[str, Any]:
    try:
        section = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("agno-store", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.") from error
    unknown = sorted(section.keys() - KEYS.keys())
    if unknown:
        raise ConfigurationError(
            f"{file}: [tool.agno-store] does not know {', '.join(unknown)}; it knows {', '.join(KEYS)}."
        )
    return {KEYS[key]: value for key, value in section.items()}
