"""MySQL and MariaDB: DDL that cannot be rolled back, and named locks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.base import Dialect
from agno_store.dialects.waiting import attempts
from agno_store.errors import UpgradeLocked
from agno_store.names import Names

DEADLOCK, LOCK_WAIT_TIMEOUT = 1213, 1205
"""https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"""

# A server without strict mode would cut a value that is too long and only warn.
_STRICT = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"


class MySQL(Dialect):
    title = "MySQL/MariaDB"
    driver_names: ClassVar[Mapping[str, str]] = {"mysql": "mysql", "mariadb": "mariadb"}
    default_driver = "pymysql"
    packages: ClassVar[Mapping[str, str]] = {"mysqldb": "mysqlclient", "mysqlconnector": "mysql-connector-python"}
    ddl_rolls_back = False

    def engine_options(self, url: URL, *, pooled: bool) -> dict[str, Any]:
        arguments: dict[str, Any] = {"charset": "utf8mb4", "init_command": _STRICT}
        if url.get_driver_name() == "pymysql":
            # connect_timeout does not bound the greeting of a server that hangs; read_timeout does.
            arguments |= {"connect_timeout": 10, "read_timeout": 300, "write_timeout": 300}
        return {
            "connect_args": {name: value for name, value in arguments.items() if name not in url.query},
            # REPEATABLE READ locks the gaps between rows, and two first writes would deadlock there.
            "isolation_level": "READ COMMITTED",
            "pool_pre_ping": True,
            "pool_recycle": 1800,
            "pool_size": 5,
            "max_overflow": 10,
        }

    def is_transient(self, error: DBAPIError) -> bool:
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        return code in (DEADLOCK, LOCK_WAIT_TIMEOUT)

    @contextmanager
    def upgrading(self, connection: Connection, names: Names, *, timeout: float, pooled: bool) -> Iterator[None]:
        name = {"name": _lock_name(connection, names)}
        for _ in attempts(timeout):
            if connection.scalar(sa.text("SELECT GET_LOCK(:name, 0)"), name) == 1:
                break
            connection.rollback()
        else:
            raise _locked(connection, names, name, timeout)
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(sa.text("DO RELEASE_LOCK(:name)"), name)
            connection.commit()

    def ensure_schema(self, connection: Connection, schema: str) -> None:
        there = connection.scalar(
            sa.text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :schema"),
            {"schema": schema},
        )
        if not there:
            # Without IF NOT EXISTS two stores with different locks could meet here.
            connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))


def _lock_name(connection: Connection, names: Names) -> str:
    # The lock is server-wide, so the database is part of its name; it may have 64 characters.
    database = names.schema or connection.scalar(sa.text("SELECT DATABASE()"))
    return "agno_store." + hashlib.sha256(f"{database}.{names.sessions}".encode()).hexdigest()[:40]


def _locked(connection: Connection, names: Names, name: dict[str, str], timeout: float) -> UpgradeLocked:
    holder = connection.scalar(sa.text("SELECT IS_USED_LOCK(:name)"), name)
    connection.rollback()
    who = f"connection {holder}" if holder else "somebody who has just finished"
    return UpgradeLocked(
        f"{names}: the upgrade lock was not free within {timeout:g} seconds; it is held by {who}. Nothing was "
        "changed. Wait and run the upgrade again, or look for it with SHOW PROCESSLIST and end it with KILL.",
        store=str(names),
    )
