"""How long PostgreSQL's answers are waited for: libpq would wait without end for a server that hangs."""

from __future__ import annotations

import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from agno_store.errors import DatabaseUnreachable

LONGEST = 300.0
"""Seconds without a sign from the server, after which it is given up."""

_PATIENCE = "agno_store waits so long for answers"


@dataclass
class _Patience:
    """How many seconds of silence are borne, and whether there were more."""

    seconds: float | None
    is_over: bool = False


def bound(driver: Any, record: Any) -> None:
    """Give up on a server that does not answer; for the event in which a pool has a new connection."""
    import psycopg

    driver = getattr(driver, "driver_connection", driver)  # SQLAlchemy wraps what is asynchronous
    if not isinstance(driver, (psycopg.Connection, psycopg.AsyncConnection)):
        return
    patched: Any = driver
    this, borne = weakref.ref(driver), _borne(record.info)  # not all that is there, in which the connection may be

    def wait(answer: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        connection: Any = this()
        patience = borne[-1]
        if patience.seconds is not None:
            answer = _watched(answer, connection, patience, patience.seconds)
        return type(connection).wait(connection, answer, *args, **kwargs)

    patched.wait = wait


@contextmanager
def within(connection: Connection, seconds: float | None) -> Iterator[None]:
    """Wait so long for each answer, or as long as it takes, as for a large index that is built.

    Raises DatabaseUnreachable where that time is over; the connection is closed then.
    """
    borne, patience = _borne(connection.info), _Patience(seconds)
    borne.append(patience)
    try:
        yield
    except DBAPIError as error:
        if patience.is_over:
            raise DatabaseUnreachable(f"it has not answered within {seconds:g} seconds") from error
        raise
    finally:
        borne.pop()


def _borne(info: dict[Any, Any]) -> list[_Patience]:
    """Return what is borne of a connection; the last one is in force."""
    found: list[_Patience] = info.setdefault(_PATIENCE, [_Patience(LONGEST)])
    return found


def _watched(
    answer: Generator[Any, Any, Any], connection: Any, patience: _Patience, seconds: float
) -> Generator[Any, Any, Any]:
    """Do as ``answer`` does, which is woken up ten times a second, and fail when nothing was heard for too long."""
    import psycopg

    silent_since: float | None = None
    ready = None
    while True:
        try:
            wanted = answer.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted
        if ready:
            silent_since = None
        elif silent_since is None:
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > seconds:
            patience.is_over = True
            connection.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {seconds:g} seconds")
