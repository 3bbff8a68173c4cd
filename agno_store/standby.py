"""Reading from a standby, as long as it can answer and has what this process wrote.

A standby is behind. What other processes have written shows there a moment later; what this process has written
must be there, or the primary is asked. The first read after a write asks the primary how long its log is, and
every read looks, on its own connection, whether the standby has replayed as much: behind one address there may be
several. Whatever goes wrong at a standby is no error of the caller's: the primary is asked.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agno_store.dialects import Dialect
from agno_store.dialects.waiting import Lock, attempts
from agno_store.errors import DatabaseUnreachable
from agno_store.urls import without_secrets

if TYPE_CHECKING:
    from agno_store.dialects.standby import Position

T = TypeVar("T")
log = logging.getLogger("agno_store")

CATCH_UP = 0.1
"""Seconds to wait for a standby that has not replayed enough; it mostly takes a few milliseconds."""

LOOK_AGAIN = 0.004
"""About how long to wait before looking again."""

LOOK = 2.0
"""Seconds for a standby to answer the look before a read. A server that hangs is found out here."""

READ = 60.0
"""Seconds for what is read then."""

REST = 5.0
"""Seconds until a standby that could not be read is tried again."""


class NotNow(Exception):
    """The standby cannot answer now: ask the primary."""


class _Writes:
    """How many transactions this process has tried to write, in whichever store: a mark of whether it wrote."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.number = 0

    def add(self) -> None:
        self.number = next(self._numbers)  # without a lock, which a forked child might find taken: none comes twice


writes = _Writes()


class Standby:
    """The standby of a store's primary. Many threads may read from it at once."""

    def __init__(
        self, engine: Engine, primary: Engine, dialect: Dialect, *, where: str, reads_own_writes: bool = True
    ) -> None:
        assert dialect.standbys is not None
        self.engine = engine
        self._primary = primary
        self._standbys = dialect.standbys
        self._dialect = dialect
        self._reads_own_writes = reads_own_writes
        self._where = where
        self._lock = Lock()  # a forked child has another one
        self._known: tuple[int, Position | None] = (0, None)
        self._lags = False
        self._rests_until: float | None = None

    def read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run ``work`` at the standby, in a transaction that cannot write. Raises NotNow."""
        if not self._is_tried():
            raise NotNow
        try:
            wanted = self._wanted()
            try:
                return self._once(wanted, work, *args, **kwargs)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return self._once(wanted, work, *args, **kwargs)  # it had been closed while it lay in the pool
        except PoolTimeout as error:  # busy, not broken
            raise NotNow from error
        except (SQLAlchemyError, DatabaseUnreachable) as error:
            self._rest(error)
            raise NotNow from error

    def _once(self, wanted: Position | None, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self._dialect.transaction(self.engine, writes=False) as connection:
            with self._standbys.within(connection, LOOK):
                caught_up = self._has_caught_up(connection, wanted)
            self._answered()
            if not caught_up:
                raise NotNow
            with self._standbys.within(connection, READ):
                return work(connection, *args, **kwargs)

    # -- what this process has written --------------------------------------------------------

    def _wanted(self) -> Position | None:
        """Return how far the standby has to be: as far as the primary was after this process's last write."""
        number = writes.number  # first: what is written meanwhile counts for the next read
        known, position = self._known
        if number == known or not self._reads_own_writes:
            return position
        with self._dialect.connected(self._primary) as connection:
            position = self._standbys.position(connection)
        self._known = number, position
        return position

    def _has_caught_up(self, connection: Connection, wanted: Position | None) -> bool:
        # Once one lags, nobody waits for it until it has caught up.
        for _ in attempts(0 if self._lags else CATCH_UP, every=LOOK_AGAIN):
            if self._standbys.has_reached(connection, wanted):
                self._lags = False
                return True
        self._lags = True
        return False

    # -- whether it is there ------------------------------------------------------------------

    def _is_tried(self) -> bool:
        with self._lock:
            if self._rests_until is None:
                return True
            if time.monotonic() < self._rests_until:
                return False
            self._rests_until = time.monotonic() + REST  # this one tries; the others go on at the primary
            return True

    def _answered(self) -> None:
        with self._lock:
            rested, self._rests_until = self._rests_until is not None, None
        if rested:
            log.info("%s answers again", self._where)

    def _rest(self, error: Exception) -> None:
        with self._lock:
            is_new, self._rests_until = self._rests_until is None, time.monotonic() + REST
        if is_new:
            said = without_secrets(str(getattr(error, "orig", error)).strip(), self.engine.url)
            log.warning("%s cannot be read, so the primary is, until it can: %s", self._where, said)
