"""A database with tables of agno's own storage classes: which there are, and what is in them. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from agno_store import failures
from agno_store.dialects import parse_url
from agno_store.dialects.reader import reader
from agno_store.errors import AccessDenied, ConfigurationError, NotFound, SchemaConflict
from agno_store.legacy import BESIDE, INSIDE, Layout, holds_runs, layout_of
from agno_store.transfer.conversation import Malformed
from agno_store.transfer.legacy.reading import Found, found
from agno_store.transfer.legacy.statements import Reading
from agno_store.transfer.legacy.values import text_id
from agno_store.urls import redacted

PAGE = 500
"""Ids that are asked for at once."""

SUFFIX = "_legacy"
"""What a table is called besides its name, once a store has taken its place."""

AGNOS_SCHEMA = "ai"
"""Where agno's classes keep their tables unless they are told otherwise, on what has schemas."""


@dataclass(frozen=True)
class OldTable:
    """One session table of agno's, and the table of its runs where there is one."""

    name: str
    schema: str | None
    layout: Layout
    columns: frozenset[str]
    runs: str | None = None

    @property
    def title(self) -> str:
        """What it is, in words."""
        if self.layout is INSIDE and self.runs:
            return f"the agno 2.x layout, migrated to 3.x in part or whole: runs inside, and in {self.runs}"
        return f"{self.layout.title}, runs in {self.runs}" if self.runs else self.layout.title

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @cached_property
    def sql(self) -> Reading:
        return Reading(self.schema, self.name, self.columns, self.layout, self.runs)


class Source:
    """The database that old tables are in. Nothing can be written through it."""

    def __init__(self, url: str | URL, schema: str | None = None) -> None:
        """Open a source; sends no SQL.

        Raises ConfigurationError for a URL that is of no such database, DatabaseUnreachable for a file that is not
        there.
        """
        parsed, self.dialect = parse_url(url)
        if schema is not None and not self.dialect.has_schemas:
            raise ConfigurationError(f"{self.dialect.title} has no schemas: leave --from-schema out.")
        self.url, self.schema = parsed, schema
        self.db_engine = reader(parsed, self.dialect)
        self.names = "agno's tables" if schema is None else f"agno's tables in the schema {schema}"

    def close(self) -> None:
        """Close the connections."""
        self.db_engine.dispose()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with failures.translated(cast(Any, self)):
            try:
                with self.dialect.transaction(self.db_engine, writes=False) as connection:
                    yield connection
            except DBAPIError as error:
                if self.dialect.is_denied(error):
                    raise AccessDenied(
                        f"{self.names} in {self.dialect.title} at {redacted(self.url)}: {self.url.username!r} may not "
                        f"read them: {str(error.orig).strip().splitlines()[0]}. Let it SELECT from them, and USE their "
                        "schema; it needs no right to write."
                    ) from error
                raise

    # -- which tables -------------------------------------------------------------------------

    def tables(self, wanted: Sequence[str] = ()) -> list[OldTable]:
        """Return the tables that are called so, or all that are agno's.

        Raises NotFound where there is none, SchemaConflict for one that is none of agno's session tables.
        """
        with self._reading() as connection:
            look = sa.inspect(connection)
            schemas = [self.schema]
            if self.schema is None and self.dialect.has_schemas and AGNOS_SCHEMA in look.get_schema_names():
                schemas.append(AGNOS_SCHEMA)
            there = {schema: _columns(look, schema) for schema in schemas}
            if wanted:
                return [self._named(look, there, name) for name in dict.fromkeys(wanted)]
            every = [
                _old(look, schema, name, layout, columns)
                for schema, tables in there.items()
                for name, columns in tables.items()
                if (layout := layout_of(columns)) is not None
            ]
        if not every:
            raise NotFound(f"There is no session table of agno's {self._place}; {_listed(there)}")
        return every

    @property
    def _place(self) -> str:
        return f"in {redacted(self.url)}" + (f", schema {self.schema}" if self.schema else "")

    def _named(self, look: sa.Inspector, there: dict[str | None, dict[str, frozenset[str]]], name: str) -> OldTable:
        for schema, tables in there.items():
            if name in tables:
                layout = layout_of(tables[name])
                if layout is None:
                    raise SchemaConflict(f"{name} {self._place} is {_other(tables[name])}", store=name)
                return _old(look, schema, name, layout, tables[name])
        raise NotFound(f"There is no table {name} {self._place}; {_listed(there)}")

    # -- what is in them ----------------------------------------------------------------------

    def count(self, table: OldTable) -> int:
        """Return how many sessions a table has."""
        with self._reading() as connection:
            return int(connection.execute(table.sql.count).scalar_one())

    def lost(self, table: OldTable) -> list[str]:
        """Say what in a table belongs to no session, and cannot be imported."""
        said = []
        with self._reading() as connection:
            nameless = connection.execute(table.sql.nameless).scalar_one()
            orphans = 0 if table.runs is None else connection.execute(table.sql.orphans).scalar_one()
        if nameless:
            said.append(f"{nameless} row{'s' * (nameless > 1)} of {table} without a session_id")
        if orphans:
            said.append(f"{orphans} run{'s' * (orphans > 1)} of {table.runs} whose session is not there")
        return said

    def ids(self, table: OldTable) -> Iterator[str]:
        """Give the id of every session, a page at a time: sessions that come meanwhile may be among them."""
        after: Any = None
        while True:
            with self._reading() as connection:
                page = list(connection.execute(table.sql.ids(after, PAGE)).scalars())
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1]

    def read(self, table: OldTable, session_id: Any) -> Found | None:
        """Return a session with its runs, all as of one moment; None where it is gone by now.

        Raises Malformed where it cannot be read.
        """
        with self._reading() as connection:
            rows = connection.execute(table.sql.session(session_id)).mappings().all()
            runs = connection.execute(table.sql.runs_of(session_id)).mappings().all() if table.runs else []
        rows = [row for row in rows if row["session_id"] == session_id]  # by bytes, whatever the collation says
        key = text_id(session_id)
        if not rows:
            return None
        if key is None:
            raise Malformed("its session_id is empty")
        same = [row for row in runs if row["session_id"] == session_id]
        return found(table.layout, [dict(row) for row in rows], [dict(row) for row in same], key)


