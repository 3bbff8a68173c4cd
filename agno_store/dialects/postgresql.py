"""PostgreSQL: DDL that rolls back, and advisory locks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool

from agno_store.dialects import alone, answers, at_once, pool, psycopg_driver
from agno_store.dialects.base import Dialect, Scope, autocommits, refuse_to_join, transactional
from agno_store.dialects.limits import Limit
from agno_store.dialects.own import has_to_begin, is_own, roll_back_what_is_open, watch_idle
from agno_store.dialects.standby import Standbys
from agno_store.dialects.waiting import attempts
from agno_store.errors import UpgradeLocked
from agno_store.names import Names
from agno_store.statements import AsTold
from agno_store.urls import bare

if TYPE_CHECKING:
    from agno_store.dialects.locks import Change
    from agno_store.dialects.rights import Rights

SERIALIZATION_FAILURE, DEADLOCK, LOCK_NOT_AVAILABLE = "40001", "40P01", "55P03"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""

LOST = ("57P01", "57P02", "57P03", "57P05", "25P03", "53300")
"""Shut down, crashed, starting up, idle for too long (in a transaction, too), too many connections."""

READ_ONLY, DISK_FULL = "25006", "53100"

FOREIGN_TEXT = ("22P05", "22021")
"""A character that the database's encoding lacks."""

_HOLDER = sa.text(
    "SELECT l.pid, a.application_name, a.backend_start FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND l.classid::bigint = :high AND l.objid::bigint = :low"
)
_KEY_PREFIX = "agno_store."

