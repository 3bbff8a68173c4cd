"""What is tried again, how often, and what is said at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from agno_store import DatabaseError, MySQLDb, PostgresDb, attempts
from tests.contract.processes import together
from tests.contract.samples import append, positions, run_ids, session

CLASSES = {"postgresql": PostgresDb, "mysql": MySQLDb}
servers = pytest.mark.backends("postgresql", "mysql")
WAIT = {"postgresql": "SET lock_timeout = 50", "mysql": "SET SESSION innodb_lock_wait_timeout = 1"}


@contextmanager
def held(url: str, table: str) -> Iterator[sa.Connection]:
    """Hold a session's row from another connection."""
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT 1 FROM {table} WHERE session_id = 's' FOR UPDATE").all()
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.fixture
def impatient(beside: Any, database: str, backend: str) -> Iterator[Any]:
    """The store on an engine whose connections do not wait long for a row."""
    engine = sa.create_engine(database)

    @sa.event.listens_for(engine, "connect")
    def limit(driver: Any, _record: object) -> None:
        with driver.cursor() as cursor:
            cursor.execute(WAIT[backend])
        driver.commit()

    yield CLASSES[backend](db_engine=engine)
    engine.dispose()


@servers
def test_a_row_that_stays_locked_is_given_up_after_a_number_of_attempts(
    impatient: Any, database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOST", {**attempts.MOST, attempts.Cause.OTHERS: 4})
    monkeypatch.setattr(attempts, "PATIENCE", 0.0)
    append(impatient, "s", "r1")
    with (
        held(database, impatient.table_name),
        caplog.at_level(logging.INFO, "agno_store"),
        pytest.raises(DatabaseError, match=r"after 4 attempts: \w+"),
    ):
        append(impatient, "s", "r2")
    said = [record.getMessage() for record in caplog.records if "trying again" in record.getMessage()]
    assert len(said) == 3
    assert all(f"attempt {n} met " in text for n, text in enumerate(said, 1))
    assert all("others were in the way" in text for text in said)
    append(impatient, "s", "r2")
    assert run_ids(impatient, "s") == ["r1", "r2"]


@servers
def test_a_row_that_is_free_again_is_written(impatient: Any, database: str) -> None:
    append(impatient, "s", "r1")
    with held(database, impatient.table_name) as connection:
        timer = threading.Timer(1.2, connection.rollback)
        timer.start()
        append(impatient, "s", "r2")
        timer.join()
    assert run_ids(impatient, "s") == ["r1", "r2"]


@servers
def test_a_deadlock_is_met_by_another_attempt(beside: Any, database: str, told: Callable[[str], None]) -> None:
    """Two transactions that lock two sessions in opposite orders: one of them is told to begin again."""
    beside.upsert_sessions([session("a"), session("b")])
    deadlocks, lock = [0], threading.Lock()
    meeting = [threading.Barrier(2) for _ in range(5)]

    @sa.event.listens_for(beside.db_engine, "handle_error")
    def count(context: Any) -> None:
        with lock:
            deadlocks[0] += beside.dialect.is_transient(context.sqlalchemy_exception)

    def both(first: str, second: str, barrier: threading.Barrier) -> None:
        tried: list[int] = []

        def work(connection: sa.Connection) -> None:
            for n, key in enumerate((first, second)):
                row = connection.execute(beside._store.sql.lock_session, {"session_id": key}).mappings().one()
                if n == 0 and not tried:
                    tried.append(1)
                    barrier.wait(10)
                beside._store._update_session(connection, key, row["version"], {"updated_at": 1})

        beside._write(work)

    for barrier in meeting:
        together(partial(both, "a", "b", barrier), partial(both, "b", "a", barrier))
    sa.event.remove(beside.db_engine, "handle_error", count)
    assert deadlocks[0] >= len(meeting)
    told(f"met {deadlocks[0]} deadlocks: 0 errors")


@servers
def test_serializable_writers_of_one_session_all_succeed(
    beside: Any, database: str, backend: str, told: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    engine = sa.create_engine(database, isolation_level="SERIALIZABLE", pool_size=8)
    db = CLASSES[backend](db_engine=engine)
    db.upsert_session(session("s"))
    with caplog.at_level(logging.INFO, "agno_store"):
        together(*(lambda t=t: append(db, "s", *(f"{t}-{n}" for n in range(5))) for t in range(8)))
    assert sorted(positions(beside, "s").values()) == list(range(40))
    again = sum("trying again" in record.getMessage() for record in caplog.records)
    engine.dispose()
    told(f"8 SERIALIZABLE writers appended 40 runs to one session with {again} further attempts: 0 errors")


def test_what_another_attempt_would_not_mend_is_not_tried_again(beside: Any, caplog: pytest.LogCaptureFixture) -> None:
    append(beside, "s", "r1")
    with beside.db_engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {beside.names.runs} RENAME TO elsewhere")
    try:
        began = time.monotonic()
        with caplog.at_level(logging.INFO, "agno_store"), pytest.raises(DatabaseError, match="refused: "):
            append(beside, "s", "r2")
        assert time.monotonic() - began < 2
        assert "trying again" not in caplog.text
    finally:
        with beside.db_engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE elsewhere RENAME TO {beside.names.runs}")
