"""The statements of listings, built once for each shape: which filters, in which order, and what begins a page.

Values are bound by name, never written into the text, and the only names that come from a caller are sort
columns, which were looked up in a fixed table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from agno_store import owners, tables
from agno_store.paging import Page, SessionFilter

SHAPES = 256
"""Statements of a kind that are kept. Few programs ask in as many ways, and a statement takes some 20 kB."""

COMPONENT: Mapping[str, str] = MappingProxyType({"agent": "agent_id", "team": "team_id", "workflow": "workflow_id"})
"""The column of a component of each type."""

_GONE: sa.ColumnElement[str] = sa.literal_column(f"'{owners.GONE}'")

Hint = Callable[[sa.Select[Any], sa.Table, Sequence[str]], sa.Select[Any]]
"""Has a listing of a table read along the index of these columns, where a database needs to be told."""


class Behind(FunctionElement[bool]):
    """A comparison of several columns with as many values; a dialect may say the same in words of its own."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Behind:
        """A truth already: it is not compared with 1, as other functions are where there are no truths."""
        return self


@compiles(Behind)
def _behind_a_place(element: Behind, compiler: Any, **kw: Any) -> str:
    (comparison,) = element.clauses
    return str(compiler.process(comparison, **kw))


class Listings:
    """The listings of one store and tenant. What has the same shape is the same statement."""

    def __init__(self, all_tables: tables.Tables, of_tenant: sa.ColumnElement[bool]) -> None:
        self.sessions, self.runs, self.summaries = all_tables.sessions, all_tables.runs, all_tables.summaries
        self.of_tenant = of_tenant  # whoever looks for sessions or runs by something else than their key asks for it
        self.list_sessions = lru_cache(SHAPES)(self._list_sessions)
        self.count_sessions = lru_cache(SHAPES)(self._count_sessions)
        self.list_runs = lru_cache(SHAPES)(self._list_runs)
        self.count_runs = lru_cache(SHAPES)(self._count_runs)
        self.runs_called = lru_cache(SHAPES)(self._runs_called)

    # -- sessions -----------------------------------------------------------------------------

    @property
    def is_there(self) -> sa.ColumnElement[bool]:
        """Whether a session is not being deleted. As a function: no index is to be chosen for it."""
        return sa.func.coalesce(self.sessions.c.user_id, sa.literal_column("'-'")) != _GONE

    @property
    def is_the_one(self) -> sa.ColumnElement[bool]:
        """Whether the session ``session_id`` is that which was made at ``session_created_at``, and still ``reader``'s.

        Looked for by itself: joined with its runs, SQLite may find it by an index that is not said to be unique, and
        then puts the runs in order.
        """
        s = self.sessions.c
        this, made = s.session_id == sa.bindparam("session_id"), s.created_at == sa.bindparam("session_created_at")
        return sa.exists().where(this, made, self.is_there, self.is_readers)

    @property
    def is_readers(self) -> sa.ColumnElement[bool]:
        """Whether a session is that of ``reader``; None asks for everybody's. As a function, as above."""
        owner = self.sessions.c.user_id
        reader = sa.bindparam("reader", type_=owner.type)
        return sa.func.coalesce(owner, _GONE) == sa.func.coalesce(reader, owner, _GONE)

    @cached_property
    def session_columns(self) -> sa.Select[Any]:
        """What is read of a session, with its summary."""
        s, u = self.sessions.c, self.summaries.c
        left_out = ("name_folded", "next_run_index", "runs_changed", "tenant_id")
        mine = [column for column in s if column.name not in left_out]
        return sa.select(*mine, u.summary, u.topics, u.summary_data).select_from(
            self.sessions.outerjoin(self.summaries, u.session_id == s.session_id)
        )

    def _list_sessions(self, asked: SessionFilter, page: Page, hint: Hint) -> sa.Select[Any]:
        """A page of sessions with their summaries."""
        statement = _paged(self.session_columns.where(*self._conditions(asked)), self.sessions, page)
        if page.after is None:
            return statement
        column = "tenant_id"
        if asked.user_id is not None:
            column = "user_id"
        elif asked.component_id is not None and asked.session_type:
            column = COMPONENT[asked.session_type]
        return hint(statement, self.sessions, (column, *page.by))

    def _count_sessions(self, asked: SessionFilter) -> sa.Select[Any]:
        """How many sessions there are on all pages."""
        return sa.select(sa.func.count()).select_from(self.sessions).where(*self._conditions(asked))

    def _conditions(self, asked: SessionFilter) -> list[sa.ColumnElement[bool]]:
        s = self.sessions.c
        conditions: list[sa.ColumnElement[bool]] = [self.of_tenant]
        if asked.session_type is not None:
            conditions.append(s.session_type == sa.bindparam("session_type"))
        conditions.append(self.is_there if asked.user_id is None else s.user_id == sa.bindparam("user_id"))
        if asked.component_id is not None:
            columns = [COMPONENT[asked.session_type]] if asked.session_type else list(COMPONENT.values())
            conditions.append(sa.or_(*(s[column] == sa.bindparam("component_id") for column in columns)))
        if asked.name_folded is not None:
            conditions.append(s.name_folded.like(sa.bindparam("name_folded"), escape="/"))
        if asked.created_from is not None:
            conditions.append(s.created_at >= sa.bindparam("created_from"))
        if asked.created_before is not None:
            conditions.append(s.created_at < sa.bindparam("created_before"))
        return conditions

    # -- runs ---------------------------------------------------------------------------------

    def _list_runs(self, asked: Collection[str], page: Page) -> sa.Select[Any]:
        """A page of the runs of which these columns have the values given."""
        return _paged(self._filtered(sa.select(self.runs), asked), self.runs, page)

    def _count_runs(self, asked: Collection[str]) -> sa.Select[Any]:
        """How many runs there are on all pages."""
        return self._filtered(sa.select(sa.func.count()).select_from(self.runs), asked)

    def _runs_called(self, asked: Collection[str]) -> sa.Select[Any]:
        """Runs of one id: an id may be in several sessions, and two are enough to know it."""
        return self._filtered(sa.select(self.runs), asked).limit(2)

    def _filtered(self, statement: sa.Select[Any], asked: Collection[str]) -> sa.Select[Any]:
        s, r = self.sessions.c, self.runs.c
        statement = statement.where(*(r[name] == sa.bindparam(name) for name in asked if name != "user_id"))
        if "session_id" in asked and "user_id" not in asked:
            gone = sa.exists().where(s.session_id == sa.bindparam("session_id"), s.user_id == _GONE)
            return statement.where(~gone)
        statement = statement.join(self.sessions, s.session_id == r.session_id).where(self.of_tenant)
        if "user_id" not in asked:
            return statement.where(self.is_there)
        # A run is its session's owner's; only where nobody owns the session, its own user's.
        user_id: sa.BindParameter[str] = sa.bindparam("user_id")
        return statement.where(sa.or_(s.user_id == user_id, sa.and_(s.user_id.is_(None), r.user_id == user_id)))


