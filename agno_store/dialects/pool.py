"""The pool of an engine of ours: SQLAlchemy's own, with a queue that costs a tenth to take from and to give back to.

A connection that a store has used may stay as it is until the next call.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, ClassVar

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool
from sqlalchemy.util import await_only
from sqlalchemy.util.queue import Empty, Full, QueueCommon

from agno_store.dialects.connected import Connected
from agno_store.sending import has_listeners

POOL: Mapping[str, int] = MappingProxyType(
    {"pool_size": 15, "max_overflow": 0, "pool_timeout": 30, "pool_use_lifo": True}
)
"""Connections of one engine at the most, and how many seconds a call waits for one to come back.

All of them are kept: one too many would be closed when it comes back, and a new one takes longer than several turns.
The last that came back is the first to go: what it and its server have at hand is what was asked for a moment ago.
"""


LONG = 0.1
"""Seconds after which who waits for a connection goes before those who come."""

OWN_RESETS = 1
"""Listeners of ours to connections that come back, see ``roll_back_what_is_open``."""


def options(url: URL) -> dict[str, Any]:
    """Keyword arguments of ``create_engine``."""
    return {**POOL, "poolclass": OwnAsyncPool if url.get_dialect().is_async else OwnPool}


class _Waiting:
    """A thread that waits for a connection, since when, and the one that it is handed."""

    __slots__ = ("handed", "since", "told")

    def __init__(self, guard: Any) -> None:
        self.since, self.told = time.monotonic(), threading.Condition(guard)
        self.handed: Any = None


class _Idle(QueueCommon[Any]):
    """The connections that nobody uses, the last that came back on top.

    The lock is for those who wait alone; that an item is there is told by taking it. Whoever comes first has it, since
    one who is told wakes up long after. But who has waited for ``LONG`` is handed the next one.
    """

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize, self.use_lifo = maxsize, use_lifo
        self.more: Callable[[], object] = lambda: None
        """What may give one back that is idle elsewhere."""
        self._there: deque[Any] = deque()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Know of nobody who waits any more, nor of a lock that somebody may have had."""
        self._guard = threading.RLock()  # its holder may take it again, as the end of garbage does
        self.waiting: deque[_Waiting] = deque()
        """Who waits for one, in the order they came."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Give one back. Raises Full where there are enough, as after the pool was disposed of with some out."""
        if len(self._there) >= self.maxsize > 0:
            raise Full
        if self.waiting and self._is_handed(item):
            return
        self._there.append(item)
        if self.waiting:  # who begins to wait now looks once more
            with self._guard:
                self._wake()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take one. Raises Empty where there is none, and none has come back within ``timeout`` seconds."""
        try:
            return self._there.pop()
        except IndexError:
            return self._awaited(0.0 if not block else threading.TIMEOUT_MAX if timeout is None else timeout)

    def _is_handed(self, item: Any) -> bool:
        """Hand an item to who has waited for long; tell whether anybody has."""
        with self._guard:
            if not self.waiting or time.monotonic() - self.waiting[0].since < LONG:
                return False
            first = self.waiting.popleft()
            first.handed = item
            first.told.notify()
            return True

    def _wake(self) -> None:
        if self._there and self.waiting:
            self.waiting[0].told.notify()

    def _awaited(self, seconds: float) -> Any:
        mine = _Waiting(self._guard)
        with self._guard:
            self.waiting.append(mine)
            try:
                while mine.handed is None:
                    try:
                        return self._there.pop()
                    except IndexError:
                        self.more()
                        left = mine.since + seconds - time.monotonic()
                    if self._there or mine.handed is not None:
                        continue
                    if left <= 0:
                        raise Empty
                    mine.told.wait(left)
                handed, mine.handed = mine.handed, None
                return handed
            finally:
                if mine in self.waiting:
                    self.waiting.remove(mine)
                if mine.handed is not None:  # whoever was told, and was interrupted, leaves it to the next
                    self._there.append(mine.handed)
                self._wake()

    def qsize(self) -> int:
        """Return how many there are."""
        return len(self._there)


class _IdleAsync(QueueCommon[Any]):
    """The same for an event loop, in which nobody else does anything until somebody waits. There each has his turn."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize, self.use_lifo = maxsize, use_lifo
        self.more: Callable[[], object] = lambda: None
        self._there: deque[Any] = deque()
        self.waiting: deque[asyncio.Future[Any]] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self._there) >= self.maxsize > 0:
            raise Full
        if self.waiting:
            self.waiting.popleft().set_result(item)
        else:
            self._there.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not self._there:
            self.more()
        if self._there:
            return self._there.pop()
        if not block:
            raise Empty
        return await_only(self._awaited(timeout))

    async def _awaited(self, timeout: float | None) -> Any:
        mine = asyncio.get_running_loop().create_future()
        self.waiting.append(mine)
        try:
            await asyncio.wait({mine}, timeout=timeout)
        except BaseException:
            if mine.done():  # it was handed over, and its task cancelled, at the same moment
                self.put(mine.result())
            raise
        finally:
            if mine in self.waiting:
                self.waiting.remove(mine)
        if not mine.done():
            raise Empty
        return mine.result()

    def qsize(self) -> int:
        return len(self._there)


