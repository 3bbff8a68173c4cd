"""SQLite's two drivers: sqlite3, and aiosqlite, which has one of its connections in a thread."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.util import await_only

from agno_store.dialects.waiting import pause, stop_if_asked
from agno_store.sending import AT_ONCE, HELD_BY_CURSORS, say

T = TypeVar("T")

BUSY, LOCKED, FULL, PROTOCOL, NOTADB = 5, 6, 13, 15, 26
BUSY_RECOVERY, BUSY_SNAPSHOT = BUSY | 1 << 8, BUSY | 2 << 8
"""https://www.sqlite.org/rescode.html"""


def code(error: BaseException | None) -> int:
    """Return SQLite's primary result code; Python tells it from 3.11 on."""
    return getattr(error, "sqlite_errorcode", BUSY) & 0xFF


PAGE_SIZE = 8192
"""Bytes, of a file that is made: of SQLite's usual 4,096 a third stays empty, because two runs of 2.6 kB do not fit."""


class SetUp:
    """What each new connection of an engine is told."""

    def __init__(self) -> None:
        self._waits: Sequence[float] = WAITS

    def __call__(self, driver: Any, record: Any) -> None:
        if own_of(driver) is not driver:
            record.info[AT_ONCE] = partial(_in_one_go, driver)
        else:
            record.info[HELD_BY_CURSORS] = True
        cursor = driver.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        # Switching to WAL needs the file to itself, so it is only asked for where it is not on yet. A failure means
        # that another process is doing it right now, or that somebody reads or writes, who may do so for long.
        cursor.execute("PRAGMA journal_mode")
        if cursor.fetchone()[0] not in ("wal", "memory"):
            cursor.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # without effect on a file that holds something
            # Whoever was there all the time is waited for once, and not with each connection.
            self._waits = WAITS if _use_write_ahead_log(cursor, self._waits) else WAITS[:0]
        cursor.close()


def end_what_is_open(driver: Any, _record: object, _error: object) -> None:
    """End the transaction of a connection that is given up.

    SQLite closes none that has a statement open, as an interrupted one is held by its traceback, and keeps its locks.
    """
    if isinstance(driver, sqlite3.Connection):  # aiosqlite interrupts no statement
        with suppress(sqlite3.Error):
            driver.rollback()


WAITS = (0.01, 0.05, 0.2, 0.5, 1.0)
"""Seconds between two tries to switch to WAL."""


def _use_write_ahead_log(cursor: sqlite3.Cursor, waits: Sequence[float]) -> bool:
    """Switch to it; returns False where others have had the file all the time."""
    cursor.execute("PRAGMA busy_timeout")
    patience = cursor.fetchone()[0]
    cursor.execute("PRAGMA busy_timeout = 0")  # for each try it would be waited for a reader as long as for a writer
    try:
        for wait in (0.0, *waits):
            if wait:
                pause(wait)
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
                return True
            except sqlite3.OperationalError as error:
                # A read-only file, or a file system without shared memory: the rollback journal does as well.
                if code(error) not in (BUSY, LOCKED):
                    return True
        return False
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {patience}")


def own(connection: Connection) -> Any:
    """Return sqlite3's own connection, which aiosqlite keeps in a thread: to be looked at, not to be used."""
    return own_of(connection.connection.dbapi_connection)


def own_of(driver: Any) -> Any:
    """Return the same of a driver's connection, or of what SQLAlchemy has around it."""
    driver = getattr(driver, "driver_connection", driver)
    return getattr(driver, "_conn", driver)


def _in_one_go(driver: Any, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, None]:
    """Send a text through aiosqlite: to its thread and back once, not for the cursor, the rows and the end each."""

    def send(connection: sqlite3.Connection) -> tuple[Sequence[Any], int, None]:
        # Closed on an error too: a statement that is not at its end keeps its connection at what it saw.
        with closing(connection.execute(text, values)) as cursor:
            return cursor.fetchall() if has_rows else (), cursor.rowcount, None

    inner = driver.driver_connection
    try:
        # Read here, as aiosqlite itself does: what it says of a closed one then, SQLAlchemy 2.0 knows as well.
        answer: tuple[Sequence[Any], int, None] = await_only(inner._execute(send, inner._conn))
        return answer
    except (sqlite3.Error, ValueError) as error:
        driver._handle_exception(error)
        raise


