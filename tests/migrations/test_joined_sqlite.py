"""An upgrade in a caller's transaction on SQLite, in each mode in which Python's driver has transactions."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from agno_store import ConfigurationError, SqliteDb, UpgradeLocked, open_db
from agno_store.dialects.writer import LOCKS
from agno_store.migrations import Migrator
from agno_store.tables import REVISIONS
from tests.migrations.conftest import contents, fill
from tests.migrations.joining import WAYS, TakenBack, Way, tables
from tests.migrations.sessions import ADD_COLUMN, application

pytestmark = pytest.mark.backends("sqlite")

EVERY = list(REVISIONS)

IN_BATCH = """
with op.batch_alter_table(n.sessions, schema=n.schema) as batch:
    batch.alter_column("user_id", type_=sa.String(300))
"""


def begins_by_event(url: str) -> Engine:
    """The way in which SQLAlchemy's manual has transactions begun at once."""
    engine = sa.create_engine(url)
    sa.event.listen(engine, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def driver_option(**options: Any) -> Callable[[str], Engine]:
    return lambda url: sa.create_engine(url, connect_args=options)


MODES: dict[str, Callable[[str], Engine]] = {
    "deferred": driver_option(isolation_level="DEFERRED"),
    "immediate": driver_option(isolation_level="IMMEDIATE"),
    "exclusive": driver_option(isolation_level="EXCLUSIVE"),
    "begun by an event": begins_by_event,
}
WITHOUT = {"no isolation level": driver_option(isolation_level=None)}
if sys.version_info >= (3, 12):
    MODES["autocommit=False"] = driver_option(autocommit=False)
    WITHOUT["autocommit=True"] = driver_option(autocommit=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_sqlites_driver_has_transactions_to_be_part_of(fresh_url: str, mode: str, way: Way) -> None:
    engine = MODES[mode](fresh_url)
    store = SqliteDb(db_engine=engine)
    with suppress(TakenBack), way(engine) as connection:
        store.upgrade_schema(connection=connection)
        raise TakenBack
    assert tables(engine) == set()
    with way(engine) as connection:
        assert store.upgrade_schema(connection=connection) == EVERY
        assert tables(engine) == set()
    assert len(tables(engine)) == 6
    fill(store)
    engine.dispose()


@pytest.mark.parametrize("mode", WITHOUT)
def test_a_mode_without_transactions_is_refused_but_not_one_begun_by_hand(fresh_url: str, mode: str) -> None:
    engine = WITHOUT[mode](fresh_url)
    store = SqliteDb(db_engine=engine)
    with pytest.raises(ConfigurationError, match="AUTOCOMMIT"), engine.begin() as connection:
        store.upgrade_schema(connection=connection)
    assert tables(engine) == set()
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        assert store.upgrade_schema(connection=connection) == EVERY
        assert tables(engine) == set()
        connection.exec_driver_sql("COMMIT")
    assert store.schema_status().in_step
    engine.dispose()


@pytest.mark.parametrize("mode", [*MODES, *WITHOUT])
def test_the_engine_of_a_caller_serves_in_every_mode_of_the_driver(fresh_url: str, mode: str) -> None:
    engine = {**MODES, **WITHOUT}[mode](fresh_url)
    store = SqliteDb(db_engine=engine)
    assert store.upgrade_schema("0002") == EVERY[:2]
    fill_upgraded(store)
    Migrator.of(store).downgrade("base")
    assert store.upgrade_schema() == EVERY
    engine.dispose()


def fill_upgraded(store: Any) -> None:
    store.upgrade_schema()
    fill(store)
    assert len(contents(store)) == 3


@pytest.mark.parametrize("has_read", [True, False])
def test_a_transaction_that_is_no_writer_yet_becomes_one_or_says_that_it_cannot(fresh_url: str, has_read: bool) -> None:
    engine = begins_by_event(fresh_url)
    store = SqliteDb(db_engine=engine, lock_timeout=0.5)
    file = str(engine.url.database)
    with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as other, engine.connect() as connection:
        waited = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        if has_read:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").fetchall()
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(UpgradeLocked, match=f"process {os.getpid()} " if LOCKS.exists() else "process"):
            store.upgrade_schema(connection=connection)
        assert has_read or 0.4 < time.monotonic() - began < 4
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == waited
        other.execute("ROLLBACK")
        assert store.upgrade_schema(connection=connection) == EVERY
        with pytest.raises(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
        connection.commit()
    engine.dispose()


def test_a_transaction_that_read_before_another_wrote_is_told_to_begin_again(fresh_url: str) -> None:
    with open_db(fresh_url) as other:  # with a write-ahead log, where readers and a writer do not meet
        other.upgrade_schema("0001")
        engine = begins_by_event(fresh_url)
        store = SqliteDb(db_engine=engine, lock_timeout=0.5)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").fetchall()
            other.upgrade_schema("0002")
            with pytest.raises(UpgradeLocked, match="the upgrade first"):
                store.upgrade_schema(connection=connection)
            connection.rollback()
            assert store.upgrade_schema(connection=connection) == EVERY[2:]
            connection.commit()
        engine.dispose()
        assert other.schema_status().in_step


@pytest.mark.parametrize("enforced", [True, False])
def test_a_rebuild_with_foreign_keys_on_is_refused_before_a_row_is_lost(
    fresh_url: str, tmp_path: Path, enforced: bool
) -> None:
    with open_db(fresh_url) as plain:
        fill(plain)
        before = contents(plain)
    store = SqliteDb(db_url=fresh_url, versions=application(tmp_path / "versions", ADD_COLUMN, IN_BATCH))
    engine = sa.create_engine(fresh_url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA foreign_keys = {'ON' if enforced else 'OFF'}")
        if enforced:
            with pytest.raises(ConfigurationError, match="PRAGMA foreign_keys = OFF"):
                store.upgrade_schema(connection=connection)
        else:
            assert store.upgrade_schema(connection=connection) == ["a1", "a2"]
        connection.commit()  # whatever the caller makes of it, no row is lost
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
    assert store.upgrade_schema() == (["a2"] if enforced else [])
    with store:
        assert contents(store) == before
    engine.dispose()


def test_a_store_in_memory_is_upgraded_on_its_own_connection() -> None:
    with open_db("sqlite://") as db:
        with db.db_engine.begin() as connection:
            assert db.upgrade_schema(connection=connection) == EVERY
            connection.rollback()
        assert db.schema_status().state == "missing"
        with db.db_engine.begin() as connection:
            assert db.upgrade_schema(connection=connection) == EVERY
        fill(db)
