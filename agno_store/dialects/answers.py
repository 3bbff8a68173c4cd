"""How long PostgreSQL's answers are waited for: libpq would wait without end for a server that hangs."""

from __future__ import annotations

import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Connection

LONGEST = 300.0
"""Seconds without a sign from the server, after which it is given up."""

_PATIENT = "agno_store waits for answers"


def bound(driver: Any, record: Any) -> None:
    """Give up on a server that does not answer; for the event in which a pool has a new connection."""
    import psycopg

    driver = getattr(driver, "driver_connection", driver)  # SQLAlchemy wraps what is asynchronous
    if not isinstance(driver, (psycopg.Connection, psycopg.AsyncConnection)):
        return
    patched: Any = driver
    this, info = weakref.ref(driver), record.info

    def wait(answer: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        connection: Any = this()
        if not info.get(_PATIENT):
            answer = _watched(answer, connection)
        return type(connection).wait(connection, answer, *args, **kwargs)

    patched.wait = wait


@contextmanager
def awaited(connection: Connection) -> Iterator[None]:
    """Wait as long as it takes, as for a large index that is built."""
    info = connection.info
    info[_PATIENT] = True
    try:
        yield
    finally:
        info[_PATIENT] = False


def _watched(answer: Generator[Any, Any, Any], connection: Any) -> Generator[Any, Any, Any]:
    """Do as ``answer`` does, which is woken up ten times a second, and fail when nothing was heard for too long."""
    import psycopg

    heard = time.monotonic()
    ready = None
    while True:
        try:
            wanted = answer.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted
        if ready:
            heard = time.monotonic()
        elif time.monotonic() - heard > LONGEST:
            connection.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {LONGEST:g} seconds")
