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

KEYS: dict[str, tuple[str, tuple[type, ...]]] = {
    "db-url": ("db_url", (str,)),
    "table": ("table", (str,)),
    "schema": ("schema", (str,)),
    "tenant": ("tenant", (str,)),
    "pooler": ("pooler", (str,)),
    "lock-timeout": ("lock_timeout", (int, float)),
    "app": ("application", (str,)),
    "versions": ("versions", (str,)),
    "codec": ("codec", (str,)),
}
"""The keys of the section, the parameters they stand for, and what they may be."""


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
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.") from error
    tools = content.get("tool", {})
    section = tools.get("agno-store", {}) if isinstance(tools, dict) else tools
    if not isinstance(section, dict):
        raise ConfigurationError(f"{file}: [tool.agno-store] is not a table.")
    for key, value in section.items():
        _check(file, key, value)
    options = {KEYS[key][0]: value for key, value in section.items()}
    if "versions" in options:  # it stands beside the file, wherever the program is called
        options["versions"] = str(file.parent / options["versions"])
    return options


def _check(file: Path, key: str, value: Any) -> None:
    if key not in KEYS:
        raise ConfigurationError(f"{file}: [tool.agno-store] does not know {key}; it knows {', '.join(KEYS)}.")
    kinds = KEYS[key][1]
    if isinstance(value, bool) or not isinstance(value, kinds):
        wanted = "a text" if kinds == (str,) else "a number"
        raise ConfigurationError(f"{file}: {key} in [tool.agno-store] must be {wanted}, not {type(value).__name__}.")
