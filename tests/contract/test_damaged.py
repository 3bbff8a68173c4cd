"""Rows that somebody or something has damaged: read alone they are named, in a listing they are marked.

Nothing that is done with a listing writes over what could not be read.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import CorruptRow, DatabaseError, EncodingError, RunUpdate, SqliteDb
from tests.contract.database import ask, dump, overwrite, stored, tables
from tests.contract.samples import append, listed, run, session

DAMAGED = {
    "an unreadable decimal": {"$agno_store": "decimal", "value": "ten"},
    "an unreadable date": {"$agno_store": "date", "value": "yesterday"},
    "a number as a date": {"$agno_store": "datetime", "value": 5},
    "a number as a uuid": {"$agno_store": "uuid", "value": 5},
    "half a complex number": {"$agno_store": "complex", "value": ["1"]},
    "a number as a set": {"$agno_store": "set", "value": 5},
    "pairs of three": {"$agno_store": "dict", "value": [[1, 2, 3]]},
    "unreadable bytes": {"$agno_store": "bytes", "value": "é"},
    "an unreadable integer": {"$agno_store": "int", "value": "0xyz"},
    "an endless duration": {"$agno_store": "timedelta", "value": [1e30]},
}
PLACES = {
    "run_data": ("runs", "run_data"),
    "session_data": ("sessions", "session_data"),
    "metadata": ("sessions", "metadata"),
    "topics": ("summaries", "topics"),
    "summary_data": ("summaries", "summary_data"),
}


SUMMARY = {"summary": "text", "topics": ["a"], "more": 1}


@pytest.fixture
def furnished(db: Any) -> Any:
    for session_id in ("whole", "damaged"):
        db.upsert_session(session(session_id, session_data={}, metadata={}, summary=SUMMARY))
        append(db, session_id, f"r of {session_id}")
    return db


def assert_damage_is_named(db: Any, column: str) -> None:
    reads: list[Callable[[], object]] = [
        lambda: db.get_session("damaged"),
        lambda: db.get_session("damaged", deserialize=False),
    ]
    if column == "run_data":
        reads.append(lambda: db.get_run("r of damaged"))
    if column in ("topics", "summary_data", "summary"):
        reads.append(lambda: db.get_summary("damaged"))
    for read in reads:
        with pytest.raises(CorruptRow) as found:
            read()
        assert "'damaged'" in found.value.row
        assert found.value.row in str(found.value)
        assert found.value.column == column
    assert db.get_session("whole").session_data == {}


# -- read alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_value_that_cannot_be_read_is_named(furnished: Any, damage: dict[str, Any]) -> None:
    text = json.dumps({"content": damage})
    overwrite(furnished, "runs", "run_data", text, run_id="r of damaged")

    assert_damage_is_named(furnished, "run_data")
    with pytest.raises(CorruptRow, match="'r of damaged' of session 'damaged'"):
        furnished.get_run("r of damaged")
    assert stored(furnished, "runs", "run_data", run_id="r of damaged") == text


@pytest.mark.parametrize(("table", "column"), PLACES.values(), ids=PLACES.keys())
def test_a_damaged_column_is_named(furnished: Any, table: str, column: str) -> None:
    overwrite(furnished, table, column, json.dumps([DAMAGED["an unreadable decimal"]]), session_id="damaged")

    assert_damage_is_named(furnished, column)


@pytest.mark.backends("sqlite", "mysql")
@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[" * 100_000], ids=["empty", "cut off", "python", "too deep"])
@pytest.mark.parametrize(("table", "column"), PLACES.values(), ids=PLACES.keys())
def test_text_that_is_no_json_is_named(furnished: Any, table: str, column: str, text: str) -> None:
    overwrite(furnished, table, column, text, session_id="damaged")

    assert_damage_is_named(furnished, column)


def test_a_damaged_session_can_be_overwritten_and_deleted(furnished: Any) -> None:
    damage = json.dumps(DAMAGED["an unreadable decimal"])
    overwrite(furnished, "sessions", "metadata", damage, session_id="damaged")
    overwrite(furnished, "runs", "run_data", damage, session_id="damaged")
    furnished.upsert_session(session("damaged", metadata={"new": True}))
    furnished.upsert_run(run("r of damaged", content="new"), "damaged")

    assert furnished.get_session("damaged").metadata == {"new": True}
    overwrite(furnished, "sessions", "metadata", damage, session_id="damaged")
    assert furnished.delete_session("damaged") is True
    assert listed(furnished) == ["whole"]


def test_a_tag_of_a_later_release_is_left_as_it_stands(furnished: Any) -> None:
    later = {"$agno_store": "quaternion", "value": [1, 2, 3, 4]}
    overwrite(furnished, "runs", "run_data", json.dumps({"content": later}), run_id="r of damaged")

    assert furnished.get_run("r of damaged").content == later


@pytest.mark.parametrize("text", ["[1]", '"text"', "1", "null"])
@pytest.mark.parametrize("column", ["session_data", "metadata", "run_data", "summary_data"])
def test_json_that_is_no_object_is_named_where_one_belongs(furnished: Any, column: str, text: str) -> None:
    overwrite(furnished, PLACES[column][0], column, text, session_id="damaged")

    assert_damage_is_named(furnished, column)


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("table", ["sessions", "runs"])
def test_a_time_that_is_none_is_named(furnished: Any, table: str) -> None:
    overwrite_as_it_stands(furnished, table, "updated_at", "'yesterday'")
    with pytest.raises(CorruptRow, match="'damaged'"):
        furnished.get_session("damaged")

    [found, _] = by_id(furnished.get_sessions())
    assert (found.updated_at if table == "sessions" else found.runs[0].updated_at) is None


def overwrite_as_it_stands(db: Any, table: str, column: str, sql: str) -> None:
    source = tables(db)[table]
    with db.db_engine.begin() as connection:
        connection.execute(source.update().where(source.c.session_id == "damaged").values({column: sa.text(sql)}))


# -- listed --------------------------------------------------------------------------------------------


def by_id(sessions: list[Any]) -> list[Any]:
    return sorted(sessions, key=lambda entry: str(entry["session_id"] if isinstance(entry, dict) else entry.session_id))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of agno_store since the last question."""

    def take() -> list[str]:
        found = [r.getMessage() for r in caplog.records if r.name == "agno_store" and r.levelno == logging.WARNING]
        caplog.clear()
        return found

    return take


