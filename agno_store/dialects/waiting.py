"""Waiting: for a moment, for one's turn, and trying again until a moment has come.

The same code runs in threads and, for the asynchronous classes, in tasks of an event loop. A thread that waits
is put to sleep; a task gives way to the others of its loop meanwhile.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

T = TypeVar("T")


def in_task() -> bool:
    """Whether the caller runs in a task of an event loop and can give way to the others."""
    try:
        asyncio.get_running_loop()
        return in_greenlet()
    except (RuntimeError, ImportError, ValueError):  # no loop runs here; there are no greenlets (2.1, 2.0)
        return False


def caller() -> object:
    """Tell who is calling from everybody else who may be calling at the same time: a task or a thread."""
    task = asyncio.current_task() if in_task() else None
    return threading.get_ident() if task is None else task


class Unhurried(asyncio.Task[T]):
    """A task that ends, when it is cancelled, where ``stop_if_asked`` is called, and not in the middle of a statement.

    SQLAlchemy throws a connection away on which a statement was interrupted: with SQLite in memory that would be the
    database, and with a file its lock would be held until the statement is over all the same.
    """

    asked = False
    said: tuple[object, ...] = ()
    """What is said of why, with CancelledError."""

    def cancel(self, msg: object = None) -> bool:
        """Ask the task to stop. Whoever awaits it goes on waiting, be it he who is cancelled."""
        self.asked, self.said = True, () if msg is None else (msg,)
        return not self.done()


async def unhurried(work: Callable[[], T]) -> T:
    """Run ``work`` in a greenlet, and if this is cancelled, wait until it has stopped."""
    if isinstance(asyncio.current_task(), Unhurried):
        return await greenlet_spawn(work)
    task = Unhurried(greenlet_spawn(work), loop=asyncio.get_running_loop())
    try:
        result = await task
    except BaseException:
        if not task.asked:
            raise
    if task.asked:
        raise asyncio.CancelledError(*task.said)
    return result


def whole(work: Callable[[], T]) -> T:
    """Run ``work`` and return what it does; where the caller is a task that is cancelled meanwhile, to its end."""
    if not in_task() or isinstance(asyncio.current_task(), Unhurried):
        return work()
    return await_only(unhurried(work))


def stop_if_asked() -> None:
    """Stop here where the caller is an unhurried task that was cancelled."""
    if in_task() and getattr(asyncio.current_task(), "asked", False):
        raise asyncio.CancelledError


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns to the task that this is part of."""
    result: T = await_only(coroutine)
    return result


def pause(seconds: float) -> None:
    """Wait so long."""
    stop_if_asked()
    if in_task():
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


def called(method: Callable[..., Any], *args: Any) -> Any:
    """Call what may take its time: in a task it runs in a thread, and what it returns to be awaited is.

    Raises TypeError for that where the caller is no task.
    """
    of_task = in_task()
    in_thread = of_task and not inspect.iscoroutinefunction(method)
    # A decorated method may make a coroutine without being a coroutine function: only what is made tells.
    done = await_only(asyncio.to_thread(method, *args)) if in_thread else method(*args)
    if not inspect.isawaitable(done):
        return done
    if of_task:
        return await_only(done)
    if inspect.iscoroutine(done):
        done.close()  # or Python warns later, and elsewhere, that nobody has awaited it
    raise TypeError(f"it returned a {type(done).__name__}, to be awaited, which only an asynchronous store does")


def attempts(timeout: float, *, every: float = 0.05) -> Iterator[int]:
    """Count the attempts that fit into ``timeout`` seconds, at least one, with a pause between two.

    A pause is up to three times as long, so that those who wait do not all try at once.
    """
    until = time.monotonic() + timeout
    attempt = 0
    while True:
        yield attempt
        left = until - time.monotonic()
        if left <= 0:
            return
        attempt += 1
        pause(min(left, every * (1 + 2 * random.random())))


class Flag:
    """Something that happens once, and can be waited for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Let it have happened."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait for it at most so long, and return whether it has happened."""
        if not in_task():
            return self._event.wait(seconds)
        until = time.monotonic() + seconds
        while not self._event.is_set() and time.monotonic() < until:
            pause(0.02)
        return self._event.is_set()


