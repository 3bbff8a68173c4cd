"""A cursor of psycopg's is used again for the same text, and holds nothing meanwhile."""

from __future__ import annotations

import gc
import signal
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError

from agno_store import PostgresDb
from agno_store.dialects import psycopg_driver
from agno_store.sending import AT_ONCE, _executed
from tests.contract.samples import append, run_ids

COLOURS = ("sync",)

pytestmark = pytest.mark.backends("postgresql")


def asked(db: Any, *texts: str) -> tuple[list[Any], list[Any]]:
    """What texts are answered over one connection, and the cursors that it keeps afterwards."""
    with db.db_engine.connect() as connection:
        found = [_executed(connection, text, (), has_rows=True)[0] for text in texts]
        return found, kept(connection)


def kept(connection: sa.Connection) -> list[Any]:
    cursors = connection.info[AT_ONCE].__self__
    return list(cursors._kept.values())


def test_a_cursor_is_used_again_for_the_same_text(opened: Callable[..., Any]) -> None:
    db = opened()
    _, first = asked(db, "SELECT 1", "SELECT 'a'")
    found, second = asked(db, "SELECT 1", "SELECT 'a'", "SELECT 1 WHERE false", "SELECT 1")

    assert found == [[(1,)], [("a",)], [], [(1,)]]
    assert set(map(id, first)) <= set(map(id, second))
    assert len(second) == len(first) + 1


def test_what_was_read_is_not_kept(opened: Callable[..., Any]) -> None:
    _, cursors = asked(opened(), "SELECT repeat('x', 1000000)")

    assert cursors
    for cursor in cursors:
        assert cursor.pgresult is None
        assert cursor._results == []
        assert cursor._tx.pgresult is None


def test_no_more_cursors_are_kept_than_a_few(opened: Callable[..., Any]) -> None:
    texts = [f"SELECT {n}" for n in range(2 * psycopg_driver.MOST + 3)]
    found, cursors = asked(opened(), *texts)

    assert [rows[0][0] for rows in found] == list(range(len(texts)))
    assert 0 < len(cursors) <= psycopg_driver.MOST


def test_a_cursor_that_failed_is_not_used_again(opened: Callable[..., Any]) -> None:
    with opened().db_engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE soon_gone ()")
        text = "SELECT count(*) FROM soon_gone"
        assert _executed(connection, text, (), has_rows=True)[0] == [(0,)]
        before = kept(connection)
        connection.exec_driver_sql("DROP TABLE soon_gone")
        with pytest.raises(ProgrammingError, match="soon_gone"):
            _executed(connection, text, (), has_rows=True)
        connection.rollback()

        assert len(kept(connection)) == len(before) - 1
        assert _executed(connection, "SELECT 2", (), has_rows=True)[0] == [(2,)]


def test_a_text_is_sent_in_the_encoding_that_a_program_has_set(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "é0")
    for encoding in ("latin1", "utf8", "latin1"):
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql(f"SET client_encoding TO {encoding}")
        count = len(run_ids(db, "s"))
        append(db, "s", f"é{count}")
        assert run_ids(db, "s") == [f"é{n}" for n in range(count + 1)]

    with db.db_engine.connect() as connection:
        of_two_letters = f"SELECT count(*) FROM {db.names.runs} WHERE char_length(run_id) = 2"
        assert connection.scalar(sa.text(of_two_letters)) == 4


def test_a_connection_that_was_closed_is_gone_at_once(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    with db.db_engine.connect() as connection:
        assert kept(connection)
        driver = weakref.ref(connection.connection.driver_connection)
    gc.collect()  # what ours is not
    gc.disable()
    try:
        db.close()
        assert driver() is None
    finally:
        gc.enable()


def test_what_a_handler_of_signals_raises_is_what_is_met(opened: Callable[..., Any]) -> None:
    db = opened()
    event.listen(db.db_engine, "checkout", lambda *_: None)  # connections are handed out with transactions, then

    def ring(*_: object) -> None:
        raise TimeoutError("it takes too long")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError, match="too long"), db.dialect.by_statement(db.db_engine) as connection:
            _executed(connection, "SELECT pg_sleep(5)", (), has_rows=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    append(db, "s", "r")
    assert run_ids(db, "s") == ["r"]


def test_who_brings_an_engine_has_cursors_of_his_own(fresh_url: str) -> None:
    url = sa.make_url(fresh_url)
    theirs = PostgresDb(db_engine=sa.create_engine(url.set(drivername="postgresql+psycopg")))
    append(theirs, "s", "r")

    assert run_ids(theirs, "s") == ["r"]
    with theirs.db_engine.connect() as connection:
        assert AT_ONCE not in connection.info


def test_a_psycopg_whose_cursors_cannot_be_emptied_is_used_as_ever(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psycopg_driver, "EMPTIED_BY", ("_reset", "nowhere"))
    db = opened()
    append(db, "s", "r")

    assert run_ids(db, "s") == ["r"]
    with db.db_engine.connect() as connection:
        assert AT_ONCE not in connection.info
