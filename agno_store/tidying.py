"""Removing much from a store, a little in each transaction, as functions of a connection.

A session goes whole, in one transaction, or, where it is too large for that, in pieces. Of one that goes in pieces
the first transaction takes the owner away and leaves ``owners.GONE`` in that place: from then on nobody finds it,
and whoever writes to it deletes it first and makes it anew. So a reader sees all of a session or nothing, and what
was interrupted is found again and finished by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from agno_store import apart, dialects, escapes, owners
from agno_store.clock import now
from agno_store.counts import Removed
from agno_store.removals import Removals
from agno_store.removed import Found, Place, Which
from agno_store.store import Store

AT_ONCE = 500
"""How many sessions are looked for at a time."""

REMEMBERED = 10_000
"""Of how many users it is remembered which of their sessions are kept."""

Kept = dict[str | None, tuple[float, str] | None]
"""By user the last one of those sessions that are kept whatever their age, if there are more than those."""


class Tidying:
    """What can be removed from one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = Removals(store.sql)

    # -- looking ------------------------------------------------------------------------------

    def chosen(
        self, c: Connection, which: Which | None, kept: Kept, place: Place | None
    ) -> tuple[list[Found], Place | None]:
        """Return the next sessions that go, and the place behind them, or None at the end. Writes nothing.

        ``which`` is None for those whose deletion was begun and not ended.
        """
        further = place is not None
        statement = self._sql.gone(further=further) if which is None else self._sql.chosen(which, further=further)
        found = [Found(*row) for row in c.execute(statement, _asked(which, place))]
        behind = Place(found[-1].created_at, found[-1].session_id) if len(found) == AT_ONCE else None
        if which is not None and which.keep_last:
            for user_id in {each.user_id for each in found} - kept.keys():
                if len(kept) >= REMEMBERED:
                    kept.clear()
                kept[user_id] = self._last_kept(c, user_id, which.keep_last)
            found = [each for each in found if _is_behind(each, kept.get(each.user_id))]
        return self._measured(c, found), behind

    def _last_kept(self, c: Connection, user_id: str | None, count: int) -> tuple[float, str] | None:
        row = c.execute(self._sql.kept_from(user_id), {"nth": count - 1}).first()
        if row is None:
            return None
        # What SQLite keeps there instead comes behind all numbers, and so does its session.
        is_time = isinstance(row.updated_at, (int, float))
        return row.updated_at if is_time else float("inf"), escapes.escape(row.session_id)

    def _measured(self, c: Connection, found: list[Found]) -> list[Found]:
        if not found:
            return []
        ids = {"session_ids": [each.session_id for each in found]}
        runs: dict[str, int] = {row[0]: row[1] for row in c.execute(self._sql.runs_of, ids)}
        summaries = set(c.execute(self._sql.summaries_of, ids).scalars())
        return [
            each._replace(runs=runs.get(each.session_id, 0), summaries=int(each.session_id in summaries))
            for each in found
        ]

    # -- deleting sessions --------------------------------------------------------------------

    def delete(self, c: Connection, found: Sequence[Found], which: Which | None) -> tuple[Removed, bool]:
        """Delete sessions whole, those alone that are still what they were chosen for; return that it is over."""
        due = [each.session_id for each in self._due(c, found, which)]
        if not due:
            return Removed(kept=len(found)), True
        self._store.let_go(c, due)
        if not dialects.cascades(c):
            c.execute(self._sql.delete_media, {"session_ids": due})
        runs, summaries, sessions = (c.execute(each, {"session_ids": due}).rowcount for each in self._sql.delete)
        return Removed(sessions, runs, summaries, len(found) - sessions), True

    def begin(self, c: Connection, found: Found, which: Which | None) -> bool:
        """Let nobody find a session any more, unless it is not what it was chosen for; return whether it goes."""
        if not self._due(c, [found], which):
            return False
        gone = {"key": found.session_id, "user_id": owners.GONE, "noted": found.updated_at}
        c.execute(self._store.sql.update_session, gone)
        return True

    def piece(self, c: Connection, found: Found, rows: int) -> tuple[Removed, bool]:
        """Delete so many runs of a session that was begun, and with the last of them all of it; return whether it is.

        It is over, too, where somebody else has ended it.
        """
        if not self._due(c, [found._replace(user_id=owners.GONE)], None):
            return Removed(), True
        last = c.scalar(self._sql.nth_run, {"key": found.session_id, "nth": rows - 1})
        if last is None:
            return self.delete(c, [found._replace(user_id=owners.GONE)], None)
        deleted = c.execute(self._sql.delete_runs_to, {"key": found.session_id, "last": last}).rowcount
        # On a cluster the lock is not seen by other nodes: writers meet in the row that both have written.
        self._store.set_columns(c, found.session_id, {"updated_at": now()}, changes_runs=True)
        return Removed(runs=deleted), False

    def _due(self, c: Connection, found: Sequence[Found], which: Which | None) -> list[Found]:
        """Lock those sessions that are still what they were chosen for, and return them."""
        ids = {"session_ids": [each.session_id for each in found]}
        there = {row.session_id: row for row in c.execute(self._sql.lock, ids)}
        return [each for each in found if each.session_id in there and _is_still(there[each.session_id], each, which)]

    # -- a user's runs in other people's sessions ---------------------------------------------

    def shared(self, c: Connection, user_id: str, place: str) -> list[str]:
        """Return the next sessions after ``place`` in which a user has runs. Writes nothing."""
        asked = {"user_id": user_id, "place": place, "count": AT_ONCE}
        return list(c.execute(self._sql.sessions_with_runs, asked).scalars())

    def runs_of_user(self, c: Connection, session_id: str, user_id: str) -> tuple[Found, list[int]] | None:
        """Return a session, and where in it a user's runs stand, with those of the members that worked for them.

        A session that nobody owns and in which nothing else is goes whole: it is returned with no place at all.
        None where it is the user's own, or not there. Writes nothing.
        """
        row = c.execute(self._store.sql.session, {"session_id": session_id}).mappings().first()
        if row is None or row["user_id"] in (user_id, owners.GONE):
            return None
        places, others = self._places(c, session_id, user_id)
        found = Found(
            session_id, row["created_at"], row["updated_at"], row["user_id"], len(places), row["summary"] is not None
        )
        return found, [] if row["user_id"] is None and not others else places

    def _places(self, c: Connection, session_id: str, user_id: str) -> tuple[list[int], bool]:
        """Return where a user's runs stand, and whether there are others."""
        theirs: set[str] = set()
        while True:
            known, count, places = len(theirs), 0, []
            for run in self._runs(c, session_id):
                count += 1
                # A member's run may come before the run that it belongs to: then the next round finds it.
                if run["user_id"] == user_id or run["run_id"] in theirs or run["parent_run_id"] in theirs:
                    theirs.add(run["run_id"])
                    places.append(run["run_index"])
            if len(theirs) == known:
                return places, count > len(places)

    def _runs(self, c: Connection, session_id: str) -> Iterator[Mapping[Any, Any]]:
        asked: dict[str, Any] = {"key": session_id, "first": 0, "count": AT_ONCE}
        while True:
            found = c.execute(self._sql.whose_runs, asked).mappings().all()
            yield from found
            if len(found) < AT_ONCE:
                return
            asked["first"] = found[-1]["run_index"] + 1

    def delete_runs(self, c: Connection, found: Found, places: Sequence[int]) -> tuple[Removed, bool]:
        """Delete runs of a session, and its summary, which may repeat them; return that it is over."""
        key = {"key": found.session_id}
        row = c.execute(self._sql.lock_one, key).first()
        if row is None or row.created_at != found.created_at:  # another one, whose runs stand at the same places
            return Removed(), True
        these = {**key, "places": places}
        marked = c.execute(self._store.parts.marks_of, these).scalars().all()
        runs = c.execute(self._sql.delete_these_runs, these).rowcount
        self._store.collect(c, found.session_id, {digest for text in marked for digest in apart.digests(text)})
        summaries = c.execute(self._store.sql.delete_summary, key).rowcount
        # As in piece(): on a cluster this is where writers meet.
        self._store.set_columns(c, found.session_id, {"updated_at": now()}, changes_runs=True)
        return Removed(runs=runs, summaries=summaries), True


def _asked(which: Which | None, place: Place | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"count": AT_ONCE}
    if which is not None:
        given = {"user_id": which.user_id, "before": which.before}
        asked |= {name: value for name, value in given.items() if value is not None}
        if which.looks_for_runs:
            asked["abandoned"] = which.abandoned
    if place is not None:
        asked |= {"place_created_at": place.created_at, "place_session_id": place.session_id}
    return asked


def _is_behind(found: Found, last_kept: tuple[float, str] | None) -> bool:
    """Whether a session is none of the newest of its user. Ids as they are stored, in the order of the database."""
    return last_kept is not None and (found.updated_at, escapes.escape(found.session_id)) < last_kept


def _is_still(row: Any, found: Found, which: Which | None) -> bool:
    if row.created_at != found.created_at or row.user_id != found.user_id:
        return False
    return which is None or which.before is None or row.updated_at == found.updated_at
