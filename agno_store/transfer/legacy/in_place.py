"""A store in the place of an old table: the old one gets another name, and its sessions come into the new one."""

from __future__ import annotations

from typing import Any

from agno_store import failures
from agno_store.dialects.base import Scope
from agno_store.dialects.renaming import rename
from agno_store.errors import ConfigurationError, InvalidArgument, NotFound, SchemaConflict
from agno_store.names import IDENTIFIER_BYTES
from agno_store.transfer.legacy.source import SUFFIX, OldTable, Source

PATIENCE = 3.0
"""Seconds to wait for a table that somebody is using: whoever comes after would wait, too."""


def found_in_place(source: Source, name: str | None) -> tuple[OldTable, bool]:
    """Return the table to be replaced, and whether it has its other name already, as after a kill. Writes nothing.

    Raises NotFound where there is no such table, InvalidArgument where there are several and none is named.
    """
    if name is None:
        there = [table for table in source.tables() if not table.name.endswith(SUFFIX)] or source.tables()
        if len(there) > 1:
            names = ", ".join(table.name for table in there)
            raise InvalidArgument(f"--in-place is for one table, and there are {names}: say which with --from-table.")
        return there[0], there[0].name.endswith(SUFFIX)
    try:
        return source.tables([name])[0], False
    except (NotFound, SchemaConflict):
        try:
            return source.tables([name + SUFFIX])[0], True
        except (NotFound, SchemaConflict):
            pass
        raise


def renamed(table: OldTable) -> dict[str, str]:
    """Return what an old table, and that of its runs, will be called.

    Raises ConfigurationError where that is too long for a name.
    """
    names = {name: name + SUFFIX for name in (table.name, table.runs) if name is not None}
    for new in names.values():
        if len(new.encode()) > IDENTIFIER_BYTES:
            raise ConfigurationError(
                f"{new} would be over {IDENTIFIER_BYTES} bytes long, which PostgreSQL has no names for. Nothing was "
                "changed. Import into a store of another name, without --in-place."
            )
    return names


def refuse_taken(db: Any, table: OldTable) -> None:
    """Raise SchemaConflict where a name is taken that a store in the place of an old table needs. Writes nothing."""
    names = renamed(table)
    in_the_way = [new for new in (*names.values(), *db.names.own) if new not in names and db.table_exists(new)]
    if in_the_way:
        raise SchemaConflict(
            f"The table {in_the_way[0]} is there already, so a store cannot take the place of {table}. Nothing was "
            "changed. Rename or drop it, or import into a store of another name, without --in-place.",
            store=str(db.names),
        )


def take_over(db: Any, table: OldTable) -> None:
    """Give an old table its other name and make the tables of ``db``, which has its name, in its place.

    Where DDL can be rolled back that is one transaction; on MySQL and MariaDB the renaming is one statement, and
    whatever is killed after it is finished by the next call of the import. Raises SchemaConflict where a name
    that is needed is taken, AccessDenied where whoever is connected does not own the table.
    """
    refuse_taken(db, table)
    whole = db.dialect.ddl_rolls_back
    held = db.dialect.transaction(db.db_engine, writes=True) if whole else db.dialect.connected(db.db_engine)
    with failures.translated(db), held as connection:
        with db.dialect.impatient(connection, PATIENCE, Scope.CALLER):
            rename(connection, table.schema, renamed(table))
        if whole:
            db.upgrade_schema(connection=connection)
    db.upgrade_schema()
