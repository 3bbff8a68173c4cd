"""Statements that go to MySQL and MariaDB together: a whole transaction in one packet, not a packet for each border.

The server carries them out in their order, answers each, and leaves out all behind one that fails. It takes several
only over a connection that has asked for it. asyncmy and aiomysql ask as they connect; PyMySQL does not, and only for
as long as a store's own calls have a connection ours do.

Not on a cluster: what another node has committed may undo a transaction between two of its statements, which a node of
Galera tells with the next packet only, so that COMMIT would be answered well for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.exc import DisconnectionError

from agno_store.dialects.at_once import awaited
from agno_store.sending import TOGETHER

DRIVERS = ("pymysql", "asyncmy", "aiomysql")

SEVERAL = "agno_store may send together"
"""In a connection's ``info``: what sends several statements, for ``sending.TOGETHER``."""

MULTI_STATEMENTS, COM_SET_OPTION, ON, OFF = 1 << 16, 0x1B, b"\0\0", b"\1\0"
"""https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_set_option.html"""

PARSE_ERROR = 1064
"""What a server says of several that it does not take: https://dev.mysql.com/doc/mysql-errors/8.4/en/"""

IN_TRANSACTION, AUTOCOMMIT = 1, 2
"""Of a server's status: https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html"""

IS_CLUSTER = (
    "SHOW GLOBAL VARIABLES WHERE (Variable_name = 'wsrep_on' AND Value = 'ON') "
    "OR (Variable_name = 'group_replication_group_name' AND Value <> '')"
)
"""Brings a row where other nodes may be written to at the same time."""

_IS_OF_CLUSTER = "agno_store asked whether its server is one of a cluster"


def switch(sql_dialect: SqlDialect, driver: Any, record: Any, alone: bool) -> None:
    """Have a connection commit each statement and take several together, or neither.

    Raises DisconnectionError where it was lost.
    """
    for key in (SEVERAL, TOGETHER):
        record.info.pop(key, None)
    try:
        driver.autocommit(alone)
        if _takes_several(sql_dialect, driver, record, alone):
            record.info[SEVERAL] = partial(_together, driver, record)
    except sql_dialect.loaded_dbapi.Error as error:
        raise DisconnectionError("it was lost before it was used") from error
    if hasattr(driver, "is_ours"):
        driver.is_ours = alone


def _takes_several(sql_dialect: SqlDialect, driver: Any, record: Any, several: bool) -> bool:
    """Have a connection take several statements or not; returns whether it does, which a proxy may refuse."""
    # aiomysql waits without an end, and a query that is killed between two statements is not answered.
    if _is_of_cluster(driver, record) or sql_dialect.driver == "aiomysql":
        return False
    if getattr(driver, "client_flag", MULTI_STATEMENTS) & MULTI_STATEMENTS:
        return several
    try:
        driver._execute_command(COM_SET_OPTION, ON if several else OFF)
        driver._read_packet()
        driver.is_owed = False
    except sql_dialect.loaded_dbapi.Error:
        driver.is_owed = False
        if not sql_dialect.do_ping(driver):
            raise
        return False
    return several


def _is_of_cluster(driver: Any, record: Any) -> bool:
    known: bool | None = record.info.get(_IS_OF_CLUSTER)
    if known is None:
        cursor = driver.cursor()
        cursor.execute(IS_CLUSTER)
        known = record.info[_IS_OF_CLUSTER] = bool(cursor.fetchall())
        cursor.close()
    return known


def is_open(driver: Any) -> bool:
    """Whether a transaction is open, by the last answer of the server; or perhaps, of a driver that does not tell."""
    if getattr(driver, "is_owed", False):  # the last answer is still to come
        return True
    status, last = getattr(driver, "server_status", None), getattr(driver, "_result", None)
    if not isinstance(status, int):
        return True
    told = getattr(driver, "tells_all", None)  # by PyMySQL's connections of ours
    if told is None:  # aiomysql takes the status from no answer with rows; with AUTOCOMMIT these begin nothing
        told = status & AUTOCOMMIT or last is None or last.server_status
    return not told or bool(status & IN_TRANSACTION)


def _together(driver: Any, record: Any, text: str, values: Any, count: int) -> Sequence[tuple[int, Any]]:
    """Send ``count`` statements without rows, and return of each how many rows it has found, and the last id.

    Returns nothing, with nothing done, where the server at the other end of a proxy has not been asked to take several.
    """
    if hasattr(driver, "driver_connection"):
        found = awaited(driver, _answers_async(driver.driver_connection, text, values))
    else:
        found = _answers(driver, text, values)
    if len(found) != count:
        del record.info[SEVERAL]
    return found


def _answers(connection: Any, text: str, values: Any) -> list[tuple[int, Any]]:
    with connection.cursor() as cursor:
        try:
            cursor.execute(text, values)
        except Exception as error:
            if _is_not_taken(error):
                return []
            raise
        found: list[tuple[int, Any]] = [(cursor.rowcount, cursor.lastrowid)]
        if hasattr(connection, "rest"):  # one of ours, unless somebody has put his own in PyMySQL's place
            found += connection.rest()
        while cursor.nextset():
            found.append((cursor.rowcount, cursor.lastrowid))
    return found


async def _answers_async(connection: Any, text: str, values: Any) -> list[tuple[int, Any]]:
    async with connection.cursor() as cursor:
        try:
            await cursor.execute(text, values)
        except Exception as error:
            if _is_not_taken(error):
                return []
            raise
        found = [(cursor.rowcount, cursor.lastrowid)]
        while await cursor.nextset():
            found.append((cursor.rowcount, cursor.lastrowid))
    return found


def _is_not_taken(error: Exception) -> bool:
    """Whether this is said of several statements as such; of the first by itself, START TRANSACTION, it is not."""
    return error.args[:1] == (PARSE_ERROR,)
