"""Every statement that is sent to an old table: all of them only read, and none asks for a row twice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from agno_store.legacy import Layout

_PLAIN = ("session_id", "session_type", "user_id", "agent_id", "team_id", "workflow_id", "workflow_name")
_OF_FIRST = ("team_session_id",)
_TIMES = ("created_at", "updated_at")
_OF_RUNS = (
    *("run_id", "session_id", "run_type", "agent_id", "team_id", "workflow_id", "user_id", "parent_run_id"),
    *("status", "run_index", "created_at", "updated_at"),
)


class Reading:
    """The statements for one old table, and its runs where they have a table of their own."""

    def __init__(
        self, schema: str | None, table: str, columns: Collection[str], layout: Layout, runs: str | None
    ) -> None:
        self.sessions = sa.table(table, *(sa.column(name) for name in columns), schema=schema)
        self._key = self.sessions.c.session_id
        plain = [name for name in (*_PLAIN, *_OF_FIRST, *_TIMES) if name in columns]
        payloads = [name for name in layout.payloads if name in columns]
        # A payload as the text that it is, whatever a driver would make of it.
        self._columns: list[sa.ColumnElement[Any]] = [self.sessions.c[name] for name in plain]
        self._columns += [sa.cast(self.sessions.c[name], sa.Text()).label(name) for name in payloads]
        names = (*_OF_RUNS, "run_data")
        self.runs = None if runs is None else sa.table(runs, *(sa.column(name) for name in names), schema=schema)

    @property
    def count(self) -> sa.Select[Any]:
        """How many sessions there are."""
        return sa.select(sa.func.count(self._key.distinct()))

    @property
    def nameless(self) -> sa.Select[Any]:
        """How many rows have no ``session_id``, as tables without a primary key may."""
        return sa.select(sa.func.count()).select_from(self.sessions).where(self._key.is_(None))

    def ids(self, after: str | None, limit: int) -> sa.Select[Any]:
        """The next ids behind one, in the order in which the database keeps them."""
        page = sa.select(self._key).distinct().where(self._key.is_not(None)).order_by(self._key).limit(limit)
        return page if after is None else page.where(self._key > after)

    def session(self, session_id: str) -> sa.Select[Any]:
        """The row, or rows, of one session."""
        return sa.select(*self._columns).where(self._key == session_id)

    def runs_of(self, session_id: str) -> sa.Select[Any]:
        """Its rows in the table of runs."""
        assert self.runs is not None
        r = self.runs.c
        columns: list[sa.ColumnElement[Any]] = [r[name] for name in _OF_RUNS]
        return sa.select(*columns, sa.cast(r.run_data, sa.Text()).label("run_data")).where(r.session_id == session_id)

    @property
    def orphans(self) -> sa.Select[Any]:
        """How many runs belong to no session."""
        assert self.runs is not None
        r = self.runs.c
        theirs = sa.exists().where(self._key == r.session_id)
        return sa.select(sa.func.count()).select_from(self.runs).where(~theirs)
