"""Connections of psycopg on which each statement is committed by itself: no BEGIN and COMMIT on their way of their own.

One that is given back stays so, since to switch takes psycopg as long as to prepare a statement. Whoever asks the pool
for a connection otherwise gets one with transactions, as SQLAlchemy's dialect has them.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.pool import Pool

from agno_store.dialects.connected import Connected

_alone: ContextVar[bool] = ContextVar("agno_store has each statement committed by itself", default=False)

_IS_ALONE = "agno_store has left it committing each statement"

OURS = 2
"""Who is asked when a connection is handed out, if nobody but us: ``own.watch_idle``, and this."""


def keep(pool: Pool) -> None:
    """Have the connections of a pool of ours stay as they are, and handed out as they are asked for."""
    event.listen(pool, "checkout", _as_asked)


def _as_asked(driver: Any, record: Any, _proxy: object) -> None:
    alone = _alone.get()
    if alone is not record.info.get(_IS_ALONE, False):
        driver.autocommit = record.info[_IS_ALONE] = alone


class Alone(Connected):
    """A connection that commits each statement, unless somebody is asked who might begin a transaction on it."""

    __slots__ = ()

    def __enter__(self) -> Connection:
        before = _alone.set(len(self._engine.pool.dispatch.checkout) == OURS)
        try:
            return super().__enter__()
        finally:
            _alone.reset(before)


class WithoutTransaction:
    """Have each statement of a connection committed by itself."""

    __slots__ = ("_connection", "_driver", "_switched")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.dbapi_connection

    def __enter__(self) -> None:
        # Neither way asks the server: psycopg only stops to send a BEGIN before the first statement.
        self._switched = not self._driver.autocommit
        if self._switched:
            self._driver.autocommit = True

    def __exit__(self, *_: object) -> None:
        if self._switched and not self._connection.invalidated:
            self._driver.autocommit = False
