"""psycopg as a store uses it: statements that are committed by themselves, and cursors that are used again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.alone import Alone
from agno_store.sending import AT_ONCE

IDLE = 0
"""PQTRANS_IDLE: https://www.postgresql.org/docs/current/libpq-status.html"""

EMPTIED_BY = ("_reset", "_tx")
"""What of its own a cursor of psycopg's is emptied with; without it none is kept."""

MOST = 20
"""Cursors that a connection keeps."""

ENCODING = b"client_encoding"
"""What a program may have set since, and what a cursor has looked up once."""


class ByStatement(Alone):
    """A connection on which each statement is committed by itself; ``discard`` is told of one that failed.

    A transaction that a program has begun as the connection was handed out, perhaps to set something, holds for all of
    them. What is closed at the end is that, or psycopg's way of beginning one.
    """

    __slots__ = ("_discard", "_within")

    def __init__(self, engine: Engine, discard: Callable[[Connection, DBAPIError], None]) -> None:
        super().__init__(engine)
        self._discard = discard

    def __enter__(self) -> Connection:
        connection = super().__enter__()
        try:
            self._within = _border(connection)
            if self._within is not None:
                self._within.__enter__()
        except BaseException:
            connection.close()
            raise
        return connection

    def __exit__(self, *raised: Any) -> None:
        if self._within is None and raised[0] is None:
            super().__exit__(*raised)
            return
        _, error, _ = raised
        try:
            if isinstance(error, DBAPIError):
                self._discard(self._connection, error)
            if self._within is not None:
                self._within.__exit__(*raised)
        finally:
            self._connection.close()


def is_open(driver: Any) -> bool:
    """Whether a transaction is open; or perhaps, of a driver that does not tell."""
    pgconn = getattr(driver, "pgconn", None)
    return pgconn is None or bool(pgconn.transaction_status != IDLE)


def _border(connection: Connection) -> AbstractContextManager[Any] | None:
    driver: Any = connection.connection.dbapi_connection
    if is_open(getattr(driver, "driver_connection", driver)):
        return connection.begin()
    return None if driver.autocommit else _Autocommit(connection, driver)


class _Autocommit:
    """Have each statement of a connection committed by itself."""

    __slots__ = ("_connection", "_driver")

    def __init__(self, connection: Connection, driver: Any) -> None:
        self._connection = connection
        self._driver = driver

    def __enter__(self) -> None:
        # Neither way asks the server: psycopg only stops to send a BEGIN before the first statement.
        self._driver.autocommit = True

    def __exit__(self, kind: object, *_: object) -> None:
        if self._connection.invalidated:
            return
        if kind is not None and is_open(getattr(self._driver, "driver_connection", self._driver)):
            self._connection.invalidate()  # a signal's handler has raised in the middle of an answer
        else:
            self._driver.autocommit = False


def keep_cursors(engine: Engine) -> None:
    """Have the connections of an engine of ours use a cursor again for the same text.

    To make one, and what it knows of types, takes a sixth of what a statement takes that finds one row.
    """
    cursor = getattr(engine.dialect.loaded_dbapi, "Cursor", None)
    can_be_emptied = all(hasattr(cursor, name) for name in EMPTIED_BY)
    if engine.dialect.driver == "psycopg" and not engine.dialect.is_async and can_be_emptied:
        event.listen(engine.pool, "connect", _note)


def _note(driver: Any, record: Any) -> None:
    record.info[AT_ONCE] = _Cursors(driver).send


class _Cursors:
    """The cursors of a connection, by their texts and in which encoding they send them; without what they have read."""

    __slots__ = ("_driver", "_kept")

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._kept: dict[tuple[str, bytes | None], Any] = {}

    def send(self, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, None]:
        key = text, self._driver.pgconn.parameter_status(ENCODING)  # the server has told it: nobody is asked
        cursor = self._kept.pop(key, None) or self._driver.cursor()
        cursor.execute(text, values)
        answer = cursor.fetchall() if has_rows else (), cursor.rowcount, None
        cursor._reset()
        cursor._tx.set_pgresult(None, set_loaders=False)
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = cursor
        return answer
