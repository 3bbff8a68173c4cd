"""Tables that are there already: ours at some revision, agno's own, or a stranger's."""

from __future__ import annotations

import shlex
from functools import lru_cache

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from agno_store.dialects import SQLITE
from agno_store.legacy import layout_of
from agno_store.migrations.chain import Chain, Position
from agno_store.migrations.resume import Resumable
from agno_store.migrations.scratch import scratch
from agno_store.names import Names
from agno_store.schema import columns_of, not_ours, others
from agno_store.tables import HEAD, journal
from agno_store.urls import redacted

_Shape = dict[str, tuple[frozenset[str], frozenset[str]]]


def refuse_foreign(connection: Connection, names: Names, chain: Chain, current: str | None) -> None:
    """Raise SchemaConflict where a table that is to be made, or the journal, is there and has not the columns of ours.

    A table with exactly the columns that ours has at one of the revisions is one that an upgrade was killed over,
    or that was made by hand: the upgrade goes on from it.
    """
    if current == HEAD:
        return
    made = shape(names, chain, current)
    for table, (columns, _) in _shape_of(connection, names).items():
        if table in made or columns in _columns_of_ours(names, chain, table):
            continue
        layout, way = layout_of(columns), ""
        if layout is not None:
            way = f" To bring its sessions into this store, run: {_import_command(connection, names, table)}"
        raise not_ours(names, table, others(columns) if layout is None else layout.title, current, way)
    books, look = journal(names), sa.inspect(connection)
    if look.has_table(books.name, schema=names.schema):
        columns = columns_of(look, books.name, names.schema)
        if not columns.issuperset(books.primary_key.columns.keys()):
            raise not_ours(names, books.name, others(columns), current)


def _columns_of_ours(names: Names, chain: Chain, table: str) -> set[frozenset[str]]:
    shapes = (shape(names, chain, script.revision) for script in chain.own)
    return {found[table][0] for found in shapes if table in found}


def _import_command(connection: Connection, names: Names, table: str) -> str:
    words = ["agno-store", "import", "--in-place", "--from-url", redacted(connection.engine.url), "--from-table", table]
    return shlex.join([*words, "--from-schema", names.schema] if names.schema else words)


def differing(
    connection: Connection, names: Names, chain: Chain, revision: str | None, *, only_missing: bool = False
) -> list[str]:
    """Return how the tables differ from those of a revision of ours (None: before the first)."""
    wanted, there = shape(names, chain, revision), _shape_of(connection, names)
    found = [f"table {table} is missing" for table in wanted if table not in there]
    if not only_missing:
        found += [f"table {table} should not be there" for table in there if table not in wanted]
    for table in wanted.keys() & there.keys():
        for what, ours, theirs in zip(("columns", "indexes"), wanted[table], there[table], strict=True):
            if ours - theirs:
                found.append(f"{table} lacks the {what} {', '.join(sorted(ours - theirs))}")
            # A foreign key brings an index of its own on MySQL.
            if theirs - ours and what == "columns" and not only_missing:
                found.append(f"{table} has the {what} {', '.join(sorted(theirs - ours))} besides")
    return found


@lru_cache(maxsize=32)
def shape(names: Names, chain: Chain, revision: str | None) -> _Shape:
    """Return the columns and indexes of the tables at a revision of ours, from a scratch database in memory."""
    plain = Names(names.sessions)
    with scratch() as engine, engine.begin() as connection:
        op = Resumable(MigrationContext.configure(connection), SQLITE)
        for script in chain.applied(Position(revision)):
            script.module.upgrade(op, plain)
        return _shape_of(connection, plain)


def _shape_of(connection: Connection, names: Names) -> _Shape:
    inspector = sa.inspect(connection)
    return {
        table: (
            columns_of(inspector, table, names.schema),
            frozenset(str(index["name"]) for index in inspector.get_indexes(table, schema=names.schema)),
        )
        for table in names.tables
        if inspector.has_table(table, schema=names.schema)
    }
