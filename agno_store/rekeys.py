"""The statements that look for what is not sealed with a key, and write it anew; nothing is run here."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa

from agno_store import envelope
from agno_store.dialects.payloads import Text
from agno_store.records import SESSION_PAYLOADS
from agno_store.statements import Statements

OF_SUMMARY = ("summary", "topics", "summary_data")


class Rekeys:
    """The statements of one store and tenant, for one key."""

    def __init__(self, sql: Statements, key_id: str) -> None:
        self._sql, self._key_id = sql, key_id

    @cached_property
    def sessions(self) -> sa.Select[Any]:
        """The next ``count`` sessions behind ``place`` of which something is not sealed with the key."""
        s, u, r = self._sql.sessions.c, self._sql.summaries.c, self._sql.runs.c
        of_session = [self._is_behind(s[name]) for name in SESSION_PAYLOADS]
        of_summary = [self._is_behind(u[name]) for name in OF_SUMMARY]
        of_runs = sa.exists().where(r.session_id == s.session_id, self._is_behind(r.run_data))
        return (
            sa.select(s.session_id)
            .select_from(self._sql.sessions.outerjoin(self._sql.summaries, u.session_id == s.session_id))
            .where(self._sql.of_tenant, self._sql.is_there, s.session_id > sa.bindparam("place"))
            .where(sa.or_(*of_session, *of_summary, of_runs))
            .order_by(s.session_id)
            .limit(sa.bindparam("count", type_=sa.BigInteger()))
        )

    @cached_property
    def runs(self) -> sa.Select[Any]:
        """The next ``count`` runs of a session behind ``after`` that are not sealed with the key."""
        r = self._sql.runs.c
        return (
            sa.select(r.session_id, r.run_id, r.run_index, r.run_data)
            .where(r.session_id == sa.bindparam("key"), r.run_index > sa.bindparam("after"))
            .where(self._is_behind(r.run_data))
            .order_by(r.run_index)
            .limit(sa.bindparam("count", type_=sa.BigInteger()))
            .with_for_update()
        )

    @cached_property
    def session(self) -> sa.Select[Any]:
        """The payloads of a session, by ``key``. As of all that is written anew: as they are now.

        Under REPEATABLE READ MySQL tells otherwise what they were when the first session of a transaction was read.
        """
        s = self._sql.sessions.c
        names = ("session_id", *SESSION_PAYLOADS, "updated_at")
        return sa.select(*(s[name] for name in names)).where(s.session_id == sa.bindparam("key")).with_for_update()

    @cached_property
    def summary(self) -> sa.Select[Any]:
        """Those of its summary."""
        u = self._sql.summaries.c
        names = ("session_id", *OF_SUMMARY)
        return sa.select(*(u[name] for name in names)).where(u.session_id == sa.bindparam("key")).with_for_update()

    @cached_property
    def write_run(self) -> sa.Update:
        """Set a run's payload, by ``key`` and ``run_key``; it is the same run at the same version."""
        r = self._sql.runs.c
        this = (r.session_id == sa.bindparam("key"), r.run_id == sa.bindparam("run_key"))
        return sa.update(self._sql.runs).where(*this)

    def is_behind(self, column: str, text: Any) -> bool:
        """Whether what stands in a column is not sealed with the key."""
        if text is None:
            return False
        return not envelope.is_closed(str(text), column) or envelope.key_of(str(text)) != self._key_id

    def _is_behind(self, column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        begins, text = envelope.under(self._key_id, column.name), Text(column)
        # The id of another key may go on where this one ends. What is behind an id has no colon.
        goes_on = sa.func.substr(text, len(begins) + 1, envelope.LONGEST_KEY_ID).like("%:%")
        return sa.and_(column.is_not(None), sa.or_(sa.func.substr(text, 1, len(begins)) != begins, goes_on))
