"""Statements of asynchronous drivers: awaited once, not for the cursor, the statement, its rows and the end each."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.util import await_only

from agno_store.sending import AT_ONCE

T = TypeVar("T")


def send(engine: Engine) -> None:
    """Have an engine of ours send its statements so, where its driver is asynchronous."""
    if engine.dialect.is_async:
        event.listen(engine.pool, "connect", _note)


def _note(driver: Any, record: Any) -> None:
    record.info[AT_ONCE] = partial(_in_one_go, driver)


def _in_one_go(driver: Any, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, Any]:
    return awaited(driver, _sent(driver.driver_connection, text, values, has_rows))


def awaited(driver: Any, sent: Coroutine[Any, Any, T]) -> T:
    """Await what one of SQLAlchemy's connections was asked for, and have it say of errors what it always says."""
    try:
        return await_only(sent)
    except Exception as error:
        tell = getattr(driver, "_handle_exception", None)
        if tell is not None:
            tell(error)
        elif isinstance(error, AttributeError):  # of a connection that asyncmy has closed by itself; SQLAlchemy 2.0.30
            # knows one that is lost by these words
            raise driver.dbapi.InternalError("network operation failed: the connection is closed") from error
        raise


async def _sent(connection: Any, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, Any]:
    async with connection.cursor() as cursor:
        await cursor.execute(text, values)
        found = await cursor.fetchall() if has_rows else ()
        return found, cursor.rowcount, getattr(cursor, "lastrowid", None)
