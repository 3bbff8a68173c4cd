"""A copy of the database before it is changed."""

from __future__ import annotations

from pathlib import Path

from agno_store.errors import InvalidArgument, NotFound
from agno_store.migrations.migrator import Migrator


def back_up(migrator: Migrator, file: Path) -> int:
    """Copy the SQLite database into ``file``, which must not be there, and return the copy's size in bytes.

    The copy is one moment of the database, whoever writes meanwhile, and is looked at before it counts. Raises
    InvalidArgument for another database, with the command that makes a copy of it, and NotFound where there is
    nothing to copy yet.
    """
    if not migrator.dialect.makes_copies:
        raise InvalidArgument(
            f"--backup copies SQLite files. Nothing was changed. For {migrator.dialect.title} run first: "
            + migrator.dialect.dump_command(migrator.engine.url, migrator.names)
        )
    if not migrator.dialect.is_there(migrator.engine.url):
        raise NotFound(f"There is no database at {migrator.engine.url.database} to be copied yet.")
    half = file.with_name(file.name + ".part")
    try:
        if file.exists():
            raise InvalidArgument(f"{file} is there already. Nothing was changed. Choose another name for the backup.")
        file.parent.mkdir(parents=True, exist_ok=True)
        _clear(half)  # one that was killed may have left a log, which SQLite would take for this one's
        try:
            migrator.dialect.back_up(migrator.engine, half)
            half.rename(file)
        finally:
            _clear(half)
        return file.stat().st_size
    except OSError as error:
        raise InvalidArgument(f"{file} cannot be written: {error}. Nothing was changed.") from error


def _clear(file: Path) -> None:
    for left in ("", "-wal", "-shm"):
        file.with_name(file.name + left).unlink(missing_ok=True)
