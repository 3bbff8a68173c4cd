"""Any value in any place: it comes back as it was, the database can work with it, and no two ids are taken for one.

With TEST_ALL many more values are tried; the end of the test run says how many they were.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from agno_store import InvalidArgument
from agno_store.escapes import escape
from agno_store.types import ID_LENGTH
from tests.contract.database import ask, dump, empty, quoted, stored
from tests.contract.samples import listed, run, session
from tests.contract.values import NASTY_TEXTS, anything, exact, texts

# One database serves all examples of a test; each overwrites the row of the last.
on_a_database = settings(
    max_examples=250 if os.environ.get("TEST_ALL") else 25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = pytest.mark.timeout(1500)  # for hundreds of examples on a machine that has other things to do

IDS = ("session_id", "run_id", "user_id", "agent_id", "team_id", "workflow_id", "parent_run_id", "status")
DEPTH_OF_MARIADB = 32
"""How deep a value may be nested for its JSON functions, documented in docs/encoding.md."""


Tried = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def tried(record_property: Callable[[str, Any], None]) -> Tried:
    """Count values: ``with tried(n):`` around what says that they came back. The end of the test run gives the sums."""
    total = 0

    def tell(lost: int) -> None:
        record_property("counted", {"values stored, read back and compared": total, "values lost or changed": lost})

    @contextmanager
    def count(values: int) -> Iterator[None]:
        nonlocal total
        total += values
        tell(lost=values)
        yield
        tell(lost=0)

    return count


def storable_ids(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return texts.filter(lambda text: 0 < len(escape(text)) <= ID_LENGTH)


ids = storable_ids(texts | st.text(max_size=ID_LENGTH) | st.sampled_from([*NASTY_TEXTS.values()]))


# -- payloads ------------------------------------------------------------------------------------------


@on_a_database
@given(anything)
@example([{"$agno_store": "set", "value": [1]}, "\x1a0", "\\u001a0", {"$agno_store": "corrupt", "value": "x"}])
@example({"n": [1, True, 1.0, 0.0, -0.0, 2**64, 10**400], (): {(): [(), {}, [], set(), b""]}})
def test_any_value_comes_back_from_every_place(db: Any, tried: Tried, value: Any) -> None:
    with tried(7):
        payload = {"v": value, "": [value]}
        db.upsert_session(session("s", session_data={"session_state": payload}, metadata=payload, agent_data=payload))
        db.upsert_run(run("r", content=value, metadata=payload), "s")
        db.upsert_summary("s", {"summary": "text", "topics": [value], "more": [value]})
        found, summary = db.get_session("s"), db.get_summary("s")

        places = [
            found.session_data["session_state"],
            found.metadata,
            found.agent_data,
            found.runs[0].run_data["metadata"],
        ]
        assert [exact(place) for place in places] == [exact(payload)] * 4
        assert exact(found.runs[0].content) == exact(value)
        assert exact([summary.topics, summary.data]) == exact([[value], {"more": [value]}])
        assert_the_database_can_read(db)


@on_a_database
@given(anything)
def test_any_value_comes_back_from_a_change(db: Any, tried: Tried, value: Any) -> None:
    with tried(3):
        db.upsert_run(run("r"), "s")
        db.update_session_state("s", lambda state: {**state, "v": value})
        db.update_run_in_session(
            "s", "r", {"content": value}, session_data={"session_state": {"v": [value]}, "w": value}
        )

        assert exact(db.get_run("r").content) == exact(value)
        assert exact(db.get_session("s").session_data) == exact({"session_state": {"v": [value]}, "w": value})
        assert_the_database_can_read(db)


@on_a_database
@given(anything)
def test_saving_what_was_read_changes_no_letter(db: Any, tried: Tried, value: Any) -> None:
    """Else a save would take for a change what nobody has changed, and write it over somebody's who has."""
    with tried(1):
        db.upsert_session(session("s", metadata={"v": value}))
        before = stored(db, "sessions", "metadata", session_id="s")
        db.upsert_session({"session_id": "s", "metadata": db.get_session("s").metadata})

        assert stored(db, "sessions", "metadata", session_id="s") == before