def is_mark(value: Any, *words: str) -> bool:
    return value.keys() == {"$agno_store", "value"} and all(word in value["value"] for word in ("'damaged'", *words))


BROKEN = json.dumps({"v": DAMAGED["an unreadable decimal"]})
MARKED: dict[str, Callable[[Any], Any]] = {
    "session_data": lambda entries: entries["session_data"],
    "metadata": lambda entries: entries["metadata"],
    "run_data": lambda entries: entries["runs"][0]["content"],
    "topics": lambda entries: entries["summary"]["topics"],
    "summary_data": lambda entries: entries["summary"]["topics"],
}


@pytest.mark.parametrize("column", PLACES)
def test_a_damaged_row_does_not_take_a_listing_down(
    furnished: Any, warnings: Callable[[], list[str]], column: str
) -> None:
    overwrite(furnished, PLACES[column][0], column, BROKEN, session_id="damaged")
    entries, total = furnished.get_sessions(deserialize=False)
    [warning] = warnings()
    [damaged, whole] = by_id(entries)

    assert total == 2
    assert is_mark(MARKED[column](damaged), column)
    assert f"'damaged', {column}" in warning
    assert "ten" not in warning
    assert (whole["session_data"], whole["metadata"], whole["summary"]["more"]) == ({}, {}, 1)
    assert whole["runs"][0]["content"] == "hello"
    if column != "run_data":
        assert damaged["runs"][0]["content"] == "hello"


@pytest.mark.parametrize("column", PLACES)
def test_a_damaged_row_is_marked_in_the_objects_of_a_listing_too(furnished: Any, column: str) -> None:
    overwrite(furnished, PLACES[column][0], column, BROKEN, session_id="damaged")
    [damaged, whole] = by_id(furnished.get_sessions())
    marked = {
        "run_data": damaged.runs[0].content,
        "topics": damaged.summary.topics,
        "summary_data": damaged.summary.topics,
    }

    assert is_mark(marked[column] if column in marked else getattr(damaged, column), column)
    assert damaged.summary.summary == whole.summary.summary == "text"
    assert whole.runs[0].content == "hello"


