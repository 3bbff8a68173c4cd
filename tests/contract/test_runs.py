"""Runs: the database gives each its place, and a run belongs to one session."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from agno_store import InvalidArgument, Run
from tests.contract.database import dump, stored
from tests.contract.samples import append, positions, run, run_ids, session


class Status(str, Enum):
    """Like agno's own."""

    PAUSED = "PAUSED"


# -- storing and reading -----------------------------------------------------------------------------


def test_a_run_comes_back_as_it_was_written(db: Any) -> None:
    given = run("r", content={"answer": [1, 2.5, None]}, messages=[{"role": "user", "content": "hi"}], metrics={})
    db.upsert_run(given, "s", user_id="alice")
    found = db.get_run("r")

    assert found.to_dict() == found.run_data == given
    assert (found.content, found.messages) == (given["content"], given["messages"])
    assert (found.run_id, found.session_id, found.run_type, found.user_id) == ("r", "s", "agent", "alice")
    assert (found.run_index, found.status, found.version) == (0, "COMPLETED", 1)
    assert db.get_session("s").runs == [found]
    assert db.get_session("s", deserialize=False)["runs"] == [given]


def test_a_run_as_a_dict_has_its_columns_beside_its_data(db: Any) -> None:
    db.upsert_run(run("r", created_at=12, parent_run_id="p"), "s")
    found = db.get_run("r", deserialize=False)

    assert found["run_data"]["content"] == "hello"
    assert (found["created_at"], found["parent_run_id"], found["agent_id"]) == (12, "p", "helper")
    assert db.get_runs(deserialize=False) == ([found], 1)


def test_a_record_and_an_object_can_be_stored_too(db: Any) -> None:
    db.upsert_run(Run("r1", {"run_id": "r1", "content": "x"}, run_type="team", team_id="t"), "s")
    db.upsert_run(SimpleNamespace(to_dict=lambda: run("r2")), "s")

    assert [(found.run_id, found.run_type) for found in db.get_runs()] == [("r1", "team"), ("r2", "agent")]


def test_a_row_that_was_read_can_be_stored_again(db: Any) -> None:
    append(db, "s", "r", user_id="alice")
    read = db.get_run("r", deserialize=False)
    db.upsert_run(read, "copy")

    assert db.get_run("r", session_id="copy").run_data == read["run_data"]


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ({"agent_id": "a"}, "agent"),
        ({"agent_name": "a"}, "agent"),
        ({"team_id": "t"}, "team"),
        ({"team_name": "t"}, "team"),
        ({"workflow_id": "w"}, "workflow"),
        ({}, "workflow"),
    ],
    ids=str,
)
def test_whose_run_it_is_is_told_by_its_ids(db: Any, entries: dict[str, str], kind: str) -> None:
    db.upsert_run({"run_id": "r", **entries}, "s")

    assert db.get_run("r").run_type == kind
    assert db.get_session("s").session_type == kind


def test_a_run_that_is_not_there_is_none(db: Any) -> None:
    append(db, "s", "r")

    assert db.get_run("nothing") is None
    assert db.get_run("r", session_id="other") is None


def test_a_session_that_is_missing_is_made_with_its_first_run(db: Any) -> None:
    db.upsert_run(run("r", created_at=12), "s", user_id="alice")
    found = db.get_session("s")

    assert (found.session_type, found.agent_id, found.user_id, found.created_at) == ("agent", "helper", "alice", 12)
    assert (found.session_data, found.version) == (None, 1)
    db.upsert_session(session("s", user_id="alice", agent_data={"name": "A"}))
    assert (run_ids(db, "s"), db.get_session("s").agent_data) == (["r"], {"name": "A"})


# -- places ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", [None, 0, 7, -1])
def test_the_database_gives_the_place_whatever_the_caller_says(db: Any, claimed: int | None) -> None:
    for run_id in ("c", "a", "b"):
        db.upsert_run(run(run_id, run_index=99), "s", run_index=claimed)

    assert positions(db, "s") == {"c": 0, "a": 1, "b": 2}
    assert run_ids(db, "s") == ["c", "a", "b"]


