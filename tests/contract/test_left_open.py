"""What a program or a setting leaves open on a connection of MySQL's: a store's calls do not become part of it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from agno_store.dialects.alone import Alone
from tests.contract import stores
from tests.contract.samples import append

COLOURS = ("sync",)

pytestmark = [pytest.mark.backends("mysql"), pytest.mark.own_pool]

HALF = "CREATE PROCEDURE half() BEGIN START TRANSACTION; INSERT INTO beside VALUES (1); SIGNAL SQLSTATE '45000'; END"
ROWS = "CREATE PROCEDURE told() BEGIN SELECT 1; INSERT INTO beside VALUES (1); END"


@pytest.fixture
def there(opened: Callable[..., Any]) -> Any:
    db = opened()
    append(db, "s", "first")
    with db.db_engine.begin() as connection:
        for text in ("CREATE TABLE beside (id INT PRIMARY KEY) ENGINE=InnoDB", HALF, ROWS):
            connection.exec_driver_sql(text)
    used(db)
    return db


def used(db: Any) -> None:
    for _ in range(3):
        db.get_session("s")


@pytest.fixture
def beside(fresh_url: str) -> Callable[[str], list[Any]]:
    """Read over a connection of its own."""
    engine = sa.create_engine(fresh_url, poolclass=sa.NullPool)

    def read(text: str) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.exec_driver_sql(text).scalars())

    return read


def test_what_is_told_as_stored_is_behind_a_program_that_rolls_back_what_failed(
    there: Any, beside: Callable[[str], list[Any]]
) -> None:
    found = there.get_session("s")
    raw = there.db_engine.raw_connection()
    raw.driver_connection.autocommit(True)
    with pytest.raises(there.db_engine.dialect.loaded_dbapi.Error):
        raw.cursor().execute("CALL half()")
    raw.rollback()
    raw.close()
    there.upsert_session(replace(found, metadata={"is": "stored"}))
    assert beside(f"SELECT metadata FROM {there.names.sessions}") == ['{"is":"stored"}']
    assert beside("SELECT id FROM beside") == []


def test_what_is_told_as_stored_is_where_transactions_follow_each_other(
    fresh_url: str, beside: Callable[[str], list[Any]]
) -> None:
    url = make_url(fresh_url).update_query_dict({"init_command": "SET SESSION completion_type = CHAIN"})
    db = stores.open_db(url.render_as_string(hide_password=False))
    append(db, "s", "first")
    used(db)
    for n in range(2):
        db.upsert_session(replace(db.get_session("s"), metadata={"n": n}))
        assert beside(f"SELECT metadata FROM {db.names.sessions}") == [f'{{"n":{n}}}']
    db.close()


@pytest.mark.parametrize("says", [True, False], ids=["said", "given back"])
def test_what_follows_rows_that_nobody_has_read_is_rolled_back(
    there: Any, beside: Callable[[str], list[Any]], says: bool
) -> None:
    raw = there.db_engine.raw_connection()
    raw.cursor().execute("CALL told()")
    if says:
        raw.rollback()
    raw.close()
    used(there)
    assert beside("SELECT id FROM beside") == []


def test_what_is_said_of_the_next_transaction_is_forgotten_with_it(there: Any) -> None:
    with there.db_engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    with there.db_engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO beside VALUES (1)")


def test_a_statement_that_fails_first_leaves_nothing_where_its_connection_is_only_given_back(
    there: Any, beside: Callable[[str], list[Any]]
) -> None:
    raw = there.db_engine.raw_connection()
    with pytest.raises(there.db_engine.dialect.loaded_dbapi.Error):
        raw.cursor().execute("CALL half()")
    raw.close()
    used(there)
    assert beside("SELECT id FROM beside") == []


class Interrupt(BaseException):
    """As a signal's handler raises it."""


def interrupted(step: int, work: Callable[[], object]) -> bool:
    """Interrupt ``work`` before the n-th line of who asks for a connection; tell whether it came to that."""
    left = step

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if frame.f_code is Alone.__enter__.__code__ and event == "line":
            left -= 1
            if left == 0:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_who_is_interrupted_as_he_asks_leaves_a_program_its_transactions_and_all_connections(there: Any) -> None:
    engine, step = there.db_engine, 1
    while interrupted(step, lambda: there.get_session("s")):
        gc.collect()
        assert engine.pool.checkedout() == 0, step
        with engine.connect() as connection:
            assert not connection.connection.driver_connection.get_autocommit(), step
        step += 1
    assert step > 8
