"""The connection that stays as it is from one call of a store to the next, and goes to whoever else needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from agno_store import dialects
from agno_store.dialects.alone import _IS_ALONE
from agno_store.dialects.own import is_silent
from agno_store.dialects.pool import POOL, OwnPool
from agno_store.sending import say
from tests.contract import stores
from tests.contract.samples import append, run, run_ids
from tests.contract.test_by_driver import core_engine

pytestmark = pytest.mark.own_pool

KILL = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}


def turn(db: Any, run_id: str) -> None:
    db.upsert_session(db.get_session("s", runs_limit=5), run=run(run_id))


@pytest.fixture
def there(opened: Callable[..., Any]) -> Any:
    """A store with a session, of which a connection has stayed."""
    db = opened()
    append(db, "s", "first")
    turn(db, "second")
    assert isinstance(pool(db), OwnPool)
    assert len(pool(db)._kept) == 1
    return db


def pool(db: Any) -> Any:
    return core_engine(db).pool


def driver(connection: Any) -> Any:
    """The driver's own connection, for as long as it is open."""
    return connection.connection.driver_connection


def one_that_stays(db: Any) -> Any:
    (connection,) = pool(db)._kept
    return connection


def reading(db: Any) -> Any:
    engine = core_engine(db)
    return dialects.of(engine).transaction(engine, writes=False)


def test_calls_use_the_connection_that_has_stayed(there: Any) -> None:
    stayed = one_that_stays(there)
    for n in range(3):
        turn(there, f"r{n}")
    assert one_that_stays(there) is stayed
    assert (pool(there).checkedin(), pool(there).checkedout()) == (1, 0)


def test_it_is_the_programs_where_the_pool_has_no_other(there: Any) -> None:
    mine = driver(one_that_stays(there))
    with core_engine(there).connect() as connection:
        assert driver(connection) is mine
        assert pool(there).checkedout() == 1
    turn(there, "r")
    assert pool(there).checkedin() == 1
    assert run_ids(there, "s") == ["first", "second", "r"]


def test_a_program_can_have_all_connections(there: Any) -> None:
    taken = [core_engine(there).connect() for _ in range(POOL["pool_size"])]
    assert pool(there).checkedout() == POOL["pool_size"]
    for connection in taken:
        connection.close()
    turn(there, "r")
    assert pool(there).checkedout() == 0


def test_who_waits_for_a_connection_gets_the_one_that_a_store_has_used(there: Any) -> None:
    taken = [core_engine(there).connect() for _ in range(POOL["pool_size"] - 1)]
    with reading(there):
        waits = stores.beside(core_engine(there).connect)
        stores.until(lambda: pool(there)._pool.waiting)
    taken.append(waits())
    assert not pool(there)._kept
    for connection in taken:
        connection.close()


def test_a_store_waits_for_one_that_a_program_gives_back(there: Any) -> None:
    taken = [core_engine(there).connect() for _ in range(POOL["pool_size"])]
    reads = stores.beside(lambda: there.get_session("s", runs_limit=5).session_id)
    stores.until(lambda: pool(there)._pool.waiting)
    taken.pop().close()
    assert reads() == "s"
    for connection in taken:
        connection.close()


@pytest.mark.parametrize("listened", ["checkout", "checkin", "reset"])
def test_who_listens_later_hears_of_each_call(there: Any, listened: str) -> None:
    heard: list[object] = []
    event.listen(core_engine(there), listened, lambda *args: heard.append(args))
    for _ in range(3):
        there.get_session("s", runs_limit=5)
    # Of those that come back the one that had stayed does as well, and the last one has not yet.
    assert len(heard) == 3


