"""Which stores are in a database."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from agno_store.dialects import Dialect
from agno_store.errors import ConfigurationError
from agno_store.names import Names

_SUFFIX = Names("x").version.removeprefix("x")

_SESSION = {"session_id", "session_type", "next_run_index"}
"""Columns of the session table at every revision; agno's own tables lack the last one."""

_JOURNAL = {"entry", "revision", "done_at", "applied_by"}


def stores(engine: Engine, dialect: Dialect, only: str | None = None) -> list[Names]:
    """Return the stores in a database by the names of their tables, in the schema ``only`` or in all. Writes nothing.

    A store is known by its version table, beside a session table or a journal with columns of ours: what is in them
    need not be for this role to read. Other applications call their version tables so, too.
    """
    if not dialect.is_there(engine.url):
        return []
    with dialect.connected(engine) as connection:
        schemas = [only] if only is not None else dialect.schemas(connection)
        return [names for schema in schemas for names in _of_schema(connection, schema)]


def _of_schema(connection: Connection, schema_name: str | None) -> list[Names]:
    tables = set(sa.inspect(connection).get_table_names(schema=schema_name))
    found = [_named(table.removesuffix(_SUFFIX), schema_name) for table in sorted(tables) if table.endswith(_SUFFIX)]
    return [names for names in found if names is not None and _is_ours(connection, names)]


def _named(table: str, schema_name: str | None) -> Names | None:
    try:
        return Names(table, schema_name)
    except ConfigurationError:  # no store of ours can be called that
        return None


def _is_ours(connection: Connection, names: Names) -> bool:
    look = sa.inspect(connection)

    def columns(table: str) -> set[str]:
        there = look.has_table(table, schema=names.schema)
        return {column["name"] for column in look.get_columns(table, schema=names.schema)} if there else set()

    if columns(names.version) != {"version_num"}:
        return False
    return columns(names.sessions) >= _SESSION or columns(names.upgrades) >= _JOURNAL
