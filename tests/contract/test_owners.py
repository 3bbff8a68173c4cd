"""Owners: no call reads or changes what belongs to another user, on any backend.

The matrix is generated: every operation that is told a user, against users who may and users who may not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agno_store import AgnoStoreError, InvalidArgument, Listing, OwnerMismatch, Removed, RunUpdate
from agno_store.operations import Operations
from tests.contract.database import dump, stored
from tests.contract.samples import append, listed, run, run_ids, session

OWNER = "alice"
STRANGERS = ("mallory", "", "Alice", "alice ", "álice")
USERS = (OWNER, None, *STRANGERS)


@dataclass(frozen=True)
class Case:
    """One way to ask for something of alice's as somebody."""

    operation: str
    ask: Callable[[Any, str | None], Any]
    refused: Any
    """What somebody else gets: a value, or the class of an exception."""
    writes: bool = False
    allowed: tuple[str | None, ...] = (OWNER, None)
    """Who may: the owner, and None, which stands for everybody."""
    nobody: Any = None
    """What None gets where it may not, if that is not what a stranger gets."""


def reads(operation: str, refused: Any, ask: Callable[[Any, str | None], Any]) -> Case:
    return Case(operation, ask, refused)


def writes(operation: str, refused: Any, ask: Callable[[Any, str | None], Any], **more: Any) -> Case:
    return Case(operation, ask, refused, writes=True, **more)


CASES = {
    "get_session": reads("get_session", None, lambda db, user: db.get_session("idle", user_id=user)),
    "get_session as a dict": reads(
        "get_session", None, lambda db, user: db.get_session("idle", user_id=user, deserialize=False, runs_limit=1)
    ),
    "get_sessions": reads("get_sessions", Listing([]), lambda db, user: db.get_sessions(user_id=user)),
    "get_sessions with a total": reads(
        "get_sessions", ([], 0), lambda db, user: db.get_sessions(user_id=user, limit=1, deserialize=False)
    ),
    "get_sessions by name": reads(
        "get_sessions", Listing([]), lambda db, user: db.get_sessions(user_id=user, session_name="secret")
    ),
    "get_sessions by component": reads(
        "get_sessions", Listing([]), lambda db, user: db.get_sessions(user_id=user, component_id="helper")
    ),
    "get_run": reads("get_run", None, lambda db, user: db.get_run("done", user_id=user)),
    "get_run of a session": reads(
        "get_run", None, lambda db, user: db.get_run("done", session_id="idle", user_id=user, deserialize=False)
    ),
    "get_runs": reads("get_runs", Listing([]), lambda db, user: db.get_runs(user_id=user)),
    "get_runs of a session": reads(
        "get_runs", ([], 0), lambda db, user: db.get_runs(session_id="idle", user_id=user, deserialize=False)
    ),
    "get_runs by status": reads(
        "get_runs", Listing([]), lambda db, user: db.get_runs(status="COMPLETED", user_id=user)
    ),
    "get_summary": reads("get_summary", None, lambda db, user: db.get_summary("idle", user_id=user)),
    "iter_sessions": reads("iter_sessions", [], lambda db, user: list(db.iter_sessions(user_id=user))),
    "iter_runs": reads("iter_runs", [], lambda db, user: list(db.iter_runs(user_id=user))),
    "iter_runs of a session": reads(
        "iter_runs", [], lambda db, user: list(db.iter_runs(session_id="idle", user_id=user))
    ),
    "search": reads("search", Listing([]), lambda db, user: db.search("secret", user_id=user)),
    "rename_session": writes(
        "rename_session", None, lambda db, user: db.rename_session("idle", "agent", "mine", user_id=user)
    ),
    "update_session_state": writes(
        "update_session_state", None, lambda db, user: db.update_session_state("idle", lambda s: {"n": 1}, user_id=user)
    ),
    "upsert_session": writes(
        "upsert_session",
        OwnerMismatch,
        lambda db, user: db.upsert_session(session("idle", user_id=user, metadata={"n": 1})),
        allowed=(OWNER,),
    ),
    "upsert_sessions": writes(
        "upsert_sessions",
        OwnerMismatch,
        lambda db, user: db.upsert_sessions([session("new"), session("idle", user_id=user, metadata={"n": 1})]),
        allowed=(OWNER,),
    ),
    "insert_session_if_absent": writes(
        "insert_session_if_absent",
        False,
        lambda db, user: db.insert_session_if_absent(session("idle", user_id=user, metadata={"n": 1})),
        allowed=(),
        nobody=False,
    ),
    "reassign_session_owner": writes(
        "reassign_session_owner",
        False,
        lambda db, user: db.reassign_session_owner("idle", previous_user_id=user, user_id="carol"),
        allowed=(OWNER,),
        nobody=InvalidArgument,
    ),
    "delete_session": writes("delete_session", False, lambda db, user: db.delete_session("idle", user_id=user)),
    "delete_sessions": writes(
        "delete_sessions", None, lambda db, user: [db.delete_sessions(["idle", "busy"], user_id=user)][0]
    ),
    "upsert_run of a new run": writes(
        "upsert_run", OwnerMismatch, lambda db, user: db.upsert_run(run("new"), "idle", user_id=user)
    ),
    "upsert_run of a stored run": writes(
        "upsert_run", OwnerMismatch, lambda db, user: db.upsert_run(run("done", content="x"), "idle", user_id=user)
    ),
    "upsert_run that names its user": writes(
        "upsert_run", OwnerMismatch, lambda db, user: db.upsert_run(run("new", user_id=user), "idle")
    ),
    "append_run_to_session_if_absent": writes(
        "append_run_to_session_if_absent",
        OwnerMismatch,
        lambda db, user: db.append_run_to_session_if_absent("idle", run("new"), user_id=user),
    ),
    "cancel_pending_run": writes(
        "cancel_pending_run",
        False,
        lambda db, user: db.cancel_pending_run("waits", session_id="busy", reason="no", user_id=user),
    ),
    "update_run_in_session": writes(
        "update_run_in_session",
        RunUpdate.MISSING,
        lambda db, user: db.update_run_in_session("busy", "waits", {"content": "x"}, user_id=user),
    ),
    "update_run_in_session with the session": writes(
        "update_run_in_session",
        RunUpdate.MISSING,
        lambda db, user: db.update_run_in_session("busy", "waits", {}, user_id=user, session_data={"n": 1}),
    ),
    "delete_run": writes("delete_run", False, lambda db, user: db.delete_run("done", user_id=user)),
    "delete_run of a session": writes(
        "delete_run", False, lambda db, user: db.delete_run("done", session_id="idle", user_id=user)
    ),
    "delete_runs": writes("delete_runs", None, lambda db, user: db.delete_runs(["done", "waits"], user_id=user)),
    "prune": writes("prune", Removed(), lambda db, user: db.prune("0s", user_id=user)),
    "upsert_summary": writes(
        "upsert_summary", OwnerMismatch, lambda db, user: db.upsert_summary("idle", {"summary": "x"}, user_id=user)
    ),
}