def asked(connection: Connection, ask: Callable[[Any], T]) -> T:
    """Ask sqlite3's own connection, in the thread that it is in."""
    driver: Any = connection.connection.driver_connection
    if own(connection) is driver:
        return ask(driver)
    answer: T = await_only(driver._execute(ask, driver._conn))
    return answer


def _switch_autocommit(connection: Connection, value: bool) -> None:
    asked(connection, lambda driver: setattr(driver, "autocommit", value))


@contextmanager
def begun_by_hand(connection: Connection) -> Iterator[None]:
    """Keep sqlite3 from beginning and committing on its own; the pool undoes the isolation level."""
    connection.execution_options(isolation_level="AUTOCOMMIT")
    # Python 3.12's other way of saying it, which SQLAlchemy's AUTOCOMMIT does not switch.
    switched = getattr(own(connection), "autocommit", None) is False
    if switched:
        _switch_autocommit(connection, True)
    if not connection.in_transaction():
        connection.begin()
        if own(connection).in_transaction:  # a listener of the caller's has sent a BEGIN of its own
            connection.exec_driver_sql("ROLLBACK")
    try:
        yield
    finally:
        if switched and not connection.invalidated:
            _switch_autocommit(connection, False)


def quietly_by_hand(connection: Connection) -> AbstractContextManager[None] | None:
    """The same for a connection of ours, without SQLAlchemy's part in it.

    Mostly nothing has to be done: sqlite3 begins only before a statement that writes, and where nobody has begun.
    """
    driver = own_of(connection.connection.dbapi_connection)
    untouched = getattr(driver, "autocommit", None) is not False and not driver.in_transaction
    return None if untouched else begun_by_hand(connection)


TO_READ, TO_WRITE = "BEGIN", "BEGIN IMMEDIATE"
"""The write lock is taken at once: a transaction that first reads and then writes could only fail for it, not wait."""


class ByHand:
    """A transaction on a connection that is had so, without sqlite3's part and SQLAlchemy's in it."""

    __slots__ = ("_around", "_begin", "_by_hand", "_connected", "_connection")

    def __init__(
        self,
        connected: AbstractContextManager[Connection],
        by_hand: Callable[[Connection], AbstractContextManager[None] | None],
        begin: Callable[[Connection], None],
    ) -> None:
        self._connected, self._by_hand, self._begin = connected, by_hand, begin

    def __enter__(self) -> Connection:
        connection = self._connection = self._connected.__enter__()
        try:
            around = self._around = self._by_hand(connection)
            if around is not None:
                around.__enter__()
            try:
                self._begin(connection)
            except BaseException:
                if around is not None:
                    around.__exit__(*sys.exc_info())
                raise
        except BaseException:
            self._connected.__exit__(*sys.exc_info())
            raise
        return connection

    def __exit__(self, *raised: Any) -> None:
        kind, _, _ = raised
        try:
            try:
                if kind is not None:
                    roll_back(self._connection)
                else:
                    self._commit()
            finally:
                if self._around is not None:
                    self._around.__exit__(*raised)
        finally:
            self._connected.__exit__(*raised)

    def _commit(self) -> None:
        try:
            if self._connection.dialect.is_async:
                stop_if_asked()
            say(self._connection, "COMMIT")
        except BaseException:
            roll_back(self._connection)
            raise


def in_transaction(driver: Any) -> bool:
    """Whether a transaction is open on a driver's own connection."""
    return bool(own_of(driver).in_transaction)


def roll_back(connection: Connection) -> None:
    # A connection that was given up in the middle of a statement is closed, and its transaction over.
    if not connection.invalidated and own(connection).in_transaction:
        connection.exec_driver_sql("ROLLBACK")
