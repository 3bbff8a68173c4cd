"""Runs as they really are found: in two places, without ids, with ids twice, as text in text."""

from __future__ import annotations

from typing import Any

import pytest

from agno_store import open_db
from tests.contract.database import dump
from tests.legacy import imported
from tests.legacy.tables import Tables, run, twice


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


def contents(db: Any, session_id: str) -> list[str]:
    """What the runs of a session say, in their order."""
    return [found.content for found in db.get_session(session_id).runs]


def beside(run_id: str, session_id: str, index: int | None, content: str, **more: Any) -> dict[str, Any]:
    """A row in the table of runs."""
    data = run(run_id, content)
    row = {"run_id": run_id, "session_id": session_id, "run_type": "agent", "run_index": index, "run_data": data}
    return {**row, "status": "COMPLETED", **more}


def test_the_runs_of_a_half_migrated_session_are_those_of_both_places(db: Any, old: Tables, fresh_url: str) -> None:
    inside = [run("r1", "one"), run("r2", "two, paused", status="PAUSED"), run(None, "three")]
    old.sessions("2.x", [{"session_id": "s", "session_type": "agent", "agent_id": "a", "runs": inside}])
    old.runs([beside("r4", "s", 3, "four"), beside("r2", "s", 1, "two"), beside("r0", "s", None, "last")])
    done = imported(db, fresh_url, verify=True)
    assert done.problems == []
    assert contents(db, "s") == ["one", "two", "three", "four", "last"]
    assert [found.status for found in db.get_session("s").runs] == ["COMPLETED"] * 5


def test_a_run_without_an_id_gets_the_same_one_at_every_reading(db: Any, old: Tables, fresh_url: str) -> None:
    runs = [run(None, "same"), run("", "other"), run(None, "same"), run(17, "number")]
    table = old.sessions("2.x", [{"session_id": "s", "session_type": "agent", "agent_id": "a", "runs": runs}])
    assert imported(db, fresh_url).runs.inserted == 4
    before = dump(db)
    assert len({found["run_id"] for found in before["runs"]}) == 4
    assert imported(db, fresh_url, verify=True).to_dict()["runs"] == {"inserted": 0, "updated": 0, "kept": 4}
    assert dump(db) == before

    old.update(table, "s", runs=[*runs, run(None, "late")], updated_at=1_700_000_200)
    assert imported(db, fresh_url, verify=True).runs.inserted == 1
    assert contents(db, "s") == ["same", "other", "same", "number", "late"]


def test_runs_that_share_an_id_are_both_kept_and_a_copy_is_not(db: Any, old: Tables, fresh_url: str) -> None:
    runs = [run("r", "first"), run("r", "second"), run("r", "first")]
    old.sessions(
        "2.x",
        [
            {"session_id": "s1", "session_type": "agent", "agent_id": "a", "runs": runs},
            {"session_id": "s2", "session_type": "agent", "agent_id": "a", "runs": [run("r", "elsewhere")]},
        ],
    )
    assert imported(db, fresh_url, verify=True).problems == []
    assert contents(db, "s1") == ["first", "second"]
    assert contents(db, "s2") == ["elsewhere"]
    first, second = db.get_session("s1").runs
    assert (first.run_id, second.run_data["run_id_in_source"]) == ("r", "r")


@pytest.mark.backends("sqlite")
def test_json_is_read_through_any_number_of_layers(db: Any, old: Tables, fresh_url: str) -> None:
    data = {"session_name": "Trip", "session_state": {"n": 1}}
    rows: list[dict[str, Any]] = [
        {"session_id": "two", "session_data": twice(data), "runs": twice([run("r", "hi")]), "metadata": "null"},
        {"session_id": "one", "session_data": data, "runs": [run("r", "hi")], "metadata": None},
        {"session_id": "mixed", "session_data": twice(twice(data)), "runs": [twice(run("r", "hi"))], "metadata": ""},
    ]
    old.sessions("2.x", [{**row, "session_type": "agent", "summary": twice(None)} for row in rows])
    assert imported(db, fresh_url, verify=True).problems == []
    for session in (db.get_session(row["session_id"]) for row in rows):
        assert (session.session_data, session.metadata, session.summary) == (data, None, None)
        assert [found.run_id for found in session.runs] == ["r"]


def test_times_are_read_in_seconds_and_finer_and_made_where_there_are_none(
    db: Any, old: Tables, fresh_url: str
) -> None:
    runs = [run("r1", created_at=1_700_000_005_000), run("r2", created_at=None), run("r3", created_at=1_700_000_007.25)]
    rows: list[dict[str, Any]] = [
        {"session_id": "ms", "created_at": 1_700_000_000_000, "updated_at": 1_700_000_100_000, "runs": runs},
        {"session_id": "none", "created_at": None, "updated_at": None, "runs": runs},
    ]
    old.sessions("2.x", [{**row, "session_type": "agent"} for row in rows])
    assert imported(db, fresh_url, verify=True).problems == []
    ms, none = (db.get_session(name) for name in ("ms", "none"))
    assert (ms.created_at, ms.updated_at) == (1_700_000_000, 1_700_000_100)
    assert (none.created_at, none.updated_at) == (1_700_000_005, 1_700_000_007)
    assert [found.created_at for found in ms.runs] == [1_700_000_005, 1_700_000_000, 1_700_000_007]


def test_several_rows_of_a_session_are_one_and_the_newest_says_what_it_is(db: Any, old: Tables, fresh_url: str) -> None:
    row = {"session_id": "s", "session_type": "agent", "agent_id": "a"}
    old.sessions(
        "2.x",
        [
            {**row, "session_data": {"n": 2}, "runs": [run("r2", "two")], "updated_at": 1_700_000_200},
            {**row, "session_data": {"n": 1}, "runs": [run("r1", "one")]},
            {"session_type": "agent", "runs": [run("r3", "whose?")]},
        ],
        keyed=False,
    )
    done = imported(db, fresh_url, verify=True)
    assert [str(problem) for problem in done.problems] == [
        "agno_sessions: 1 row of agno_sessions without a session_id",
        "session 's' of agno_sessions: there are 2 rows of it, of which the newest counts; the runs are those of all",
    ]
    assert db.get_session("s").session_data == {"n": 2}
    assert contents(db, "s") == ["one", "two"]


def test_what_is_newer_in_the_store_is_never_replaced(old: Tables, fresh_url: str) -> None:
    table = old.sessions(
        "2.x", [{"session_id": "s", "session_type": "agent", "session_data": {"n": 1}, "runs": [run("r1", "old")]}]
    )
    with open_db(fresh_url) as db:
        imported(db, fresh_url)
        db.upsert_session({"session_id": "s", "session_data": {"n": 2}})
        db.upsert_run(run("r1", "newer"), session_id="s")
        old.update(
            table, "s", session_data={"n": 3}, runs=[run("r1", "older"), run("r2", "late")], updated_at=1_700_000_200
        )
        done = imported(db, fresh_url, verify=True)
        assert done.problems == []
        assert (done.runs.inserted, done.runs.updated, done.runs.kept) == (1, 0, 1)
        assert db.get_session("s").session_data == {"n": 2}
        assert contents(db, "s") == ["newer", "late"]