def test_a_damaged_run_is_listed_with_what_its_columns_say(furnished: Any, warnings: Callable[[], list[str]]) -> None:
    overwrite(furnished, "runs", "run_data", BROKEN, run_id="r of damaged")
    rows, total = furnished.get_runs(deserialize=False)
    damaged, whole = sorted(rows, key=lambda row: str(row["run_id"]))
    [warning] = warnings()

    assert total == 2
    assert is_mark(damaged["run_data"].pop("content"), "run_data", "ConversionSyntax")
    assert damaged["run_data"] == {
        "run_id": "r of damaged",
        "session_id": "damaged",
        "agent_id": "helper",
        "status": "COMPLETED",
        "created_at": damaged["created_at"],
    }
    assert whole["run_data"]["content"] == "hello"
    assert "run 'r of damaged' of session 'damaged', run_data" in warning
    assert is_mark(furnished.get_runs(session_id="damaged")[0].content)


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize(("column", "given"), [("agent_id", "b\\xff"), ("user_id", "b\\xff"), ("workflow_name", None)])
def test_bytes_in_the_place_of_a_text_take_no_listing_down(
    opened: Callable[..., Any], column: str, given: str | None, tenant: str | None
) -> None:
    db = opened(tenant_id=tenant)
    for session_id in ("whole", "damaged"):
        db.upsert_session(session(session_id, workflow_name="w"))
        append(db, session_id, f"r of {session_id}")
    change = f"UPDATE {db.names.sessions} SET {column} = x'62ff' WHERE session_id LIKE '%damaged'"
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(change)
    [damaged, whole] = by_id(db.get_sessions())

    assert (getattr(damaged, column), damaged.runs[0].content, whole.workflow_name) == (given, "hello", "w")
    assert db.stats().sessions == len(list(db.search("hello"))) == 2
    done = db.export(os.devnull)
    assert (done.sessions, [problem.place for problem in done.problems]) == (1, ["session 'damaged'"])
    if column != "user_id":  # whose it is nobody can say, and so nobody saves it
        db.upsert_session(replace(damaged, metadata={"new": 1}))
    assert ask(db, f"SELECT {column} FROM {db.names.sessions} WHERE session_id LIKE '%damaged'") == [b"b\xff"]


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("column", ["agent_id", "user_id"])
def test_a_change_of_a_run_leaves_an_id_that_could_not_be_read(furnished: Any, column: str) -> None:
    overwrite_as_it_stands(furnished, "runs", column, "x'62ff'")
    assert furnished.update_run_in_session("damaged", "r of damaged", {"n": 1}) is RunUpdate.UPDATED

    assert ask(furnished, f"SELECT {column} FROM {furnished.names.runs} WHERE session_id = 'damaged'") == [b"b\xff"]


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_a_key_of_bytes_takes_no_listing_down(opened: Callable[..., Any], tenant: str | None) -> None:
    db = opened(tenant_id=tenant)
    for session_id in ("whole", "damaged"):
        db.upsert_session(session(session_id))
    change = "SET session_id = CAST(replace(session_id, 'damaged', 'b') AS BLOB) || x'ff'"
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {db.names.sessions} {change} WHERE session_id LIKE '%damaged'")
        connection.exec_driver_sql(f"UPDATE {db.names.sessions} SET session_id = CAST(session_id AS BLOB)")

    assert [found.session_id for found in by_id(db.get_sessions())] == ["b\\xff", "whole"]


@pytest.mark.backends("sqlite")
def test_a_summary_of_bytes_is_marked(furnished: Any) -> None:
    overwrite_as_it_stands(furnished, "summaries", "summary", "x'62ff'")

    assert_damage_is_named(furnished, "summary")
    [damaged, whole] = by_id(furnished.get_sessions())
    assert is_mark(damaged.summary.topics, "summary")
    assert (damaged.summary.summary, whole.summary.summary) == ("", "text")