def test_a_stored_run_keeps_its_place_and_its_time(db: Any) -> None:
    db.upsert_run(run("r", status="RUNNING", created_at=100), "s", user_id="alice")
    append(db, "s", "later")
    before = dump(db)["runs"][0]
    db.upsert_run(
        run("r", content="done", created_at=999, parent_run_id="p", agent_id="other"), "s", "alice", run_index=9
    )
    after = dump(db)["runs"][0]

    moving = ("status", "run_data", "parent_run_id", "agent_id", "updated_at", "version")
    assert {**before, **{name: after[name] for name in moving}} == after
    found = ("status", "parent_run_id", "agent_id", "version")
    assert [after[name] for name in found] == ["COMPLETED", "p", "other", 2]
    assert after["updated_at"] > before["updated_at"]
    assert run_ids(db, "s") == ["r", "later"]


def test_a_run_that_does_not_say_whose_it_is_stays_that_components_and_of_its_type(db: Any) -> None:
    db.upsert_run(run("r", agent_id="a"), "s")
    db.upsert_run({"run_id": "r", "status": "COMPLETED", "content": "done"}, "s")

    [found] = db.get_runs(agent_id="a")
    assert (found.run_type, found.status) == ("agent", "COMPLETED")


def test_a_stored_run_is_found_by_what_it_says_now(db: Any) -> None:
    db.upsert_run(run("r", agent_id="draft"), "s")
    db.upsert_run({"run_id": "r", "team_id": "final"}, "s")

    assert [db.get_runs(agent_id="draft"), run_ids(db, "s")] == [[], ["r"]]
    [found] = db.get_runs(team_id="final")
    assert (found.run_type, found.agent_id, found.team_id) == ("team", None, "final")


def test_an_update_without_a_user_keeps_the_user(db: Any) -> None:
    db.upsert_run(run("r"), "s", user_id="alice")
    db.upsert_run(run("r", content="again"), "s")

    assert db.get_run("r").user_id == "alice"


def test_a_run_never_touches_one_of_its_id_in_another_session(db: Any) -> None:
    append(db, "one", "same", "more", content="one")
    before = dump(db)["runs"]
    append(db, "two", "same", content="two")
    db.upsert_run(run("same", content="two again"), "two")

    assert [row for row in dump(db)["runs"] if row["session_id"] == "one"] == before
    assert db.get_run("same", session_id="one").content == "one"
    assert db.get_run("same", session_id="two").content == "two again"
    assert db.delete_run("same", session_id="two") is True
    assert dump(db)["runs"] == before


def test_an_id_in_two_sessions_asks_for_the_session(db: Any) -> None:
    append(db, "one", "same")
    append(db, "two", "same")
    before = dump(db)
    for ask in (db.get_run, db.delete_run, lambda run_id: db.delete_runs(["other", run_id])):
        with pytest.raises(InvalidArgument, match="session_id="):
            ask("same")

    assert dump(db) == before


def test_a_run_sorts_last_whatever_was_deleted(db: Any) -> None:
    append(db, "s", "a", "b", "c")
    db.delete_run("c")
    append(db, "s", "d")
    assert run_ids(db, "s") == ["a", "b", "d"]

    db.delete_runs(["a", "d"])
    append(db, "s", "e")
    assert run_ids(db, "s") == ["b", "e"]

    db.delete_runs(["b", "e"])
    append(db, "s", "f", "a")
    assert run_ids(db, "s") == ["f", "a"]
    assert len(set(positions(db, "s").values())) == 2


def test_deleting_a_run_leaves_the_places_of_the_others(db: Any) -> None:
    append(db, "s", *"abcd")
    before = positions(db, "s")

    assert db.delete_run("b") is True
    assert db.delete_run("b") is False
    db.delete_runs(run_id for run_id in ["d", "d", "nothing"])
    db.delete_runs([])
    assert positions(db, "s") == {"a": before["a"], "c": before["c"]}


def test_runs_saved_in_a_hurry_stay_in_order(db: Any) -> None:
    ids = [f"r{n:03}" for n in range(60)][::-1]
    append(db, "s", *ids, created_at=5)

    assert run_ids(db, "s") == ids
    assert [found.run_id for found in db.get_runs(session_id="s")] == ids


# -- members and history -----------------------------------------------------------------------------


