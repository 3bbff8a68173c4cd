"""A user is forgotten: what was theirs is gone, wherever it stood, and nothing of anybody else's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from agno_store import InvalidArgument, Removed
from agno_store.removed import FIRST
from tests.contract.database import dump
from tests.contract.old import long
from tests.contract.samples import append, listed, positions, run, run_ids, session

USER, CANARY = "mallory-4711", "canary-in-a-coal-mine"
SECRET = {"session_name": CANARY, "session_state": {"said": CANARY}}


def traces(db: Any) -> list[str]:
    """The places in which the user or the canary still stands."""
    return [
        f"{table}.{column}"
        for table, rows in dump(db).items()
        for row in rows
        for column, value in row.items()
        if isinstance(value, str) and (USER in value or CANARY in value)
    ]


def furnish(db: Any) -> None:
    """What is the user's: two sessions, and runs in those of nobody, of somebody else, and in one handed over."""
    for n in range(2):
        db.upsert_session(session(f"{n}", user_id=USER, session_data=SECRET, summary={"summary": CANARY}))
        append(db, f"{n}", "a", "b", content=CANARY, user_id=USER)
    db.upsert_session(session("nobody's", session_data=SECRET, summary={"summary": CANARY}))
    append(db, "nobody's", "a", content=CANARY, user_id=USER)
    db.upsert_run(run("member", CANARY, parent_run_id="a"), "nobody's")
    db.upsert_session(session("shared", summary={"summary": CANARY}))
    db.upsert_run(run("early member", CANARY, parent_run_id="member"), "shared")
    db.upsert_run(run("member", CANARY, parent_run_id="theirs"), "shared")
    append(db, "shared", "theirs", content=CANARY, user_id=USER)
    append(db, "shared", "another's", user_id="bob")
    db.upsert_run(run("another's member", parent_run_id="another's"), "shared")
    db.upsert_session(session("handed over", user_id=USER, summary={"summary": CANARY}))
    append(db, "handed over", "before", content=CANARY, user_id=USER)
    db.reassign_session_owner("handed over", previous_user_id=USER, user_id="bob")
    append(db, "handed over", "after", user_id="bob")


def others(db: Any) -> None:
    """What is not."""
    for user in ("bob", "mallory", USER.upper(), f"{USER} ", None):
        db.upsert_session(session(f"of {user!r}".replace(USER, "m"), user_id=user, summary={"summary": "theirs"}))
        append(db, f"of {user!r}".replace(USER, "m"), "a", user_id=user if user != f"{USER} " else None)


def test_all_that_is_a_users_goes_and_nothing_else(db: Any) -> None:
    others(db)
    before = dump(db)
    furnish(db)
    assert len(traces(db)) > 20
    whole = dump(db)

    planned = db.delete_user(USER, dry_run=True)
    assert dump(db) == whole
    assert planned == Removed(sessions=3, runs=2 * 2 + 2 + 3 + 1, summaries=5, dry_run=True)
    assert db.delete_user(USER) == planned._replace(dry_run=False)

    after = dump(db)
    old = [row for row in before["sessions"] if row["user_id"] == f"{USER} "]
    assert traces(db) == ["sessions.user_id"] * len(old)
    assert run_ids(db, "shared") == ["another's", "another's member"]
    assert positions(db, "handed over") == {"after": 1}
    stays = ("shared", "handed over")
    assert {table: [row for row in rows if row["session_id"] not in stays] for table, rows in after.items()} == before
    assert db.delete_user(USER) == Removed()


def test_a_user_without_anything_is_no_error(db: Any) -> None:
    others(db)
    before = dump(db)

    assert db.delete_user("nobody") == Removed()
    assert dump(db) == before


@pytest.mark.parametrize("user", [None, "", 1.5, ["a"]])
def test_what_is_no_user_is_refused(db: Any, user: Any) -> None:
    others(db)
    before = dump(db)

    with pytest.raises(InvalidArgument, match="user_id"):
        db.delete_user(user)
    assert dump(db) == before


def test_large_sessions_go_too(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_store.removed.MOST", FIRST)
    long(db, "own", 130, 1, user_id=USER)
    db.upsert_session(session("shared"))
    append(db, "shared", *(f"m{n}" for n in range(70)), user_id=USER)
    append(db, "shared", "bob's", user_id="bob")
    told: list[Removed] = []

    assert db.delete_user(USER, on_progress=told.append) == told[-1] == Removed(sessions=1, runs=200)
    assert max(after.runs - before.runs for before, after in pairwise([Removed(), *told])) <= FIRST
    assert positions(db, "shared") == {"bob's": 70}


def test_a_session_of_nobodys_that_another_begins_to_use_meanwhile_stays_his(db: Any) -> None:
    for name in ("a", "b"):
        db.upsert_session(session(name))
        append(db, name, "m", content=CANARY, user_id=USER)
    once: list[object] = []

    def write(_removed: Removed) -> None:
        if not once:
            once.append(db.upsert_run(run("bob's", user_id="bob"), "b"))

    assert db.delete_user(USER, on_progress=write) == Removed(sessions=1, runs=2)
    assert listed(db) == ["b"]
    assert positions(db, "b") == {"bob's": 1}
    assert traces(db) == []


def test_a_session_of_nobodys_that_another_begins_to_use_after_it_was_looked_at_stays_his(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        db.upsert_session(session(name))
        append(db, name, "m", user_id=USER)
    monkeypatch.setattr("agno_store.removed.HOLD", 60)  # also on a slow machine the session goes whole
    monkeypatch.setattr("agno_store.clearing.pause", lambda _: db.upsert_run(run("bob's", user_id="bob"), "b"))

    assert db.delete_user(USER) == Removed(sessions=1, runs=2)
    assert positions(db, "b") == {"bob's": 1}


def test_a_session_that_is_handed_over_meanwhile_stays_with_its_new_owner(db: Any) -> None:
    long(db, "a", 130, 1, user_id=USER)
    db.upsert_session(session("b", user_id=USER))

    db.delete_user(USER, on_progress=lambda _: db.reassign_session_owner("b", previous_user_id=USER, user_id="bob"))
    assert listed(db, user_id="bob") == listed(db) == ["b"]


def test_a_session_of_nobodys_that_is_deleted_meanwhile_is_no_error(db: Any) -> None:
    for name in ("a", "b"):
        db.upsert_session(session(name))
        append(db, name, "m", user_id=USER)

    assert db.delete_user(USER, on_progress=lambda _: db.delete_session("b")) == Removed(sessions=1, runs=1)
    assert listed(db) == []


def test_who_has_read_a_session_before_reads_it_without_what_is_gone(db: Any) -> None:
    furnish(db)
    assert run_ids(db, "shared")[:1] == ["early member"]
    db.get_session("shared")
    db.delete_user(USER)

    assert [found.run_id for found in db.get_session("shared").runs] == ["another's", "another's member"]
    assert run_ids(db, "shared") == ["another's", "another's member"]
