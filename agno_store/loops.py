"""Asynchronous engines: for each event loop its own, since a connection belongs to the loop that made it.

A loop's engines are disposed of by an asynchronous generator that was begun in it: whoever ends a loop in order
(``asyncio.run``, ``asyncio.Runner``, uvicorn, pytest's plugins) first ends its generators. The connections of a
loop that ended otherwise are closed without it, when the next loop is met or the program ends.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import URL

from agno_store import engines
from agno_store.dialects import Dialect

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agno_store.aio import AsyncDatabase
    from agno_store.database import Database


class Own:
    """An engine of ours, and which connections it has open."""

    def __init__(self, url: URL, dialect: Dialect, *, pooled: bool, standby: bool = False) -> None:
        # Only here: who uses the synchronous classes alone needs no greenlet.
        from sqlalchemy.ext.asyncio import AsyncEngine

        self.engine = AsyncEngine(engines.make(url, dialect, pooled=pooled, standby=standby))
        self._dialect = dialect
        self._open: set[Any] = set()
        event.listen(self.engine.sync_engine.pool, "connect", lambda made, _record: self._open.add(made))
        event.listen(self.engine.sync_engine.pool, "close", lambda gone, _record: self._open.discard(gone))

    def abandon(self) -> None:
        """Close the connections where their loop cannot do it any more."""
        self.engine.sync_engine.dispose(close=False)  # first: one that stays is given back as long as it is open
        while self._open:
            self._dialect.abandon(self._open.pop().driver_connection)


class Part(NamedTuple):
    """What one store has in one event loop."""

    engine: AsyncEngine
    core: Database
    standby: AsyncEngine | None = None


class Loop:
    """What the stores have in one event loop."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.parts: WeakKeyDictionary[AsyncDatabase, Part] = WeakKeyDictionary()
        self._engines: dict[tuple[str, bool, bool], Own] = {}
        self._end = self._until_it_ends(loop)
        with suppress(StopIteration):
            self._end.__anext__().send(None)  # up to its yield: on the way it does not wait for anything

    async def _until_it_ends(self, loop: AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _lock:
                _loops.pop(loop, None)
            for own in list(self._engines.values()):
                await own.engine.dispose()

    def engine(self, url: URL, dialect: Dialect, *, pooled: bool, standby: bool = False) -> AsyncEngine:
        """Return the engine of ``url``, made at the first call. Sends no SQL."""
        key = (url.render_as_string(hide_password=False), pooled, standby)
        if key not in self._engines:
            self._engines[key] = Own(url, dialect, pooled=pooled, standby=standby)
        return self._engines[key].engine

    async def release(self, db: AsyncDatabase) -> None:
        """Forget a store, and close the connections of its engines that no other store of this loop shares."""
        self.parts.pop(db, None)
        used = {engine for part in self.parts.values() for engine in (part.engine, part.standby)}
        unused = [key for key, own in self._engines.items() if own.engine not in used]
        for own in [self._engines.pop(key) for key in unused]:
            await own.engine.dispose()

    def abandon(self) -> None:
        """Close what a loop left that is no more."""
        for own in self._engines.values():
            own.abandon()


_lock = threading.Lock()
_loops: dict[AbstractEventLoop, Loop] = {}
_of_the_parent: list[Loop] = []


def here() -> Loop:
    """Return what the stores have in the running event loop. Raises RuntimeError where none runs."""
    running = asyncio.get_running_loop()
    found = _loops.get(running)
    if found is None:
        with _lock:
            over = [_loops.pop(loop) for loop in list(_loops) if loop.is_closed()]
            found = _loops[running] = Loop(running)
        for other in over:
            other.abandon()
    return found


async def release(db: AsyncDatabase) -> None:
    """Let go of a store's engines, in every loop."""
    running = asyncio.get_running_loop()
    with _lock:
        everywhere = [(loop, found) for loop, found in _loops.items() if db in found.parts]
    for loop, found in everywhere:
        if loop is running:
            await found.release(db)
        elif loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(found.release(db), loop))


@atexit.register
def _abandon_all() -> None:
    for found in _loops.values():
        found.abandon()


def _forget_parents_loops() -> None:
    global _lock
    _lock = threading.Lock()
    # Kept, so that nothing closes in the child what the parent is using.
    _of_the_parent.extend(_loops.values())
    _loops.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_loops)
