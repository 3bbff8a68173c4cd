"""The line in which the writers of one process stand before a SQLite file.

SQLite itself has none: who finds the file taken sleeps, for up to 0.1 seconds at a time, and looks again; whoever looks
first when it is free has it. Among the threads of one process most looks are in vain, and some never come.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import Pool, StaticPool

from agno_store.dialects.own import is_own
from agno_store.dialects.sqlite_driver import TO_WRITE
from agno_store.dialects.sqlite_text import Reading
from agno_store.dialects.waiting import Line
from agno_store.errors import ConfigurationError
from agno_store.sending import say

BUSY_SECONDS = 30.0
"""How long a writer waits for others, where its URL does not say ``timeout=``."""

LONGEST_WAIT = 2_000_000.0
"""Seconds; busy_timeout is a C int of milliseconds."""

LONGEST_STOP = 1.0
"""Seconds for which a fork waits for writers, of whom one may be who forks."""

A_MOMENT = 0.1
"""Seconds in the line that are not taken off what is waited for other processes."""


def patience(url: URL) -> float:
    """Return how many seconds a writer waits for others. Raises ConfigurationError where the URL has no such number."""
    said: Any = url.query.get("timeout", BUSY_SECONDS)
    try:
        seconds = float(said)
    except (TypeError, ValueError):
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigurationError(f"timeout={said!r} in the URL: it must be seconds, from 0 on, once.")
    return min(seconds, LONGEST_WAIT)


class _Line(Line):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.patience = patience(engine.url)


_lines: weakref.WeakKeyDictionary[Pool, _Line] = weakref.WeakKeyDictionary()
"""By pools: a forked child's engine has another one, and none of the threads that stand there."""

_forking = object()


def _line_of(engine: Engine) -> _Line:
    return _lines.get(engine.pool) or _lines.setdefault(engine.pool, _Line(engine))


class InLine(Reading):
    """A connection for a writer, in his turn. Who has stood there for too long goes on, for SQLite to say who is there.

    Together with that he waits as long as without a line, and not once more. There he needs no connection: those who
    read would have none left.
    """

    __slots__ = ("_line", "_place", "_waited")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._line = _line_of(engine)
        self._place = object()

    def __enter__(self) -> Connection:
        began = time.monotonic()
        self._line.take(self._place, self._line.patience)
        self._waited = time.monotonic() - began
        try:
            return super().__enter__()
        except BaseException:
            self._line.leave(self._place)
            raise

    def __exit__(self, *raised: object) -> None:
        try:
            super().__exit__(*raised)
        finally:
            self._line.leave(self._place)

    def __del__(self) -> None:
        # Of one who was interrupted between two of these lines, or before whoever has called him could note it.
        if hasattr(self, "_place"):
            self._line.leave(self._place)

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""
        if self._waited < A_MOMENT:
            say(connection, TO_WRITE)
            return
        try:
            with waiting(connection, max(0.0, self._line.patience - self._waited)):
                say(connection, TO_WRITE)
        except Exception:
            raise
        except BaseException as interrupt:  # who knows how long it would have the next one wait
            connection.invalidate(interrupt)
            raise


@contextmanager
def standing(engine: Engine, patience: float | None = None) -> Iterator[float]:
    """Stand in the line with a connection that one has, and tell how many seconds that took.

    Only before a file that writers of ours stand before, too.
    """
    began = time.monotonic()
    if not is_own(engine) or isinstance(engine.pool, StaticPool):
        yield 0.0
        return
    line, place = _line_of(engine), object()
    try:
        line.take(place, line.patience if patience is None else min(patience, LONGEST_WAIT))
        yield time.monotonic() - began
    finally:
        line.leave(place)


@contextmanager
def waiting(connection: Connection, seconds: float) -> Iterator[None]:
    """Have a connection's statements wait so long for another writer."""
    run = connection.exec_driver_sql
    before = int(run("PRAGMA busy_timeout").scalar() or 0)
    run(f"PRAGMA busy_timeout = {int(min(seconds, LONGEST_WAIT) * 1000)}")
    try:
        yield
    finally:
        if not (connection.invalidated or connection.closed):  # as it is after Ctrl-C
            run(f"PRAGMA busy_timeout = {before}")


def _await_writers() -> None:
    """Have no other thread in the middle of a write as a child is forked.

    SQLite's library notes in memory which file this process has locked. The child has a copy of that, in which nobody
    would ever unlock it.
    """
    until = time.monotonic() + LONGEST_STOP
    for line in _all():
        line.take(_forking, max(0.0, until - time.monotonic()))


def _go_on() -> None:
    for line in _all():
        line.leave(_forking)


def _all() -> list[_Line]:
    """Return the lines that there are. Another thread may make one meanwhile, over which no iterator gets."""
    pools = [pool() for pool in _lines.keyrefs()]
    return [_lines[pool] for pool in pools if pool is not None]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_await_writers, after_in_parent=_go_on, after_in_child=_lines.clear)