def _paged(statement: sa.Select[Any], table: sa.Table, page: Page) -> sa.Select[Any]:
    """Cut a page out of a listing of a table's rows; NULLs come last either way."""
    first, *ties = (table.c[name] for name in page.by)
    order = [column.desc() if page.descending else column for column in (first, *ties)]
    statement = statement.order_by(*([first.is_(None)] if first.nullable else []), *order)
    if page.after is not None:
        statement = statement.where(_behind([first, *ties], page.after, page.descending))
    if page.limit is None:
        return statement
    # As BIGINT: SQLAlchemy would cast a plain number to INTEGER on PostgreSQL.
    statement = statement.limit(sa.bindparam("limit", type_=sa.BigInteger()))
    return statement if page.page is None else statement.offset(sa.bindparam("before", type_=sa.BigInteger()))


def _behind(columns: list[sa.Column[Any]], place: Sequence[Any], descending: bool) -> sa.ColumnElement[bool]:
    """What is true of the rows that come behind a place in the order of these columns."""
    first, *ties = columns
    if place[0] is None:
        return sa.and_(first.is_(None), _compared(ties, descending, 1))
    behind = _compared(columns, descending, 0)
    return sa.or_(behind, first.is_(None)) if first.nullable else behind


def _compared(columns: list[sa.Column[Any]], descending: bool, number: int) -> Behind:
    values = [sa.bindparam(f"after_{n}", type_=column.type) for n, column in enumerate(columns, number)]
    here, there = sa.tuple_(*columns), sa.tuple_(*values)
    return Behind(here < there if descending else here > there)
