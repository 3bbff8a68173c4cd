"""Changes of a run's status: one writer at a time, and what is over stays over."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from agno_store import EncodingError, InvalidArgument, OwnerMismatch, RunUpdate, Session
from tests.contract.database import dump
from tests.contract.samples import append, positions, run, run_ids, session


class Status(str, Enum):
    """Like agno's own."""

    COMPLETED = "COMPLETED"


def status(db: Any, run_id: str = "r") -> tuple[str | None, str | None]:
    """A run's status as it is searched for and as it stands in the run."""
    found = db.get_run(run_id)
    return found.status, found.run_data.get("status")


# -- update_run_in_session ---------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["running", "RUNNING", "Running"])
def test_fields_are_changed_and_the_rest_is_kept(db: Any, given: str) -> None:
    append(db, "s", "r", status="PENDING", content="kept", extra=[1])
    append(db, "s", "later")
    before = db.get_run("r")
    answer = db.update_run_in_session("s", "r", {"status": given, "metrics": {"tokens": 3}})
    after = db.get_run("r")

    assert answer is RunUpdate.UPDATED
    assert after.run_data == {**before.run_data, "status": "RUNNING", "metrics": {"tokens": 3}}
    assert status(db) == ("RUNNING", "RUNNING")
    assert (after.run_index, after.created_at, after.version) == (before.run_index, before.created_at, 2)
    assert run_ids(db, "s") == ["r", "later"]


def test_a_status_can_be_an_enum(db: Any) -> None:
    append(db, "s", "r", status="RUNNING")

    assert db.update_run_in_session("s", "r", {"status": Status.COMPLETED}) is RunUpdate.UPDATED
    assert status(db) == ("COMPLETED", "COMPLETED")


@pytest.mark.parametrize("place", [("s", "nothing"), ("nothing", "r"), ("other", "r")])
@pytest.mark.parametrize("data", [None, {"session_name": "new"}])
def test_what_is_not_there_is_missing(db: Any, place: tuple[str, str], data: dict[str, Any] | None) -> None:
    append(db, "s", "r", status="PENDING")
    db.upsert_session(session("other"))
    before = dump(db)

    assert db.update_run_in_session(*place, {"status": "RUNNING"}, session_data=data) is RunUpdate.MISSING
    assert dump(db) == before


@pytest.mark.parametrize(
    ("stored", "expected", "answer"),
    [
        (3, 2, RunUpdate.STALE_ATTEMPT),
        (3, 3, RunUpdate.UPDATED),
        (3, 4, RunUpdate.UPDATED),
        (None, 1, RunUpdate.UPDATED),
        (3, None, RunUpdate.UPDATED),
    ],
)
def test_only_the_latest_attempt_may_write(
    db: Any, stored: int | None, expected: int | None, answer: RunUpdate
) -> None:
    append(db, "s", "r", status="RUNNING", queue_attempt=stored)
    before = dump(db)
    data = {"session_name": "by this attempt"}
    got = db.update_run_in_session("s", "r", {"content": "new"}, expected_attempt=expected, session_data=data)

    assert got is answer
    assert (dump(db) == before) is (answer is RunUpdate.STALE_ATTEMPT)
    assert db.get_run("r").run_data["queue_attempt"] == max(stored or 0, expected or 0)


@pytest.mark.parametrize(
    ("before", "wanted", "answer"),
    [
        ("COMPLETED", "RUNNING", RunUpdate.TERMINAL_REFUSED),
        ("COMPLETED", "CANCELLED", RunUpdate.TERMINAL_REFUSED),
        ("CANCELLED", "COMPLETED", RunUpdate.TERMINAL_REFUSED),
        ("CANCELLED", "ERROR", RunUpdate.TERMINAL_REFUSED),
        ("completed", "RUNNING", RunUpdate.TERMINAL_REFUSED),
        ("COMPLETED", "COMPLETED", RunUpdate.UPDATED),
        ("CANCELLED", "cancelled", RunUpdate.UPDATED),
        ("COMPLETED", None, RunUpdate.UPDATED),
        ("ERROR", "RUNNING", RunUpdate.UPDATED),
        ("PAUSED", "RUNNING", RunUpdate.UPDATED),
        (None, "RUNNING", RunUpdate.UPDATED),
    ],
)
def test_what_is_over_stays_over(db: Any, before: str | None, wanted: str | None, answer: RunUpdate) -> None:
    append(db, "s", "r", status=before)
    rows = dump(db)
    fields = {"content": "new"} | ({} if wanted is None else {"status": wanted})
    got = db.update_run_in_session("s", "r", fields, session_data={"n": 1})

    assert got is answer
    assert (dump(db) == rows) is (answer is RunUpdate.TERMINAL_REFUSED)


@pytest.mark.parametrize(
    ("content", "fields", "after"),
    [
        (None, {}, "given up"),
        ("", {}, "given up"),
        ("said", {}, "said"),
        (None, {"content": "new"}, "new"),
        ("said", {"content": None}, "given up"),
    ],
)
def test_content_is_given_only_to_a_run_without(db: Any, content: Any, fields: dict[str, Any], after: str) -> None:
    append(db, "s", "r", content=content, status="RUNNING")
    db.update_run_in_session("s", "r", fields, content_if_absent="given up")

    assert db.get_run("r").content == after