def beside(work: Callable[[], None], name: str) -> Callable[[], None]:
    """Start ``work`` in a thread, or in a task of the caller's loop; return what waits for its end."""
    if in_task():
        task = asyncio.get_running_loop().create_task(greenlet_spawn(work), name=name)
        return lambda: await_only(task)
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread.join


class _Thread:
    """A thread that stands in a line."""

    def __init__(self, who: object) -> None:
        self.who = who
        self._closed = threading.Lock()
        self._closed.acquire()

    def wait(self, patience: float | None) -> None:
        """Wait for one's turn, and for ``patience`` seconds at the most."""
        self._closed.acquire(timeout=-1 if patience is None else min(patience, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Tell it that its turn has come."""
        self._closed.release()


class _Task:
    """A task that does."""

    def __init__(self, who: object) -> None:
        self.who = who
        self._loop = asyncio.get_running_loop()
        self._turn = self._loop.create_future()

    def wait(self, patience: float | None) -> None:
        """The same."""
        await_only(asyncio.wait({self._turn}, timeout=patience))

    def wake(self) -> None:
        """The same. Raises RuntimeError where its event loop is closed."""
        self._loop.call_soon_threadsafe(self._turn.set_result, None)


class Line:
    """A place that one has at a time, threads and tasks in the order they come.

    Whoever has it is noted before he gets to know, and who leaves it without having it changes nothing: so one who is
    interrupted, wherever that was, leaves it and need not ask whether it was his.
    """

    def __init__(self) -> None:
        # One that its holder may take again: a signal's handler, and the end of garbage, may leave in the middle of it.
        self._guard = threading.RLock()
        self._queue: deque[_Thread | _Task] = deque()
        self.holder: object = None

    def take(self, who: object, patience: float | None = None) -> bool:
        """Take the place when it is one's turn; returns whether that came within ``patience`` seconds."""
        with self._guard:
            if self.holder is None:
                self.holder = who
                return True
        # Not under the guard: nobody else need wait meanwhile.
        mine = _Task(who) if in_task() else _Thread(who)
        try:
            with self._guard:
                if self.holder is None:
                    self.holder = who  # somebody has left it since
                    return True
                self._queue.append(mine)
            mine.wait(patience)
            self._step_out(mine)
        except BaseException:
            self._step_out(mine)
            self.leave(who)  # it may have been handed over at the same moment
            raise
        return self.holder is who

    def _step_out(self, mine: _Thread | _Task) -> None:
        """Stand in the line no more: nobody is handed the place after that."""
        with self._guard:
            if mine in self._queue:
                self._queue.remove(mine)

    def leave(self, who: object) -> None:
        """Leave the place to the next, who steps out of the line himself."""
        if self.holder is not who:
            return
        with self._guard:
            while self._queue:
                following = self._queue[0]
                self.holder = following.who
                try:
                    following.wake()
                except RuntimeError:
                    self._queue.popleft()
                    continue
                except BaseException:  # a signal's handler: the place is left again by whoever had it
                    self.holder = who
                    raise
                return
            self.holder = None


class Lock:
    """A lock that threads and tasks take in the order they come, and its holder as often as it likes.

    A ``threading.RLock`` would let all tasks of a thread in at once.
    """

    def __init__(self) -> None:
        self._line = Line()
        self._depth = 0
        _locks.add(self)

    def begin_anew(self) -> None:
        """Wait for no thread that a forked child has not got; what the one has that forked stays his."""
        holder, self._line = self._line.holder, Line()
        if holder == caller():
            self._line.holder = holder
        else:
            self._depth = 0

    def __enter__(self) -> None:
        me = caller()
        if self._line.holder != me:  # nobody else can make it so
            while not self._line.take(me):
                pass  # whoever left it was interrupted as he did
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._line.leave(self._line.holder)


_locks: WeakSet[Lock] = WeakSet()


def _begin_anew() -> None:
    for lock in _locks:
        lock.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
