"""Sealing what is stored with the codec's current key: what another key has sealed, and what none has.

It goes from session to session in small transactions, and looks at each row under its session's lock; a row that is
sealed with the key is passed over. So it may be ended at any moment, and run again. No version and no time changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy.engine import Connection

from agno_store import apart, envelope
from agno_store.clearing import Paced, Transaction
from agno_store.counts import Rekeyed
from agno_store.errors import PayloadTooLarge
from agno_store.records import SESSION_PAYLOADS
from agno_store.rekeys import OF_SUMMARY, Rekeys
from agno_store.sending import Row
from agno_store.store import Store

Progress = Callable[[Rekeyed], None]
"""Called after each transaction with what has been sealed so far."""

AT_ONCE = 100
"""How many sessions are looked for at a time."""

_BEFORE_ALL = -1

log = logging.getLogger("agno_store")


def _written(write: Callable[[], object], sealed: Rekeyed, payloads: Mapping[str, str], where: str) -> Rekeyed:
    """Write payloads, and return what was sealed: of what the database does not take sealed, how much is left.

    It is refused before it is sent, and must not keep all that is behind it from being sealed.
    """
    try:
        write()
    except PayloadTooLarge as error:
        log.warning("%s stays as it is stored: %s", where, error)
        return Rekeyed(left=len(payloads))
    return sealed


class Rekeying:
    """One walk through a store."""

    def __init__(
        self,
        store: Store,
        key_id: str,
        read: Transaction,
        put: Transaction,
        *,
        rest: float,
        on_progress: Progress | None,
    ) -> None:
        self._store, self._sql = store, Rekeys(store.sql, key_id)
        self._read, self._paced, self._on_progress = read, Paced(put, rest), on_progress

    def run(self) -> Rekeyed:
        """Seal everything, and return how much that was."""
        done, place = Rekeyed(), ""
        while left := self._read(self._behind, place):
            place, after = left[-1], _BEFORE_ALL
            while left:
                part, left, after = self._paced(self._seal, left, after, self._paced.rows)
                done = done.plus(part)
                if self._on_progress is not None:
                    self._on_progress(done)
        return done

    def _behind(self, c: Connection, place: str) -> list[str]:
        return list(c.execute(self._sql.sessions, {"place": place, "count": AT_ONCE}).scalars())

    def _seal(
        self, c: Connection, session_ids: Sequence[str], after: int, rows: int
    ) -> tuple[Rekeyed, Sequence[str], int]:
        """Seal about so many rows of these sessions, the first one's runs from behind ``after`` on.

        Returns what was sealed, and where to go on.
        """
        done = Rekeyed()
        for n, session_id in enumerate(session_ids):
            room = rows - done.looked_at
            if room <= 0:
                return done, session_ids[n:], _BEFORE_ALL
            self._store.owner(c, session_id)  # and nobody else writes to it meanwhile
            if after == _BEFORE_ALL:
                done = done.plus(self._seal_session(c, session_id))
            asked = {"key": session_id, "after": after, "count": room}
            runs = [dict(row) for row in c.execute(self._sql.runs, asked).mappings()]
            done = done.plus(self._seal_runs(c, runs))
            if len(runs) == room:
                return done, session_ids[n:], runs[-1]["run_index"]
            after = _BEFORE_ALL
        return done, [], after

    def _seal_session(self, c: Connection, session_id: str) -> Rekeyed:
        found = [
            c.execute(each, {"key": session_id}).mappings().first() for each in (self._sql.session, self._sql.summary)
        ]
        session, summary = (None if row is None else dict(row) for row in found)
        if session is None:
            return Rekeyed()
        of_session, left = self._opened(session, SESSION_PAYLOADS)
        of_summary, more_left = ({}, 0) if summary is None else self._opened(summary, OF_SUMMARY)
        done = Rekeyed(left=left + more_left)
        if of_session:
            # When it was last written to stays, and with it what every process knows of its runs.
            unsearchable = {"name_folded": None, "updated_at": session["updated_at"]}
            write: Callable[[], object] = partial(
                self._store.set_columns, c, session_id, {**of_session, **unsearchable}
            )
            done = done.plus(_written(write, Rekeyed(sessions=1), of_session, f"session {session_id!r}"))
        if of_summary:
            write = partial(self._store.ask, c, self._store.sql.update_summary, {"key": session_id, **of_summary})
            done = done.plus(_written(write, Rekeyed(summaries=1), of_summary, f"summary of session {session_id!r}"))
        return done

    def _seal_runs(self, c: Connection, runs: Sequence[Row]) -> Rekeyed:
        done = Rekeyed()
        for row in runs:
            done = done.plus(self._seal_run(c, row))
        return done

    def _seal_run(self, c: Connection, row: Row) -> Rekeyed:
        beside = list(apart.digests(row["run_data"]))
        if beside:
            # What is sealed names nothing beside it: nobody could tell that it is needed, and that would stay clear.
            (found,) = self._store.whole(c, lambda: [dict(row)])
            row = {**row, "run_data": apart.whole(found["run_data"])}
            if apart.digests(row["run_data"]):
                return Rekeyed(left=1)
        payload, left = self._opened(row, ("run_data",))
        if not payload:
            return Rekeyed(left=left)
        key = {"key": row["session_id"], "run_key": row["run_id"]}
        write = partial(self._store.ask, c, self._sql.write_run, {**key, **payload})
        where = f"run {row['run_id']!r} of session {row['session_id']!r}"
        done = _written(write, Rekeyed(runs=1), payload, where)
        if done.runs:
            self._store.collect(c, row["session_id"], beside)
        return done

    def _opened(self, row: Row, names: Sequence[str]) -> tuple[dict[str, str], int]:
        """Return those payloads that are to be sealed anew, and how many cannot be opened, or are no text in SQLite."""
        behind = [name for name in names if self._sql.is_behind(name, row[name])]
        opened = self._store.sending.open(dict(row))
        texts = [name for name in behind if isinstance(opened[name], str)]
        found = {name: opened[name] for name in texts if not envelope.is_closed(opened[name], name)}
        return found, len(behind) - len(found)