def test_a_log_that_is_turned_on_later_has_each_statement(there: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sqlalchemy.engine.Engine"):
        there.get_session("s", runs_limit=5)
    assert "SELECT" in caplog.text


def test_options_that_an_engine_gets_later_hold_for_calls(there: Any) -> None:
    core_engine(there).update_execution_options(mine=1)
    with reading(there) as connection:
        assert connection.get_execution_options()["mine"] == 1


@pytest.mark.parametrize("by", ["SQLAlchemy", "a statement"])
def test_one_in_a_transaction_does_not_stay(there: Any, by: str) -> None:
    with reading(there) as connection:
        if by == "SQLAlchemy":
            connection.exec_driver_sql("SELECT 1")
        else:
            say(connection, "BEGIN")
    assert not pool(there)._kept
    with core_engine(there).connect() as again:
        assert not pool(there).is_open(driver(again))
    turn(there, "r")
    assert run_ids(there, "s") == ["first", "second", "r"]


@pytest.mark.parametrize("ended", ["close", "detach", "invalidate"])
def test_one_that_a_hook_has_taken_away_does_not_stay(there: Any, ended: str) -> None:
    with reading(there) as connection:
        away = connection.connection
        getattr(connection, ended)()
    assert not pool(there)._kept
    assert pool(there).checkedout() == 0
    if ended == "detach":
        away.close()


def test_one_of_a_call_that_failed_does_not_stay(there: Any) -> None:
    with pytest.raises(ArithmeticError), reading(there):
        raise ArithmeticError
    assert not pool(there)._kept


def test_none_stays_in_a_pool_that_was_disposed_of_meanwhile(there: Any) -> None:
    before = pool(there)
    with reading(there):
        before.dispose()  # as the engine does before it makes itself another one
    assert not before._kept
    before.dispose()


def test_none_is_left_behind_where_the_engine_is_disposed_of(there: Any) -> None:
    before = pool(there)
    core_engine(there).dispose()
    assert (len(before._kept), before.checkedin(), before.checkedout()) == (0, 0, 0)
    turn(there, "r")
    assert len(pool(there)._kept) == 1


def _grown_old(there: Any) -> None:
    pool(there)._recycle = 60
    _was_made(there, 100)


def _of_a_lost_server(there: Any) -> None:
    _was_made(there, 100)
    pool(there)._invalidate_time = time.time() - 50  # as where another one was found to be lost


def _was_made(there: Any, seconds: float) -> None:
    one_that_stays(there).connection._connection_record.starttime -= seconds


def _given_up(there: Any) -> None:
    one_that_stays(there).connection._connection_record.invalidate(soft=True)


@pytest.mark.parametrize("over", [_grown_old, _of_a_lost_server, _given_up])
def test_one_is_made_anew_where_the_pool_would_make_it_anew(there: Any, over: Callable[[Any], None]) -> None:
    before = driver(one_that_stays(there))
    over(there)
    turn(there, "r")
    assert driver(one_that_stays(there)) is not before
    assert run_ids(there, "s") == ["first", "second", "r"]


@pytest.mark.backends("postgresql", "mysql")
def test_one_that_its_server_has_closed_is_noticed_before_it_is_used(
    there: Any, backend: str, fresh_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = driver(one_that_stays(there))
    engine = stores.create_engine(fresh_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = connection.exec_driver_sql(KILL[backend]).scalars().all()
        for number in found if backend == "mysql" else ():
            connection.exec_driver_sql(f"KILL {number}")
    engine.dispose()
    assert found
    stores.until(lambda: not is_silent(before))
    with caplog.at_level(logging.INFO, "agno_store"):
        turn(there, "r")
    assert "trying again" not in caplog.text
    assert driver(one_that_stays(there)) is not before
    assert run_ids(there, "s") == ["first", "second", "r"]


@pytest.mark.backends("postgresql", "mysql")
def test_one_that_begins_transactions_does_not_stay(there: Any) -> None:
    """As an engine hands them out where somebody is asked who might begin something."""
    core = core_engine(there)
    event.listen(core, "engine_connect", lambda *_: None)
    with reading(there) as connection:
        usual = sa.text("SELECT 1")
        assert connection.scalar(usual) == 1
    assert not pool(there)._kept


@pytest.mark.backends("postgresql", "mysql")
def test_one_that_was_made_for_a_call_stays_when_it_commits_each_statement(there: Any) -> None:
    core_engine(there).dispose()
    for _ in range(2):  # the first one makes it
        there.get_session("s", runs_limit=5)
    assert one_that_stays(there).info[_IS_ALONE]


def test_an_engine_that_leaves_its_connections_to_others_leaves_none_behind(there: Any) -> None:
    before, stayed = pool(there), one_that_stays(there)
    mine = stayed.connection.dbapi_connection
    core_engine(there).dispose(close=False)
    assert not before._kept
    assert stayed.closed
    mine.close()