MATRIX = [
    pytest.param(case, user, id=f"{name}-{user!r}", marks=[pytest.mark.variant] if user in STRANGERS[1:] else [])
    for name, case in CASES.items()
    for user in USERS
]
ALLOWED = [entry for entry in MATRIX if entry.values[1] in entry.values[0].allowed]  # type: ignore[union-attr]
REFUSED = [entry for entry in MATRIX if entry not in ALLOWED]


def outcome(case: Case, db: Any, user: str | None) -> Any:
    """What a call answers: its value, or the class of its refusal."""
    try:
        return case.ask(db, user)
    except AgnoStoreError as refusal:
        return type(refusal)


def furnish(db: Any, owner: str | None) -> None:
    """Two sessions of one owner: one idle, with a name, a run and a summary; one with a run that waits."""
    data = {"session_name": "secret", "session_state": {"n": 0}}
    summary = {"summary": "secret", "topics": ["secret"]}
    for session_id in ("idle", "busy"):
        db.upsert_session(session(session_id, agent_id="helper", user_id=owner, session_data=data, summary=summary))
    db.upsert_run(run("done", content="secret"), "idle", user_id=owner)
    db.upsert_run(run("waits", content=None, status="PENDING"), "busy", user_id=owner)


@pytest.fixture
def home(db: Any) -> Any:
    """A store in which everything is alice's."""
    furnish(db, OWNER)
    return db


# -- the matrix --------------------------------------------------------------------------------------


def test_every_operation_that_is_told_a_user_is_in_the_matrix() -> None:
    told = {"user_id", "previous_user_id", "session", "sessions"}
    operations = {
        name
        for name, member in inspect.getmembers(Operations)
        if not name.startswith("_") and callable(member) and told & set(inspect.signature(member).parameters)
    }

    # A user is what delete_user() is about, and not on whose behalf it is done.
    assert operations - {"delete_user"} == {case.operation for case in CASES.values()}


STORES_AN_OWNER = ("upsert_session", "upsert_run", "append_", "insert_")


def refusal(case: Case, user: str | None) -> Any:
    """What a stranger gets; an empty owner makes no sense wherever an owner is stored."""
    if user == "" and case.operation.startswith(STORES_AN_OWNER):
        return InvalidArgument
    return case.nobody if user is None and case.nobody is not None else case.refused


@pytest.mark.parametrize(("case", "user"), REFUSED)
def test_somebody_else_reads_nothing_and_writes_nothing(home: Any, case: Case, user: str | None) -> None:
    before = dump(home)
    answer = outcome(case, home, user)
    expected = refusal(case, user)

    assert type(answer) is type(expected)
    assert answer == expected
    assert dump(home) == before