_LOCK_TIMEOUT = sa.text("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
"""Milliseconds; 0 is without end."""

_SCHEMAS = sa.text(
    r"SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' ORDER BY 1"
)

LARGEST = Limit(2**30 - 2)
"""Of a value, and of the message that carries all of them: https://www.postgresql.org/docs/current/limits.html"""

LARGE = 16 * 1024 * 1024
"""Bytes of a table from which on its indexes are built concurrently; below, a plain build is over in a moment."""

_OF_STORE = "n.nspname = coalesce(CAST(:schema AS text), current_schema())"

_TABLE_HOLDERS = sa.text(
    "SELECT DISTINCT a.pid, a.application_name, a.state, a.xact_start FROM pg_locks l "
    "JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.granted AND l.pid <> pg_backend_pid() "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    f"AND c.relname = ANY(:tables) AND {_OF_STORE} AND a.xact_start IS NOT NULL ORDER BY a.xact_start"
)

_SIZE = sa.text(
    "SELECT pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    f"WHERE c.relname = :table AND {_OF_STORE}"
)

_ESTIMATE = sa.text(
    "SELECT c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    f"WHERE c.relname = :table AND {_OF_STORE}"
)

_BROKEN = sa.text(
    "SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid "
    f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT x.indisvalid AND c.relname = :table AND {_OF_STORE}"
)


class PostgreSQL(Dialect):
    title = "PostgreSQL"
    driver_names: ClassVar[Mapping[str, str]] = {"postgresql": "postgresql", "postgres": "postgresql"}
    default_driver = "psycopg"
    async_drivers: ClassVar[Mapping[str, str]] = {"psycopg": "psycopg_async", "psycopg_async": "psycopg_async"}
    packages: ClassVar[Mapping[str, str]] = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}
    ddl_rolls_back = True
    has_poolers = True
    writes_two_tables = True
    standbys = Standbys()
    stores_generated = True
    clock = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"

    def engine_options(self, url: URL, *, pooled: bool) -> dict[str, Any]:
        # A database in another encoding would otherwise have its own for the connection, too.
        arguments: dict[str, Any] = {"connect_timeout": 10, "client_encoding": "utf8"}
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
        if pooled:
            # Prepared statements live on a server connection, which such a pooler changes under us.
            arguments["prepare_threshold"] = None
            return {"connect_args": arguments, "pool_reset_on_return": None, "poolclass": NullPool}
        return {"connect_args": arguments, "pool_reset_on_return": None, **pool.options(url)}

    def prepare(self, engine: Engine) -> None:
        event.listen(engine.pool, "connect", answers.bound)
        roll_back_what_is_open(engine.pool, psycopg_driver.is_open)
        at_once.send(engine)
        if is_own(engine) and not isinstance(engine.pool, NullPool):
            watch_idle(engine.pool, engine.dialect)
            alone.keep(engine.pool, _switch)
            psycopg_driver.keep_cursors(engine)

    def commits_alone(self, engine: Engine) -> bool:
        if not is_own(engine) or engine.dialect.driver not in ("psycopg", "psycopg_async"):
            return False
        return not has_to_begin(engine)

    def by_statement(self, engine: Engine) -> AbstractContextManager[Connection]:
        return psycopg_driver.ByStatement(engine, self._discard_if_useless)

    def transaction(self, engine: Engine, *, writes: bool) -> AbstractContextManager[Connection]:
        # Each statement that only reads sees what was committed when it began, in a transaction or without.
        by_statement = not writes and self.commits_alone(engine)
        return self.by_statement(engine) if by_statement else super().transaction(engine, writes=writes)

    def abandon(self, driver: Any) -> None:
        driver.pgconn.finish()

    def is_transient(self, error: DBAPIError) -> bool:
        return _sqlstate(error) in (SERIALIZATION_FAILURE, DEADLOCK, LOCK_NOT_AVAILABLE)

    def is_lost(self, error: DBAPIError) -> bool:
        code = _sqlstate(error)
        if code is None:  # not the server's words: it was not reached, or did not answer
            return super().is_lost(error) or isinstance(error, OperationalError)
        return super().is_lost(error) or code in LOST or code.startswith("08")

    def is_foreign(self, error: DBAPIError) -> bool:
        return _sqlstate(error) in FOREIGN_TEXT

    def is_full(self, error: DBAPIError) -> bool:
        return _sqlstate(error) == DISK_FULL

    def is_read_only(self, error: DBAPIError) -> bool:
        return _sqlstate(error) == READ_ONLY

    def largest(self, connection: Connection) -> Limit:
        return LARGEST

    @property
    def rights(self) -> Rights:
        from agno_store.dialects.rights_postgresql import PostgreSQLRights

        return PostgreSQLRights()

    @property
    def locks(self) -> Mapping[Change, str]:
        from agno_store.dialects import locks

        return locks.POSTGRESQL

    def scope(self, *, pooled: bool) -> Scope:
        # Behind a transaction pooler a session lock would be granted twice and outlive its taker.
        return Scope.UPGRADE if pooled else Scope.REVISION

    @contextmanager
    def upgrading(self, connection: Connection, names: Names, *, timeout: float, scope: Scope) -> Iterator[None]:
        with answers.within(connection, None), self._exclusive(connection, names, timeout, scope):
            yield

    @contextmanager
    def _exclusive(self, connection: Connection, names: Names, timeout: float, scope: Scope) -> Iterator[None]:
        from agno_store.dialects import deadlines

        if scope is not Scope.CALLER:
            transactional(connection)
        elif autocommits(connection):
            raise refuse_to_join(names)
        # One key for all the stores of a schema: creating the schema is part of an upgrade. And it is
        # polled, because a waiting pg_advisory_lock() keeps a snapshot open for which CREATE INDEX
        # CONCURRENTLY in the holder would wait in turn.
        key = {"key": _key(connection, names)}
        function = "pg_try_advisory_lock" if scope is Scope.REVISION else "pg_try_advisory_xact_lock"
        for _ in attempts(timeout):
            if connection.scalar(sa.text(f"SELECT {function}(:key)"), key):
                break
            if scope is not Scope.CALLER:
                connection.rollback()
        else:
            raise _locked(connection, names, timeout)
        with deadlines.lifted(connection, scope):
            if scope is Scope.CALLER:
                yield
            elif scope is Scope.UPGRADE:
                with _one_transaction(connection):
                    yield
            else:
                connection.commit()
                try:
                    yield
                finally:
                    connection.rollback()
                    connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)
                    connection.commit()

    @contextmanager
    def impatient(self, connection: Connection, seconds: float, scope: Scope) -> Iterator[None]:
        local = scope is not Scope.REVISION
        before = int(connection.scalar(_LOCK_TIMEOUT) or 0)
        wanted = max(1, int(seconds * 1000))
        _set(connection, min(before or wanted, wanted), local=local)
        if not local:
            connection.commit()
        try:
            yield
        finally:
            if local:
                # In vain where the transaction has failed: the rollback sets it back.
                with suppress(SQLAlchemyError):
                    _set(connection, before, local=True)
            else:
                connection.rollback()
                _set(connection, before, local=False)
                connection.commit()

    @contextmanager
    def patient(self, connection: Connection) -> Iterator[None]:
        before = int(connection.scalar(_LOCK_TIMEOUT) or 0)
        _set(connection, 0, local=False)
        try:
            yield
        finally:
            _set(connection, before, local=False)

    def holders(self, connection: Connection, names: Names) -> list[str]:
        found = connection.execute(_TABLE_HOLDERS, {"tables": list(names.own), "schema": names.schema})
        return [
            f"process {row.pid} ({row.application_name or 'no application name'}, {row.state}), in a transaction since "
            f"{row.xact_start:%Y-%m-%d %H:%M:%S %Z}"
            for row in found
        ]

    def is_large(self, connection: Connection, table: str, schema: str | None) -> bool:
        size = connection.scalar(_SIZE, {"table": table, "schema": schema})
        return size is not None and size > LARGE

    def estimated_rows(self, connection: Connection, table: str, schema: str | None) -> int | None:
        rows = connection.scalar(_ESTIMATE, {"table": table, "schema": schema})
        return int(rows) if rows is not None and rows > 0 else None  # a table not analysed yet has 0 or -1

    def broken_indexes(self, connection: Connection, table: str, schema: str | None) -> list[str]:
        return list(connection.execute(_BROKEN, {"table": table, "schema": schema}).scalars())

    def correct_reflection(self, context: Any, names: Names) -> None:
        from agno_store.dialects import reflected_postgresql

        reflected_postgresql.correct_reflection(context, names)

    client = "psql --no-psqlrc --file upgrade.sql (and --host, --username, --dbname)"

    def framing(self, names: Names) -> tuple[Sequence[str], Sequence[str]]:
        schema = "current_schema()" if names.schema is None else _quoted(names.schema)
        name = f"convert_to('{_KEY_PREFIX}' || {schema}, 'UTF8')"
        key = f"('x' || left(encode(sha256({name}), 'hex'), 16))::bit(64)::bigint"
        return [
            r"\set ON_ERROR_STOP on",
            "SET client_encoding = 'UTF8';",
            "BEGIN;",
            # Polled: two that wait for each other, this one for the lock and its holder with CREATE INDEX
            # CONCURRENTLY for our snapshot, are a deadlock that may end the holder.
            "DO $agno_store$ BEGIN FOR attempt IN 1..100 LOOP "
            f"IF pg_try_advisory_xact_lock({key}) THEN RETURN; END IF; PERFORM pg_sleep(0.1); END LOOP; "
            "RAISE EXCEPTION 'another upgrade holds the lock'; END $agno_store$;",
            "SET LOCAL lock_timeout = '3s';",
        ], ["COMMIT;"]

    def schema_script(self, schema: str) -> str:
        # CREATE SCHEMA IF NOT EXISTS needs the right to create even where it is there.
        name = schema.replace('"', '""')
        return (
            f"DO $agno_store$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = {_quoted(schema)}) "
            f'THEN CREATE SCHEMA "{name}"; END IF; END $agno_store$;'
        )

    def schemas(self, connection: Connection) -> Sequence[str | None]:
        own = connection.dialect.default_schema_name
        found = connection.execute(_SCHEMAS).scalars()
        return [None if schema == own else schema for schema in found]

    def dump_command(self, url: URL, names: Names) -> str:
        import shlex

        return shlex.join(["pg_dump", "--format=custom", "--file", "agno_store.dump", f"--dbname={_plain(url)}"])

    def vacuum(self, engine: Engine, names: Names) -> None:
        from agno_store.dialects import vacuum

        with self.connected(engine) as connection:
            vacuum.postgresql(connection, names)

    def ensure_schema(self, connection: Connection, schema: str) -> None:
        # Looked for first: CREATE SCHEMA IF NOT EXISTS needs the right to create even where it is there.
        there = connection.scalar(sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema})
        if not there:
            connection.execute(sa.schema.CreateSchema(schema))


