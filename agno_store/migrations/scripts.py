"""Where the revisions are: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

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


def in_checkout() -> bool:
    """Whether the revisions are those of a checkout, where one may be added."""
    return folder().name != "_alembic"


def script_directory(versions: Path | None = None, own: Path | None = None) -> ScriptDirectory:
    """Return Alembic's view of the revisions, with those in an application's folder besides."""
    own = own or folder()
    config = Config()
    for option, value in (
        ("script_location", str(own)),
        ("version_locations", _joined(own / "versions", versions)),
        ("path_separator", "newline"),
        ("file_template", "%(rev)s_%(slug)s"),
    ):
        # Alembic's options go through ConfigParser, which reads % as the start of a reference.
        config.set_main_option(option, value.replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def read(scripts: ScriptDirectory, versions: Path | None = None) -> list[Script]:
    """Return every revision, oldest first.

    Raises ConfigurationError for an application's that cannot be read, in ``versions``.
    """
    try:
        return list(scripts.walk_revisions())[::-1]
    except Exception as error:  # an application's own code, which may raise anything
        if versions is None:
            raise
        raise ConfigurationError(
            f"The revisions in {versions} cannot be read: {type(error).__name__}: {str(error).rstrip('.')}. Each but "
            "the first names the one before it in down_revision, and only the first has branch_labels."
        ) from error


def _joined(*folders: Path | None) -> str:
    return "\n".join(str(folder) for folder in folders if folder is not None)
