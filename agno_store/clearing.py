"""Much work in small transactions: what is removed from a store, one after the other, until nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.engine import Connection

from agno_store.clock import now
from agno_store.counts import Removed
from agno_store.dialects.waiting import pause
from agno_store.removed import Found, Pace, Place, Progress, Which
from agno_store.store import Store
from agno_store.tidying import Kept, Tidying

Transaction = Callable[..., Any]


class Paced(Pace):
    """Transactions one after the other, each of about as many ``rows`` as do not hold others up for long."""

    def __init__(self, put: Transaction, rest: float) -> None:
        super().__init__()
        self._put, self._rest, self._has_written = put, rest, False

    def __call__(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run one, having let others in after the one before; learn from it, and return what it does.

        What it returns first has ``rows``, those that it has written.
        """
        if self._has_written:
            pause(self._rest)
        begun = 0.0

        def timed(connection: Connection) -> Any:
            nonlocal begun
            begun = time.monotonic()  # the lock is there: waiting for it has held nobody up
            return work(connection, *args)

        done = self._put(timed)
        self.took(done[0].rows, time.monotonic() - begun)
        self._has_written = self._has_written or done[0].rows > 0
        return done


class Clearing:
    """One removal. ``read`` and ``put`` run a function in a transaction; between two of the latter is a ``rest``."""

    def __init__(
        self,
        store: Store,
        read: Transaction,
        put: Transaction,
        *,
        rest: float,
        dry_run: bool,
        on_progress: Progress | None,
    ) -> None:
        self._tidying = Tidying(store)
        self._read, self._put, self._paced = read, put, Paced(put, rest)
        self._dry_run, self._on_progress = dry_run, on_progress
        self._removed = Removed(dry_run=dry_run)

    def sessions(self, which: Which) -> Removed:
        """Remove sessions, those that somebody has begun to remove before all others."""
        for chosen in (None, which):
            for found in self._chosen(chosen):
                self._note([_sum(found)] if self._dry_run else self._deleted(found, chosen))
        return self._removed

    def user(self, user_id: str) -> Removed:
        """Remove a user's sessions, and the user's runs in others."""
        self.sessions(Which(user_id))
        place = ""
        while session_ids := self._read(self._tidying.shared, user_id, place):
            for session_id in session_ids:
                self._note(self._of_shared(session_id, user_id))
            place = session_ids[-1]
        return self._removed

    def _note(self, parts: Any) -> None:
        for part in parts:
            self._removed = self._removed.plus(part)
            if self._on_progress is not None:
                self._on_progress(self._removed)

    # -- sessions -----------------------------------------------------------------------------

    def _chosen(self, which: Which | None) -> Iterator[list[Found]]:
        """Give the sessions that go, some at a time. ``which`` is None for those that were begun and not ended."""
        place: Place | None = None
        kept: Kept = {}
        while True:
            found, place = self._read(self._tidying.chosen, which, kept, place)
            yield found
            if place is None:
                return

    def _deleted(self, found: list[Found], which: Which | None) -> Iterator[Removed]:
        """Delete sessions in as many transactions as it takes; give what each of them has deleted."""
        left = found[::-1]
        while left:
            if left[-1].rows > self._paced.rows:
                yield from self._in_pieces(left.pop(), which)
                continue
            some = [left.pop()]
            room = self._paced.rows - some[0].rows
            while left and left[-1].rows <= room:
                room -= left[-1].rows
                some.append(left.pop())
            yield self._paced(self._tidying.delete, some, which)[0]

    def _in_pieces(self, found: Found, which: Which | None) -> Iterator[Removed]:
        if which is not None and not self._put(self._tidying.begin, found, which):
            yield Removed(kept=1)
            return
        over = False
        while not over:
            removed, over = self._paced(self._tidying.piece, found, self._paced.rows)
            yield removed

    # -- runs in other people's sessions ------------------------------------------------------

    def _of_shared(self, session_id: str, user_id: str) -> Iterator[Removed]:
        again = True
        while again:
            known = self._read(self._tidying.runs_of_user, session_id, user_id)
            if known is None:
                return
            found, places = known
            if self._dry_run:
                yield Removed(int(not places), found.runs, found.summaries)
                return
            again = False
            if places:
                yield from self._without(found, places)
            else:
                # Another user may have begun to write to it meanwhile: then it is looked at again.
                for part in self._deleted([found], Which(before=now())):
                    again = bool(part.kept)
                    yield part._replace(kept=0)

    def _without(self, found: Found, places: list[int]) -> Iterator[Removed]:
        while places:
            some, places = places[: self._paced.rows], places[self._paced.rows :]
            yield self._paced(self._tidying.delete_runs, found, some)[0]


def _sum(found: list[Found]) -> Removed:
    return Removed(len(found), sum(each.runs for each in found), sum(each.summaries for each in found))