def test_one_warning_tells_of_a_whole_listing(db: Any, warnings: Callable[[], list[str]]) -> None:
    for n in range(20):
        db.upsert_session(session(f"s{n}", metadata={}))
        overwrite(db, "sessions", "metadata", BROKEN, session_id=f"s{n}")

    assert len(db.get_sessions()) == 20
    [warning] = warnings()
    assert "and 15 more" in warning


@pytest.mark.parametrize("column", ["session_data", "metadata", "topics", "summary_data"])
@pytest.mark.parametrize("form", ["objects", "dicts", "dicts by way of JSON"])
def test_saving_a_listed_session_leaves_what_could_not_be_read(
    furnished: Any, warnings: Callable[[], list[str]], column: str, form: str
) -> None:
    overwrite(furnished, PLACES[column][0], column, BROKEN, session_id="damaged")
    before = stored(furnished, PLACES[column][0], column, session_id="damaged")
    found = furnished.get_sessions(deserialize=form == "objects", include_runs=False)
    [damaged, _] = by_id(found if form == "objects" else found[0])
    if form == "dicts by way of JSON":
        damaged = json.loads(json.dumps(damaged))
    warnings()
    if form == "objects":
        furnished.upsert_session(damaged)
    else:
        furnished.upsert_session({**damaged, "agent_data": {"new": 1}})
        assert furnished.get_sessions(deserialize=False)[0] != []
        assert stored(furnished, "sessions", "agent_data", session_id="damaged") == '{"new":1}'

    assert stored(furnished, PLACES[column][0], column, session_id="damaged") == before
    if column in ("session_data", "metadata"):
        assert f"{column} could not be read and is left as it is stored" in warnings()[0]


def test_a_mark_that_was_changed_does_not_replace_what_is_stored(furnished: Any) -> None:
    overwrite(furnished, "sessions", "session_data", BROKEN, session_id="damaged")
    [damaged, _] = by_id(furnished.get_sessions())
    damaged.session_data["session_name"] = "new"
    furnished.upsert_session(damaged)

    assert stored(furnished, "sessions", "session_data", session_id="damaged") == BROKEN


def test_what_was_damaged_since_it_was_read_is_not_merged_with(furnished: Any) -> None:
    read = furnished.get_session("damaged")
    broken = '{"when":{"$agno_store":"datetime","value":"never"}}'
    overwrite(furnished, "sessions", "session_data", broken, session_id="damaged")
    overwrite(furnished, "sessions", "version", 9, session_id="damaged")
    before = dump(furnished)
    with pytest.raises(CorruptRow, match="cannot be merged"):
        furnished.upsert_session(replace(read, session_data={"new": 1}))

    assert dump(furnished) == before


def test_a_run_or_summary_given_for_a_damaged_one_is_not_stored(furnished: Any) -> None:
    overwrite(furnished, "runs", "run_data", BROKEN, run_id="r of damaged")
    overwrite(furnished, "summaries", "topics", BROKEN, session_id="damaged")
    before = dump(furnished)
    [row] = furnished.get_runs(session_id="damaged", deserialize=False)[0]
    [found] = furnished.get_runs(session_id="damaged")
    summary = by_id(furnished.get_sessions())[0].summary
    for given in (row, row["run_data"], found):
        with pytest.raises(EncodingError, match="is not what is stored"):
            furnished.upsert_run(given, "damaged")
    with pytest.raises(EncodingError, match="is not what is stored"):
        furnished.upsert_summary("damaged", summary)

    assert dump(furnished) == before


def test_a_write_beside_a_damaged_payload_is_no_failure(furnished: Any) -> None:
    overwrite(furnished, "sessions", "metadata", BROKEN, session_id="damaged")
    overwrite(furnished, "runs", "run_data", BROKEN, run_id="r of damaged")

    assert is_mark(furnished.upsert_session(session("damaged", session_data={"n": 1})).metadata)
    assert furnished.update_session_state("damaged", lambda state: {**state, "n": 2}) == {"n": 2}
    renamed = furnished.rename_session("damaged", None, "name")
    assert (renamed.session_name, is_mark(renamed.runs[0].content)) == ("name", True)
    assert is_mark(renamed.metadata)
    assert (renamed.session_data["n"], renamed.session_data["session_state"]) == (1, {"n": 2})
    assert listed(furnished, session_name="name") == ["damaged"]
    with pytest.raises(CorruptRow):
        furnished.update_run_in_session("damaged", "r of damaged", {"status": "COMPLETED"})
    assert furnished.delete_run("r of damaged") is True


