"""MySQL and MariaDB: DDL that cannot be rolled back, and named locks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles

from agno_store.dialects import alone, at_once, beginning, owed, pool, together
from agno_store.dialects.base import Dialect, Scope, transactional
from agno_store.dialects.connected import Connected
from agno_store.dialects.limits import Limit
from agno_store.dialects.own import by_driver, is_own, roll_back_what_is_open, watch_idle
from agno_store.dialects.waiting import attempts
from agno_store.errors import ConfigurationError, UpgradeLocked
from agno_store.listings import Behind
from agno_store.names import Names
from agno_store.quick import Counted
from agno_store.sending import has_listeners

if TYPE_CHECKING:
    from agno_store.dialects.locks import Change
    from agno_store.dialects.rights import Rights

DEADLOCK, LOCK_WAIT_TIMEOUT, ERROR_DURING_COMMIT, ROLLED_BACK_AT_COMMIT, TABLE_CHANGES = 1213, 1205, 1180, 3101, 1684
"""https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"""

# TABLE_CHANGES is what MySQL, other than MariaDB, says of a table to those who look at it while it is made or changed.
TRANSIENT = frozenset({DEADLOCK, LOCK_WAIT_TIMEOUT, ERROR_DURING_COMMIT, ROLLED_BACK_AT_COMMIT, TABLE_CHANGES})

LOST = frozenset(
    {
        *(2002, 2003, 2006, 2013, 2055),  # the client's: no connection, gone away, lost
        *(1040, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 4031),  # too many connections, aborted, network, killed, idle
        1053,  # the server is shutting down
        1047,  # a node of a cluster that has lost the others
    }
)

FULL = frozenset({3, 1021, 1114})

READ_ONLY = frozenset({1290, 1792, 1836})
"""--read-only and --super-read-only, a transaction that only reads, a read-only mode."""

# A server without strict mode would cut a value that is too long and only warn.
_STRICT = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"

_ESTIMATE = sa.text(
    "SELECT table_rows FROM information_schema.tables "
    "WHERE table_name = :table AND table_schema = coalesce(:schema, DATABASE())"
)

_TRANSACTIONS = sa.text(
    "SELECT trx_mysql_thread_id, trx_started FROM information_schema.innodb_trx "
    "WHERE trx_mysql_thread_id <> CONNECTION_ID() ORDER BY trx_started LIMIT 5"
)

_LOCK_PREFIX = "agno_store."

# connect_timeout does not bound the greeting of a server that hangs; PyMySQL's read_timeout does.
_TIMEOUTS: Mapping[str, Mapping[str, int]] = {
    "pymysql": {"connect_timeout": 10, "read_timeout": 300, "write_timeout": 300},
    "asyncmy": {"connect_timeout": 10, "read_timeout": 300},
    "aiomysql": {"connect_timeout": 10},
}

_PROCESS = sa.text(
    "SELECT user, host, lower(command) AS doing, utc_timestamp() - INTERVAL time SECOND AS since "
    "FROM information_schema.processlist WHERE id = :id"
)


class MySQL(Dialect):
    title = "MySQL/MariaDB"
    driver_names: ClassVar[Mapping[str, str]] = {"mysql": "mysql", "mariadb": "mariadb"}
    default_driver = "pymysql"
    async_drivers: ClassVar[Mapping[str, str]] = {"asyncmy": "asyncmy", "aiomysql": "aiomysql"}
    packages: ClassVar[Mapping[str, str]] = {"mysqldb": "mysqlclient", "mysqlconnector": "mysql-connector-python"}
    ddl_rolls_back = False
    clock = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"

    def engine_options(self, url: URL, *, pooled: bool) -> dict[str, Any]:
        driver = url.get_driver_name()
        arguments: dict[str, Any] = {"charset": "utf8mb4", "init_command": _STRICT}
        arguments |= _TIMEOUTS.get(driver, {})
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
        if driver in self.async_drivers:
            from agno_store.dialects import asyncmy_driver

            adapted = url.get_dialect().import_dbapi()
            connect = getattr(adapted, driver).connect
            arguments["async_creator_fn"] = partial(asyncmy_driver.connected, connect, adapted)
            if driver == "asyncmy":
                arguments["cursor_cls"] = asyncmy_driver.without_warnings(adapted.asyncmy.cursors.Cursor)
            else:
                arguments["cursorclass"] = adapted.Cursor  # SQLAlchemy's, which asks for no warnings either
        options: dict[str, Any] = {}
        if driver == "pymysql":
            from agno_store.dialects import pymysql_driver

            options["module"] = pymysql_driver.module()
        return {
            "connect_args": arguments,
            # REPEATABLE READ locks the gaps between rows, and two first writes would deadlock there.
            "isolation_level": "READ COMMITTED",
            "pool_reset_on_return": None,
            "pool_recycle": 1800,
            **options,
            **pool.options(url),
        }

    def prepare(self, engine: Engine) -> None:
        watch_idle(engine.pool, engine.dialect)
        roll_back_what_is_open(engine.pool, together.is_open)
        at_once.send(engine)
        if engine.dialect.driver in together.DRIVERS:
            alone.keep(engine.pool, partial(together.switch, engine.dialect))

    def commits_alone(self, engine: Engine) -> bool:
        # Who listens to statements is to hear of each.
        return is_own(engine) and alone.is_possible(engine) and not has_listeners(engine)

    def by_statement(self, engine: Engine) -> AbstractContextManager[Connection]:
        return by_driver(alone.Alone(engine), beginning.by_itself, self._discard_if_useless)

    def transaction(self, engine: Engine, *, writes: bool) -> AbstractContextManager[Connection]:
        if not is_own(engine):
            return super().transaction(engine, writes=writes)
        is_alone = self.commits_alone(engine)
        connected = alone.Alone(engine) if is_alone else Connected(engine)
        writing = beginning.begun if is_alone else beginning.transactional
        return by_driver(connected, writing if writes else beginning.reading, self._discard_if_useless)

    def refuse_lookalike(self, connection: Connection, names: Names) -> None:
        if getattr(connection.dialect, "_casing", 0):  # lower_case_table_names; elsewhere before a store is made
            from agno_store.dialects import lookalike_mysql

            lookalike_mysql.refuse_lookalike(connection, names)

    def abandon(self, driver: Any) -> None:
        with suppress(RuntimeError):  # its event loop is closed, and the socket goes with the connection
            driver.close()

    def _is_useless(self, connection: Connection, error: Exception) -> bool:
        return super()._is_useless(connection, error) or owed.may_be_owed(connection, error)

    def is_transient(self, error: DBAPIError) -> bool:
        return _code(error) in TRANSIENT

    def is_lost(self, error: DBAPIError) -> bool:
        return super().is_lost(error) or _code(error) in LOST

    def may_be_committed(self, error: DBAPIError) -> bool:
        # Of a Galera node that loses its cluster in COMMIT; and of a mere conflict in Group Replication.
        return bool(_code(error) == ERROR_DURING_COMMIT)

    def is_full(self, error: DBAPIError) -> bool:
        return _code(error) in FULL

    def is_read_only(self, error: DBAPIError) -> bool:
        return _code(error) in READ_ONLY

    def tells_count(self, connection: Connection) -> bool:
        # Under REPEATABLE READ, which a caller's engine may have, the look for a run that is not there would lock the
        # gap, and two writers would wait for each other with their INSERTs.
        return is_own(connection)

    def largest(self, connection: Connection) -> Limit:
        # Of this very connection: what an administrator sets is that of the connections made afterwards.
        known: Limit | None = connection.info.get("agno_store limit")
        if known is None:
            size = int(connection.scalar(sa.text("SELECT @@max_allowed_packet")))
            known = connection.info["agno_store limit"] = Limit(size, "max_allowed_packet", escapes=True)
        return known

    def read_along(self, statement: sa.Select[Any], table: sa.Table, columns: Sequence[str]) -> sa.Select[Any]:
        # MariaDB prefers the equality of the first column to a range of them all, and would read from page 1 on.
        for index in table.indexes:
            if index.columns.keys() == list(columns):
                name = str(index.name).replace("%", "%%")
                return statement.with_hint(table, f"FORCE INDEX (`{name}`)")
        return statement

    @property
    def rights(self) -> Rights:
        from agno_store.dialects.rights_mysql import MySQLRights

        return MySQLRights()

    @property
    def locks(self) -> Mapping[Change, str]:
        from agno_store.dialects import locks

        return locks.MYSQL

    def scope(self, *, pooled: bool) -> Scope:
        return Scope.REVISION

    @contextmanager
    def upgrading(self, connection: Connection, names: Names, *, timeout: float, scope: Scope) -> Iterator[None]:
        if scope is not Scope.REVISION:
            raise ConfigurationError(
                f"{names}: MySQL and MariaDB commit at every CREATE and ALTER, so an upgrade cannot be part of a "
                "transaction that could still be rolled back. Nothing was changed. Call upgrade_schema() without "
                "connection=."
            )
        from agno_store.dialects.cluster import Lease, causal, is_cluster

        transactional(connection)
        name = {"name": _lock_name(connection, names)}
        for _ in attempts(timeout):
            if connection.scalar(sa.text("SELECT GET_LOCK(:name, 0)"), name) == 1:
                break
            connection.rollback()
        else:
            raise _locked(connection, names, timeout)
        connection.commit()
        try:
            if not is_cluster(connection):
                yield
                return
            with causal(connection):
                if names.schema:
                    self.ensure_schema(connection, names.schema)
                with Lease(connection, names, self.is_transient).held(timeout):
                    yield
        finally:
            connection.rollback()
            connection.execute(sa.text("DO RELEASE_LOCK(:name)"), name)
            connection.commit()

    @contextmanager
    def impatient(self, connection: Connection, seconds: float, scope: Scope) -> Iterator[None]:
        before = connection.execute(sa.text("SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout")).one()
        whole = max(1, round(seconds))
        _set_waits(connection, *(min(each, whole) for each in before))
        try:
            yield
        finally:
            connection.rollback()
            _set_waits(connection, *before)

    def settle(self, connection: Connection, names: Names, *, timeout: float, scope: Scope) -> None:
        from agno_store.dialects.cluster import Lease, causal, is_cluster

        if not is_cluster(connection):
            super().settle(connection, names, timeout=timeout, scope=scope)
            return
        with causal(connection):  # to hold the row would be to write it, and perhaps to make its table
            Lease(connection, names, self.is_transient).awaited(timeout)

    def catch_up(self, connection: Connection) -> None:
        from agno_store.dialects.cluster import causal, is_cluster

        if is_cluster(connection):
            with causal(connection):
                connection.scalar(sa.text("SELECT 1"))

    def refuse_if_lost(self, connection: Connection) -> None:
        lease = connection.info.get("agno_store lease")
        if lease is not None:
            lease.refuse_if_lost()

    def holders(self, connection: Connection, names: Names) -> list[str]:
        # Which tables a transaction holds only the performance schema tells, which is mostly off.
        return [
            f"perhaps connection {row.trx_mysql_thread_id}, in a transaction since {row.trx_started}"
            for row in connection.execute(_TRANSACTIONS)
        ]

    client = "mysql --default-character-set=utf8mb4 DATABASE < upgrade.sql (and --host, --user)"

    def framing(self, names: Names) -> tuple[Sequence[str], Sequence[str]]:
        database = "DATABASE()" if names.schema is None else _quoted(names.schema)
        hashed = f"LEFT(SHA2(CONCAT({database}, {_quoted('.' + names.sessions)}), 256), 40)"
        lock = f"CONCAT('{_LOCK_PREFIX}', {hashed})"
        return [
            "SET NAMES utf8mb4;",
            f"{_STRICT};",
            "SET SESSION lock_wait_timeout = 60;",
            f"SET @locked = GET_LOCK({lock}, 60);",
            "CREATE TEMPORARY TABLE agno_store_lock (held INT NOT NULL CHECK (held = 1));",
            "INSERT INTO agno_store_lock VALUES (@locked); -- fails where another upgrade holds the lock",
            "DROP TEMPORARY TABLE agno_store_lock;",
        ], [f"DO RELEASE_LOCK({lock});"]

    def schema_script(self, schema: str) -> str:
        return f"CREATE SCHEMA IF NOT EXISTS `{schema}`;"

    def dump_command(self, url: URL, names: Names) -> str:
        import shlex

        where = ["--host", url.host or "127.0.0.1", "--port", str(url.port or 3306), "--user", url.username or "root"]
        database = names.schema or url.database or ""
        return shlex.join(["mysqldump", "--single-transaction", *where, "--password", database]) + " > agno_store.sql"

    def waits(self, change: Change, sql_dialect: SqlDialect) -> str:
        from agno_store.dialects import locks

        return (locks.MARIADB if getattr(sql_dialect, "is_mariadb", False) else locks.MYSQL)[change]

    def estimated_rows(self, connection: Connection, table: str, schema: str | None) -> int | None:
        rows = connection.scalar(_ESTIMATE, {"table": table, "schema": schema})
        return None if rows is None else int(rows)

    def correct_reflection(self, context: Any, names: Names) -> None:
        from agno_store.dialects import reflected_mysql

        reflected_mysql.correct_reflection(context, names)

    def vacuum(self, engine: Engine, names: Names) -> None:
        from agno_store.dialects import vacuum

        with self.connected(engine) as connection:
            vacuum.mysql(connection, names)

    def ensure_schema(self, connection: Connection, schema: str) -> None:
        there = connection.scalar(
            sa.text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :schema"),
            {"schema": schema},
        )
        if not there:
            # Without IF NOT EXISTS two stores with different locks could meet here.
            connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))


@compiles(Behind, "mysql", "mariadb")
def _behind(element: Behind, compiler: Any, **kw: Any) -> str:
    # Column by column: of a comparison of rows neither makes a range of an index.
    (comparison,) = element.clauses
    *pairs, (column, value) = zip(comparison.left.clauses, comparison.right.clauses, strict=True)
    follows = comparison.operator(column, value)
    for column, value in reversed(pairs):
        follows = sa.or_(comparison.operator(column, value), sa.and_(column == value, follows))
    return f"({compiler.process(follows, **kw)})"


@compiles(Counted, "mysql", "mariadb")
def _counted(element: Counted, compiler: Any, **kw: Any) -> str:
    return f"LAST_INSERT_ID({compiler.process(element.clauses, **kw)} + 1)"  # which is never 0


MYSQL = MySQL()


def _code(error: DBAPIError) -> Any:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _set_waits(connection: Connection, tables: int, rows: int) -> None:
    connection.execute(
        sa.text("SET SESSION lock_wait_timeout = :tables, innodb_lock_wait_timeout = :rows"),
        {"tables": tables, "rows": rows},
    )
    connection.commit()


def _lock_name(connection: Connection, names: Names) -> str:
    # The lock is server-wide, so the database is part of its name; it may have 64 characters.
    database = names.schema or connection.scalar(sa.text("SELECT DATABASE()"))
    return _LOCK_PREFIX + hashlib.sha256(f"{database}.{names.sessions}".encode()).hexdigest()[:40]


def upgrader(connection: Connection, names: Names) -> str | None:
    """Say who holds the upgrade lock of a store on this server, if anybody does."""
    name = {"name": _lock_name(connection, names)}
    holder = connection.scalar(sa.text("SELECT IS_USED_LOCK(:name)"), name)
    if holder is None:
        return None
    process = connection.execute(_PROCESS, {"id": holder}).first()
    if process is None:  # of another account, which only a privileged one may see
        return f"connection {holder}"
    return f"connection {holder} ({process.user} from {process.host}, {process.doing} since {process.since} UTC)"


def _locked(connection: Connection, names: Names, timeout: float) -> UpgradeLocked:
    who = upgrader(connection, names) or "somebody who has just finished"
    connection.rollback()
    return UpgradeLocked(
        f"{names}: the upgrade lock was not free within {timeout:g} seconds; it is held by {who}. Nothing was "
        "changed. Wait and run the upgrade again, or look for it with SHOW PROCESSLIST and end it with KILL.",
        store=str(names),
    )
