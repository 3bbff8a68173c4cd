"""The statements that look for what is to be removed, and remove it; nothing is run here."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa

from agno_store.owners import GONE
from agno_store.removed import Which
from agno_store.statements import ACTIVE, Statements

_COUNT = sa.BigInteger()


class Removals:
    """The statements of one store and tenant."""

    def __init__(self, sql: Statements) -> None:
        self._sessions, self._runs, self._summaries = sql.sessions, sql.runs, sql.summaries
        self._media = sql.media
        self._is_there, self._of_tenant = sql.is_there, sql.of_tenant

    # -- what there is ------------------------------------------------------------------------

    def chosen(self, which: Which, *, further: bool) -> sa.Select[Any]:
        """The next sessions that go, in the order of an index; ``further`` than a place."""
        s = self._sessions.c
        statement = self._found.where(self._of_tenant)
        if which.user_id is not None:
            statement = statement.where(s.user_id == sa.bindparam("user_id"))
        statement = statement.where(self._is_there)  # also of a user, who might be called as the owner of what goes is
        if which.before is not None:
            # No session is older than it is there: the index leads past those that are too young.
            before = sa.bindparam("before", type_=s.updated_at.type)
            statement = statement.where(s.created_at < before, s.updated_at < before)
        if which.looks_for_runs:
            abandoned = sa.bindparam("abandoned", type_=s.updated_at.type)
            statement = statement.where(sa.or_(s.updated_at < abandoned, ~self._is_active))
        return statement.where(self._further) if further else statement

    def gone(self, *, further: bool) -> sa.Select[Any]:
        """The next sessions whose deletion was begun and not ended."""
        statement = self._found.where(self._of_tenant, self._sessions.c.user_id == GONE)
        return statement.where(self._further) if further else statement

    @property
    def _found(self) -> sa.Select[Any]:
        s = self._sessions.c
        columns = sa.select(s.session_id, s.created_at, s.updated_at, s.user_id)
        return columns.order_by(s.created_at, s.session_id).limit(sa.bindparam("count", type_=_COUNT))

    @property
    def _further(self) -> sa.ColumnElement[bool]:
        s = self._sessions.c
        place = sa.bindparam("place_created_at", type_=s.created_at.type)
        # Column by column: of a comparison of rows MySQL makes no range of an index.
        behind = sa.or_(s.created_at > place, s.session_id > sa.bindparam("place_session_id"))
        return sa.and_(s.created_at >= place, behind)

    @property
    def _is_active(self) -> sa.ColumnElement[bool]:
        r = self._runs.c
        return sa.exists().where(r.session_id == self._sessions.c.session_id, r.status.in_(ACTIVE))

    def kept_from(self, user_id: str | None) -> sa.Select[Any]:
        """The session at ``nth``, counted from 0, of a user's newest; those behind it may go."""
        s = self._sessions.c
        return (
            sa.select(s.updated_at, s.session_id)
            .where(self._of_tenant, s.user_id == user_id)  # IS NULL for nobody
            .order_by(s.updated_at.desc(), s.session_id.desc())
            .limit(1)
            .offset(sa.bindparam("nth", type_=_COUNT))
        )

    @cached_property
    def runs_of(self) -> sa.Select[Any]:
        """How many runs there are of each of ``session_ids`` that has any."""
        r = self._runs.c
        return sa.select(r.session_id, sa.func.count()).where(self._of(self._runs)).group_by(r.session_id)

    @cached_property
    def summaries_of(self) -> sa.Select[Any]:
        """Which of ``session_ids`` have a summary."""
        return sa.select(self._summaries.c.session_id).where(self._of(self._summaries))

    # -- whole sessions -----------------------------------------------------------------------

    @cached_property
    def lock(self) -> sa.Select[Any]:
        """Those of ``session_ids`` that are there, as they are now and stay until the transaction ends."""
        s = self._sessions.c
        columns = sa.select(s.session_id, s.created_at, s.updated_at, s.user_id)
        # In the order of their ids, so that two who delete cannot wait for each other.
        return columns.where(self._of(self._sessions)).order_by(s.session_id).with_for_update()

    @cached_property
    def lock_one(self) -> sa.Select[Any]:
        """When a session was made; the only right to write it, too."""
        s = self._sessions.c
        return sa.select(s.created_at).where(s.session_id == sa.bindparam("key")).with_for_update()

    @cached_property
    def delete(self) -> tuple[sa.Delete, sa.Delete, sa.Delete]:
        """The runs, the summaries and the rows of ``session_ids``."""
        # Children first and by name: a caller's SQLite engine may not enforce foreign keys.
        runs, summaries, sessions = (
            sa.delete(table).where(self._of(table)) for table in (self._runs, self._summaries, self._sessions)
        )
        return runs, summaries, sessions

    @cached_property
    def delete_media(self) -> sa.Delete:
        """What is kept beside the runs of ``session_ids``."""
        return sa.delete(self._media).where(self._of(self._media))

    @staticmethod
    def _of(table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.session_id.in_(sa.bindparam("session_ids", expanding=True))

    # -- a session in pieces ------------------------------------------------------------------

    @cached_property
    def nth_run(self) -> sa.Select[Any]:
        """Where in a session the run at ``nth``, counted from 0, of those that are left stands."""
        r = self._runs.c
        return (
            sa.select(r.run_index)
            .where(r.session_id == sa.bindparam("key"))
            .order_by(r.run_index)
            .limit(1)
            .offset(sa.bindparam("nth", type_=_COUNT))
        )

    @cached_property
    def delete_runs_to(self) -> sa.Delete:
        """The runs of a session up to one, that one included."""
        r = self._runs.c
        last = sa.bindparam("last", type_=r.run_index.type)
        return sa.delete(self._runs).where(r.session_id == sa.bindparam("key"), r.run_index <= last)

    # -- a user's runs in other people's sessions ---------------------------------------------

    @cached_property
    def sessions_with_runs(self) -> sa.Select[Any]:
        """The next sessions after ``place`` in which ``user_id`` has runs. No index helps; each row is read once."""
        s, r = self._sessions.c, self._runs.c
        return (
            sa.select(r.session_id)
            .join(self._sessions, s.session_id == r.session_id)
            .where(self._of_tenant, r.user_id == sa.bindparam("user_id"), r.session_id > sa.bindparam("place"))
            .group_by(r.session_id)
            .order_by(r.session_id)
            .limit(sa.bindparam("count", type_=_COUNT))
        )

    @cached_property
    def whose_runs(self) -> sa.Select[Any]:
        """The runs of a session from ``first`` on: where they stand, whose they are, and which run they belong to."""
        r = self._runs.c
        first = sa.bindparam("first", type_=r.run_index.type)
        return (
            sa.select(r.run_index, r.run_id, r.parent_run_id, r.user_id)
            .where(r.session_id == sa.bindparam("key"), r.run_index >= first)
            .order_by(r.run_index)
            .limit(sa.bindparam("count", type_=_COUNT))
        )

    @cached_property
    def delete_these_runs(self) -> sa.Delete:
        """The runs of a session at ``places``."""
        r = self._runs.c
        places = r.run_index.in_(sa.bindparam("places", expanding=True))
        return sa.delete(self._runs).where(r.session_id == sa.bindparam("key"), places)
