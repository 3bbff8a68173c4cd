"""The statements that look at many sessions: how much there is, and where a text stands. Nothing is run here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import sqlalchemy as sa

from agno_store.clock import DAY
from agno_store.dialects.payloads import Bytes, Holds, Text
from agno_store.listings import Hint
from agno_store.names import Names
from agno_store.paging import Page, SessionFilter
from agno_store.records import SESSION_PAYLOADS
from agno_store.statements import Statements

_SUMMARY = ("summary", "topics", "summary_data")


class Survey(Statements):
    """The statements of one store and tenant for figures and searches."""

    def __init__(self, names: Names, tenant_id: str | None = None) -> None:
        super().__init__(names, tenant_id)
        self.tenant_id = tenant_id

    # -- figures ------------------------------------------------------------------------------

    @cached_property
    def sized(self) -> sa.Subquery:
        """A row for each session: whose it is, and how many runs and bytes it holds."""
        s, u, r, m = self.sessions.c, self.summaries.c, self._run_totals.c, self._media_totals.c
        payloads = [*(s[name] for name in SESSION_PAYLOADS), *(u[name] for name in _SUMMARY)]
        own = [sa.func.coalesce(Bytes(column), 0) for column in payloads]
        of_runs = sa.func.coalesce(r.bytes, 0) + sa.func.coalesce(m.bytes, 0)
        component = sa.case(
            (s.session_type == "agent", s.agent_id), (s.session_type == "team", s.team_id), else_=s.workflow_id
        )
        return (
            sa.select(
                s.session_id,
                s.session_type,
                s.user_id,
                sa.type_coerce(component, s.agent_id.type).label("component_id"),
                s.created_at,
                s.updated_at,
                sa.func.coalesce(r.runs, 0).label("runs"),
                sum(own, of_runs).label("bytes"),
            )
            .select_from(
                self.sessions.outerjoin(self.summaries, u.session_id == s.session_id)
                .outerjoin(self._run_totals, r.session_id == s.session_id)
                .outerjoin(self._media_totals, m.session_id == s.session_id)
            )
            .where(self.of_tenant, self.is_there)
            .subquery("sized")
        )

    @cached_property
    def _run_totals(self) -> sa.Subquery:
        count, total = sa.func.count().label("runs"), sa.func.sum(Bytes(self.runs.c.run_data)).label("bytes")
        return self._totals(self.runs, count, total).subquery("run_totals")

    @cached_property
    def _media_totals(self) -> sa.Subquery:
        return self._totals(self.media, sa.func.sum(self.media.c.size).label("bytes")).subquery("media_totals")

    def _totals(self, table: sa.Table, *totals: sa.ColumnElement[Any]) -> sa.Select[Any]:
        mine, session_id = self.sessions.alias("mine").c, table.c.session_id
        joined = sa.select(session_id, *totals).join(mine.session_id.table, mine.session_id == session_id)
        return joined.where(mine.tenant_id == self.tenant_id).group_by(session_id)

    @cached_property
    def totals(self) -> sa.Select[Any]:
        """All sessions, runs and bytes, how many users there are, and between when and when they wrote."""
        z = self.sized.c
        users = sa.func.count(z.user_id.distinct()).label("users")
        times = (sa.func.min(z.created_at).label("created_at"), sa.func.max(z.updated_at).label("updated_at"))
        return sa.select(*self._sums, users, *times)

    @property
    def _sums(self) -> tuple[sa.ColumnElement[Any], ...]:
        z = self.sized.c
        return (
            sa.func.count().label("sessions"),
            sa.func.coalesce(sa.func.sum(z.runs), 0).label("runs"),
            sa.func.coalesce(sa.func.sum(z.bytes), 0).label("bytes"),
        )

    def shares(self, *by: str) -> sa.Select[Any]:
        """The first ``count`` by bytes of all that differ in these columns of ``sized``."""
        columns = [self.sized.c[name] for name in by]
        order = [each for column in columns for each in (column.is_(None), column)]  # NULLs last everywhere
        most = sa.bindparam("count", type_=sa.BigInteger())
        return sa.select(*columns, *self._sums).group_by(*columns).order_by(sa.desc("bytes"), *order).limit(most)

    def first(self, by: str, *, descending: bool) -> sa.Select[Any]:
        """The first ``count`` sessions in the order of a column of ``sized``."""
        z = self.sized.c
        order = z[by].desc() if descending else z[by]
        return sa.select(self.sized).order_by(order, z.session_id).limit(sa.bindparam("count", type_=sa.BigInteger()))

    @cached_property
    def sessions_of_days(self) -> sa.Select[Any]:
        """How many sessions were made on each day from ``since`` on."""
        return self._of_days(self.sessions.c.created_at, sa.literal_column("0").label("bytes"))

    @cached_property
    def runs_of_days(self) -> sa.Select[Any]:
        """The same for runs, and their bytes."""
        r = self.runs.c
        total = sa.func.coalesce(sa.func.sum(Bytes(r.run_data)), 0).label("bytes")
        return self._of_days(r.created_at, total).join(self.sessions, self.sessions.c.session_id == r.session_id)

    @cached_property
    def media_of_days(self) -> sa.Select[Any]:
        """The same for what is kept beside them."""
        m = self.media.c
        total = sa.func.coalesce(sa.func.sum(m.size), 0).label("bytes")
        return self._of_days(m.created_at, total).join(self.sessions, self.sessions.c.session_id == m.session_id)

    def _of_days(self, moment: sa.Column[Any], total: sa.ColumnElement[Any]) -> sa.Select[Any]:
        # Written out: of two equal parameters PostgreSQL does not know that they are.
        day = moment // sa.literal_column(str(DAY), sa.BigInteger())
        return (
            sa.select(day.label("day"), sa.func.count().label("count"), total)
            .select_from(moment.table)
            .where(self.of_tenant, self.is_there, moment >= sa.bindparam("since", type_=sa.BigInteger()))
            .group_by(day)
        )

    # -- searches -----------------------------------------------------------------------------

    def keys(self, asked: SessionFilter, page: Page, hint: Hint) -> sa.Select[Any]:
        """A page of sessions without their payloads."""
        s = self.sessions.c
        names = ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id")
        mine = [s[name] for name in (*names, "created_at", "updated_at")]
        statement: sa.Select[Any] = self.list_sessions(asked, page, hint)
        return statement.with_only_columns(*mine)

    def sessions_holding(self, texts: Iterable[str]) -> sa.Select[Any]:
        """Which of ``session_ids`` hold one of these in a payload or the summary, in letters of either case."""
        s, u = self.sessions.c, self.summaries.c
        columns = [*(s[name] for name in SESSION_PAYLOADS), *(u[name] for name in _SUMMARY)]
        return (
            sa.select(s.session_id)
            .select_from(self.sessions.outerjoin(self.summaries, u.session_id == s.session_id))
            .where(s.session_id.in_(sa.bindparam("session_ids", expanding=True)), _hold(columns, texts))
        )

    def runs_holding(self, texts: Iterable[str]) -> sa.Select[Any]:
        """Which of ``session_ids`` hold one of these in a run, and in which first."""
        r = self.runs.c
        return (
            sa.select(r.session_id, sa.func.min(r.run_index).label("run_index"))
            .where(r.session_id.in_(sa.bindparam("session_ids", expanding=True)), self._in_run(texts))
            .group_by(r.session_id)
        )

    def next_run_holding(self, texts: Iterable[str]) -> sa.Select[Any]:
        """The first run from ``run_index`` on, of the session made at ``session_created_at``, that holds one."""
        r = self.runs.c
        behind = r.run_index >= sa.bindparam("run_index")
        return self.session_runs.where(behind, self._in_run(texts)).limit(1)

    def _in_run(self, texts: Iterable[str]) -> sa.ColumnElement[bool]:
        """Whether a run holds one of these, in its payload or beside it."""
        r, m, texts = self.runs.c, self.media.c, list(texts)
        named = m.session_id == r.session_id, Holds(r.run_data, m.digest)
        beside = sa.exists().where(*named, _hold([m.data], texts)).correlate(self.runs)
        return sa.or_(_hold([r.run_data], texts), beside)


@lru_cache(maxsize=64)
def of(names: Names, tenant_id: str | None) -> Survey:
    """Return the statements of a store and tenant, built once."""
    return Survey(names, tenant_id)


def _hold(columns: Sequence[sa.Column[Any]], texts: Iterable[str]) -> sa.ColumnElement[bool]:
    return sa.or_(*(Text(column).icontains(text, autoescape=True) for text in texts for column in columns))