@pytest.mark.parametrize(("case", "user"), ALLOWED)
def test_the_owner_and_everybody_may(home: Any, case: Case, user: str | None) -> None:
    before = dump(home)
    answer = outcome(case, home, user)

    assert answer is None or answer != case.refused
    assert answer is not None or case.writes
    assert (dump(home) != before) is case.writes


# An upsert may claim what nobody owns; everything else is only for those who can read it.
CLAIMS = ("upsert", "append")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(CLAIMS)])
def test_the_empty_user_gets_nothing_of_what_nobody_owns(db: Any, name: str) -> None:
    furnish(db, None)
    before = dump(db)

    assert outcome(CASES[name], db, "") == refusal(CASES[name], "")
    assert dump(db) == before


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.writes])
def test_what_nobody_owns_is_read_by_everybody_only(db: Any, name: str) -> None:
    furnish(db, None)
    case = CASES[name]

    assert outcome(case, db, "bob") == case.refused
    assert outcome(case, db, None) not in (None, [], ([], 0))


def test_a_refusal_says_what_to_do_and_does_not_tell_the_owner(home: Any) -> None:
    with pytest.raises(OwnerMismatch, match="reassign_session_owner") as refusal:
        home.upsert_run(run("new"), "idle", user_id="mallory")

    assert isinstance(refusal.value, PermissionError)
    assert "idle" in str(refusal.value)
    assert OWNER not in str(refusal.value)


# -- two users side by side --------------------------------------------------------------------------


@pytest.fixture
def neighbours(db: Any) -> Any:
    """Alice and bob, each with a session and with a run of the same id."""
    for user in ("alice", "bob"):
        db.upsert_session(session(f"of {user}", user_id=user, summary={"summary": user}))
        db.upsert_run(run("same", content=user), f"of {user}", user_id=user)
    return db


def rows_of(db: Any, user: str) -> list[dict[str, Any]]:
    return [row for rows in dump(db).values() for row in rows if row["session_id"] == f"of {user}"]


def test_deleting_several_sessions_leaves_those_of_others(neighbours: Any) -> None:
    before = rows_of(neighbours, "alice")
    neighbours.delete_sessions(["of alice", "of bob"], user_id="bob")

    assert rows_of(neighbours, "alice") == before
    assert rows_of(neighbours, "bob") == []


def test_listings_hold_only_the_users_own(neighbours: Any) -> None:
    for user in ("alice", "bob"):
        assert listed(neighbours, user_id=user) == [f"of {user}"]
        assert [found.content for found in neighbours.get_runs(user_id=user)] == [user]
        assert neighbours.get_runs(user_id=user, deserialize=False)[1] == 1


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_a_run_of_the_same_id_of_another_user_is_not_in_the_way(neighbours: Any, user: str) -> None:
    other = {"alice": "bob", "bob": "alice"}[user]
    before = rows_of(neighbours, other)

    assert neighbours.get_run("same", user_id=user).content == user
    assert neighbours.delete_run("same", user_id=user) is True
    assert rows_of(neighbours, other) == before


def test_a_run_of_the_same_id_does_not_show_to_a_third_user(neighbours: Any) -> None:
    assert neighbours.get_run("same", user_id="carol") is None
    assert neighbours.delete_run("same", user_id="carol") is False


# -- claiming ----------------------------------------------------------------------------------------


def test_a_session_without_an_owner_can_be_claimed_once(db: Any) -> None:
    append(db, "s", "r")
    db.upsert_session(session("s", user_id="bob"))
    before = dump(db)
    for user, refused in (("alice", OwnerMismatch), (None, OwnerMismatch), ("", InvalidArgument)):
        with pytest.raises(refused):
            db.upsert_session(session("s", user_id=user))

    assert dump(db) == before
    assert db.get_session("s").user_id == "bob"
    assert [found.run_id for found in db.get_runs(user_id="bob")] == ["r"]


def test_a_run_in_a_session_without_an_owner_is_its_users(db: Any) -> None:
    db.upsert_session(session("s"))
    db.upsert_run(run("of alice"), "s", user_id="alice")
    db.upsert_run(run("of bob"), "s", user_id="bob")
    before = dump(db)

    assert [found.run_id for found in db.get_runs(user_id="bob")] == ["of bob"]
    assert db.get_run("of alice", user_id="bob") is None
    assert db.delete_run("of alice", user_id="bob") is False
    with pytest.raises(OwnerMismatch):
        db.upsert_run(run("of alice", content="x"), "s", user_id="bob")
    assert dump(db) == before
    assert db.get_run("of alice", user_id="alice").content == "hello"


