"""Every statement a store sends, built from its tables and the filters of a call; nothing is run here.

Values are bound, never written into the text, and the only names that come from a caller are sort
columns, which are looked up in a fixed table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.functions import FunctionElement

from agno_store import tables, tenants
from agno_store.names import Names
from agno_store.paging import Page, SessionFilter

SKIPPED_IN_HISTORY = ("PAUSED", "CANCELLED", "ERROR", "REGENERATED")
"""Statuses of runs that ``runs_limit`` passes over, as agno does when it builds a context."""

ACTIVE = ("PENDING", "RUNNING", "PAUSED")
"""Statuses of runs that are not over."""

_SESSION_KEY = tenants.SessionKey()

_COMPONENT: Mapping[str, str] = MappingProxyType({"agent": "agent_id", "team": "team_id", "workflow": "workflow_id"})


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


class Statements:
    """The statements of one store and tenant; those without filters are built once.

    A session's key is the tenant's by its type. Whoever looks for sessions or runs by something else has to ask
    for ``_of_tenant``.
    """

    def __init__(self, names: Names, tenant_id: str | None = None) -> None:
        all_tables = tables.addressed(names, _SESSION_KEY)
        self.sessions, self.runs, self.summaries = all_tables.sessions, all_tables.runs, all_tables.summaries
        self._of_tenant = self.sessions.c.tenant_id == tenant_id  # IS NULL where there is none
        self.names = names

    # -- schema -------------------------------------------------------------------------------

    @cached_property
    def revisions(self) -> sa.Select[Any]:
        """Every revision in the version table."""
        return sa.select(tables.version_table(self.names).c.version_num)

    @cached_property
    def works_with(self) -> sa.Select[Any]:
        """The oldest release that works with :revision, as noted when it was last reached."""
        noted = tables.journal(self.names).c
        return (
            sa.select(noted.works_with)
            .where(noted.revision == sa.bindparam("revision"), noted.works_with.is_not(None))
            .order_by(noted.entry.desc())
            .limit(1)
        )

    # -- sessions -----------------------------------------------------------------------------

    @cached_property
    def _session_columns(self) -> sa.Select[Any]:
        s, u = self.sessions.c, self.summaries.c
        mine = [column for column in s if column.name not in ("name_folded", "next_run_index", "tenant_id")]
        return sa.select(*mine, u.summary, u.topics, u.summary_data).select_from(
            self.sessions.outerjoin(self.summaries, u.session_id == s.session_id)
        )

    @cached_property
    def session(self) -> sa.Select[Any]:
        """One session with its summary, by ``session_id``."""
        return self._session_columns.where(self.sessions.c.session_id == sa.bindparam("session_id"))

    @cached_property
    def lock_session(self) -> sa.Select[Any]:
        """What a writer has to know of a session, and the only right to write it until the transaction ends."""
        s = self.sessions.c
        return (
            sa.select(s.user_id, s.session_type, s.version, s.created_at)
            .where(s.session_id == sa.bindparam("session_id"))
            .with_for_update()
        )

    @cached_property
    def lock_session_for_run(self) -> sa.Select[Any]:
        """The same for a writer of one run: its position and owner, where the session has it already."""
        s, r = self.sessions.c, self.runs.c

        def of_run(column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
            # Its session twice: MySQL looks at a value that depends on the row after the row is locked, and of
            # partitions or shards the one is found by the value given.
            of_session = sa.and_(r.session_id == s.session_id, r.session_id == sa.bindparam("session_id"))
            return sa.select(column).where(of_session, r.run_id == sa.bindparam("run_id")).scalar_subquery()

        return (
            sa.select(
                s.user_id,
                s.next_run_index,
                of_run(r.run_index).label("run_index"),
                of_run(r.version).label("run_version"),
                of_run(r.user_id).label("run_user_id"),
            )
            .where(s.session_id == sa.bindparam("session_id"))
            .with_for_update()
        )

    @cached_property
    def insert_session(self) -> sa.Insert:
        return sa.insert(self.sessions)

    @cached_property
    def update_session(self) -> sa.Update:
        """Set the columns given, by ``key``."""
        return sa.update(self.sessions).where(self.sessions.c.session_id == sa.bindparam("key"))

    @cached_property
    def delete_session(self) -> sa.Delete:
        return sa.delete(self.sessions).where(self.sessions.c.session_id == sa.bindparam("key"))

    def list_sessions(self, which: SessionFilter, page: Page) -> sa.Select[Any]:
        """A page of sessions with their summaries."""
        return _paged(self._session_columns.where(*self._session_conditions(which)), self.sessions, page)

    def count_sessions(self, which: SessionFilter) -> sa.Select[Any]:
        return sa.select(sa.func.count()).select_from(self.sessions).where(*self._session_conditions(which))

    def _session_conditions(self, which: SessionFilter) -> list[sa.ColumnElement[bool]]:
        s = self.sessions.c
        conditions: list[sa.ColumnElement[bool]] = [self._of_tenant]
        if which.session_type is not None:
            conditions.append(s.session_type == which.session_type)
        if which.user_id is not None:
            conditions.append(s.user_id == which.user_id)
        if which.component_id is not None:
            columns = [_COMPONENT[which.session_type]] if which.session_type else list(_COMPONENT.values())
            conditions.append(sa.or_(*(s[column] == which.component_id for column in columns)))
        if which.name_folded is not None:
            conditions.append(s.name_folded.contains(which.name_folded, autoescape=True))
        if which.created_from is not None:
            conditions.append(s.created_at >= which.created_from)
        if which.created_before is not None:
            conditions.append(s.created_at < which.created_before)
        return conditions

    # -- runs ---------------------------------------------------------------------------------

    @cached_property
    def session_runs(self) -> sa.Select[Any]:
        """Every run, in order, of the session made at ``session_created_at``."""
        return self._runs_of_session.order_by(self.runs.c.run_index)

    @cached_property
    def latest_runs(self) -> sa.Select[Any]:
        """Its last ``count`` runs that count as its history, latest first."""
        r = self.runs.c
        return (
            self._runs_of_session.where(
                r.parent_run_id.is_(None), sa.or_(r.status.is_(None), r.status.not_in(SKIPPED_IN_HISTORY))
            )
            .order_by(r.run_index.desc())
            .limit(sa.bindparam("count", type_=sa.BigInteger()))
        )

    @property
    def _runs_of_session(self) -> sa.Select[Any]:
        s, r = self.sessions.c, self.runs.c
        return (
            sa.select(self.runs)
            .join(self.sessions, s.session_id == r.session_id)
            .where(r.session_id == sa.bindparam("session_id"), s.created_at == sa.bindparam("session_created_at"))
        )

    @cached_property
    def runs_of_sessions(self) -> sa.Select[Any]:
        """The runs of ``session_ids``, in order within each, with when their sessions were made."""
        s, r = self.sessions.c, self.runs.c
        return (
            sa.select(self.runs, s.created_at.label("session_created_at"))
            .join(self.sessions, s.session_id == r.session_id)
            .where(r.session_id.in_(sa.bindparam("session_ids", expanding=True)))
            .order_by(r.session_id, r.run_index)
        )

    def runs_called(self, filters: Mapping[str, str]) -> sa.Select[Any]:
        """Runs of one id: an id may be in several sessions, and two are enough to know it."""
        return self._filtered(sa.select(self.runs), filters).limit(2)

    @cached_property
    def one_run(self) -> sa.Select[Any]:
        """One run, by ``key`` and ``run_key``, as it is now: whoever asks holds its session."""
        return sa.select(self.runs).where(*self._this_run()).with_for_update()

    @cached_property
    def run_of_another(self) -> sa.Select[Any]:
        """A run of a session that belongs to another user than ``user_id``, if there is any."""
        r = self.runs.c
        return (
            sa.select(r.user_id)
            .where(r.session_id == sa.bindparam("key"), r.user_id != sa.bindparam("user_id"))
            .limit(1)
        )

    @cached_property
    def insert_run(self) -> sa.Insert:
        return sa.insert(self.runs)

    @cached_property
    def update_run(self) -> sa.Update:
        """Set the columns given, by ``key`` and ``run_key``; the version counts up."""
        r = self.runs.c
        return (
            sa.update(self.runs)
            .where(r.session_id == sa.bindparam("key"), r.run_id == sa.bindparam("run_key"))
            .values(version=r.version + 1)
        )

    @cached_property
    def update_run_returning(self) -> ReturningUpdate[Any]:
        """The same, answered with the run's place and version, where a database can do that."""
        return self.update_run.returning(self.runs.c.run_index, self.runs.c.version)

    @cached_property
    def delete_run(self) -> sa.Delete:
        return sa.delete(self.runs).where(*self._this_run())

    @cached_property
    def delete_session_runs(self) -> sa.Delete:
        return sa.delete(self.runs).where(self.runs.c.session_id == sa.bindparam("key"))

    @cached_property
    def active_run(self) -> sa.Select[Any]:
        """One run of a session that is not over, if there is any."""
        r = self.runs.c
        return sa.select(r.run_id).where(r.session_id == sa.bindparam("session_id"), r.status.in_(ACTIVE)).limit(1)

    def list_runs(self, filters: Mapping[str, str], page: Page) -> sa.Select[Any]:
        """A page of the runs whose columns equal ``filters``."""
        return _paged(self._filtered(sa.select(self.runs), filters), self.runs, page)

    def count_runs(self, filters: Mapping[str, str]) -> sa.Select[Any]:
        return self._filtered(sa.select(sa.func.count()).select_from(self.runs), filters)

    def _filtered(self, statement: sa.Select[Any], filters: Mapping[str, str]) -> sa.Select[Any]:
        s, r = self.sessions.c, self.runs.c
        statement = statement.where(*(r[name] == value for name, value in filters.items() if name != "user_id"))
        if "session_id" in filters and "user_id" not in filters:
            return statement
        statement = statement.join(self.sessions, s.session_id == r.session_id).where(self._of_tenant)
        if "user_id" not in filters:
            return statement
        # A run is its session's owner's; only where nobody owns the session, its own user's.
        user_id = filters["user_id"]
        return statement.where(sa.or_(s.user_id == user_id, sa.and_(s.user_id.is_(None), r.user_id == user_id)))

    def _this_run(self) -> tuple[sa.ColumnElement[bool], ...]:
        r = self.runs.c
        return r.session_id == sa.bindparam("key"), r.run_id == sa.bindparam("run_key")

    # -- summaries ----------------------------------------------------------------------------

    @cached_property
    def summary(self) -> sa.Select[Any]:
        """One summary with its session's owner."""
        u, s = self.summaries.c, self.sessions.c
        return (
            sa.select(self.summaries, s.user_id)
            .join_from(self.summaries, self.sessions, u.session_id == s.session_id)
            .where(u.session_id == sa.bindparam("session_id"))
        )

    @cached_property
    def insert_summary(self) -> sa.Insert:
        return sa.insert(self.summaries)

    @cached_property
    def update_summary(self) -> sa.Update:
        return sa.update(self.summaries).where(self.summaries.c.session_id == sa.bindparam("key"))

    @cached_property
    def delete_summary(self) -> sa.Delete:
        return sa.delete(self.summaries).where(self.summaries.c.session_id == sa.bindparam("key"))


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
    statement = statement.limit(sa.literal(page.limit, sa.BigInteger()))
    before = ((page.page or 1) - 1) * page.limit
    return statement.offset(sa.literal(before, sa.BigInteger())) if before else statement


def _behind(columns: list[sa.Column[Any]], place: Sequence[Any], descending: bool) -> sa.ColumnElement[bool]:
    """What is true of the rows that come behind a place in the order of these columns."""
    first, *ties = columns
    if place[0] is None:
        return sa.and_(first.is_(None), _behind(ties, place[1:], descending))
    values = [sa.literal(value, column.type) for column, value in zip(columns, place, strict=True)]
    here, there = sa.tuple_(*columns), sa.tuple_(*values)
    behind = Behind(here < there if descending else here > there)
    return sa.or_(behind, first.is_(None)) if first.nullable else behind
