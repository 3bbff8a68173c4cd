"""Every statement a store sends, built from its tables; those of listings are in ``listings``. Nothing is run here.

Values are bound, never written into the text.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.functions import FunctionElement

from agno_store import tables, tenants
from agno_store.listings import Listings
from agno_store.names import Names
from agno_store.records import SKIPPED_IN_HISTORY

ACTIVE = ("PENDING", "RUNNING", "PAUSED")
"""Statuses of runs that are not over."""

_SESSION_KEY = tenants.SessionKey()


class AsTold(FunctionElement[bool]):
    """Whether what a statement tells beside a row is as of the moment from which the row is locked.

    It is where the rest is looked at after the lock was waited for; a dialect where it is not says how to find out.
    """

    type = sa.Boolean()
    inherit_cache = True


@compiles(AsTold)
def _as_told(_element: AsTold, _compiler: Any, **_: Any) -> str:
    return "1"


class Statements(Listings):
    """The statements of one store and tenant, each built once.

    A session's key is the tenant's by its type. Whoever looks for sessions or runs by something else has to ask
    for ``of_tenant``.
    """

    def __init__(self, names: Names, tenant_id: str | None = None) -> None:
        all_tables = tables.addressed(names, _SESSION_KEY)
        super().__init__(all_tables, all_tables.sessions.c.tenant_id == tenant_id)  # IS NULL where there is none
        self.names, self.media = names, all_tables.media

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
    def session(self) -> sa.Select[Any]:
        """One session with its summary, by ``session_id``."""
        return self.session_columns.where(self.sessions.c.session_id == sa.bindparam("session_id"))

    @cached_property
    def session_with_marks(self) -> sa.Select[Any]:
        """The same with what tells whether its runs are those that were read before."""
        s = self.sessions.c
        return self.session.add_columns(s.next_run_index, (s.runs_changed - s.updated_at).label("runs_state"))

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
        this = self.sessions.c.session_id == sa.bindparam("key")
        return sa.select(*self._known_for_run(as_locked=True)).where(this).with_for_update()

    def _known_for_run(self, *, as_locked: bool) -> list[sa.ColumnElement[Any]]:
        s, r = self.sessions.c, self.runs.c

        def of_run(column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
            # Its session twice: MySQL looks at a value that depends on the row after the row is locked, and of
            # partitions or shards the one is found by the value given.
            of_session = [r.session_id == s.session_id] * as_locked + [r.session_id == sa.bindparam("key")]
            return sa.select(column).where(*of_session, r.run_id == sa.bindparam("run_key")).scalar_subquery()

        return [
            s.user_id,
            s.next_run_index,
            of_run(r.run_index).label("run_index"),
            of_run(r.version).label("run_version"),
            of_run(r.user_id).label("run_user_id"),
            self.has_media("key"),
            AsTold(self._told()).label("as_told"),
        ]

    def _told(self) -> sa.ColumnElement[bool]:
        """Whether a session has the runs that a look at it by itself tells of: as ``Marks`` say it."""
        s, told = self.sessions.c, self.sessions.alias("told")
        same = [told.c.next_run_index == s.next_run_index]
        same.append(told.c.runs_changed - told.c.updated_at == s.runs_changed - s.updated_at)
        return sa.exists().where(told.c.session_id == sa.bindparam("key"), *same).correlate(self.sessions)

    def has_media(self, key: str) -> sa.ColumnElement[bool]:
        """Whether texts are kept beside the runs of the session ``key``."""
        return sa.exists().where(self.media.c.session_id == sa.bindparam(key)).label("has_media")

    @cached_property
    def insert_session(self) -> sa.Insert:
        return sa.insert(self.sessions)

    @cached_property
    def update_session(self) -> sa.Update:
        """Set the columns given, by ``key``; ``noted`` is the time given, and one more where a stored run was changed.

        So ``runs_changed - updated_at`` stays what it is until then. An older release sets the time alone, and makes
        it another number, too.
        """
        s = self.sessions.c
        return (
            sa.update(self.sessions)
            .where(s.session_id == sa.bindparam("key"))
            .values(runs_changed=s.runs_changed - s.updated_at + sa.bindparam("noted"))
        )

    @cached_property
    def delete_session(self) -> sa.Delete:
        return sa.delete(self.sessions).where(self.sessions.c.session_id == sa.bindparam("key"))

    # -- runs ---------------------------------------------------------------------------------

    @cached_property
    def session_runs(self) -> sa.Select[Any]:
        """Every run, in order, of the session made at ``session_created_at``, as long as it is ``reader``'s."""
        return self._runs_of_session.order_by(self.runs.c.run_index)

    @cached_property
    def session_runs_from(self) -> sa.Select[Any]:
        """Those from ``first`` on."""
        return self.session_runs.where(self.runs.c.run_index >= sa.bindparam("first"))

    @cached_property
    def run_versions(self) -> sa.Select[Any]:
        """What tells its last ``count`` runs from what they were before, latest first; no payload."""
        r = self.runs.c
        return (
            self._runs_of_session.with_only_columns(r.run_index, r.version, r.updated_at)
            .order_by(r.run_index.desc())
            .limit(sa.bindparam("count", type_=sa.BigInteger()))
        )

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
        return sa.select(self.runs).where(self.runs.c.session_id == sa.bindparam("session_id"), self.is_the_one)

    @cached_property
    def runs_of_sessions(self) -> sa.Select[Any]:
        """The runs of those of ``session_ids`` that are ``reader``'s, in order within each; when those were made."""
        s, r = self.sessions.c, self.runs.c
        return (
            sa.select(self.runs, s.created_at.label("session_created_at"))
            .join(self.sessions, s.session_id == r.session_id)
            # Of both: PostgreSQL draws no conclusion from the one to the other, and would read all sessions.
            .where(*(of.session_id.in_(sa.bindparam("session_ids", expanding=True)) for of in (r, s)))
            .where(self.is_there, self.is_readers)
            .order_by(r.session_id, r.run_index)
        )

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
        return self._changed_run()

    @cached_property
    def update_run_returning(self) -> ReturningUpdate[Any]:
        """The same, answered with the run's place and version, where a database can do that."""
        return self._changed_run().returning(self.runs.c.run_index, self.runs.c.version)

    def _changed_run(self) -> sa.Update:
        # Anew: what was compiled remembers that it returns nothing, and so would a statement made from it.
        return sa.update(self.runs).where(*self._this_run()).values(version=self.runs.c.version + 1)

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

    @cached_property
    def own_runs(self) -> sa.Update:
        """Make those runs of a session ``owner``'s own that are his because it is his; their versions count up."""
        r = self.runs.c
        changes = {r.user_id: sa.bindparam("owner", type_=r.user_id.type), r.version: r.version + 1}
        return sa.update(self.runs).where(r.session_id == sa.bindparam("key"), r.user_id.is_(None)).values(changes)

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
    def delete_media(self) -> sa.Delete:
        return sa.delete(self.media).where(self.media.c.session_id == sa.bindparam("key"))

    @cached_property
    def delete_summary(self) -> sa.Delete:
        return sa.delete(self.summaries).where(self.summaries.c.session_id == sa.bindparam("key"))
