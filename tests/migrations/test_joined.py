"""An upgrade that is part of a caller's transaction: committed with it, rolled back with it, and not more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from agno_store import ConfigurationError, MySQLDb, PostgresDb, SchemaConflict, SqliteDb, UpgradeLocked, open_db
from agno_store.dialects.base import autocommits
from agno_store.errors import DatabaseError, SchemaError
from agno_store.migrations import Migrator
from agno_store.tables import HEAD, REVISIONS
from tests.migrations.conftest import contents, fill
from tests.migrations.joining import WAYS, TakenBack, Way, mine, tables, write
from tests.migrations.sessions import ADD_COLUMN, application, holding

EVERY = list(REVISIONS)
CLASSES: dict[str, Any] = {"sqlite": SqliteDb, "postgresql": PostgresDb, "mysql": MySQLDb}

joinable = pytest.mark.backends("sqlite", "postgresql")
on_postgresql = pytest.mark.backends("postgresql")


@pytest.fixture
def engine(fresh_url: str) -> Iterator[Engine]:
    """An engine of the caller's, with a table of the caller's in its database."""
    made = sa.create_engine(fresh_url)
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (id INTEGER)")
    yield made
    made.dispose()


@pytest.fixture
def store(backend: str, engine: Engine) -> Any:
    return CLASSES[backend](db_engine=engine, lock_timeout=0.5)


@joinable
@pytest.mark.parametrize("written_before", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_committed_with_the_callers_rows(engine: Engine, store: Any, way: Way, written_before: bool) -> None:
    with way(engine) as connection:
        if written_before:
            write(connection, 1)
        assert store.upgrade_schema(connection=connection) == EVERY
        write(connection, 2)
        assert tables(engine) == set()
    assert mine(engine) == ([1, 2] if written_before else [2])
    assert store.schema_status().in_step
    fill(store)
    assert len(contents(store)) == 3
    assert Migrator.of(store).drift() == []


@joinable
@pytest.mark.parametrize("written_before", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_rolled_back_with_the_callers_rows(engine: Engine, store: Any, way: Way, written_before: bool) -> None:
    with suppress(TakenBack), way(engine) as connection:
        if written_before:
            write(connection, 1)
        store.upgrade_schema(connection=connection)
        write(connection, 2)
        raise TakenBack
    assert (mine(engine), tables(engine)) == ([], set())
    assert store.schema_status().state == "missing"
    assert store.upgrade_schema() == EVERY


@joinable
def test_a_savepoint_takes_it_back_and_leaves_what_was_before(engine: Engine, store: Any) -> None:
    with engine.begin() as connection:
        write(connection, 1)
        with suppress(TakenBack), connection.begin_nested():
            store.upgrade_schema(connection=connection)
            write(connection, 2)
            raise TakenBack
        write(connection, 3)
    assert (mine(engine), tables(engine)) == ([1, 3], set())
    with engine.begin() as connection:
        write(connection, 4)
        with connection.begin_nested():
            assert store.upgrade_schema(connection=connection) == EVERY
    assert mine(engine) == [1, 3, 4]
    assert store.schema_status().in_step


@joinable
def test_several_upgrades_are_part_of_one_transaction(backend: str, engine: Engine) -> None:
    stores = [CLASSES[backend](db_engine=engine, table_name=name) for name in ("one", "two")]
    with engine.begin() as connection:
        for each in stores:
            assert each.upgrade_schema("0002", connection=connection) == EVERY[:2]
            assert each.upgrade_schema(connection=connection) == EVERY[2:]
            assert each.upgrade_schema(connection=connection) == []
    assert all(each.schema_status().in_step for each in stores)


@on_postgresql
def test_the_schema_is_made_in_it_too(engine: Engine) -> None:
    store = PostgresDb(db_engine=engine, db_schema="coolly made")
    for ending in ("rollback", "commit"):
        with engine.connect() as connection:
            assert store.upgrade_schema(connection=connection) == EVERY
            getattr(connection, ending)()
        with engine.connect() as connection:
            assert sa.inspect(connection).has_schema("coolly made") is (ending == "commit")
    fill(store)


# -- who else is there -------------------------------------------------------------------------------


@joinable
def test_another_upgrade_waits_until_the_caller_has_ended(fresh_url: str, engine: Engine, store: Any) -> None:
    with open_db(fresh_url, lock_timeout=0.5) as other:
        with engine.begin() as connection:
            store.upgrade_schema(connection=connection)
            with pytest.raises(UpgradeLocked):
                other.upgrade_schema()
        assert other.upgrade_schema() == []


@joinable
def test_it_waits_for_another_upgrade_and_then_gives_up(fresh_url: str, engine: Engine, store: Any) -> None:
    with open_db(fresh_url) as other, Migrator.of(other).running(), engine.connect() as connection:
        began = time.monotonic()
        with pytest.raises(UpgradeLocked, match="process"):
            store.upgrade_schema(connection=connection)
        assert 0.4 < time.monotonic() - began < 10
        connection.rollback()
    with engine.begin() as connection:
        assert store.upgrade_schema(connection=connection) == EVERY


@joinable
def test_it_goes_on_when_another_upgrade_is_done(backend: str, fresh_url: str, engine: Engine) -> None:
    store = CLASSES[backend](db_engine=engine, lock_timeout=60)
    held, over = threading.Event(), threading.Event()

    def upgrade() -> None:
        with open_db(fresh_url) as other, Migrator.of(other).running() as running:
            running.run(Migrator.of(other).chain.resolve("0002", up=True), up=True)
            held.set()
            over.wait(0.5)

    thread = threading.Thread(target=upgrade)
    thread.start()
    assert held.wait(20)
    with engine.begin() as connection:
        assert store.upgrade_schema(connection=connection) == EVERY[2:]
    over.set()
    thread.join()
    assert store.schema_status().in_step


@on_postgresql
def test_a_transaction_that_sees_the_past_does_not_run_the_revisions_again(engine: Engine, store: Any) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        connection.exec_driver_sql("SELECT 1").fetchall()
        PostgresDb(db_engine=engine).upgrade_schema("0002")
        with pytest.raises(DatabaseError, match="DuplicateTable"):
            store.upgrade_schema(connection=connection)
        connection.rollback()
        assert store.upgrade_schema(connection=connection) == EVERY[2:]
        connection.commit()
    assert store.schema_status().in_step


@on_postgresql
def test_a_table_in_use_ends_it_and_the_transaction_is_the_callers_to_roll_back(
    fresh_url: str, engine: Engine, tmp_path: Path
) -> None:
    store = PostgresDb(db_engine=engine, versions=application(tmp_path / "versions", ADD_COLUMN))
    store.upgrade_schema(HEAD)
    with (
        holding(fresh_url, "SELECT * FROM agent_sessions_runs"),
        engine.connect() as connection,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("agno_store.migrations.migrator.Migrator.of", short_of(Migrator.of, 0.3))
        write(connection, 1)
        with pytest.raises(UpgradeLocked, match="Roll this transaction back"):
            store.upgrade_schema(connection=connection)
        connection.rollback()
        write(connection, 2)
        connection.commit()
    assert mine(engine) == [2]
    with engine.begin() as connection:
        assert store.upgrade_schema(connection=connection) == ["a1"]


def short_of(of: Callable[..., Migrator], patience: float) -> Callable[..., Migrator]:
    """Return Migrator.of with another patience."""
    return lambda db, **more: of(db, ddl_lock_timeout=patience, **more)


# -- what is set for the caller's transaction --------------------------------------------------------

_SETTINGS = sa.text(
    "SELECT name, setting FROM pg_settings WHERE name IN ('lock_timeout', 'search_path', 'statement_timeout', "
    "'default_transaction_isolation', 'TimeZone') ORDER BY name"
)


def settings(connection: Connection) -> list[Any]:
    return [tuple(row) for row in connection.execute(_SETTINGS)]


@on_postgresql
@pytest.mark.parametrize("local", ["", "LOCAL "])
@pytest.mark.parametrize("ending", ["upgraded", "nothing to do", "refused", "failed"])
def test_the_callers_settings_are_as_before(
    engine: Engine, store: Any, tmp_path: Path, local: str, ending: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA tenant")
        connection.exec_driver_sql("SET search_path = tenant")
        if ending == "nothing to do":
            store.upgrade_schema(connection=connection)
        if ending == "refused":
            connection.exec_driver_sql("CREATE TABLE agent_sessions (id INTEGER)")
    if ending == "failed":
        versions = application(tmp_path / "versions", "raise RuntimeError('in the middle')")
        store = PostgresDb(db_engine=engine, versions=versions)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET {local}lock_timeout = '7s'")
        connection.exec_driver_sql(f"SET {local}search_path = tenant, public")
        before = settings(connection)
        assert ("lock_timeout", "7000") in before
        if ending in ("refused", "failed"):
            with pytest.raises(SchemaConflict if ending == "refused" else SchemaError):
                store.upgrade_schema(connection=connection)
        else:
            store.upgrade_schema(connection=connection)
        assert settings(connection) == before
        connection.commit()
        assert (settings(connection) == before) is (local == "")
        connection.exec_driver_sql("RESET ALL")
        connection.commit()
    if ending == "upgraded":
        assert len(tables(engine, "tenant")) == 6
        assert tables(engine) == set()


@on_postgresql
def test_the_savepoint_of_a_failed_upgrade_is_all_that_is_lost(engine: Engine, tmp_path: Path) -> None:
    failing = application(tmp_path / "versions", 'op.execute("SELECT nothing FROM nowhere")')
    store = PostgresDb(db_engine=engine, versions=failing)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '7s'")
        before = settings(connection)
        write(connection, 1)
        with pytest.raises(DatabaseError), connection.begin_nested():
            store.upgrade_schema(connection=connection)
        assert settings(connection) == before
    assert (mine(engine), tables(engine)) == ([1], set())


# -- failures ----------------------------------------------------------------------------------------


@joinable
@pytest.mark.parametrize(
    "failing", ["raise RuntimeError('in the middle')", 'op.execute("SELECT nothing FROM nowhere")']
)
def test_after_an_error_the_transaction_is_the_callers_to_roll_back(
    backend: str, engine: Engine, tmp_path: Path, failing: str
) -> None:
    store = CLASSES[backend](db_engine=engine, versions=application(tmp_path / "versions", ADD_COLUMN, failing))
    with engine.connect() as connection:
        write(connection, 1)
        with pytest.raises((SchemaError, DatabaseError)):
            store.upgrade_schema(connection=connection)
        assert connection.in_transaction()
        connection.rollback()
        write(connection, 2)
        connection.commit()
    assert (mine(engine), tables(engine)) == ([2], set())
    assert store.upgrade_schema("a1") == [*EVERY, "a1"]


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("way", WAYS)
def test_mysql_refuses_and_commits_nothing_of_the_callers(engine: Engine, store: Any, way: Way) -> None:
    with suppress(TakenBack), way(engine) as connection:
        write(connection, 1)
        with pytest.raises(ConfigurationError, match="cannot be part of"):
            store.upgrade_schema(connection=connection)
        raise TakenBack
    assert (mine(engine), tables(engine)) == ([], set())
    assert store.upgrade_schema() == EVERY


@joinable
@pytest.mark.parametrize("way", WAYS)
def test_a_connection_without_transactions_is_refused(engine: Engine, store: Any, way: Way) -> None:
    plain = engine.execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises(ConfigurationError, match="AUTOCOMMIT"), way(plain) as connection:
        store.upgrade_schema(connection=connection)
    assert tables(engine) == set()
    assert store.upgrade_schema() == EVERY


@pytest.mark.backends("postgresql", "mysql")
def test_the_engine_of_a_caller_without_transactions_gets_them_for_an_upgrade(
    backend: str, fresh_url: str, tmp_path: Path
) -> None:
    versions = application(tmp_path / "versions", 'op.execute(f"DELETE FROM {n.sessions}")\nraise RuntimeError')
    engine = sa.create_engine(fresh_url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)
    store = CLASSES[backend](db_engine=engine)
    fill(store)
    store = CLASSES[backend](db_engine=engine, versions=versions)
    with pytest.raises(SchemaError, match="RuntimeError"):
        store.upgrade_schema()
    with engine.connect() as connection:
        assert autocommits(connection)
        assert connection.exec_driver_sql("SELECT count(*) FROM agent_sessions").scalar() == 3
    engine.dispose()