POSTGRESQL = PostgreSQL()


def _switch(driver: Any, _record: object, alone: bool) -> None:
    driver.autocommit = alone


@contextmanager
def _one_transaction(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _set(connection: Connection, lock_timeout: int, *, local: bool) -> None:
    value = f"{lock_timeout}ms"
    connection.execute(sa.text("SELECT set_config('lock_timeout', :value, :local)"), {"value": value, "local": local})


@compiles(AsTold, "postgresql")
def _as_told(element: AsTold, compiler: Any, **kw: Any) -> str:
    # Of a row that was waited for, the row alone is looked at again; a subquery stays as of before.
    return str(compiler.process(element.clauses, **kw))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _plain(url: URL) -> str:
    return bare(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def _key(connection: Connection, names: Names) -> int:
    # By its real name: the connection's own schema is the same one when it is named.
    schema = names.schema or connection.scalar(sa.text("SELECT current_schema()"))
    digest = hashlib.sha256(f"{_KEY_PREFIX}{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def upgrader(connection: Connection, names: Names) -> str | None:
    """Say who holds the upgrade lock of a store, if anybody does."""
    unsigned = _key(connection, names) & 0xFFFFFFFFFFFFFFFF
    holder = connection.execute(_HOLDER, {"high": unsigned >> 32, "low": unsigned & 0xFFFFFFFF}).first()
    if holder is None:
        return None
    return (
        f"process {holder.pid} ({holder.application_name or 'no application name'}), "
        f"connected since {holder.backend_start:%Y-%m-%d %H:%M:%S %Z}"
    )


def _locked(connection: Connection, names: Names, timeout: float) -> UpgradeLocked:
    who = upgrader(connection, names) or "somebody who has just finished"
    return UpgradeLocked(
        f"{names}: the upgrade lock was not free within {timeout:g} seconds; it is held by {who}. Nothing was "
        "changed. Wait and run the upgrade again, or end that process with SELECT pg_terminate_backend(pid).",
        store=str(names),
    )