def test_the_session_changes_with_the_run(db: Any) -> None:
    db.upsert_session(session("s", session_data={"old": True}, metadata={"kept": True}))
    append(db, "s", "r", status="RUNNING")
    db.update_run_in_session("s", "r", {"status": "COMPLETED"}, session_data={"session_name": "new"})
    found = db.get_session("s")

    assert (found.session_data, found.metadata) == ({"session_name": "new"}, {"kept": True})
    assert status(db) == ("COMPLETED", "COMPLETED")


@pytest.mark.parametrize(
    ("fields", "data", "path"),
    [
        ({"status": "COMPLETED"}, {"state": {"x": object()}}, r"session_data\.state\.x"),
        ({"metrics": {"x": object()}}, {"fine": 1}, r"run_data\.metrics\.x"),
    ],
)
def test_run_and_session_change_together_or_not_at_all(
    db: Any, fields: dict[str, Any], data: dict[str, Any], path: str
) -> None:
    append(db, "s", "r", status="RUNNING")
    before = dump(db)
    with pytest.raises(EncodingError, match=path):
        db.update_run_in_session("s", "r", fields, session_data=data)

    assert dump(db) == before


def test_a_patched_run_is_found_by_what_it_says_now(db: Any) -> None:
    append(db, "s", "team", "member", agent_id="draft")
    db.update_run_in_session("s", "member", {"parent_run_id": "team", "agent_id": None, "workflow_id": 7})

    assert [r.run_id for r in db.get_runs(agent_id="draft")] == ["team"]
    [found] = db.get_runs(workflow_id="7")
    assert (found.run_id, found.parent_run_id, found.agent_id) == ("member", "team", None)
    assert [r.run_id for r in db.get_session("s", runs_limit=2).runs] == ["team"]


@pytest.mark.parametrize("user", [None, "alice"])
def test_a_patch_gives_a_run_to_nobody_else(db: Any, user: str | None) -> None:
    db.upsert_run(run("r"), "s", user_id="alice")
    assert db.update_run_in_session("s", "r", {"user_id": user, "n": 1}, user_id=user) is RunUpdate.UPDATED
    before = dump(db)
    with pytest.raises(OwnerMismatch):
        db.update_run_in_session("s", "r", {"user_id": "eve"}, user_id=user)

    assert dump(db) == before
    assert db.get_run("r").user_id == "alice"


def test_a_patch_may_say_whose_a_run_is_that_nobody_owns(db: Any) -> None:
    append(db, "s", "r")
    db.update_run_in_session("s", "r", {"user_id": "alice"})

    assert [r.user_id for r in db.get_runs(user_id="alice")] == ["alice"]


# -- cancel_pending_run ------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "after"), [(None, "too late"), ("", "too late"), ("partial", "partial")])
@pytest.mark.parametrize("expected", ["PENDING", "RUNNING"])
def test_a_run_that_waits_can_be_cancelled(db: Any, expected: str, content: str | None, after: str) -> None:
    append(db, "s", "r", status=expected, content=content, extra=1)
    cancelled = db.cancel_pending_run("r", session_id="s", reason="too late", expected_status=expected)

    assert cancelled is True
    assert status(db) == ("CANCELLED", "CANCELLED")
    assert db.get_run("r").run_data == run("r", content=after, status="CANCELLED", extra=1)


@pytest.mark.parametrize("now", ["RUNNING", "PAUSED", "COMPLETED", "CANCELLED", "ERROR", None])
def test_a_run_that_has_moved_on_is_not_cancelled(db: Any, now: str | None) -> None:
    append(db, "s", "r", status=now)
    before = dump(db)

    assert db.cancel_pending_run("r", session_id="s", reason="too late") is False
    assert dump(db) == before


@pytest.mark.parametrize("place", [("nothing", "s"), ("r", "nothing")])
def test_a_run_that_is_not_there_is_not_cancelled(db: Any, place: tuple[str, str]) -> None:
    append(db, "s", "r", status="PENDING")

    assert db.cancel_pending_run(place[0], session_id=place[1], reason="too late") is False


@pytest.mark.parametrize("expected", ["COMPLETED", "PAUSED", "", None])
def test_only_what_is_not_over_can_be_cancelled(db: Any, expected: Any) -> None:
    with pytest.raises(InvalidArgument, match="PENDING or RUNNING"):
        db.cancel_pending_run("r", session_id="s", reason="too late", expected_status=expected)


# -- if absent ---------------------------------------------------------------------------------------


def test_a_run_is_appended_once(db: Any) -> None:
    append(db, "s", "first")
    assert db.append_run_to_session_if_absent("s", run("r", status="PENDING")) is True
    before = dump(db)

    assert db.append_run_to_session_if_absent("s", run("r", content="again", status="RUNNING")) is False
    assert dump(db) == before
    assert positions(db, "s") == {"first": 0, "r": 1}


def test_no_run_is_appended_to_a_session_that_is_not_there(db: Any) -> None:
    assert db.append_run_to_session_if_absent("nothing", run("r")) is None
    assert not any(dump(db).values())


def test_a_session_is_inserted_once(db: Any) -> None:
    first = session("s", user_id="alice", session_data={"n": 1}, created_at=0, summary={"summary": "text"})
    assert db.insert_session_if_absent(first) is True
    before = dump(db)

    assert db.insert_session_if_absent(session("s", user_id="alice", session_data={"n": 2})) is False
    assert db.insert_session_if_absent(Session("s", user_id="bob", metadata={"n": 2})) is False
    assert dump(db) == before
    found = db.get_session("s")
    assert (found.session_data, found.created_at, found.user_id) == ({"n": 1}, 0, "alice")
    assert found.summary is not None