def test_the_parent_of_a_run_is_kept(db: Any) -> None:
    append(db, "s", "team")
    append(db, "s", "member", parent_run_id="team")
    append(db, "s", "inner", parent_run_id="member")

    assert {found.run_id: found.parent_run_id for found in db.get_runs()} == {
        "team": None,
        "member": "team",
        "inner": "member",
    }
    assert run_ids(db, "s") == ["team", "member", "inner"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, []), (1, ["r7"]), (2, ["none", "r7"]), (3, ["r0", "none", "r7"]), (99, ["r0", "none", "r7"])],
)
def test_a_limit_gives_the_last_runs_that_count(db: Any, limit: int, expected: list[str]) -> None:
    append(db, "s", "r0")
    for status in ("PAUSED", "CANCELLED", "ERROR", "REGENERATED"):
        append(db, "s", status, status=status)
    append(db, "s", "none", status=None)
    append(db, "s", "r7", status="RUNNING")
    append(db, "s", "member", parent_run_id="r7")

    assert run_ids(db, "s", runs_limit=limit) == expected
    assert [found.run_id for found in db.get_session("s", runs_limit=limit).runs] == expected
    assert len(run_ids(db, "s")) == 8


@pytest.mark.parametrize("limit", [-1, 1.5, "3"])
def test_a_limit_that_is_no_count_is_refused(db: Any, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="runs_limit"):
        db.get_session("s", runs_limit=limit)


# -- listings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["r1", "r2", "r3", "r4"]),
        ({"session_id": "one"}, ["r1", "r3"]),
        ({"session_id": "nothing"}, []),
        ({"user_id": "alice"}, ["r1", "r3"]),
        ({"user_id": "bob"}, ["r4"]),
        ({"user_id": ""}, []),
        ({"agent_id": "helper"}, ["r1", "r2"]),
        ({"team_id": "t"}, ["r3"]),
        ({"workflow_id": "w"}, ["r4"]),
        ({"status": "PAUSED"}, ["r2"]),
        ({"status": Status.PAUSED}, ["r2"]),
        ({"session_id": "one", "agent_id": "helper", "status": "COMPLETED"}, ["r1"]),
    ],
    ids=str,
)
def test_a_filter_finds_the_runs_that_fit(db: Any, filters: dict[str, Any], expected: list[str]) -> None:
    db.upsert_session(session("one", user_id="alice"))
    db.upsert_run(run("r1", created_at=1), "one")
    db.upsert_run(run("r2", created_at=2, status=Status.PAUSED), "two")
    db.upsert_run({"run_id": "r3", "created_at": 3, "team_id": "t"}, "one")
    db.upsert_run({"run_id": "r4", "created_at": 4, "workflow_id": "w"}, "three", user_id="bob")

    rows, total = db.get_runs(**filters, deserialize=False)
    assert ([row["run_id"] for row in rows], total) == (expected, len(expected))
    assert [found.run_id for found in db.get_runs(**filters)] == expected


def test_a_status_given_as_an_enum_is_stored_as_its_value(db: Any) -> None:
    append(db, "s", "r", status=Status.PAUSED)

    assert stored(db, "runs", "status", run_id="r") == "PAUSED"
    assert db.get_run("r").run_data["status"] == "PAUSED"


# -- receipts ----------------------------------------------------------------------------------------


def test_a_write_says_what_it_has_stored(db: Any) -> None:
    db.upsert_session(session("s"))
    receipts = [db.upsert_run(run(run_id), "s") for run_id in ("one", "two", "one")]

    assert [(r.session_id, r.run_id, r.run_index, r.version, r.is_new) for r in receipts] == [
        ("s", "one", 0, 1, True),
        ("s", "two", 1, 1, True),
        ("s", "one", 0, 2, False),
    ]
    found = db.get_run("one", session_id="s")
    assert (found.version, found.updated_at) == (receipts[2].version, receipts[2].updated_at)


def test_the_first_run_of_a_session_that_it_makes_says_so(db: Any) -> None:
    receipt = db.upsert_run(run("r"), "s")

    assert (receipt.run_index, receipt.version, receipt.is_new) == (0, 1, True)


def test_a_summary_says_which_session_it_is_of(db: Any) -> None:
    saved = db.upsert_session(session("s"))
    receipt = db.upsert_summary("s", {"summary": "short"})

    assert (receipt.session_id, receipt.version, receipt.run_id) == ("s", saved.version, None)
    assert receipt.updated_at >= saved.updated_at
