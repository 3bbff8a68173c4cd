"""A payload over what the server takes is refused before it is sent, and one under it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from agno_store import PayloadTooLarge, SqliteDb
from agno_store.dialects import POSTGRESQL, postgresql
from agno_store.dialects.limits import OVERHEAD, Limit
from tests.contract.database import dump, empty, statements
from tests.contract.samples import append, run, session
from tests.contract.sealing import codec, places
from tests.servers.process import Server

MOST = 256 * 1024

LETTERS = {
    "plain": "x",
    "quotation marks": '"',
    "apostrophes": "'",
    "backslashes": "\\",
    "line ends": "\n",
    "NUL": "\x00",
    "substitutes": "\x1a",
    "two bytes": "é",
    "three bytes": "語",
    "four bytes": "🦜",
    "lone surrogates": "\ud800",
    "mixed": "a\"b'c\\d\ne\x00fé語🦜",
}


@pytest.fixture
def small(durable: Server, backend: str, opened: Callable[..., Any]) -> Iterator[Any]:
    """A store at a server that takes packets of 256 KiB."""
    engine = sa.create_engine(durable.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT @@global.max_allowed_packet").scalar()
        connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {MOST}")
        yield opened(durable.url, table_name="small")
        connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {before}")
    engine.dispose()


CALLS: dict[str, Callable[[Any, str], object]] = {
    "upsert_run, new": lambda db, text: db.upsert_run(run("new", content=text), "s"),
    "upsert_run of a new session": lambda db, text: db.upsert_run(run("new", content=text), "new"),
    "upsert_run, stored": lambda db, text: db.upsert_run(run("r", content=text), "s"),
    "append_run_to_session_if_absent": lambda db, text: db.append_run_to_session_if_absent("s", run("new", text)),
    "update_run_in_session": lambda db, text: db.update_run_in_session("s", "r", {"content": text}),
    "session_data with a run": lambda db, text: db.update_run_in_session("s", "r", {}, session_data={"x": text}),
    "upsert_session, new": lambda db, text: db.upsert_session(session("new", metadata={"x": text})),
    "upsert_session, stored": lambda db, text: db.upsert_session(session("s", session_data={"x": text})),
    "upsert_session, together": lambda db, text: db.upsert_session(
        session("s", session_data={"x": text[::2]}, metadata={"x": text[::2]}, agent_data={"x": text[::2]})
    ),
    "upsert_sessions": lambda db, text: db.upsert_sessions([session("a"), session("s", metadata={"x": text})]),
    "insert_session_if_absent": lambda db, text: db.insert_session_if_absent(session("new", metadata={"x": text})),
    "rename_session": lambda db, text: db.rename_session("s", "agent", text),
    "update_session_state": lambda db, text: db.update_session_state("s", lambda state: {"x": text}),
    "upsert_summary": lambda db, text: db.upsert_summary("s", {"summary": text}),
    "a summary with a session": lambda db, text: db.upsert_session(session("s", summary={"summary": text})),
}


@contextmanager
def longest_sent(engine: sa.Engine) -> Iterator[list[int]]:
    """Collect how long the texts are that are sent."""
    lengths: list[int] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        values = parameters.values() if isinstance(parameters, dict) else parameters
        lengths.extend(len(value) for value in values if isinstance(value, str))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield lengths
    finally:
        event.remove(engine, "before_cursor_execute", note)


def assert_refused(db: Any, limit: int, text: str) -> None:
    append(db, "s", "r")
    before = dump(db)
    for name, call in CALLS.items():
        with longest_sent(db.db_engine) as lengths, pytest.raises(PayloadTooLarge, match="Nothing was wri") as raised:
            call(db, text)
        assert raised.value.limit == limit < raised.value.size < 4 * len(text) + 2 * OVERHEAD, name
        assert f"{raised.value.size:,}" in str(raised.value)
        assert dump(db) == before, name
        assert max(lengths, default=0) < len(text) // 3, name


@pytest.mark.backends("mysql")
def test_every_call_refuses_what_is_over_max_allowed_packet(small: Any) -> None:
    assert_refused(small, MOST, "x" * (MOST + 10))
    with pytest.raises(PayloadTooLarge, match="max_allowed_packet"):
        append(small, "s", "quoted", content="'" * (MOST // 2))


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS.keys())
def test_the_largest_run_that_is_not_refused_is_stored(small: Any, letter: str) -> None:
    stored, refused = 0, 2 * MOST
    while refused - stored > 256:
        length = (stored + refused) // 2
        try:
            append(small, "s", "r", content=letter * (length // len(letter)))
            stored = length
        except PayloadTooLarge:
            refused = length
    assert small.get_run("r").content == letter * (stored // len(letter))
    # Nothing is refused that is far from the limit: a letter takes up to sixteen bytes here.
    assert stored > MOST // 16


@pytest.mark.backends("mysql")
def test_the_limit_is_read_once_for_a_connection_and_not_for_small_payloads(small: Any) -> None:
    append(small, "s", "r")
    with statements(small.db_engine) as sent:
        append(small, "s", "small")
        append(small, "s", "large", content="x" * 50_000)
        append(small, "s", "larger", content="x" * 90_000)
    assert len([statement for statement in sent if "max_allowed_packet" in statement]) == 1


@pytest.mark.backends("mysql")
def test_a_limit_that_was_raised_is_met_by_the_next_connection(small: Any) -> None:
    with pytest.raises(PayloadTooLarge):
        append(small, "s", "r", content="x" * 2 * MOST)
    with small.db_engine.connect() as connection:
        connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {8 * MOST}")
    small.db_engine.dispose()
    append(small, "s", "r", content="x" * 2 * MOST)


@pytest.mark.backends("postgresql")
def test_every_call_refuses_what_is_over_the_limit_of_postgresql(beside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert POSTGRESQL.largest(beside.db_engine.connect()).size == 2**30 - 2
    monkeypatch.setattr(postgresql, "LARGEST", Limit(MOST))
    assert_refused(beside, MOST, "x" * (MOST + 10))


@pytest.mark.backends("sqlite")
def test_every_call_refuses_what_is_over_the_limit_of_sqlite(
    backend: str, database: str, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(database)

    @event.listens_for(engine, "connect")
    def limit(driver: Any, _record: object) -> None:
        if hasattr(driver, "setlimit"):
            driver.setlimit(0, MOST)  # SQLITE_LIMIT_LENGTH

    monkeypatch.setattr("agno_store.dialects.sqlite.LARGEST", Limit(MOST))
    assert_refused(SqliteDb(db_engine=engine), MOST, "x" * (MOST + 10))
    engine.dispose()


@pytest.mark.backends("mysql")
def test_a_run_that_is_too_large_sealed_keeps_nothing_else_from_being_sealed(
    small: Any, caplog: pytest.LogCaptureFixture
) -> None:
    small.upgrade_schema()
    empty(small)  # what other tests have left there would be counted
    large = "x" * (MOST * 9 // 10)
    append(small, "a", "large", content=large)
    append(small, "a", "behind", content="said")
    append(small, "b", "r", content="said")
    sealed = type(small)(db_engine=small.db_engine, table_name=small.names.sessions, codec=codec("2026"))
    done = sealed.rekey()
    assert (done.runs, done.left) == (2, 1)
    assert "run 'large' of session 'a' stays as it is stored" in caplog.text
    assert large not in caplog.text
    assert [one.content for one in sealed.get_session("a").runs] == [large, "said"]
    assert places(small, "said") == []
