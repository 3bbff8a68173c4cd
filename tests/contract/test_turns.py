"""A session and a run of it stored by one call: both or neither, whatever others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from agno_store import EncodingError, InvalidArgument, OwnerMismatch, StaleSession
from tests.contract.database import dump, statements
from tests.contract.processes import together
from tests.contract.samples import append, positions, run, run_ids, session


def with_state(found: Any, **state: Any) -> Any:
    """A session as it was read, with a changed state."""
    return replace(found, session_data={"session_state": {**found.session_data["session_state"], **state}})


@pytest.fixture
def read(db: Any) -> Any:
    """A session of ada's with one run, as it was read."""
    db.upsert_session(session("s", user_id="ada", session_data={"session_state": {"n": 0}}))
    append(db, "s", "r0")
    return db.get_session("s")


def test_a_turn_stores_the_session_and_the_run(db: Any, read: Any) -> None:
    saved = db.upsert_session(with_state(read, n=1), run=run("r1"))

    found = db.get_session("s")
    assert replace(saved, runs=found.runs) == found
    assert found.session_data == {"session_state": {"n": 1}}
    assert [(one.run_id, one.run_index, one.user_id) for one in found.runs] == [("r0", 0, None), ("r1", 1, "ada")]
    assert found.version == read.version + 1


def test_a_turn_goes_on_from_the_one_before(db: Any, read: Any) -> None:
    for n in range(1, 4):
        read = db.upsert_session(with_state(read, n=n), run=run(f"r{n}"))

    assert db.get_session("s").session_data == {"session_state": {"n": 3}}
    assert positions(db, "s") == {f"r{n}": n for n in range(4)}


@pytest.mark.parametrize("deserialize", [True, False])
def test_a_turn_makes_a_session(db: Any, deserialize: bool) -> None:
    made = db.upsert_session(session("new", user_id="ada", runs=[run("x")]), deserialize, run=run("r"))

    assert (made.user_id if deserialize else made["user_id"]) == "ada"
    assert len(made.runs if deserialize else made["runs"]) == 1
    assert positions(db, "new") == {"r": 0}


def test_a_turn_changes_a_stored_run_where_it_stands(db: Any, read: Any) -> None:
    db.upsert_run(run("r1"), "s")
    db.upsert_session(with_state(read, n=1), run=run("r0", content="new"))

    assert positions(db, "s") == {"r0": 0, "r1": 1}
    assert db.get_run("r0").content == "new"
    assert db.get_session("s").session_data == {"session_state": {"n": 1}}


@pytest.mark.parametrize(
    ("changes", "done", "error"),
    [
        ({}, run("r1", content=object()), EncodingError),
        ({}, {"content": "without an id"}, InvalidArgument),
        ({"user_id": "mallory"}, run("r1"), OwnerMismatch),
        ({"user_id": None}, run("r1"), OwnerMismatch),
        ({"metadata": {"x": object()}}, run("r1"), EncodingError),
    ],
    ids=["unstorable run", "no run", "of another user", "of nobody", "unstorable session"],
)
def test_a_turn_that_fails_stores_neither(db: Any, read: Any, changes: Any, done: Any, error: type[Exception]) -> None:
    before = dump(db)
    with pytest.raises(error):
        db.upsert_session(replace(with_state(read, n=1), **changes), run=done)

    assert dump(db) == before


