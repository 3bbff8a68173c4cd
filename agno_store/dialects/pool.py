"""The pool of an engine of ours: SQLAlchemy's own, with a queue that costs a tenth to take from and to give back to."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool
from sqlalchemy.util.queue import Empty, QueueCommon

POOL: Mapping[str, int] = MappingProxyType(
    {"pool_size": 15, "max_overflow": 0, "pool_timeout": 30, "pool_use_lifo": True}
)
"""Connections of one engine at the most, and how many seconds a call waits for one to come back.

All of them are kept: one too many would be closed when it comes back, and a new one takes longer than several turns.
The last that came back is the first to go: what it and its server have at hand is what was asked for a moment ago.
"""


def options(url: URL) -> dict[str, Any]:
    """Keyword arguments of ``create_engine``."""
    return {**POOL, "poolclass": AsyncAdaptedQueuePool if url.get_dialect().is_async else OwnPool}


class _Idle(QueueCommon[Any]):
    """The connections that nobody uses, the last that came back on top.

    Nobody is asked whether there is room: without overflow there are no more connections than that. The lock is for
    those who wait alone; that an item is there is told by taking it.
    """

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize, self.use_lifo = maxsize, use_lifo
        self._there: deque[Any] = deque()
        self._more = threading.Condition()  # of a lock that its holder may take again, as the end of garbage does
        self._waiting = 0

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Give one back."""
        self._there.append(item)
        if self._waiting:  # who begins to wait now looks once more
            with self._more:
                self._more.notify()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take one. Raises Empty where there is none, and none has come back within ``timeout`` seconds."""
        try:
            return self._there.pop()
        except IndexError:
            if not block:
                raise Empty from None
        return self._awaited(threading.TIMEOUT_MAX if timeout is None else timeout)

    def _awaited(self, seconds: float) -> Any:
        until = time.monotonic() + seconds
        with self._more:
            self._waiting += 1
            try:
                while True:
                    try:
                        return self._there.pop()
                    except IndexError:
                        left = until - time.monotonic()
                    if left <= 0:
                        raise Empty
                    self._more.wait(left)
            finally:
                self._waiting -= 1
                if self._there:  # whoever was told, and was interrupted, leaves it to the next
                    self._more.notify()

    def qsize(self) -> int:
        """Return how many there are."""
        return len(self._there)


class OwnPool(QueuePool):
    """SQLAlchemy's, which asks this class for its queue."""

    _queue_class = _Idle
