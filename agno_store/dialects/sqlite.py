"""SQLite: one writer at a time, and a file that several processes share."""

from __future__ import annotations

import os
import re
import sqlite3
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import Pool, StaticPool

from agno_store.dialects import pool
from agno_store.dialects.base import Dialect, Scope
from agno_store.dialects.connected import Connected
from agno_store.dialects.limits import Limit
from agno_store.dialects.own import has_to_begin, is_own, roll_back_what_is_open
from agno_store.dialects.sqlite_driver import (
    BUSY,
    BUSY_RECOVERY,
    BUSY_SNAPSHOT,
    FULL,
    LOCKED,
    NOTADB,
    PROTOCOL,
    TO_READ,
    TO_WRITE,
    ByHand,
    SetUp,
    asked,
    begun_by_hand,
    code,
    end_what_is_open,
    in_transaction,
    quietly_by_hand,
)
from agno_store.dialects.sqlite_line import BUSY_SECONDS, InLine, patience, standing
from agno_store.dialects.sqlite_text import MENDED, Reading, is_no_text
from agno_store.dialects.sqlite_upgrade import exclusively, joined
from agno_store.dialects.waiting import Lock
from agno_store.dialects.writer import writer
from agno_store.errors import DatabaseError, DatabaseUnreachable, SchemaConflict
from agno_store.names import Names
from agno_store.sending import say

if TYPE_CHECKING:
    from agno_store.dialects.locks import Change
    from agno_store.dialects.rights import Rights

LARGEST = Limit(1_000_000_000)
"""Of a value and of a row, where Python does not tell a connection's own: https://www.sqlite.org/limits.html"""


