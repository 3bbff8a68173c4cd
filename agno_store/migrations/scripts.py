"""Where the revisions are: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from agno_store.errors import ConfigurationError


def folder() -> Path:
    """Return the folder that holds ``env.py`` and ``versions/``."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "_alembic", package.parent / "alembic"):
        if (candidate / "env.py").is_file():
            return candidate
    raise ConfigurationError(
        "The migration scripts are missing from this installation of agno_store. Install it again: "
        "pip install --force-reinstall agno-store"
    )


@lru_cache(maxsize=1)
def script_directory() -> ScriptDirectory:
    """Return Alembic's view of the revisions."""
    config = Config()
    # Alembic's options go through ConfigParser, which reads % as the start of a reference.
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def ordered() -> list[Script]:
    """Return the revisions, oldest first."""
    return list(script_directory().walk_revisions())[::-1]