def _columns(look: sa.Inspector, schema: str | None) -> dict[str, frozenset[str]]:
    every = look.get_multi_columns(schema=schema, kind=sa.engine.reflection.ObjectKind.TABLE)
    return {str(name): frozenset(str(column["name"]) for column in columns) for (_, name), columns in every.items()}


def _old(look: sa.Inspector, schema: str | None, name: str, layout: Layout, columns: frozenset[str]) -> OldTable:
    runs = _runs_table(look, schema, name) if layout in (INSIDE, BESIDE) else None
    return OldTable(name, schema, layout, columns, runs)


def _runs_table(look: sa.Inspector, schema: str | None, name: str) -> str | None:
    """Return the table that holds a session table's runs: the one that refers to it, or is called so."""
    holding = {table for table, columns in _columns(look, schema).items() if holds_runs(columns)}
    for table in sorted(holding):
        referred = {key["referred_table"] for key in look.get_foreign_keys(table, schema=schema)}
        if name in referred:
            return table
    before = name.removesuffix(SUFFIX)
    names = [f"{before}_runs", *(["agno_runs"] if before == "agno_sessions" else [])]
    names = names if before == name else [f"{name}_runs", *(own + SUFFIX for own in names)]
    return next((table for table in names if table in holding), None)


def _other(columns: frozenset[str]) -> str:
    if "next_run_index" in columns:
        return "a store of agno_store's already: agno-store copy brings its sessions into another one."
    if holds_runs(columns):
        return "agno's table of runs: name the table of their sessions, and its runs come with it."
    listed = ", ".join(sorted(columns)[:8])
    return f"no session table of agno's: its columns are {listed}{' ...' if len(columns) > 8 else ''}."


def _listed(there: dict[str | None, dict[str, frozenset[str]]]) -> str:
    names = [f"{schema}.{name}" if schema else name for schema, tables in there.items() for name in sorted(tables)]
    some = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"its tables are {some}." if names else "it has no tables that this user may see."
