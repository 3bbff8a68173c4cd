"""The connections of engines that a store has made: as cheap to borrow and to give back as they can be.

A caller's engine is used as it is. One of ours is marked, and its pool looks after its connections itself: whether
one has been closed while it lay idle its socket tells, where SQLAlchemy would ask the server each time.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.exc import DisconnectionError, InvalidRequestError
from sqlalchemy.pool import Pool

from agno_store.dialects.connected import Connected
from agno_store.dialects.pool import OwnPool
from agno_store.urls import redacted

MARK = "agno_store_own"
"""The execution option of an engine of ours."""


def is_own(connected: Connection | Engine) -> bool:
    """Whether an engine, or that of a connection, is one of ours."""
    return MARK in connected.get_execution_options()  # a connection has those of its engine


def has_to_begin(engine: Engine) -> bool:
    """Whether a transaction is to be begun even where it makes no difference to what its statements see.

    Somebody listens, and may set what is to be true of the transaction, or wait for its end.
    """
    heard: Any = engine
    events = heard.dispatch
    return bool(heard._has_events and (events.begin or events.commit or events.rollback))


def watch_idle(pool: Pool, sql_dialect: SqlDialect) -> None:
    """Let no connection out of a pool that was lost while it was idle, and replace it."""

    def look(driver: Any, record: Any, _proxy: object) -> None:
        if record.info.get("agno_store is used"):
            _refuse_lost(driver, sql_dialect)
        record.info["agno_store is used"] = True  # a new one is none that has been idle

    event.listen(pool, "checkout", look)


def is_silent(driver: Any) -> bool:
    """Whether nothing has come from an idle connection's server, nor its end; without asking it."""
    number = _socket(driver)
    return number is not None and not _has_news(number)


def _refuse_lost(driver: Any, sql_dialect: SqlDialect) -> None:
    if is_silent(driver):
        return
    try:
        answers = sql_dialect.do_ping(driver)
    except sql_dialect.loaded_dbapi.Error as error:
        raise DisconnectionError("it was lost while it was idle") from error
    if not answers:
        raise DisconnectionError("it was lost while it was idle")


def _socket(driver: Any) -> int | None:
    """Return the number of a driver's socket that only we read from; None where the driver keeps it to itself."""
    own = getattr(driver, "driver_connection", driver)
    pgconn = getattr(own, "pgconn", None)  # psycopg
    if pgconn is not None:
        return None if own.closed else int(pgconn.socket)
    fileno = getattr(getattr(own, "_sock", None) or _of_transport(own), "fileno", None)  # PyMySQL has its socket itself
    number = -1 if fileno is None else int(fileno())
    return number if number >= 0 else None


def _of_transport(own: Any) -> Any:
    """Return the socket of asyncmy's connections and aiomysql's, unless their event loop knows that it is closed."""
    transport = getattr(own, "_transport", None) or getattr(getattr(own, "_writer", None), "transport", None)
    return None if transport is None or transport.is_closing() else transport.get_extra_info("socket")


def _has_news(number: int) -> bool:
    """Whether an idle connection's server has said something, or has closed it."""
    if not hasattr(select, "poll"):
        return True  # not on Windows: ask the server
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def roll_back_what_is_open(pool: Pool, is_open: Callable[[Any], bool]) -> None:
    """Send no ROLLBACK for a connection that comes back where the driver knows that no transaction is open."""

    def reset(driver: Any, _record: object, state: Any) -> None:
        if state.asyncio_safe and is_open(getattr(driver, "driver_connection", driver)):
            driver.rollback()  # else nobody is left that could wait for an answer

    if isinstance(pool, OwnPool):
        pool.is_open = is_open
    event.listen(pool, "reset", reset)


@contextmanager
def by_driver(
    connected: Connected, begin: Callable[[Connection], bool], discard: Callable[[Connection, Exception], None]
) -> Iterator[Connection]:
    """Run a transaction that is not SQLAlchemy's, and end it if ``begin`` says that there is one.

    SQLAlchemy has one of its own about statements that are sent through it, as all are where somebody listens. What
    is given back with a transaction open is rolled back by its pool. ``discard`` is told of a connection that failed.
    """
    with connected as connection:
        driver: Any = connection.connection
        try:
            has_begun = begin(connection)
            yield connection
            if has_begun:
                if connection.invalidated or connection.connection is not driver:
                    raise InvalidRequestError(
                        f"{redacted(connection.engine.url)}: the connection was lost in a transaction; nothing was "
                        "stored. Call again."
                    )
                _commit(connection)
        except Exception as error:
            discard(connection, error)
            _roll_back(connection)
            raise


def _roll_back(connection: Connection) -> None:
    """Roll back before the pool does: a driver that failed in the middle of an answer knows of no transaction."""
    if connection.invalidated or connection.in_transaction():
        return
    try:
        connection.dialect.do_rollback(connection.connection)
    except connection.dialect.loaded_dbapi.Error as error:  # it has met the rest of that answer
        connection.invalidate(error)


def _commit(connection: Connection) -> None:
    if connection.in_transaction():
        connection.commit()
        return
    try:
        connection.dialect.do_commit(connection.connection)
    except BaseException as error:  # noqa: BLE001 - it is raised, as SQLAlchemy raises what its own transactions meet
        connection._handle_dbapi_exception(error, None, None, None, None)
