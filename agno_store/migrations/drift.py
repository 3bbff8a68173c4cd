"""How the tables in a database differ from those this release declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from agno_store.migrations.options import options
from agno_store.names import Names
from agno_store.tables import metadata


def differences(connection: Connection, names: Names) -> list[str]:
    """Return each difference as a sentence; an empty list where there is none. Writes nothing."""
    if names.schema is not None and names.schema == connection.dialect.default_schema_name:
        # Alembic reflects the connection's own schema as no schema, and would match nothing.
        names = dataclasses.replace(names, schema=None)
    context = MigrationContext.configure(connection, opts=options(names))
    found = [said for entry in compare_metadata(context, metadata(names)) for said in _said(entry)]
    return found + list(_primary_keys(connection, names))


def _said(entry: Any) -> Iterator[str]:
    if isinstance(entry, list):  # the changes of one column
        for change in entry:
            yield from _said(change)
        return
    kind, *rest = entry
    if kind in ("add_table", "remove_table"):
        yield f"table {rest[0].name} is {_missing(kind)}"
    elif kind in ("add_column", "remove_column"):
        yield f"column {rest[1]}.{rest[2].name} is {_missing(kind)}"
    elif kind.startswith("modify_"):
        _, table, column, _, there, wanted = rest
        yield f"column {table}.{column}: {kind.removeprefix('modify_')} is {there!r}, should be {wanted!r}"
    else:
        item = rest[0]
        table = getattr(getattr(item, "table", None), "name", "")
        yield f"{kind.split('_', 1)[1].replace('_', ' ')} {item.name} on {table} is {_missing(kind)}"


def _missing(kind: str) -> str:
    return "missing" if kind.startswith("add") else "not declared"


def _primary_keys(connection: Connection, names: Names) -> Iterator[str]:
    """Compare primary keys, which Alembic does not."""
    inspector = sa.inspect(connection)
    for table in metadata(names).sorted_tables:
        if not inspector.has_table(table.name, schema=names.schema):
            continue
        there = inspector.get_pk_constraint(table.name, schema=names.schema)["constrained_columns"]
        wanted = [column.name for column in table.primary_key]
        if there != wanted:
            yield f"primary key of {table.name} is {there}, should be {wanted}"
