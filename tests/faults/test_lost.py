"""Connections that are gone when they are needed, and servers that do not take writes, or do not answer."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool, QueuePool

from agno_store import DatabaseError, MySQLDb, OutcomeUnknown, PostgresDb, open_db
from agno_store.dialects import answers
from agno_store.operations import Operations
from tests.contract.samples import append, positions, run_ids, session
from tests.faults.methods import READS, WRITES, furnish
from tests.faults.proxy import Proxy
from tests.servers.process import Server

CLASSES = {"postgresql": PostgresDb, "mysql": MySQLDb}
servers = pytest.mark.backends("postgresql", "mysql")


def kill_connections(url: str) -> int:
    """End every connection to a database at the server; return how many there were."""
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            found = connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).all()
        else:
            found = connection.exec_driver_sql(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            ).all()
            for row in found:
                connection.exec_driver_sql(f"KILL {row.id}")
    engine.dispose()
    return len(found)


@servers
@pytest.mark.parametrize("whose", ["ours", "a caller's without pre-ping"])
def test_every_call_succeeds_after_all_connections_were_killed(
    beside: Any, database: str, backend: str, whose: str, told: Callable[[str], None]
) -> None:
    engine = sa.create_engine(database, pool_size=3) if whose != "ours" else None
    db = open_db(database) if engine is None else CLASSES[backend](db_engine=engine)
    furnish(db)
    killed = 0
    for name, call in {**READS, **WRITES}.items():
        db.get_session("s")  # there is a connection to lose
        killed += kill_connections(database)
        assert call(db), name
    assert killed >= len(READS) + len(WRITES)
    db.close()
    if engine is not None:
        engine.dispose()
    told(f"killed {killed} connections of {whose} before {len(READS) + len(WRITES)} calls: 0 errors")


def test_no_call_is_left_out() -> None:
    answers_itself = {"update_approval_run_status", "get_latest_schema_version", "upsert_schema_version"}
    calls = {name for name, value in inspect.getmembers(Operations) if callable(value) and not name.startswith("_")}
    assert calls - answers_itself <= {*READS, *WRITES}


IDLE = {"postgresql": "SET idle_session_timeout = 200", "mysql": "SET SESSION wait_timeout = 1"}


@servers
def test_a_connection_that_the_server_closed_when_idle_is_made_anew(beside: Any, database: str, backend: str) -> None:
    engine = sa.create_engine(database, pool_size=2)

    @event.listens_for(engine, "connect")
    def soon_idle(driver: Any, _record: object) -> None:
        driver.autocommit = True if backend == "postgresql" else driver.autocommit
        driver.cursor().execute(IDLE[backend])
        driver.autocommit = False if backend == "postgresql" else driver.autocommit

    db = CLASSES[backend](db_engine=engine)
    append(db, "s", "r1")
    time.sleep(1.3 if backend == "mysql" else 0.5)
    append(db, "s", "r2")
    assert run_ids(db, "s") == ["r1", "r2"]
    engine.dispose()


@servers
def test_a_server_that_was_restarted_is_met_again(
    durable: Server, opened: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    db = opened(durable.url, table_name="restarted")
    append(db, "s", "r1")
    durable.kill()
    restarting = threading.Timer(0.3, durable.restart)
    restarting.start()
    with caplog.at_level(logging.INFO, "agno_store"):
        append(db, "s", "r2")  # waits for it
    restarting.join()
    assert run_ids(db, "s") == ["r1", "r2"]
    assert "trying again" in caplog.text


@servers
def test_a_server_that_stays_away_is_an_error_that_says_so_in_time(
    beside: Any, database: str, proxy: Proxy, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_store.attempts.PATIENCE", 0.5)
    db = opened(proxy.through(database))
    append(db, "s", "r1")
    proxy.refuse()
    began = time.monotonic()
    with pytest.raises(DatabaseError, match=r"after \d+ attempts.*server") as raised:
        append(db, "s", "r2")
    assert not isinstance(raised.value, OutcomeUnknown)  # nothing was sent
    assert time.monotonic() - began < 10
    proxy.restore()
    append(db, "s", "r2")
    assert positions(beside, "s") == {"r1": 0, "r2": 1}


@servers
@pytest.mark.parametrize("when", ["between two calls", "in the middle of one"])
def test_a_server_that_hangs_is_an_error_in_time(
    beside: Any, database: str, proxy: Proxy, backend: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(answers, "LONGEST", 1.0)
    monkeypatch.setattr("agno_store.attempts.PATIENCE", 0.5)
    bounds = {"postgresql": "?connect_timeout=2", "mysql": "&connect_timeout=2&read_timeout=1"}
    with open_db(proxy.through(database) + bounds[backend]) as db:
        db.upsert_session(session("s", session_data={"session_state": {}}))
        began = time.monotonic()

        def freeze(state: dict[str, Any]) -> dict[str, Any]:
            proxy.freeze()
            return {"n": 1}

        if when == "between two calls":
            proxy.freeze()
        with pytest.raises(DatabaseError, match=r"not answer|timed out|no connection could be had"):
            db.update_session_state("s", freeze)
        assert time.monotonic() - began < 15
        proxy.cut()
        proxy.restore()
        append(db, "s", "r")
        assert run_ids(beside, "s") == ["r"]
        assert beside.get_session("s").session_data["session_state"] == {}


@pytest.mark.backends("postgresql")
def test_an_upgrade_may_take_longer_than_an_answer(
    database: str, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LONGEST", 0.3)
    db = opened(database)
    db.get_sessions()
    with db.dialect.connected(db.db_engine) as connection:
        with db.dialect.upgrading(connection, db.names, timeout=5, scope=db.dialect.scope(pooled=False)):
            connection.exec_driver_sql("SELECT pg_sleep(1)")
        connection.rollback()
        with pytest.raises(sa.exc.OperationalError, match=r"did not answer within 0\.3 seconds"):
            connection.exec_driver_sql("SELECT pg_sleep(5)")


# -- servers that only read ---------------------------------------------------------------------------


@pytest.fixture
def switched(durable: Server, backend: str) -> Iterator[Callable[[bool], str]]:
    """Let a server take no writes, or take them again, from the next connections on; give a URL for it."""
    engine = sa.create_engine(durable.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    user = "CREATE USER IF NOT EXISTS app@'%'", "GRANT ALL ON test.* TO app@'%'"
    if backend == "mysql":
        run_all(engine, *user)

    def switch(reads_only: bool) -> str:
        on = "on" if reads_only else "off"
        if backend == "mysql":
            run_all(engine, f"SET GLOBAL read_only = {on}")
            return str(sa.make_url(durable.url).set(username="app"))
        own = "SET default_transaction_read_only = off"  # which this very connection may have got
        run_all(engine, own, f"ALTER DATABASE postgres SET default_transaction_read_only = {on}")
        return durable.url

    yield switch
    switch(False)
    engine.dispose()


def run_all(engine: sa.Engine, *statements: str) -> None:
    with engine.connect() as connection:
        connection.execution_options(no_parameters=True)
        for statement in statements:
            connection.exec_driver_sql(statement)


@servers
def test_a_server_that_takes_no_writes_is_named_and_left(
    switched: Callable[[bool], str], opened: Callable[..., Any]
) -> None:
    db = opened(switched(False), table_name="failover")
    append(db, "s", "r1")
    switched(True)
    db.db_engine.dispose()
    with pytest.raises(DatabaseError, match=r"takes no writes.*after 3 attempts"):
        append(db, "s", "r2")
    assert run_ids(db, "s") == ["r1"]
    held = [db.db_engine.connect() for _ in range(5)]  # they stay as they were when they were made
    for connection in held:
        connection.close()
    assert db.db_engine.pool.checkedin() == 5
    switched(False)
    append(db, "s", "r2")
    assert run_ids(db, "s") == ["r1", "r2"]


@servers
def test_an_unreachable_server_is_an_error_at_once_for_a_new_store(database: str, proxy: Proxy) -> None:
    proxy.refuse()
    began = time.monotonic()
    with open_db(proxy.through(database)) as db, pytest.raises(DatabaseError):
        db.get_session("s")
    assert time.monotonic() - began < 5


# -- pools -------------------------------------------------------------------------------------------


def test_a_pool_that_is_exhausted_is_an_error_in_time(beside: Any, database: str) -> None:
    engine = sa.create_engine(database, poolclass=QueuePool, pool_size=1, max_overflow=1, pool_timeout=0.3)
    db = type(beside)(db_engine=engine)
    append(db, "s", "r1")
    with engine.connect(), engine.connect():
        began = time.monotonic()
        with pytest.raises(DatabaseError, match="every connection of the pool is in use"):
            append(db, "s", "r2")
        assert time.monotonic() - began < 5
    append(db, "s", "r2")
    assert run_ids(db, "s") == ["r1", "r2"]
    engine.dispose()


def test_our_own_pool_is_bounded_in_connections_and_in_time(database: str, opened: Callable[..., Any]) -> None:
    pool = opened(database).db_engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.size() + pool._max_overflow <= 15
    assert pool.timeout() <= 30