class SQLite(Dialect):
    title = "SQLite"
    driver_names: ClassVar[Mapping[str, str]] = {"sqlite": "sqlite"}
    without_connection = "Is it a file, in a folder that is there, and may this process read and write both?"
    default_driver = "pysqlite"
    async_drivers: ClassVar[Mapping[str, str]] = {"aiosqlite": "aiosqlite"}
    ddl_rolls_back = True
    cascades = False
    interruptible = False
    notices_after = 0.11  # waiting writers look again every 0.1 seconds, and nobody queues
    clock = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

    def __init__(self) -> None:
        self._turns: weakref.WeakKeyDictionary[Pool, Lock] = weakref.WeakKeyDictionary()

    def engine_options(self, url: URL, *, pooled: bool) -> dict[str, Any]:
        arguments = {"check_same_thread": False, "timeout": patience(url)}
        options: dict[str, Any] = {"connect_args": arguments, "pool_reset_on_return": None}
        if self.shares(url):
            return {**options, **pool.options(url)}
        return {**options, "poolclass": StaticPool}

    def abandon(self, driver: Any) -> None:
        driver.stop()  # its thread closes the file

    def prepare(self, engine: Engine) -> None:
        event.listen(engine.pool, "connect", SetUp())
        event.listen(engine.pool, "invalidate", end_what_is_open)
        roll_back_what_is_open(engine.pool, in_transaction)

    def shares(self, url: URL) -> bool:
        database = url.database or ":memory:"
        return ":memory:" not in database and url.query.get("mode") != "memory" and "mode=memory" not in database

    def located(self, url: URL) -> URL:
        return url if _is_uri(url) else url.set(database=str(Path(str(url.database)).absolute()))

    def is_there(self, url: URL) -> bool:
        if not self.shares(url) or _is_uri(url):
            return True
        try:
            os.stat(str(url.database))
        except PermissionError:  # whether it is there is known by who may enter its folder; opening it tells the rest
            return True
        except (OSError, ValueError):
            return False
        return True

    def make_room(self, url: URL) -> None:
        if self.shares(url) and not _is_uri(url):
            folder = Path(str(url.database)).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseUnreachable(f"The folder {folder} of the SQLite file cannot be made: {error}.") from error

    def connected(self, engine: Engine) -> AbstractContextManager[Connection]:
        there = Reading(engine) if is_own(engine) else Connected(engine)
        return self._in_turn(engine.pool, there) if isinstance(engine.pool, StaticPool) else there

    @contextmanager
    def _in_turn(self, pool: Pool, connected: AbstractContextManager[Connection]) -> Iterator[Connection]:
        # In memory all threads and tasks share one connection: nobody may so much as hand it back, which rolls
        # back, while another one is in a transaction.
        with self._turns.setdefault(pool, Lock()), connected as connection:
            yield connection

    def transaction(self, engine: Engine, *, writes: bool) -> AbstractContextManager[Connection]:
        own = is_own(engine)
        if own and not writes and not has_to_begin(engine):
            # As on PostgreSQL: each statement that only reads sees what was committed when it began.
            return self.connected(engine)
        if own and writes and not isinstance(engine.pool, StaticPool):
            in_line = InLine(engine)
            return ByHand(in_line, quietly_by_hand, in_line.begin)
        by_hand = quietly_by_hand if own else begun_by_hand
        return ByHand(self.connected(engine), by_hand, partial(say, text=TO_WRITE if writes else TO_READ))

    def refuse_lookalike(self, connection: Connection, names: Names) -> None:
        # SQLite finds a table whatever the case of its ASCII letters.
        find = sa.text("SELECT name FROM sqlite_master WHERE type = 'table' AND name = :name COLLATE NOCASE")
        there = connection.scalar(find, {"name": names.version})
        if there not in (None, names.version):
            raise SchemaConflict(
                f"SQLite does not tell {names.version!r} from {there!r}, which belongs to another store. Nothing was "
                "changed. Give this store a table_name that differs in more than capitals.",
                store=str(names),
            )

    def is_transient(self, error: DBAPIError) -> bool:
        # Any other BUSY comes after busy_timeout: to try again would only be to wait as long once more.
        whole = getattr(error.orig, "sqlite_errorcode", BUSY)
        return whole in (BUSY_RECOVERY, BUSY_SNAPSHOT) or code(error.orig) in (LOCKED, PROTOCOL)

    def is_full(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == FULL

    def is_no_text(self, error: DBAPIError) -> bool:
        return is_no_text(error)

    def is_mended(self, error: DBAPIError) -> bool:
        return MENDED in error.detail

    def unquoted(self, said: str) -> str:
        return re.sub("(Could not decode to UTF-8 column '.*?') with text .*", r"\1", said, flags=re.DOTALL)

    def cure(self, error: DBAPIError) -> str:
        if is_no_text(error):
            return "Something other than this package has written it, or the disk: see PRAGMA integrity_check."
        another = code(error.orig) == NOTADB
        return "Name a SQLite database, or a file that is not there yet." if another else ""

    def is_busy(self, error: DBAPIError) -> bool:
        return isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == BUSY

    def writer(self, connection: Connection) -> str:
        return writer(connection)

    def largest(self, connection: Connection) -> Limit:
        length = getattr(sqlite3, "SQLITE_LIMIT_LENGTH", None)  # Python 3.11 has it, and getlimit()
        return LARGEST if length is None else Limit(asked(connection, lambda driver: driver.getlimit(length)))

    @property
    def rights(self) -> Rights:
        from agno_store.dialects.rights_sqlite import SQLiteRights

        return SQLiteRights()

    @property
    def locks(self) -> Mapping[Change, str]:
        from agno_store.dialects import locks

        return locks.SQLITE

    def scope(self, *, pooled: bool) -> Scope:
        return Scope.UPGRADE

    def upgrading(
        self, connection: Connection, names: Names, *, timeout: float, scope: Scope
    ) -> AbstractContextManager[None]:
        return (joined if scope is Scope.CALLER else exclusively)(connection, names, timeout)

    client = "sqlite3 agents.db < upgrade.sql"
    records_scripts = True
    makes_copies = True
    has_schemas = False

    def framing(self, names: Names) -> tuple[Sequence[str], Sequence[str]]:
        return [
            ".bail on",
            f".timeout {int(BUSY_SECONDS * 1000)}",
            "PRAGMA foreign_keys = OFF;",
            "BEGIN IMMEDIATE;",
        ], ["COMMIT;"]

    def dump_command(self, url: URL, names: Names) -> str:
        import shlex

        return shlex.join(["sqlite3", str(url.database), ".backup agno_store.db"])

    def back_up(self, engine: Engine, file: Path) -> None:
        try:
            with self.connected(engine) as connection, closing(sqlite3.connect(file)) as copy:
                driver: Any = connection.connection.dbapi_connection
                driver.backup(copy)
                found = [str(row[0]) for row in copy.execute("PRAGMA integrity_check")]
        except sqlite3.Error as error:  # also by looking at what is too damaged to be looked at
            found = [str(error)]
        if found != ["ok"]:
            raise DatabaseError(
                f"A copy of the database is not whole: {'; '.join(found[:3])}. Nothing was changed. Look at the "
                "database with PRAGMA integrity_check, and whether there is room for a copy."
            )

    def vacuum(self, engine: Engine, names: Names) -> None:
        from agno_store.dialects import vacuum

        with standing(engine), self.connected(engine) as connection:
            vacuum.sqlite(connection, names)

    def loses_children(self, connection: Connection) -> bool:
        return bool(connection.exec_driver_sql("PRAGMA foreign_keys").scalar())

    def generated(self, connection: Connection, table: str, schema: str | None) -> dict[str, str]:
        from agno_store.dialects.generated import generated_columns

        return generated_columns(connection, table, schema)

    @contextmanager
    def rebuilding(
        self, connection: Connection, table: str, schema: str | None, leaving: Collection[str]
    ) -> Iterator[None]:
        from agno_store.dialects.generated import without_generated

        run = connection.exec_driver_sql
        kept, legacy = _uncopied(connection, table), run("PRAGMA legacy_alter_table").scalar()
        # Without it SQLite would not let a table be renamed while a view or a trigger of the host's refers to it.
        run("PRAGMA legacy_alter_table = ON")
        try:
            with without_generated(connection, table, schema, leaving):
                yield
        finally:
            run(f"PRAGMA legacy_alter_table = {legacy}")
        for name, statement in kept:
            run(f"DROP INDEX IF EXISTS {connection.dialect.identifier_preparer.quote(name)}")
            run(statement)

    @contextmanager
    def reflecting(self, connection: Connection, names: Names) -> Iterator[tuple[Connection, Names]]:
        if '"' not in names.sessions:
            yield connection, names
            return
        # SQLAlchemy reads the names of constraints out of the CREATE statements and leaves quotes in
        # them doubled; so the same statements are read back from a scratch database, with a plain name.
        plain, quoted = Names("store"), names.sessions.replace('"', '""')
        rows = connection.exec_driver_sql("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        engine = create_engine("sqlite://", poolclass=StaticPool)
        with engine.connect() as scratch:
            for table, statement in rows:
                if table in names.tables:
                    scratch.exec_driver_sql(statement.replace(quoted, plain.sessions))
            yield scratch, plain
        engine.dispose()


SQLITE = SQLite()


def _is_uri(url: URL) -> bool:
    return str(url.database).startswith("file:")


def _uncopied(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Return what a rebuild of a table drops, with the statements that make it.

    Triggers, and indexes with more to them than columns: expressions, directions, collations.
    """
    run = connection.exec_driver_sql
    quote = connection.dialect.identifier_preparer.quote
    find = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL"
    found = []
    for row in run(find, (table,)).fetchall():
        if row.type == "index":
            keys = [column for column in run(f"PRAGMA index_xinfo({quote(row.name)})") if column.key]
            if all(column.cid >= 0 and not column.desc and column.coll == "BINARY" for column in keys):
                continue
        if row.type in ("index", "trigger"):
            found.append((row.name, row.sql))
    return found