def assert_the_database_can_read(db: Any) -> None:
    """Every payload that is stored is JSON to the server's own functions, and casts to what it has for JSON."""
    for table, columns in (
        (db.names.sessions, ("session_data", "agent_data", "metadata")),
        (db.names.runs, ("run_data",)),
        (db.names.summaries, ("topics", "summary_data")),
    ):
        for column in columns:
            for text, valid in rows_of(db, table, column):
                assert valid or (db.dialect.title == "MySQL/MariaDB" and depth(text) > DEPTH_OF_MARIADB), text


def rows_of(db: Any, table: str, column: str) -> list[tuple[str, bool]]:
    valid = {
        "PostgreSQL": f"{column}::jsonb IS NOT NULL AND {column} ->> 'content' IS NOT DISTINCT FROM "
        f"{column}::jsonb ->> 'content' OR json_typeof({column} -> 'content') IN ('number', 'object', 'array')",
        "MySQL/MariaDB": f"JSON_VALID({column}) AND JSON_TYPE(JSON_EXTRACT({column}, '$')) IS NOT NULL",
        "SQLite": f"json_valid({column}) AND json_type(json_extract({column}, '$')) IS NOT NULL",
    }[db.dialect.title]
    source = f"{quoted(db, table)} WHERE {column} IS NOT NULL"
    as_text = {"PostgreSQL": f"{column}::text"}.get(db.dialect.title, column)
    return list(zip(ask(db, f"SELECT {as_text} FROM {source}"), ask(db, f"SELECT {valid} FROM {source}"), strict=True))


def depth(text: str) -> int:
    def levels(value: Any) -> int:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inside is None else 1 + max(map(levels, inside), default=0)

    return levels(json.loads(text))


# Of a text that holds none of the characters that are escaped, SQL sees every one.
@on_a_database
@given(texts | st.text())
def test_sql_finds_the_very_text_that_was_stored(db: Any, tried: Tried, text: str) -> None:
    assume(escape(text) == text)
    with tried(1):
        db.upsert_run(run("r", content=text), "s")
        content = {
            "PostgreSQL": "run_data ->> 'content'",
            "MySQL/MariaDB": "JSON_UNQUOTE(JSON_EXTRACT(run_data, '$.content'))",
            "SQLite": "json_extract(run_data, '$.content')",
        }[db.dialect.title]

        assert ask(db, f"SELECT {content} FROM {quoted(db, db.names.runs)}") == [text]


# -- ids -----------------------------------------------------------------------------------------------


@on_a_database
@given(st.lists(ids, min_size=2, max_size=5, unique=True))
def test_any_texts_are_ids_and_no_two_are_one(db: Any, tried: Tried, names: list[str]) -> None:
    with tried(len(names) * 5):
        empty(db)
        for n, name in enumerate(names):
            everywhere = dict.fromkeys(("user_id", "agent_id"), name)
            db.upsert_session(session(name, metadata={"n": n}, **everywhere))
            db.upsert_run(run(name, content=n, status=name, **everywhere), name)

        assert sorted(listed(db)) == sorted(names)
        for n, name in enumerate(names):
            found, row = db.get_session(name), db.get_run(name, session_id=name)
            assert (found.session_id, found.user_id, found.agent_id, found.metadata) == (name, name, name, {"n": n})
            assert (row.run_id, row.session_id, row.status, row.content) == (name, name, name, n)
            assert listed(db, user_id=name) == listed(db, component_id=name) == [name]
            assert [other.content for other in db.get_runs(status=name)] == [n]
        assert db.delete_session(names[0]) is True
        assert sorted(listed(db)) == sorted(names[1:])


@pytest.mark.parametrize("column", IDS)
@pytest.mark.parametrize("text", ["x" * 10_000, "\x00" * 128, "😀" * 256], ids=["10 kB", "escaped", "emoji"])
def test_an_id_that_is_too_long_is_refused_with_its_name_and_the_limit(db: Any, column: str, text: str) -> None:
    given = {**run("r"), "session_id": "s", column: text}
    with pytest.raises(InvalidArgument, match=rf"^{column} has \d+ characters; the limit is 255") as refused:
        db.upsert_run(given, given["session_id"])

    assert len(str(refused.value)) < 200
    assert not any(dump(db).values())
