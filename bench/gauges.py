"""What a turn costs besides time: statements, packets, bytes that come from the database and bytes it writes.

These are counted in a pass of their own, so that counting costs no time that is measured.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from bench.places import Place

BORDERS = re.compile(r"\s*(BEGIN( IMMEDIATE)?|START TRANSACTION|COMMIT|ROLLBACK)[\s;]*", re.I)
COUNTING = ("mysql", "mariadb")
KINDS = ("select", "insert", "insert_select", "replace", "update", "delete")
EXECUTED = f"SHOW GLOBAL STATUS WHERE Variable_name IN {tuple(f'Com_{kind}' for kind in KINDS)}"
_BYTES_RECEIVED, _SEGMENTS_WITH_DATA = (128, "Q"), (156, "I")  # in Linux' struct tcp_info


@dataclass(frozen=True)
class Cost:
    """What one turn costs, on average. None where this machine cannot tell."""

    statements: float | None
    packets: float | None
    bytes_read: float | None
    bytes_written: float | None


class Sent:
    """The statements of an engine, or of whoever calls ``note``; borders of transactions do not count.

    MySQL and MariaDB count them themselves: who listens to a store there has it send one at a time.
    """

    def __init__(self) -> None:
        self.count = 0
        self.connections: set[Any] = set()
        self._watched = False

    def note(self, statement: str) -> None:
        if not BORDERS.fullmatch(statement):
            self.count += 1

    def watch(self, engine: sa.Engine) -> None:
        """Count what an engine sends from now on, and keep its connections in sight. A second call does nothing."""
        if self._watched:
            return
        self._watched = True

        def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            self.note(statement)

        def given_back(driver: Any, *_: Any) -> None:
            own = getattr(driver, "driver_connection", driver)
            self.connections.add(own)
            if isinstance(own, sqlite3.Connection):
                keep_log(own)

        if engine.dialect.name not in COUNTING:
            event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "checkin", given_back)


def counted(place: Place, sent: Sent, turn: Callable[[int], object], numbers: range) -> Cost:
    """Do the turns of these numbers and return what one costs."""
    if place.backend == "sqlite":  # else the log would be written over from its beginning, and not grow
        with place.beside().connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    turn(numbers[0])  # the connection is there now
    log = written(place)  # which asks SQLAlchemy's questions of a new connection, and they would count
    start = _statements(place, sent), *_traffic(place, sent), log
    for number in numbers[1:]:
        turn(number)
    end = _statements(place, sent), *_traffic(place, sent), written(place)
    each: list[float | None] = []
    for before, after in zip(start, end, strict=True):
        each.append(None if before is None or after is None else (after - before) / (len(numbers) - 1))
    return Cost(*each)


def _statements(place: Place, sent: Sent) -> int:
    if place.backend not in COUNTING:
        return sent.count
    import pymysql

    parts = place.parts
    there = pymysql.connect(host=parts.host, port=parts.port or 3306, user=parts.username, database=parts.database)
    with closing(there), there.cursor() as cursor:
        cursor.execute(EXECUTED)
        return sum(int(number) for _, number in cursor.fetchall())


def _traffic(place: Place, sent: Sent) -> tuple[int | None, int | None]:
    """Packets sent to the server, and bytes received: from it, or out of SQLite's file."""
    if place.backend == "sqlite":
        io = Path("/proc/self/io")
        return None, int(io.read_text().split()[1]) if io.exists() else None
    found = [_tcp_info(connection) for connection in sent.connections]
    if not found or None in found:
        return None, None
    return sum(one[0] for one in found if one), sum(one[1] for one in found if one)


def _tcp_info(connection: Any) -> tuple[int, int] | None:
    option = getattr(socket, "TCP_INFO", None)
    connection = getattr(connection, "driver_connection", connection)
    own = getattr(connection, "_sock", connection)  # PyMySQL keeps its socket to itself
    if option is None or not hasattr(own, "fileno"):
        return None
    with socket.socket(fileno=os.dup(own.fileno())) as duplicate:
        info = duplicate.getsockopt(socket.IPPROTO_TCP, option, 232)
    segments, received = (
        struct.unpack_from(kind, info, offset)[0] for offset, kind in (_SEGMENTS_WITH_DATA, _BYTES_RECEIVED)
    )
    return segments, received


def written(place: Place) -> int:
    """Return how many bytes the database has written to its log so far."""
    if place.backend == "sqlite":
        log = place.file.with_name(place.file.name + "-wal")
        return log.stat().st_size if log.exists() else 0
    with place.beside().connect() as connection:
        if place.backend == "postgresql":
            return int(connection.exec_driver_sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").scalar_one())
        return int(connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'").one()[1])


def keep_log(connection: sqlite3.Connection) -> None:
    """Let SQLite's log grow, so that its size tells what was written."""
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def stored(place: Place) -> int:
    """Return how many bytes the database takes on the disk."""
    with place.beside().connect() as connection:
        if place.backend == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return place.file.stat().st_size
        if place.backend == "postgresql":
            tables = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
            return int(connection.exec_driver_sql(tables + "'public'::regnamespace").scalar_one())
        files = "SELECT sum(file_size) FROM information_schema.innodb_sys_tablespaces WHERE name LIKE %s"
        return int(connection.exec_driver_sql(files, (f"{place.parts.database}/%",)).scalar_one())
