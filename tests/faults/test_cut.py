"""A connection that is cut at any byte of a call: what the call says of it is true.

Here some of the bytes are tried, with TEST_ALL every one; the end of the test run says how many they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_store import OutcomeUnknown
from tests.contract.database import dump
from tests.contract.samples import append, positions, run, session
from tests.faults.conftest import THOROUGH
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.backends("postgresql", "mysql"), pytest.mark.timeout(1800 if THOROUGH else 300)]

PLACES = 30
"""Roughly, of those that are tried without TEST_ALL."""

COMMIT = {"postgresql": b"COMMIT", "mysql": b"\x03COMMIT"}

BEYOND = 600
"""Bytes by which a call may be longer than the first: its numbers grow, and a connection is set up for a second use."""


@pytest.fixture
def db(beside: Any, database: str, proxy: Proxy, opened: Callable[..., Any]) -> Any:
    """The same store, through the proxy, used before."""
    beside.upsert_session(session("s", session_data={"session_state": {"n": 0}}))
    store = opened(proxy.through(database))
    append(store, "s", "first")
    return store


def places(proxy: Proxy, call: Callable[[], object], beyond: int = 0) -> Iterator[int]:
    """Give the numbers of the bytes of a call after which it is to be cut, and of some that it may have later."""
    proxy.cut_after(10**9)
    call()
    total = proxy.forwarded
    assert total > 500
    yield from range(0, total + beyond + 1, 1 if THOROUGH else max(1, total // PLACES))


def test_a_run_is_stored_once_wherever_the_connection_is_cut(
    db: Any, beside: Any, proxy: Proxy, told: Callable[[str], None]
) -> None:
    tried = 0
    for place in places(proxy, lambda: append(db, "s", "whole")):
        proxy.cut_after(place)
        append(db, "s", f"r{place}")
        tried += 1
    assert proxy.cuts >= tried - 1  # the last byte may be that of a shorter conversation
    stored = positions(beside, "s")
    assert sorted(stored.values()) == list(range(tried + 2))
    told(f"cut an append at {tried} bytes, {proxy.cuts} connections: 0 runs lost, 0 doubled, 0 errors")


def test_a_new_connection_that_is_cut_anywhere_is_made_again(
    db: Any, beside: Any, proxy: Proxy, told: Callable[[str], None]
) -> None:
    def anew(run_id: str) -> None:
        db.db_engine.dispose()
        append(db, "s", run_id)

    tried = 0
    for place in places(proxy, lambda: anew("whole")):
        db.db_engine.dispose()
        proxy.cut_after(place)
        append(db, "s", f"r{place}")
        tried += 1
    assert sorted(positions(beside, "s").values()) == list(range(tried + 2))
    told(f"cut a connection and an append at {tried} bytes: 0 runs lost, 0 doubled, 0 errors")


def test_a_change_of_state_is_counted_once_or_said_to_be_unknown(
    db: Any, beside: Any, proxy: Proxy, told: Callable[[str], None]
) -> None:
    def count() -> None:
        db.update_session_state("s", lambda state: {"n": state["n"] + 1})

    outcomes: Counter[str] = Counter()
    for place in places(proxy, count, BEYOND):
        before = beside.get_session("s").session_data["session_state"]["n"]
        proxy.cut_after(place)
        try:
            count()
            outcomes["done"] += 1
            expected = {before + 1}
        except OutcomeUnknown:
            outcomes["unknown"] += 1
            expected = {before, before + 1}
        assert beside.get_session("s").session_data["session_state"]["n"] in expected, place
    assert outcomes["done"] > 10 * outcomes["unknown"]
    assert outcomes["unknown"] > 0 or not THOROUGH
    told(f"cut a change of state at {outcomes.total()} bytes: {outcomes['unknown']} said to be unknown, 0 told wrongly")


@pytest.mark.parametrize("arrives", [False, True], ids=["before", "after"])
def test_around_commit_a_run_is_stored_once(
    db: Any, beside: Any, proxy: Proxy, backend: str, arrives: bool, told: Callable[[str], None]
) -> None:
    for n in range(10):
        proxy.cut_at(f"run-{n}".encode(), arrives=arrives)  # which goes with its COMMIT
        append(db, "s", f"run-{n}")
    assert proxy.cuts == 10
    assert sorted(positions(beside, "s").values()) == list(range(11))
    told(f"cut 10 appends {'after' if arrives else 'before'} COMMIT: 0 lost, 0 doubled")


@pytest.mark.parametrize("arrives", [False, True], ids=["before", "after"])
def test_around_commit_a_new_run_is_told_of_once(
    beside: Any, database: str, opened: Callable[..., Any], proxy: Proxy, backend: str, arrives: bool
) -> None:
    told: list[str] = []
    db = opened(proxy.through(database), on_append=lambda new: told.append(new.run_id))
    append(db, "s", "changed")
    for n in range(5):
        proxy.cut_at(f"run-{n}".encode(), arrives=arrives)
        append(db, "s", f"run-{n}")
        proxy.cut_at(COMMIT[backend], arrives=arrives)
        append(db, "s", "changed", content=n)
    assert proxy.cuts == 10
    assert told == ["changed", *(f"run-{n}" for n in range(5))]


WRITES: dict[str, Callable[[Any], object]] = {
    "update_session_state": lambda db: db.update_session_state("s", lambda state: {"n": state["n"] + 1}),
    "insert_session_if_absent": lambda db: db.insert_session_if_absent(session("new")),
    "append_run_to_session_if_absent": lambda db: db.append_run_to_session_if_absent("s", run("new")),
    "reassign_session_owner": lambda db: db.reassign_session_owner("owned", previous_user_id="ada", user_id="bob"),
    "cancel_pending_run": lambda db: db.cancel_pending_run("pending", session_id="s", reason="no"),
    "update_run_in_session": lambda db: db.update_run_in_session("s", "first", {"content": "new"}),
    "delete_run": lambda db: db.delete_run("first", session_id="s"),
    "delete_session": lambda db: db.delete_session("s"),
    "delete_sessions": lambda db: db.delete_sessions(["s"]),
    "delete_runs": lambda db: db.delete_runs(["first"]),
}


@pytest.mark.parametrize("arrives", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_what_must_not_be_done_twice_is_said_to_be_unknown_when_commit_gets_no_answer(
    db: Any, beside: Any, proxy: Proxy, backend: str, write: Callable[[Any], object], arrives: bool
) -> None:
    beside.upsert_session(session("owned", user_id="ada"))
    append(beside, "s", "pending", status="PENDING")
    before = dump(beside)
    proxy.cut_at(COMMIT[backend], arrives=arrives)
    with pytest.raises(OutcomeUnknown, match="repeat the call if it is not there"):
        write(db)
    assert (dump(beside) == before) is not arrives


@pytest.mark.parametrize("arrives", [False, True], ids=["before", "after"])
def test_around_commit_a_run_is_changed(
    db: Any, beside: Any, proxy: Proxy, backend: str, arrives: bool, told: Callable[[str], None]
) -> None:
    for n in range(10):
        proxy.cut_at(COMMIT[backend], arrives=arrives)
        append(db, "s", "first", content=n)
        assert beside.get_run("first").content == n
    assert proxy.cuts == 10
    assert positions(beside, "s") == {"first": 0}
    told(f"cut 10 changes of a run {'after' if arrives else 'before'} COMMIT: 0 lost")