class OwnPool(QueuePool):
    """SQLAlchemy's, which asks this class for its queue.

    What SQLAlchemy has around a connection is made anew each time that one is taken out, which takes longer than a
    read of SQLite's. So one of them stays as it is. It counts as one that is idle, and is there for whoever finds no
    other.
    """

    _queue_class: type[QueueCommon[Any]] = _Idle
    _pool: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_open: Callable[[Any], bool] = lambda _: True
        """Whether a driver's connection has a transaction open, or may have."""
        self._kept: deque[Connection] = deque()
        self._is_over = False
        self._pool.more = self._give_back

    def keep(self, connection: Connection) -> None:
        """Have a connection stay as it is, with no transaction, unless another one does, or somebody waits for one.

        Nor does it in a pool that its engine has no more.
        """
        if self._kept:
            connection.close()
            return
        self._kept.append(connection)
        if self._pool.waiting or self._is_over:  # now: who has begun to wait before may have looked too early
            self._give_back()

    def kept(self, engine: Engine, asked: int) -> Any:
        """Return the one that has stayed, unless somebody is to hear of each, or they have other options or ages now.

        ``asked`` is how many of ours are asked when one is handed out.
        """
        try:
            connection: Any = self._kept.pop()
        except IndexError:
            return None
        events, made = self.dispatch, connection.connection._connection_record
        heard = len(events.checkout) > asked or events.checkin or len(events.reset) > OWN_RESETS
        others = connection.get_execution_options() is not engine.get_execution_options()
        is_over = made._is_hard_or_soft_invalidated() or 0 <= self._recycle < time.time() - made.starttime
        if heard or others or is_over or has_listeners(engine):
            connection.close()
            return None
        return connection

    def _give_back(self) -> None:
        with suppress(IndexError):
            while True:
                self._kept.pop().close()

    def begin_anew(self) -> None:
        """Wait for no thread that a forked child has not got."""
        self._pool.begin_anew()

    def recreate(self) -> OwnPool:
        """Return a new pool for the engine, which has this one no more, nor need have closed its connections."""
        self._is_over = True  # first: what stays from now on would do so for ever, as SQLAlchemy knows of it
        self._give_back()
        made = super().recreate()
        assert isinstance(made, OwnPool)
        made.is_open = self.is_open
        return made

    def dispose(self) -> None:
        self._is_over = True  # first, for the same reason
        super().dispose()

    def checkedin(self) -> int:
        return super().checkedin() + len(self._kept)

    def checkedout(self) -> int:
        return super().checkedout() - len(self._kept)


class OwnAsyncPool(OwnPool, AsyncAdaptedQueuePool):
    """The same of an asynchronous engine."""

    _queue_class = _IdleAsync


class Staying(Connected):
    """A connection that stays as it is from call to call, as far as that is possible."""

    __slots__ = ("_pool",)

    asked: ClassVar[int] = 0
    """Listeners of ours that are asked when one is handed out."""

    def __enter__(self) -> Connection:
        return self._stayed() or super().__enter__()

    def _stayed(self) -> Connection | None:
        pool = self._pool = self._engine.pool
        kept: Any = pool.kept(self._engine, self.asked) if isinstance(pool, OwnPool) else None
        self._connection = kept
        return kept  # type: ignore[no-any-return]

    def __exit__(self, *raised: Any) -> None:
        connection, pool = self._connection, self._pool
        if raised[0] is None and isinstance(pool, OwnPool) and self._is_idle(pool):
            pool.keep(connection)
        else:
            self._mend(raised[1])
            connection.close()

    def _mend(self, _error: BaseException | None) -> None:
        """Make the connection one with which the next attempt does not end in the same way, where that is possible."""
        return None

    def _is_idle(self, pool: OwnPool) -> bool:
        """Whether it is there, the pool's, and no transaction is open, neither SQLAlchemy's nor the driver's."""
        connection = self._connection
        if connection.closed or connection.invalidated or connection.in_transaction():
            return False
        proxied = connection.connection
        driver = proxied.dbapi_connection
        return not (proxied.is_detached or pool.is_open(getattr(driver, "driver_connection", driver)))