def test_a_type_that_nobody_knows_does_not_take_a_listing_down(furnished: Any) -> None:
    overwrite(furnished, "sessions", "session_type", "swarm", session_id="damaged")
    overwrite(furnished, "runs", "run_type", "swarm", session_id="damaged")

    assert [found.session_type for found in by_id(furnished.get_sessions())] == ["swarm", "agent"]
    assert sorted(str(found.run_type) for found in furnished.get_runs()) == ["agent", "swarm"]
    assert furnished.get_sessions(deserialize=False)[1] == 2


def test_what_only_looks_like_a_mark_is_a_value_like_any_other(db: Any) -> None:
    likeness = {"$agno_store": "corrupt", "value": "my own"}
    db.upsert_session(session("s", metadata=likeness))
    db.upsert_run(run("r", content=likeness), "s")

    assert db.get_session("s").metadata == db.get_run("r").content == likeness


@pytest.mark.backends("sqlite")
def test_bytes_that_are_no_text_keep_no_reader_in_the_past(db: Any) -> None:
    append(db, "s", "r0", "r1", "r2")
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {db.names.runs} SET run_data = CAST(x'7bff7d' AS TEXT) WHERE run_id = 'r1'")
    engine = sa.create_engine(f"sqlite:///{db.db_engine.url.database}")
    callers = SqliteDb(db_engine=engine)
    errors: list[BaseException] = []
    reads: list[Callable[[], object]] = [
        lambda: callers.get_session("s", runs_limit=3),
        lambda: callers.get_runs(session_id="s"),
        lambda: db.get_session("s", runs_limit=3),
        lambda: db.get_run("r1"),
    ]
    for read in reads:
        with pytest.raises(DatabaseError, match=r"UTF-8|run_data") as caught:
            read()
        errors.append(caught.value)  # and with it whatever its frames hold

    with sqlite3.connect(db.db_engine.url.database) as another_process:
        another_process.execute(f"UPDATE {db.names.sessions} SET metadata = '{{\"n\":1}}'")
    another_process.close()
    assert db.get_session("s", runs_limit=1).metadata == {"n": 1}
    assert callers.get_session("s", runs_limit=1).metadata == {"n": 1}
    engine.dispose()


told = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python tells no code of SQLite's")
NO_UTF8 = "CAST(x'7b2261223a2262ff227d' AS TEXT)"


@told
@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("column", ["metadata", "session_data", "run_data", "topics", "summary"])
def test_text_that_is_no_utf8_is_damaged_like_any_other(furnished: Any, column: str) -> None:
    table = PLACES.get(column, ("summaries", column))[0]
    overwrite_as_it_stands(furnished, table, column, NO_UTF8)

    [damaged, whole] = by_id(furnished.get_sessions())
    assert (damaged.session_id, whole.runs[0].content, whole.summary.summary) == ("damaged", "hello", "text")
    assert_damage_is_named(furnished, column)
    assert len(furnished.get_runs()) == len(list(furnished.search("hello"))) + (column == "run_data") == 2
    done = furnished.export(os.devnull)
    assert (done.sessions, [problem.place for problem in done.problems]) == (1, ["session 'damaged'"])
    assert done.problems[0].reason.endswith("is no text")
    assert furnished.rename_session("whole", None, "new").session_data == {"session_name": "new"}


@told
@pytest.mark.backends("sqlite")
def test_each_connection_reads_on_behind_text_that_is_no_utf8(furnished: Any) -> None:
    overwrite_as_it_stands(furnished, "runs", "run_data", NO_UTF8)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(furnished.db_engine.connect())
            assert len(furnished.get_runs()) == 2
    assert [len(furnished.get_runs()) for _ in range(5)] == [2] * 5
