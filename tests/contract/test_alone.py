"""Connections that are left committing each statement are that for the store's statements, and for nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from agno_store.dialects import alone
from tests.contract import stores
from tests.contract.samples import append, run, run_ids
from tests.contract.test_by_driver import core_engine

pytestmark = [pytest.mark.backends("postgresql"), pytest.mark.own_pool]


def turn(db: Any, run_id: str) -> None:
    db.upsert_session(db.get_session("s"), run=run(run_id))


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each time that a connection was told to commit each statement, or not to."""
    seen: list[bool] = []
    for cls in (psycopg.Connection, psycopg.AsyncConnection):
        usual = cls.set_autocommit

        def note(self: Any, value: bool, usual: Any = usual) -> Any:
            seen.append(value)
            return usual(self, value)

        monkeypatch.setattr(cls, "set_autocommit", note)
    return seen


@pytest.fixture
def there(opened: Callable[..., Any]) -> Any:
    db = opened()
    append(db, "s", "first")
    turn(db, "second")
    return db


def test_a_connection_stays_as_it_is(there: Any, switched: list[bool]) -> None:
    for n in range(5):
        turn(there, f"r{n}")
    assert switched == []


def test_a_program_gets_its_transactions(there: Any, switched: list[bool]) -> None:
    runs, engine = there.names.runs, there.db_engine

    def undone() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DELETE FROM {runs}")
            connection.rollback()

    for n in range(2):
        stores.run(undone)
        turn(there, f"r{n}")
    assert switched == [False, True, False, True]
    assert run_ids(there, "s") == ["first", "second", "r0", "r1"]


def test_what_takes_more_than_one_statement_is_one_transaction(there: Any, switched: list[bool]) -> None:
    there.delete_run("second", session_id="s")
    turn(there, "r")

    assert switched == [False, True]
    assert run_ids(there, "s") == ["first", "r"]


def test_a_connection_that_was_replaced_is_as_it_is_asked_for(there: Any) -> None:
    def end() -> None:
        with there.db_engine.connect() as connection:
            own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            end = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
            )
            connection.exec_driver_sql(f"{end}{own}")
            connection.invalidate()

    stores.run(end)
    turn(there, "r")
    stores.run(end)
    runs = there.names.runs

    def undone() -> None:
        with there.db_engine.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM {runs}")
            connection.rollback()

    stores.run(undone)
    assert run_ids(there, "s") == ["first", "second", "r"]


def test_who_else_is_asked_as_a_connection_is_handed_out_finds_it_with_transactions(there: Any) -> None:
    seen: list[bool] = []

    def look(driver: Any, *_: object) -> None:
        seen.append(driver.autocommit)

    event.listen(there.db_engine, "checkout", look)
    turn(there, "r")
    turn(there, "r2")
    assert set(seen) == {False}
    assert run_ids(there, "s") == ["first", "second", "r", "r2"]


def test_a_level_that_a_program_asks_for_is_its_own(there: Any) -> None:
    def alone() -> None:
        engine, sessions = there.db_engine, there.names.sessions
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"UPDATE {sessions} SET name_folded = 'x'")
        with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "serializable"
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
            assert connection.exec_driver_sql(f"SELECT name_folded FROM {sessions}").scalar() == "x"

    turn(there, "r")
    stores.run(alone)
    turn(there, "r2")
    assert run_ids(there, "s") == ["first", "second", "r", "r2"]


def autocommits(engine: Any) -> bool:
    with engine.connect() as connection:
        return bool(connection.connection.dbapi_connection.autocommit)


def test_who_asks_for_a_connection_while_one_is_made_for_the_store_gets_transactions(there: Any) -> None:
    seen: list[bool] = []
    engine: Any = core_engine(there)

    def ask(*_: object) -> None:
        if not seen:  # nor for the one that is asked for here
            seen.append(False)
            seen.append(autocommits(engine))

    def hold() -> list[Any]:
        return [engine.connect() for _ in range(engine.pool.checkedin())]

    held = stores.run(hold)
    event.listen(engine, "connect", ask)
    turn(there, "r")
    stores.run(lambda: [connection.close() for connection in held])
    assert seen == [False, False]


def test_who_was_begun_while_the_store_asked_for_a_connection_gets_transactions(there: Any) -> None:
    begun: list[Context] = []

    def begin(*_: object) -> None:
        begun.append(copy_context())  # as a task has it

    engine: Any = core_engine(there)
    for connection in stores.run(lambda: [engine.connect() for _ in range(engine.pool.checkedin())]):
        stores.run(connection.detach)
        stores.run(connection.close)
    event.listen(engine, "connect", begin)
    turn(there, "r")
    assert [context.run(alone._is_asked_alone) for context in begun] == [False]


def test_what_a_program_does_with_each_connection_is_not_committed(there: Any) -> None:
    engine, runs = core_engine(there), there.names.runs

    def forget(connection: Any) -> None:
        connection.exec_driver_sql(f"DELETE FROM {runs}")

    event.listen(engine, "engine_connect", forget)
    turn(there, "r")
    event.remove(engine, "engine_connect", forget)
    assert run_ids(there, "s") == ["first", "second", "r"]
