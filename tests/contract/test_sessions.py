"""Sessions: what is saved is what is read, and only what was given is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agno_store import AgnoStoreError, EncodingError, InvalidArgument, OwnerMismatch, Run, Session, Summary
from tests.contract.database import ask, dump, quoted, stored
from tests.contract.samples import append, run, run_ids, session

PAYLOADS = ("session_data", "agent_data", "team_data", "workflow_data", "metadata")

FULL = Session(
    session_id="s",
    session_type="workflow",
    agent_id="an agent",
    team_id="a team",
    workflow_id="a workflow",
    user_id="alice",
    session_data={"session_name": "Trip", "session_state": {"cart": [1, 2, {"three": None}]}},
    agent_data={"name": "A", "model": {"id": "m"}},
    team_data={"name": "T"},
    workflow_data={"name": "W"},
    metadata={"tags": ["x", "y"], "empty": {}},
    workflow_name="Nightly 📚",
    summary=Summary("About a trip", topics=["travel"], updated_at="2026-01-01T00:00:00"),
    created_at=1_700_000_000,
)


def content(value: Session) -> dict[str, Any]:
    """All that a caller chose."""
    given_by_the_store = ("version", "created_at", "updated_at", "runs", "summary", "snapshot")
    entries = {name: entry for name, entry in vars(value).items() if name not in given_by_the_store}
    return {**entries, "summary": None if value.summary is None else value.summary.to_dict()}


def updated_at(db: Any, session_id: str = "s") -> int:
    return int(stored(db, "sessions", "updated_at", session_id=session_id))


# -- saving and reading ------------------------------------------------------------------------------


def test_a_record_comes_back_with_all_it_holds(db: Any) -> None:
    saved = db.upsert_session(FULL)
    found = db.get_session("s")

    assert content(saved) == content(found) == content(FULL)
    assert found.created_at == 1_700_000_000
    assert found.runs == []


def test_a_dict_comes_back_with_all_it_holds(db: Any) -> None:
    given = content(FULL)
    saved = db.upsert_session(given, deserialize=False)
    found = db.get_session("s", deserialize=False)

    assert {name: found[name] for name in given} == given
    assert {name: saved[name] for name in given} == given


def test_an_object_with_the_attributes_of_a_session_can_be_saved(db: Any) -> None:
    db.upsert_session(SimpleNamespace(session_id="s", session_type="team", team_id="t", session_data={"a": 1}))
    found = db.get_session("s")

    assert (found.session_type, found.team_id, found.session_data, found.agent_data) == ("team", "t", {"a": 1}, None)


def test_a_session_that_is_not_there_is_none(db: Any) -> None:
    assert db.get_session("nobody") is None
    assert db.get_session("nobody", deserialize=False) is None


@pytest.mark.parametrize("asked", ["agent", "team", "workflow", None])
def test_a_session_is_found_whatever_type_is_asked_for(db: Any, asked: str | None) -> None:
    db.upsert_session(session("s", session_type="team"))

    assert db.get_session("s", asked, deserialize=False)["session_type"] == "team"


@pytest.mark.parametrize(
    ("kind", "component"), [("agent", "agent_id"), ("team", "team_id"), ("workflow", "workflow_id")]
)
def test_a_type_that_is_not_given_is_told_by_the_component(db: Any, kind: str, component: str) -> None:
    db.upsert_session({"session_id": "s", component: "c"})

    assert db.get_session("s").session_type == kind


def test_a_type_once_stored_stays(db: Any) -> None:
    db.upsert_session(session("s", session_type="agent", agent_id="a"))
    db.upsert_session(session("s", session_type="team", team_id="t"))
    found = db.get_session("s")

    assert (found.session_type, found.agent_id, found.team_id) == ("agent", "a", "t")


def test_a_session_can_hold_nothing_but_its_id(db: Any) -> None:
    db.upsert_session({"session_id": "s"})

    assert db.get_session("s").session_data is None


def test_two_reads_never_share_an_object(db: Any) -> None:
    db.upsert_session(FULL)
    append(db, "s", "r", messages=[{"role": "user"}])
    first, second = db.get_session("s", deserialize=False), db.get_session("s", deserialize=False)
    first["session_data"]["session_state"]["cart"].append("changed")
    first["runs"][0]["messages"].clear()
    first["summary"]["topics"].append("changed")

    assert second == db.get_session("s", deserialize=False)
    assert second["session_data"] == FULL.session_data


@pytest.mark.parametrize("deserialize", [True, False])
def test_what_a_save_returns_is_not_what_was_given(db: Any, deserialize: bool) -> None:
    given = session("s", session_data={"session_state": {"n": 1}})
    saved = db.upsert_session(given, deserialize=deserialize)
    data = saved.session_data if deserialize else saved["session_data"]
    data["session_state"]["n"] = 2

    assert given["session_data"] == {"session_state": {"n": 1}}
    assert db.get_session("s").session_data == {"session_state": {"n": 1}}


def test_a_workflows_name_survives_saves_that_do_not_mention_it(db: Any) -> None:
    db.upsert_session(session("s", session_type="workflow", workflow_name="Nightly \x00 📚"))
    db.upsert_session(session("s", session_data={}))

    assert db.get_session("s").workflow_name == "Nightly \x00 📚"
    assert db.get_session("s", deserialize=False)["workflow_name"] == "Nightly \x00 📚"


# -- what a save changes -----------------------------------------------------------------------------


@pytest.mark.parametrize("changed", PAYLOADS)
def test_a_dict_changes_only_the_keys_it_has(db: Any, changed: str) -> None:
    before = db.upsert_session(FULL, deserialize=False)
    db.upsert_session({"session_id": "s", "user_id": "alice", changed: {"new": True}})
    after = db.get_session("s", deserialize=False)

    own = ("runs", "version", "updated_at")
    assert after == {**before, changed: {"new": True}, **{name: after[name] for name in own}}


@pytest.mark.parametrize("name", ["agent_id", "team_id", "workflow_id", "user_id", "workflow_name"])
def test_an_id_is_not_lost_to_a_save_without_it(db: Any, name: str) -> None:
    db.upsert_session(session("s", user_id="alice", **({name: "kept"} if name != "user_id" else {})))
    db.upsert_session(session("s", **{"user_id": "alice", name: "alice" if name == "user_id" else None}))

    assert getattr(db.get_session("s"), name) == ("alice" if name == "user_id" else "kept")


@pytest.mark.parametrize("name", PAYLOADS)
def test_none_is_sql_null(db: Any, name: str) -> None:
    db.upsert_session(session("s", **{name: {"a": 1}}))
    db.upsert_session(session("s", **{name: None}))
    db.upsert_session(session("without", **{name: None}))

    table = quoted(db, db.names.sessions)
    assert ask(db, f"SELECT count(*) FROM {table} WHERE {name} IS NULL") == [2]
    assert getattr(db.get_session("s"), name) is None


@pytest.mark.parametrize("name", PAYLOADS)
def test_an_empty_dict_is_not_none(db: Any, name: str) -> None:
    db.upsert_session(session("s", **{name: {}}))

    assert getattr(db.get_session("s"), name) == {}


def test_saving_a_session_does_not_touch_its_runs(db: Any) -> None:
    append(db, "s", "one", "two")
    before = dump(db)["runs"]
    db.upsert_session(Session("s", runs=[]))
    db.upsert_session({"session_id": "s", "runs": [run("stale")]})

    assert dump(db)["runs"] == before


def test_a_save_gives_back_the_runs_it_was_given(db: Any) -> None:
    runs = [Run("r", {"run_id": "r"})]

    assert db.upsert_session(Session("s", runs=runs)).runs is runs
    assert db.upsert_session(Session("s", runs=runs), deserialize=False)["runs"] == [{"run_id": "r"}]
    assert db.get_session("s").runs == []


def test_the_version_counts_the_saves(db: Any) -> None:
    assert [db.upsert_session(session("s")).version for _ in range(3)] == [1, 2, 3]


# -- times -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"created_at": None}], ids=["absent", "none"])
def test_without_a_time_a_session_is_created_now(db: Any, given: dict[str, Any]) -> None:
    before = int(time.time())
    db.upsert_session(session("s", **given))

    assert before <= db.get_session("s").created_at <= time.time()


@pytest.mark.parametrize(("given", "read"), [(0, 0), (1, 1), (1_700_000_000, 1_700_000_000), (12.75, 12)])
def test_a_time_that_is_given_is_kept(db: Any, given: float, read: int) -> None:
    assert db.upsert_session(session("s", created_at=given)).created_at == read
    assert db.get_session("s").created_at == read


@pytest.mark.parametrize("later", [200, 0, None])
def test_the_time_of_creation_never_changes(db: Any, later: int | None) -> None:
    db.upsert_session(session("s", created_at=100))
    db.upsert_session(session("s", created_at=later))
    db.upsert_sessions([session("s", created_at=later)], preserve_updated_at=True)
    append(db, "s", "r")

    assert db.get_session("s").created_at == 100


WRITES: dict[str, Callable[[Any], object]] = {
    "upsert_session": lambda db: db.upsert_session(session("s", user_id="alice", updated_at=1)),
    "upsert_sessions": lambda db: db.upsert_sessions([session("s", user_id="alice", updated_at=1)]),
    "rename_session": lambda db: db.rename_session("s", "agent", "new"),
    "update_session_state": lambda db: db.update_session_state("s", lambda state: {"n": 1}),
    "reassign_session_owner": lambda db: db.reassign_session_owner("s", previous_user_id="alice", user_id="bob"),
    "upsert_run": lambda db: db.upsert_run(run("new"), "s"),
    "append_run": lambda db: db.append_run_to_session_if_absent("s", run("new")),
    "update_run_in_session": lambda db: db.update_run_in_session("s", "r", {}, session_data={"a": 1}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_every_write_moves_the_time_of_update(db: Any, write: Callable[[Any], object]) -> None:
    db.upsert_session(session("s", user_id="alice"))
    append(db, "s", "r")
    before = updated_at(db)
    write(db)

    assert updated_at(db) > before


@pytest.mark.parametrize("write", ["rename_session", "update_session_state", "update_run_in_session"])
def test_a_change_of_its_data_is_one_version(db: Any, write: str) -> None:
    append(db, "s", "r")
    before = db.get_session("s").version
    WRITES[write](db)

    assert db.get_session("s").version == before + 1


def test_times_of_update_can_be_brought_along(db: Any) -> None:
    db.upsert_sessions([session("s", created_at=5, updated_at=7)], preserve_updated_at=True)
    assert (db.get_session("s").created_at, db.get_session("s").updated_at) == (5, 7)

    db.upsert_sessions([session("s", updated_at=0)], preserve_updated_at=True)
    assert db.get_session("s").updated_at == 0

    db.upsert_sessions([session("s", updated_at=9)])
    assert db.get_session("s").updated_at > 9


# -- several at once ---------------------------------------------------------------------------------


def test_several_sessions_come_back_in_the_order_given(db: Any) -> None:
    ids = ["m", "a", "z", "b"]
    saved = db.upsert_sessions([session(i, session_data={"session_name": f"name of {i}"}) for i in ids])

    assert [entry.session_id for entry in saved] == ids
    assert [entry.session_name for entry in saved] == [f"name of {i}" for i in ids]
    assert db.upsert_sessions([]) == []


BAD: dict[str, tuple[dict[str, Any], type[AgnoStoreError]]] = {
    "another user's": (session("bad", user_id="mallory"), OwnerMismatch),
    "a value that cannot be stored": (session("bad", session_data={"a": object()}), EncodingError),
    "an id too long": (session("bad", agent_id="x" * 256), InvalidArgument),
    "an unknown type": (session("bad", session_type="crew"), InvalidArgument),
    "a time that is none": (session("bad", created_at="yesterday"), InvalidArgument),
}


@pytest.mark.parametrize(("bad", "error"), BAD.values(), ids=BAD.keys())
def test_one_bad_session_fails_all_and_is_named(db: Any, bad: dict[str, Any], error: type[AgnoStoreError]) -> None:
    db.upsert_session(session("bad", user_id="alice"))
    before = dump(db)
    with pytest.raises(error, match="bad"):
        db.upsert_sessions([session("first"), bad, session("last")])

    assert dump(db) == before


def test_of_two_saves_of_one_session_the_later_one_counts(db: Any) -> None:
    db.upsert_sessions([session("s", metadata={"n": 1}), session("other"), session("s", metadata={"n": 2})])

    assert db.get_session("s").metadata == {"n": 2}


# -- renaming and state ------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, {}, {"session_name": "old", "session_state": {"n": 1}, "z": 0, "a": 1}])
@pytest.mark.parametrize("asked", ["agent", "team", None])
def test_a_session_can_be_renamed_whatever_it_holds(db: Any, data: dict[str, Any] | None, asked: str | None) -> None:
    db.upsert_session(session("s", session_type="agent", session_data=data))
    append(db, "s", "r")
    renamed = db.rename_session("s", asked, "new", deserialize=False)

    assert renamed == db.get_session("s", deserialize=False)
    assert renamed["session_data"] == {**(data or {}), "session_name": "new"}
    assert list(renamed["session_data"])[: len(data or {})] == list(data or {})
    assert [entry["run_id"] for entry in renamed["runs"]] == ["r"]


def test_renaming_what_is_not_there_is_none_and_makes_nothing(db: Any) -> None:
    assert db.rename_session("nobody", "agent", "new") is None
    assert dump(db)["sessions"] == []


@pytest.mark.parametrize("data", [None, {}, {"session_state": None}, {"session_state": {}}])
def test_state_that_is_not_there_is_an_empty_one(db: Any, data: dict[str, Any] | None) -> None:
    db.upsert_session(session("s", session_data=data))

    assert db.update_session_state("s", lambda state: {**state, "n": 1}) == {"n": 1}
    assert db.get_session("s").session_data == {"session_state": {"n": 1}}


def test_state_can_be_changed_in_place(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_name": "n", "session_state": {"cart": [1]}}))

    assert db.update_session_state("s", lambda state: state["cart"].append(2)) == {"cart": [1, 2]}
    assert db.get_session("s").session_data == {"session_name": "n", "session_state": {"cart": [1, 2]}}


def test_a_change_of_state_that_fails_writes_nothing(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": {"n": 1}}))
    before = dump(db)
    with pytest.raises(ZeroDivisionError):
        db.update_session_state("s", lambda state: {"n": 1 / 0})
    with pytest.raises(EncodingError, match=r"session_data\.session_state\.n"):
        db.update_session_state("s", lambda state: {"n": object()})

    assert dump(db) == before
    assert db.update_session_state("nobody", lambda state: {"n": 1}) is None


# -- deleting ----------------------------------------------------------------------------------------


def test_a_session_goes_with_all_that_is_in_it(db: Any) -> None:
    for session_id in ("goes", "stays"):
        db.upsert_session(session(session_id, summary={"summary": "text"}))
        append(db, session_id, "r1", "r2")

    assert db.delete_session("goes") is True
    assert db.delete_session("goes") is False
    assert {row["session_id"] for rows in dump(db).values() for row in rows} == {"stays"}
    assert run_ids(db, "stays") == ["r1", "r2"]


def test_several_sessions_go_at_once(db: Any) -> None:
    for session_id in "abcd":
        append(db, session_id, "r")
    db.delete_sessions(session_id for session_id in ["d", "a", "nobody", "a"])
    db.delete_sessions([])

    assert {row["session_id"] for rows in dump(db).values() for row in rows} == {"b", "c"}


def test_a_session_that_is_stored_again_starts_anew(db: Any) -> None:
    db.upsert_session(session("s", created_at=5, summary={"summary": "text"}))
    append(db, "s", "r")
    db.delete_session("s")
    db.upsert_session(session("s"))
    found = db.get_session("s")

    assert (found.runs, found.summary, found.version) == ([], None, 1)
    assert found.created_at > 5
