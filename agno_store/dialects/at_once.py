"""Statements of asynchronous drivers: awaited once, not for the cursor, the statement, its rows and the end each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.util import await_only

from agno_store.sending import AT_ONCE


def send(engine: Engine) -> None:
    """Have an engine of ours send its statements so, where its driver is asynchronous."""
    if engine.dialect.is_async:
        event.listen(engine.pool, "connect", _note)


def _note(driver: Any, record: Any) -> None:
    record.info[AT_ONCE] = partial(_in_one_go, driver)


def _in_one_go(driver: Any, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, Any]:
    try:
        answer: tuple[Sequence[Any], int, Any] = await_only(_sent(driver.driver_connection, text, values, has_rows))
    except Exception as error:
        driver._handle_exception(error)
        raise
    return answer


async def _sent(connection: Any, text: str, values: Any, has_rows: bool) -> tuple[Sequence[Any], int, Any]:
    async with connection.cursor() as cursor:
        await cursor.execute(text, values)
        found = await cursor.fetchall() if has_rows else ()
        return found, cursor.rowcount, getattr(cursor, "lastrowid", None)
