"""Calls that are watched: spans of OpenTelemetry's, with SQLAlchemy's below them, and lines for those that are slow."""

from __future__ import annotations

import inspect
import logging
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import agno_store
from agno_store import ConfigurationError, OwnerMismatch, SqliteDb
from tests.aio.test_facade import METHODS, public
from tests.contract.processes import together
from tests.contract.samples import append, run, session
from tests.contract.stores import open_db, plain

PRIVATE = ("ada-the-user", "s-the-session", "r-the-run", "what was said")
USER, SESSION, RUN, SAID = PRIVATE


class Seen:
    """The spans of a program, and where they come from."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def take(self, of: str = "agno_store") -> list[ReadableSpan]:
        """The spans of a library that have ended since, in the order in which they did."""
        found = self._exporter.get_finished_spans()
        self._exporter.clear()
        return [span for span in found if span.instrumentation_scope and of in span.instrumentation_scope.name]

    def calls(self) -> list[tuple[str, int]]:
        """The calls of stores that have ended since, and how many rows each was about."""
        return [(span.name.split()[0], about(span)["agno_store.rows"]) for span in self.take()]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def traced(db: Any, seen: Seen) -> Iterator[Any]:
    """The shared store, opened once more and traced."""
    with open_db(db.db_engine.url, tracing=seen.provider) as store:
        store.get_session("nothing")
        assert seen.calls() == [("get_session", 0)]  # that the tables were looked at is a part of it
        yield store


def about(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


# -- spans -------------------------------------------------------------------------------------------


def test_a_call_is_one_span_that_says_what_it_took_and_names_nobody(traced: Any, seen: Seen, backend: str) -> None:
    traced.upsert_session(session(SESSION, user_id=USER))
    traced.upsert_run(run(RUN, SAID * 100), SESSION, user_id=USER)
    append(traced, SESSION, "r2", user_id=USER)
    seen.take()
    traced.get_session(SESSION, user_id=USER)
    traced.get_sessions(user_id=USER)
    traced.upsert_run(run(RUN, SAID * 200), SESSION, user_id=USER)
    spans = seen.take()

    assert [(span.name, span.kind) for span in spans] == [
        (f"{name} {traced.table_name}", SpanKind.CLIENT) for name in ("get_session", "get_sessions", "upsert_run")
    ]
    url, is_mariadb = traced.db_engine.url, getattr(traced.db_engine.dialect, "is_mariadb", False)
    for span in spans:
        told = about(span)
        assert told["db.system.name"] == ("mariadb" if is_mariadb else backend)
        assert told["db.collection.name"] == traced.table_name
        assert told["db.namespace"] == (Path(url.database).name if backend == "sqlite" else url.database)
        assert (told.get("server.address"), told.get("server.port")) == (url.host or None, url.port)
        assert (told["agno_store.attempts"], span.status.status_code) == (1, StatusCode.UNSET)
        assert not any(private in span.to_json() for private in (*PRIVATE, str(url.password)))
    read, listed, written = map(about, spans)
    assert read["db.response.returned_rows"] == read["agno_store.rows"] == 3
    assert listed["db.response.returned_rows"] == listed["agno_store.rows"] == 3
    assert written["db.operation.name"] == "upsert_run"
    assert written["agno_store.rows"] - written["db.response.returned_rows"] == 2
    size = len(SAID) * 100
    assert size < read["agno_store.bytes"] < size + 2000
    assert 2 * size < written["agno_store.bytes"] < 2 * size + 2000


def test_a_call_that_fails_tells_its_error_by_the_type_alone(traced: Any, seen: Seen) -> None:
    traced.upsert_session(session(SESSION, user_id=USER))
    with pytest.raises(OwnerMismatch, match=SESSION):
        traced.upsert_run(run(RUN), SESSION, user_id="bob")
    span = seen.take()[-1]
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    assert about(span)["error.type"] == "agno_store.errors.OwnerMismatch"
    assert not any(private in span.to_json() for private in PRIVATE)


def test_statements_are_spans_below_that_of_their_call_and_it_below_the_programs(traced: Any, seen: Seen) -> None:
    instrumentor = SQLAlchemyInstrumentor()
    engine = traced.db_engine
    # It says that it is for SQLAlchemy before 2.1, and works with 2.1 as well.
    instrumentor.instrument(engine=engine, tracer_provider=seen.provider, skip_dep_check=True)
    try:
        with seen.provider.get_tracer("program").start_as_current_span("request") as request:
            append(traced, "s", "r")
            found = traced.get_session("s", deserialize=False)
    finally:
        instrumentor.uninstrument()
    assert len(found["runs"]) == 1
    every = seen.take("")
    calls = {span.context.span_id: span for span in every if span.name.endswith(traced.table_name)}
    selects = [span for span in every if span.name.startswith("SELECT")]
    assert [span.name.split()[0] for span in calls.values()] == ["upsert_run", "get_session"]
    assert all(span.parent and span.parent.span_id == request.get_span_context().span_id for span in calls.values())
    parents = [calls[span.parent.span_id].name.split()[0] for span in selects if span.parent]
    assert set(parents) == {"upsert_run", "get_session"}
    assert parents.count("get_session") == 2


def test_calls_at_the_same_time_are_told_apart(traced: Any, seen: Seen) -> None:
    for number in range(5):
        append(traced, f"s{number}", *(f"r{n}" for n in range(number)))
    seen.take()
    together(*(partial(traced.get_session, f"s{number}", deserialize=False) for number in range(1, 5)))
    assert sorted(about(span)["agno_store.rows"] for span in seen.take()) == [2, 3, 4, 5]


def test_each_page_of_a_stream_is_a_call(traced: Any, seen: Seen) -> None:
    traced.upsert_sessions([session(f"s{number}") for number in range(5)])
    seen.take()
    for _ in traced.iter_sessions(at_once=2):
        traced.get_summary("s0")
    calls = seen.calls()
    assert [rows for name, rows in calls if name == "iter_sessions"][:3] == [2, 2, 1]
    assert len([name for name, _ in calls if name == "get_summary"]) == 5


def test_much_work_is_one_call_about_all_its_rows(traced: Any, seen: Seen, tmp_path: Path) -> None:
    append(traced, "s", "r1", "r2")
    traced.export(str(tmp_path / "all.jsonl"))
    traced.prune("0d")
    traced.import_from(str(tmp_path / "all.jsonl"))
    assert seen.calls()[2:] == [("export", 3), ("prune", 3), ("import_from", 3)]


def test_a_search_is_about_what_it_has_looked_into(traced: Any, seen: Seen) -> None:
    for number in range(3):
        append(traced, f"s{number}", "r", content=SAID * 100)
    traced.upsert_session(session("state", session_data={"session_state": {"x": SAID * 100}}))
    append(traced, "nothing", "r", content="something else")
    seen.take()
    assert len(traced.search(SAID)) == 4
    [told] = map(about, seen.take())
    # Five sessions were listed, one was read whole, and three runs were.
    assert told["agno_store.rows"] == told["db.response.returned_rows"] == 9
    assert len(SAID) * 400 < told["agno_store.bytes"] < len(SAID) * 400 + 4000


@pytest.mark.backends("postgresql")
def test_another_attempt_is_counted(traced: Any, seen: Seen) -> None:
    url, first = traced.db_engine.url, [True]

    def get_ahead(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT") and first:
            first.clear()
            with agno_store.open_db(plain(url)) as other:
                other.upsert_session(session("s"))

    sa.event.listen(traced.db_engine, "before_cursor_execute", get_ahead)
    traced.upsert_session(session("s"))
    sa.event.remove(traced.db_engine, "before_cursor_execute", get_ahead)
    assert not first
    assert [about(span)["agno_store.attempts"] for span in seen.take()] == [2]


# -- who is watched ----------------------------------------------------------------------------------


def wrapped(db: Any) -> set[str]:
    return {name for name, member in vars(db).items() if inspect.isroutine(member)}


def test_every_public_call_is_watched_and_none_where_nobody_asked(tmp_path: Path) -> None:
    unasked = {"close", "to_dict", *(name for name in METHODS if "schema_version" in name or "approval" in name)}
    assert wrapped(SqliteDb(tmp_path / "a.db", slow_operation_ms=1)) == METHODS & public(SqliteDb) - unasked
    assert wrapped(SqliteDb(tmp_path / "a.db")) == set()


def test_a_copy_in_another_process_is_traced_by_that_processs_own_provider(tmp_path: Path, seen: Seen) -> None:
    db = SqliteDb(tmp_path / "a.db", tracing=seen.provider, slow_operation_ms=5)
    _, (_, _, options) = db.__reduce__()
    assert (options["tracing"], options["slow_operation_ms"]) == (True, 5)
    copied = pickle.loads(pickle.dumps(db))
    assert wrapped(copied) == wrapped(db)
    copied.get_session("s")
    assert seen.take() == []


@pytest.mark.parametrize("tracing", [None, "yes", 1])
def test_what_gives_no_tracers_is_refused(tracing: Any) -> None:
    with pytest.raises(ConfigurationError, match="tracing="):
        SqliteDb(db_url="sqlite://", tracing=tracing)


# -- slow calls --------------------------------------------------------------------------------------


def said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "agno_store.slow"]


def test_a_call_that_is_slow_is_a_warning_that_names_nobody(db: Any, caplog: pytest.LogCaptureFixture) -> None:
    url = db.db_engine.url
    with open_db(url, slow_operation_ms=0) as all_slow, open_db(url, slow_operation_ms=60_000) as none_slow:
        for store in (all_slow, none_slow):
            store.upsert_session(session(SESSION, user_id=USER))
            append(store, SESSION, RUN, content=SAID, user_id=USER)
        with pytest.raises(OwnerMismatch):
            all_slow.upsert_run(run(RUN), SESSION, user_id="bob")
    found = said(caplog)
    details: list[dict[str, Any]] = [getattr(record, "agno_store", {}) for record in found]
    assert [record.levelno for record in found] == [logging.WARNING] * 3
    assert [each["operation"] for each in details] == ["upsert_session", "upsert_run", "upsert_run"]
    assert [each["error"] for each in details] == [None, None, "OwnerMismatch"]
    assert all(each["seconds"] > 0 and each["attempts"] == 1 for each in details)
    for record, each in zip(found, details, strict=True):
        text = record.getMessage()
        assert text.startswith(f"{db.names} in {db.dialect.title} at ")
        assert f": {each['operation']} took {each['seconds']:.3f} s (rows {each['rows']}, bytes " in text
        assert f"bytes {each['bytes']}, attempts 1)" in text
        assert not any(private in text for private in (*PRIVATE, url.password or "no password"))
    assert found[2].getMessage().endswith(", and failed with OwnerMismatch")


def test_the_environment_has_the_last_word_on_what_is_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[], SqliteDb]] = [
        lambda: SqliteDb(tmp_path / "a.db"),
        lambda: SqliteDb(tmp_path / "a.db", slow_operation_ms=60_000),
    ]
    for variable, lines in (("0", 2), ("60000", 0), ("", 0)):
        monkeypatch.setenv("AGNO_STORE_SLOW_OPERATION_MS", variable)
        caplog.clear()
        for opened in calls:
            with opened() as db:
                db.get_session("s")
        assert len(said(caplog)) == lines, variable


@pytest.mark.parametrize("wrong", [-1, "fast", True, float("nan")])
def test_what_is_no_time_is_refused(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="slow_operation_ms="):
        SqliteDb(db_url="sqlite://", slow_operation_ms=wrong)
    monkeypatch.setenv("AGNO_STORE_SLOW_OPERATION_MS", str(wrong))
    with pytest.raises(ConfigurationError, match="AGNO_STORE_SLOW_OPERATION_MS="):
        SqliteDb(db_url="sqlite://")