def test_a_run_of_nobody_becomes_that_of_who_stores_it_and_stays_so(db: Any) -> None:
    append(db, "s", "r")
    for user in ("alice", None):
        db.upsert_run(run("r"), "s", user_id=user)
        assert [found.run_id for found in db.get_runs(user_id="alice")] == ["r"]


def test_a_run_stored_for_nobody_is_its_sessions_owners(db: Any) -> None:
    db.upsert_session(session("s", user_id="alice"))
    append(db, "s", "r")

    assert [found.run_id for found in db.get_runs(user_id="alice")] == ["r"]
    assert db.get_run("r", user_id="alice") is not None
    assert db.get_run("r", user_id="bob") is None


# -- handing over ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED", "ERROR", "REGENERATED", None])
def test_an_idle_session_can_be_handed_over_without_rewriting_its_history(db: Any, status: str | None) -> None:
    db.upsert_session(session("s", user_id="alice", created_at=5))
    db.upsert_run(run("r", status=status), "s", user_id="alice")
    runs = dump(db)["runs"]

    assert db.reassign_session_owner("s", previous_user_id="alice", user_id="bob") is True
    assert (db.get_session("s").user_id, db.get_session("s").created_at) == ("bob", 5)
    assert dump(db)["runs"] == runs


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "PAUSED"])
def test_a_session_at_work_is_not_handed_over(db: Any, status: str) -> None:
    db.upsert_session(session("s", user_id="alice"))
    append(db, "s", "first")
    append(db, "s", "r", status=status)
    before = dump(db)

    assert db.reassign_session_owner("s", previous_user_id="alice", user_id="bob") is False
    assert dump(db) == before


def test_runs_without_an_owner_of_their_own_stay_those_of_who_had_the_session(db: Any) -> None:
    db.upsert_session(session("s", user_id="alice"))
    append(db, "s", "r")
    assert db.reassign_session_owner("s", previous_user_id="alice", user_id=None) is True
    assert [found.run_id for found in db.get_runs(user_id="alice")] == ["r"]
    with pytest.raises(OwnerMismatch):
        db.upsert_session(session("s", user_id="mallory"))
    assert run_ids(db, "s") == ["r"]


def test_who_had_a_session_is_forgotten_with_the_runs_that_were_his(db: Any) -> None:
    db.upsert_session(session("s", user_id="alice"))
    append(db, "s", "hers")
    assert run_ids(db, "s") == ["hers"]  # what is known of them now must not hold afterwards
    db.reassign_session_owner("s", previous_user_id="alice", user_id="bob")
    append(db, "s", "his")
    assert db.delete_user("alice").runs == 1
    assert run_ids(db, "s") == ["his"]


def test_a_session_can_be_given_up(home: Any) -> None:
    assert home.reassign_session_owner("idle", previous_user_id=OWNER, user_id=None) is True
    assert stored(home, "sessions", "user_id", session_id="idle") is None
    assert home.reassign_session_owner("nothing", previous_user_id=OWNER, user_id="bob") is False


@pytest.fixture
def handed_over(home: Any) -> Any:
    """Alice's sessions, now bob's; their runs were stored as hers."""
    home.update_run_in_session("busy", "waits", {"status": "ERROR"})
    for session_id in ("idle", "busy"):
        assert home.reassign_session_owner(session_id, previous_user_id=OWNER, user_id="bob")
    return home


def test_the_new_owner_reads_all_runs(handed_over: Any) -> None:
    assert run_ids(handed_over, "idle", user_id="bob") == ["done"]
    assert {found.run_id for found in handed_over.get_runs(user_id="bob")} == {"done", "waits"}
    assert handed_over.get_runs(user_id="bob", session_id="idle", deserialize=False)[1] == 1
    assert handed_over.get_run("done", user_id="bob").content == "secret"
    assert handed_over.get_runs(user_id=OWNER) == []


def test_the_new_owner_can_store_the_runs_again(handed_over: Any) -> None:
    handed_over.upsert_run(run("done", status="REGENERATED"), "idle", user_id="bob")

    assert handed_over.get_run("done").status == "REGENERATED"


def test_the_new_owner_can_change_the_runs(handed_over: Any) -> None:
    answer = handed_over.update_run_in_session("busy", "waits", {"status": "RUNNING"}, user_id="bob")
    assert answer is RunUpdate.UPDATED

    cancelled = handed_over.cancel_pending_run(
        "waits", session_id="busy", reason="no", user_id="bob", expected_status="RUNNING"
    )
    assert cancelled is True


@pytest.mark.parametrize("name", CASES)
def test_the_old_owner_has_nothing_left(handed_over: Any, name: str) -> None:
    case = CASES[name]
    before = dump(handed_over)

    assert outcome(case, handed_over, OWNER) == case.refused
    assert dump(handed_over) == before
