"""Statements that go to MySQL and MariaDB together: a whole transaction in one packet, not a packet for each border.

The server carries them out in their order, answers each, and leaves out all behind one that fails. It takes several
only over a connection that has asked for it; a store's own calls have theirs ask, and nobody else gets one that has.

Not on a cluster: what another node has committed may undo a transaction between two of its statements, which a node of
Galera tells with the next packet only, so that COMMIT would be answered well for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.util import await_only

from agno_store.dialects.cluster import IS_CLUSTER
from agno_store.sending import TOGETHER

DRIVERS = ("pymysql", "asyncmy", "aiomysql")

SEVERAL = "agno_store may send together"
"""In a connection's ``info``: what sends several statements, for ``sending.TOGETHER``."""

COM_SET_OPTION, ON, OFF = 0x1B, b"\0\0", b"\1\0"
"""https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_set_option.html"""

PARSE_ERROR = 1064
"""What a server says of several that it does not take: https://dev.mysql.com/doc/mysql-errors/8.4/en/"""

IN_TRANSACTION, AUTOCOMMIT = 1, 2
"""Of a server's status: https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html"""


def switch(sql_dialect: SqlDialect, driver: Any, record: Any, alone: bool) -> None:
    """Have a connection commit each statement and take several together, or neither.

    Raises DisconnectionError where it was lost.
    """
    for key in (SEVERAL, TOGETHER):
        record.info.pop(key, None)
    try:
        driver.autocommit(alone)
        if _takes_several(sql_dialect, driver, alone):
            record.info[SEVERAL] = partial(_together, driver, record)
    except sql_dialect.loaded_dbapi.Error as error:
        raise DisconnectionError("it was lost before it was used") from error


def _takes_several(sql_dialect: SqlDialect, driver: Any, several: bool) -> bool:
    """Have a connection take several statements or not; returns whether it does, which a proxy may refuse."""
    if several and _is_of_cluster(driver):
        return False
    try:
        _let(driver, ON if several else OFF)
    except sql_dialect.loaded_dbapi.Error:
        if not sql_dialect.do_ping(driver):
            raise
        return False
    return several


def _is_of_cluster(driver: Any) -> bool:
    cursor = driver.cursor()
    cursor.execute(IS_CLUSTER)
    found = cursor.fetchall()
    cursor.close()
    return bool(found)


def is_open(driver: Any) -> bool:
    """Whether a transaction is open, by the last answer of the server; or perhaps, of a driver that does not tell."""
    status, last = getattr(driver, "server_status", None), getattr(driver, "_result", None)
    if not isinstance(status, int):
        return True
    if status & AUTOCOMMIT or getattr(driver, "tells_all", False):
        return bool(status & IN_TRANSACTION)  # with AUTOCOMMIT it takes a BEGIN, whose answer tells
    if last is not None and not last.server_status:  # aiomysql takes it from no answer with rows
        return True
    return bool(status & IN_TRANSACTION)


def _let(driver: Any, option: bytes) -> None:
    own = getattr(driver, "driver_connection", driver)
    if own is not driver:
        await_only(_let_async(own, option))
        return
    own._execute_command(COM_SET_OPTION, option)
    own._read_packet()


async def _let_async(own: Any, option: bytes) -> None:
    await own._execute_command(COM_SET_OPTION, option)
    await (own.read_packet if hasattr(own, "read_packet") else own._read_packet)()


def _together(driver: Any, record: Any, text: str, values: Any) -> Sequence[tuple[int, Any]]:
    """Send statements without rows, and return of each how many rows it has found, and the last id.

    Returns nothing, with nothing done, where the server at the other end of a proxy has not been asked to take several.
    """
    try:
        return _answers(driver, text, values)
    except Exception as error:
        if error.args[:1] != (PARSE_ERROR,):
            raise
        del record.info[SEVERAL]
        return ()


def _answers(driver: Any, text: str, values: Any) -> Sequence[tuple[int, Any]]:
    if hasattr(driver, "driver_connection"):
        try:
            answers: Sequence[tuple[int, Any]] = await_only(_answers_async(driver.driver_connection, text, values))
        except Exception as error:
            driver._handle_exception(error)
            raise
        return answers
    with driver.cursor() as cursor:
        cursor.execute(text, values)
        found = [(cursor.rowcount, cursor.lastrowid)]
        while cursor.nextset():
            found.append((cursor.rowcount, cursor.lastrowid))
    return found


async def _answers_async(connection: Any, text: str, values: Any) -> Sequence[tuple[int, Any]]:
    async with connection.cursor() as cursor:
        await cursor.execute(text, values)
        found = [(cursor.rowcount, cursor.lastrowid)]
        while await cursor.nextset():
            found.append((cursor.rowcount, cursor.lastrowid))
    return found
