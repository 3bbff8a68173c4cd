"""An upgrade of a SQLite file: the write lock of one transaction, and foreign keys that are off meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from agno_store.dialects.base import refuse_to_join
from agno_store.dialects.own import is_own
from agno_store.dialects.sqlite_driver import BUSY, begun_by_hand, code, own, roll_back
from agno_store.dialects.sqlite_line import standing, waiting
from agno_store.dialects.waiting import attempts, in_task, stop_if_asked
from agno_store.dialects.writer import writer
from agno_store.errors import SchemaConflict, UpgradeLocked
from agno_store.names import Names


@contextmanager
def exclusively(connection: Connection, names: Names, timeout: float) -> Iterator[None]:
    """Have the whole upgrade in one transaction that holds the write lock: exclusive, and all or nothing."""
    with (
        standing(connection.engine, timeout) as waited,
        begun_by_hand(connection),
        waiting(connection, 0 if in_task() else timeout),
        _without_foreign_keys(connection),
    ):
        try:
            left = max(0.0, timeout - waited)
            with waiting(connection, 0 if in_task() else left):
                _take_write_lock(connection, names, timeout, left)
            yield
            _refuse_orphans(connection, names)
            stop_if_asked()
            _commit(connection, names, timeout)
        except BaseException:
            roll_back(connection)
            raise


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    # The DROP TABLE of a batch rebuild would delete the children of every row it moves. SQLite ignores the switch
    # inside a transaction, so it comes before BEGIN, and back when the transaction is over.
    run = connection.exec_driver_sql
    # A connection of ours has them on, whatever became of it before: without them a delete leaves what belongs to it.
    enforced = 1 if is_own(connection) else run("PRAGMA foreign_keys").scalar()
    run("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        if not connection.invalidated:  # as it is after Ctrl-C, and then it is closed
            run(f"PRAGMA foreign_keys = {enforced}")


def _commit(connection: Connection, names: Names, timeout: float) -> None:
    failure: OperationalError | None = None
    for _ in attempts(timeout if in_task() else 0):
        try:
            connection.exec_driver_sql("COMMIT")
            return
        except OperationalError as error:
            # Of what ends a transaction otherwise, such as a full disk, Python up to 3.10 tells no code.
            if code(error.orig) != BUSY or not own(connection).in_transaction:
                raise
            failure = error
    raise UpgradeLocked(
        f"{names}: somebody has been reading this SQLite file for {timeout:g} seconds, and as long as it has no "
        "write-ahead log nothing can be committed beside that. Everything was rolled back. Run the upgrade again when "
        "nobody reads, or wait longer with a higher lock timeout.",
        store=str(names),
    ) from failure


def _take_write_lock(connection: Connection, names: Names, timeout: float, left: float) -> None:
    failure: OperationalError | None = None
    for _ in attempts(left if in_task() else 0):  # a thread waits in SQLite, where a task could not be cancelled
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if code(error.orig) != BUSY:
                raise
            failure = error
    raise UpgradeLocked(
        f"{names}: {writer(connection)} has been writing to this SQLite file for {timeout:g} seconds. Nothing was "
        "changed. Run the upgrade again when it is done, or wait longer with a higher lock timeout.",
        store=str(names),
    ) from failure


def _refuse_orphans(connection: Connection, names: Names) -> None:
    own = [table for table in names.tables if connection.dialect.has_table(connection, table)]
    quote = connection.dialect.identifier_preparer.quote
    orphans = [
        row
        for table in own
        for row in connection.exec_driver_sql(f"PRAGMA foreign_key_check({quote(table)})").fetchmany(5)
    ]
    if orphans:
        raise SchemaConflict(
            f"{names}: the upgrade would leave rows without the session they belong to, in "
            f"{sorted({row[0] for row in orphans})}. Everything was rolled back.",
            store=str(names),
        )


@contextmanager
def joined(connection: Connection, names: Names, timeout: float) -> Iterator[None]:
    """Take the write lock in the caller's transaction, begun where sqlite3 would do so only before it writes rows."""
    driver = own(connection)
    with waiting(connection, timeout):
        if driver.in_transaction:
            _become_writer(connection, names)
        elif driver.isolation_level is None or getattr(driver, "autocommit", None) is True:
            raise refuse_to_join(names)
        else:
            _take_write_lock(connection, names, timeout, timeout)
    yield


def _become_writer(connection: Connection, names: Names) -> None:
    # By a write that leaves nothing behind; a read before it would keep SQLite from waiting for another writer.
    run = connection.exec_driver_sql
    run("SAVEPOINT agno_store_upgrade")
    try:
        run('CREATE TABLE "agno_store wants to write" (x)')
    except OperationalError as error:
        if code(error.orig) != BUSY:
            raise
        # https://www.sqlite.org/rescode.html#busy_snapshot
        raise UpgradeLocked(
            f"{names}: {writer(connection)} is writing to this SQLite file, or has done so since this transaction "
            "began to read. Nothing was changed. Roll it back and run it again, the upgrade first.",
            store=str(names),
        ) from error
    finally:
        run("ROLLBACK TO agno_store_upgrade")
        run("RELEASE agno_store_upgrade")
