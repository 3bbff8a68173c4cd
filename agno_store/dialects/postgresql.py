"""PostgreSQL: DDL that rolls back, and advisory locks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from agno_store.dialects.base import Dialect
from agno_store.dialects.waiting import attempts
from agno_store.errors import UpgradeLocked
from agno_store.names import Names

SERIALIZATION_FAILURE, DEADLOCK, LOCK_NOT_AVAILABLE = "40001", "40P01", "55P03"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_HOLDER = sa.text(
    "SELECT l.pid, a.application_name, a.backend_start FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND l.classid::bigint = :high AND l.objid::bigint = :low"
)


class PostgreSQL(Dialect):
    title = "PostgreSQL"
    driver_names: ClassVar[Mapping[str, str]] = {"postgresql": "postgresql", "postgres": "postgresql"}
    default_driver = "psycopg"
    packages: ClassVar[Mapping[str, str]] = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}
    ddl_rolls_back = True
    has_poolers = True

    def engine_options(self, url: URL, *, pooled: bool) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = 10
        if pooled:
            # Prepared statements live on a server connection, which such a pooler changes under us.
            return {"connect_args": {**arguments, "prepare_threshold": None}, "poolclass": NullPool}
        return {"connect_args": arguments, "pool_pre_ping": True, "pool_size": 5, "max_overflow": 10}

    def is_transient(self, error: DBAPIError) -> bool:
        return _sqlstate(error) in (SERIALIZATION_FAILURE, DEADLOCK, LOCK_NOT_AVAILABLE)

    @contextmanager
    def upgrading(self, connection: Connection, names: Names, *, timeout: float, pooled: bool) -> Iterator[None]:
        # One key for all the stores of a schema: creating the schema is part of an upgrade. And it is
        # polled, because a waiting pg_advisory_lock() keeps a snapshot open for which CREATE INDEX
        # CONCURRENTLY in the holder would wait in turn.
        key = {"key": _key(connection, names)}
        # Behind a transaction pooler a session lock would be granted twice and outlive its taker.
        function = "pg_try_advisory_xact_lock" if pooled else "pg_try_advisory_lock"
        for _ in attempts(timeout):
            if connection.scalar(sa.text(f"SELECT {function}(:key)"), key):
                break
            connection.rollback()
        else:
            raise _locked(connection, names, timeout)
        if pooled:
            with _one_transaction(connection):
                yield
            return
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)
            connection.commit()

    def ensure_schema(self, connection: Connection, schema: str) -> None:
        # Looked for first: CREATE SCHEMA IF NOT EXISTS needs the right to create even where it is there.
        there = connection.scalar(sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema})
        if not there:
            connection.execute(sa.schema.CreateSchema(schema))


@contextmanager
def _one_transaction(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def _key(connection: Connection, names: Names) -> int:
    # By its real name: the connection's own schema is the same one when it is named.
    schema = names.schema or connection.scalar(sa.text("SELECT current_schema()"))
    digest = hashlib.sha256(f"agno_store.{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _locked(connection: Connection, names: Names, timeout: float) -> UpgradeLocked:
    unsigned = _key(connection, names) & 0xFFFFFFFFFFFFFFFF
    holder = connection.execute(_HOLDER, {"high": unsigned >> 32, "low": unsigned & 0xFFFFFFFF}).first()
    connection.rollback()
    who = (
        f"process {holder.pid} ({holder.application_name or 'no application name'}), "
        f"connected since {holder.backend_start:%Y-%m-%d %H:%M:%S %Z}"
        if holder
        else "somebody who has just finished"
    )
    return UpgradeLocked(
        f"{names}: the upgrade lock was not free within {timeout:g} seconds; it is held by {who}. Nothing was "
        "changed. Wait and run the upgrade again, or end that process with SELECT pg_terminate_backend(pid).",
        store=str(names),
    )