def test_a_run_of_another_user_keeps_the_session_from_being_stored(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": {"n": 0}}))
    append(db, "s", "r", user_id="mallory")
    found, before = db.get_session("s"), dump(db)
    with pytest.raises(OwnerMismatch):
        db.upsert_session(with_state(found, n=1), run=run("r", user_id="ada"))

    assert dump(db) == before


def test_two_turns_of_one_reading_are_merged(db: Any, read: Any) -> None:
    db.upsert_session(with_state(read, mine=1), run=run("r1"))
    db.upsert_session(with_state(read, theirs=2), run=run("r2"))

    assert db.get_session("s").session_data == {"session_state": {"n": 0, "mine": 1, "theirs": 2}}
    assert positions(db, "s") == {"r0": 0, "r1": 1, "r2": 2}


def test_a_stale_turn_that_is_refused_stores_no_run(db: Any, read: Any) -> None:
    db.upsert_session(with_state(read, mine=1), on_conflict="error", run=run("r1"))
    with pytest.raises(StaleSession):
        db.upsert_session(with_state(read, theirs=2), on_conflict="error", run=run("r2"))

    assert run_ids(db, "s") == ["r0", "r1"]
    assert db.get_session("s").session_data == {"session_state": {"n": 0, "mine": 1}}


def test_a_session_made_anew_is_not_the_one_that_was_read(db: Any, read: Any) -> None:
    db.delete_session("s")
    db.upsert_session(session("s", user_id="ada", session_data={"session_state": {"other": 1}}))
    db.upsert_session(with_state(read, n=1), run=run("r1"))

    assert db.get_session("s").session_data == {"session_state": {"other": 1, "n": 1}}
    assert positions(db, "s") == {"r1": 0}


def test_what_is_given_back_has_the_summary_that_another_one_wrote(db: Any, read: Any) -> None:
    db.upsert_summary("s", {"summary": "of another one"})
    saved = db.upsert_session(with_state(read, n=1))

    assert saved.summary.summary == "of another one"
    saved = db.upsert_session(with_state(saved, n=2), run=run("r1"))
    assert saved.summary == db.get_session("s").summary


def test_a_session_that_was_handed_over_is_not_the_old_owners(db: Any, read: Any) -> None:
    assert db.reassign_session_owner("s", previous_user_id="ada", user_id="bob")
    before = dump(db)
    for one in ({}, {"run": run("r1")}):
        with pytest.raises(OwnerMismatch):
            db.upsert_session(with_state(read, n=1), **one)

    assert dump(db) == before


def test_a_turn_can_be_repeated(db: Any, read: Any) -> None:
    changed = with_state(read, n=1)
    for _ in range(3):
        db.upsert_session(changed, run=run("r1"))

    assert positions(db, "s") == {"r0": 0, "r1": 1}
    assert db.get_session("s").session_data == {"session_state": {"n": 1}}


def test_a_run_that_was_deleted_is_stored_again_behind_all(db: Any, read: Any) -> None:
    append(db, "s", "r1")
    assert db.delete_run("r0", session_id="s")
    db.upsert_session(with_state(read, n=1), run=run("r0"))

    assert positions(db, "s") == {"r1": 1, "r0": 2}


def test_many_turns_of_one_session_lose_nothing(db: Any, read: Any, record_property: Callable[..., None]) -> None:
    def work(name: str) -> None:
        for n in range(4):
            done = f"{name}-{n}"
            db.upsert_session(with_state(db.get_session("s", runs_limit=1), **{done: n}), run=run(done))

    together(*(partial(work, f"w{number}") for number in range(8)))
    done = [f"w{number}-{n}" for number in range(8) for n in range(4)]
    assert db.get_session("s").session_data == {"session_state": {"n": 0, **{name: int(name[-1]) for name in done}}}
    assert sorted(positions(db, "s").items(), key=lambda item: item[1])[0] == ("r0", 0)
    assert sorted(positions(db, "s").values()) == list(range(len(done) + 1))
    record_property("told", f"{len(done)} turns at once on one session: 0 runs lost or doubled, 0 changes lost")


def test_the_same_run_from_many_is_stored_once(db: Any, read: Any) -> None:
    together(*(partial(db.upsert_session, with_state(read, **{f"k{n}": n}), run=run("same")) for n in range(8)))

    assert positions(db, "s") == {"r0": 0, "same": 1}
    assert db.get_session("s").session_data == {"session_state": {"n": 0, **{f"k{n}": n for n in range(8)}}}


def test_tenants_do_not_meet_in_a_turn(opened: Callable[..., Any]) -> None:
    stores = [opened(tenant_id=tenant) for tenant in (None, "one", "two")]
    for number, store in enumerate(stores):
        store.upsert_session(session("s", session_data={"session_state": {"n": 0}}))
        for n in range(number + 1):
            store.upsert_session(with_state(store.get_session("s"), n=number), run=run(f"r{n}"))

    for number, store in enumerate(stores):
        assert store.get_session("s").session_data == {"session_state": {"n": number}}
        assert positions(store, "s") == {f"r{n}": n for n in range(number + 1)}


def test_a_listener_hears_every_statement_of_a_turn(db: Any, read: Any) -> None:
    with statements(db.db_engine) as sent:
        db.upsert_session(with_state(db.get_session("s"), n=1), run=run("r1"))

    assert [statement.split()[0] for statement in sent[:2]] == ["SELECT", "SELECT"]
    assert [statement for statement in sent[2:] if "UPDATE" in statement and db.names.sessions in statement]
    assert [statement for statement in sent[2:] if "INSERT" in statement and db.names.runs in statement]


def test_no_clock_decides(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store", "shortcuts", "operations.sessions", "operations.runs"):
        monkeypatch.setattr(f"agno_store.{module}.now", lambda: 1)
    db.upsert_session(session("s", session_data={"session_state": {"n": 0}}))
    first, second = db.get_session("s"), db.get_session("s")
    db.upsert_session(with_state(first, mine=1), run=run("r1"))
    db.upsert_session(with_state(second, theirs=2), run=run("r2"))

    assert db.get_session("s").session_data == {"session_state": {"n": 0, "mine": 1, "theirs": 2}}
    assert positions(db, "s") == {"r1": 0, "r2": 1}
