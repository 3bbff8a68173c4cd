"""How the tables in a database differ from those this release declares."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from agno_store.dialects import by_name
from agno_store.migrations.context import options
from agno_store.migrations.saying import sentences
from agno_store.names import Names
from agno_store.tables import Extend, journal, metadata
from agno_store.types import FromJson

_ADDED = ("remove_column", "remove_index")
"""What Alembic would do about a column or an index that is there and not declared."""


def differences(
    connection: Connection, names: Names, extend: Extend | None = None, *, additions: bool = False
) -> list[str]:
    """Return each difference as a sentence; an empty list where there is none. Writes nothing.

    ``additions`` says that columns and indexes which are not declared are an application's own.
    """
    if names.schema is not None and names.schema == connection.dialect.default_schema_name:
        # Alembic reflects the connection's own schema as no schema, and would match nothing.
        names = dataclasses.replace(names, schema=None)
    context = MigrationContext.configure(connection, opts=options(names, extend))
    by_name(connection.dialect.name).correct_reflection(context, names)
    entries = compare_metadata(context, context.opts["target_metadata"])
    left = [entry for entry in entries if not (additions and entry[0] in _ADDED)]
    found = [*sentences(left, connection.dialect), *_primary_keys(connection, names)]
    found += [*_generated(connection, names, extend), *_indexes(connection, names, extend)]
    return [*found, *_books(connection, names)]


def _primary_keys(connection: Connection, names: Names) -> Iterator[str]:
    """Compare primary keys, which Alembic does not."""
    inspector = sa.inspect(connection)
    for table in metadata(names).sorted_tables:
        if not inspector.has_table(table.name, schema=names.schema):
            continue
        there = inspector.get_pk_constraint(table.name, schema=names.schema)["constrained_columns"]
        wanted = [column.name for column in table.primary_key]
        if there != wanted:
            yield f"primary key of {table.name} is ({', '.join(there)}), should be ({', '.join(wanted)})"


def _generated(connection: Connection, names: Names, extend: Extend | None) -> Iterator[str]:
    """Compare what columns are generated from. Each database spells it in its own way, but names what it reads."""
    inspector, dialect = sa.inspect(connection), by_name(connection.dialect.name)
    for table in metadata(names, extend).sorted_tables:
        if not inspector.has_table(table.name, schema=names.schema):
            continue
        there = dialect.generated(connection, table.name, names.schema)
        columns = {column["name"] for column in inspector.get_columns(table.name, schema=names.schema)}
        for column in table.columns:
            place = f"column {table.name}.{column.name}"
            if column.name not in columns or (column.computed is None and column.name not in there):
                continue
            if (column.computed is None) != (column.name not in there):
                yield f"{place} is {'not ' if column.computed is not None else ''}generated"
            elif isinstance(column.computed, FromJson):
                missing = [key for key in column.computed.reads if _squeezed(key) not in _squeezed(there[column.name])]
                if missing:
                    yield f"{place} is generated from {there[column.name]}, which does not read {', '.join(missing)}"


def _indexes(connection: Connection, names: Names, extend: Extend | None) -> Iterator[str]:
    """Find indexes that are named and built as declared, and do not lead to every row."""
    inspector, dialect = sa.inspect(connection), by_name(connection.dialect.name)
    for table in metadata(names, extend).sorted_tables:
        if not inspector.has_table(table.name, schema=names.schema):
            continue
        declared = {str(index.name): index for index in table.indexes}
        for name in dialect.broken_indexes(connection, table.name, names.schema):
            if name in declared:
                yield f"index {name} on {table.name} is INVALID: a build of it did not end (doctor says what to run)"
        for there in inspector.get_indexes(table.name, schema=names.schema):
            index = declared.get(str(there["name"]))
            for option, where in there.get("dialect_options", {}).items():
                if index is not None and option.endswith("_where") and index.kwargs.get(option) is None:
                    yield f"index {index.name} on {table.name} has only the rows WHERE {where}, should have all"


def _books(connection: Connection, names: Names) -> Iterator[str]:
    """Look at the journal, which no revision makes; without one there is nothing noted, and nothing wrong."""
    inspector, books = sa.inspect(connection), journal(names)
    if inspector.has_table(books.name, schema=names.schema):
        there = {column["name"] for column in inspector.get_columns(books.name, schema=names.schema)}
        lacking = [column.name for column in books.columns if column.name not in there]
        if lacking:
            yield (
                f"table {books.name}, the journal of upgrades, lacks the columns {', '.join(lacking)}: add them, or "
                "drop that table, and agno-store stamp makes a new one"
            )


def _squeezed(text: str) -> str:
    return re.sub(r"\W", "", text).casefold()
