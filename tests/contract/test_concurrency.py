"""Many writers at once: nothing is lost, nothing is doubled, and nobody is sent away."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from agno_store import OwnerMismatch, SqliteDb
from tests.contract.database import dump
from tests.contract.processes import append_runs, in_processes, together
from tests.contract.samples import append, positions, run, run_ids, session
from tests.contract.stores import open_db

Told = Callable[[str, Any], None]

THREADS = 32
PROCESSES = 8


def count(told: Told, db: Any, how: str, wanted: set[str]) -> None:
    """Say at the end of the test run how many runs were stored by many at once, and how many are not there once."""
    found = run_ids(db, "s")
    lost = len(wanted - set(found)) + len(found) - len(set(found))
    told("told", f"{how} on one session: {len(wanted)} runs written, {lost} lost or doubled")
    told("counted", {"runs written at once": len(wanted), "runs lost or doubled": lost})


def test_threads_append_to_one_session_without_gap_or_double(db: Any, record_property: Told) -> None:
    db.upsert_session(session("s"))
    together(*(partial(append, db, "s", *(f"{t}-{n}" for n in range(4))) for t in range(THREADS)))
    places = positions(db, "s")
    count(record_property, db, f"{THREADS} threads", {f"{t}-{n}" for t in range(THREADS) for n in range(4)})

    assert len(places) == THREADS * 4
    assert list(places.values()) == list(range(THREADS * 4))
    for t in range(THREADS):
        own = [run_id for run_id in places if run_id.startswith(f"{t}-")]
        assert own == [f"{t}-{n}" for n in range(4)]


def test_processes_build_the_tables_and_append_without_gap_or_double(fresh_url: str, record_property: Told) -> None:
    each = 200 if os.environ.get("TEST_ALL") else 20
    in_processes(append_runs, [(fresh_url, "s", f"{p}-", each) for p in range(PROCESSES)])
    wanted = {f"{p}-{n}" for p in range(PROCESSES) for n in range(each)}

    with open_db(fresh_url) as db:
        count(record_property, db, f"{PROCESSES} processes", wanted)
        assert sorted(positions(db, "s").values()) == list(range(PROCESSES * each))
        assert set(run_ids(db, "s")) == wanted


@pytest.mark.parametrize("attempt", range(4))
def test_the_first_runs_of_a_session_may_race(db: Any, attempt: int) -> None:
    together(*(partial(append, db, "s", f"r{t}") for t in range(THREADS)))

    assert sorted(positions(db, "s").values()) == list(range(THREADS))
    assert len(dump(db)["sessions"]) == 1


@pytest.mark.parametrize("attempt", range(4))
def test_the_first_saves_of_a_session_may_race(db: Any, attempt: int) -> None:
    saves = [partial(db.upsert_session, session("s", metadata={"n": t})) for t in range(8)]
    runs = [partial(append, db, "s", f"r{t}") for t in range(8)]
    together(*saves, *runs)

    (row,) = dump(db)["sessions"]
    assert row["next_run_index"] == 8
    assert sorted(positions(db, "s").values()) == list(range(8))
    assert db.get_session("s").metadata in [{"n": t} for t in range(8)]


def test_the_first_saves_of_a_run_may_race(db: Any) -> None:
    db.upsert_session(session("s"))
    together(*(partial(db.upsert_run, run("r", content=t), "s") for t in range(8)))
    answers = together(*(partial(db.append_run_to_session_if_absent, "s", run("once")) for t in range(8)))

    assert run_ids(db, "s") == ["r", "once"]
    assert sorted(answers) == [False] * 7 + [True]


def test_a_session_is_inserted_by_one_of_many(db: Any) -> None:
    answers = together(*(partial(db.insert_session_if_absent, session("s", metadata={"n": t})) for t in range(8)))

    assert sorted(answers) == [False] * 7 + [True]
    assert db.get_session("s").metadata == {"n": answers.index(True)}


def test_a_session_is_claimed_by_one_of_many(db: Any) -> None:
    db.upsert_session(session("s"))

    def claim(user: str) -> str | None:
        try:
            return str(db.upsert_session(session("s", user_id=user)).user_id)
        except OwnerMismatch:
            return None

    answers = [answer for answer in together(*(partial(claim, f"u{t}") for t in range(8))) if answer]
    assert answers == [db.get_session("s").user_id]


def test_no_increment_is_lost(db: Any, record_property: Told) -> None:
    db.upsert_session(session("s", session_data={"session_name": "kept"}))

    def increment(state: dict[str, Any]) -> dict[str, Any]:
        return {"n": state.get("n", 0) + 1}

    def five_times() -> None:
        for _ in range(5):
            db.update_session_state("s", increment)

    together(*[five_times] * 20)
    data = db.get_session("s").session_data
    record_property("counted", {"increments at once": 100, "increments lost": 100 - data["session_state"]["n"]})
    assert data == {"session_name": "kept", "session_state": {"n": 100}}


def test_a_rename_and_a_change_of_state_both_last(db: Any) -> None:
    for n in range(5):
        db.upsert_session(session(f"s{n}", session_data={}))
        together(
            partial(db.rename_session, f"s{n}", "agent", "new"),
            partial(db.update_session_state, f"s{n}", lambda state: {"n": 1}),
        )

        assert db.get_session(f"s{n}").session_data == {"session_name": "new", "session_state": {"n": 1}}


def test_saves_of_the_same_sessions_in_opposite_orders_do_not_block_each_other(db: Any) -> None:
    sessions = [session(f"s{n}") for n in range(10)]
    for _ in range(3):
        together(*(partial(db.upsert_sessions, some) for some in (sessions, sessions[::-1]) for _ in range(4)))
        together(*(partial(db.delete_sessions, ids) for ids in ([f"s{n}" for n in range(10)], ["s9", "s0", "s5"])))

    assert dump(db)["sessions"] == []


def test_a_run_is_cancelled_or_completed_but_not_both(db: Any) -> None:
    for n in range(8):
        append(db, "s", f"r{n}", status="RUNNING", content=None)
        cancel = partial(db.cancel_pending_run, f"r{n}", session_id="s", reason="no", expected_status="RUNNING")
        complete = partial(db.update_run_in_session, "s", f"r{n}", {"status": "COMPLETED", "content": "yes"})
        jobs: list[Callable[[], Any]] = [cancel, complete]
        cancelled, completed = together(*jobs)
        found = db.get_run(f"r{n}")

        assert cancelled is not (completed.value == "updated")
        assert (found.status, found.content) == (("CANCELLED", "no") if cancelled else ("COMPLETED", "yes"))


def test_a_session_deleted_under_its_writers_leaves_nothing_behind(db: Any) -> None:
    for _ in range(4):
        append(db, "s", "r")
        together(
            *(partial(append, db, "s", f"{t}-0", f"{t}-1") for t in range(6)), *[partial(db.delete_session, "s")] * 2
        )
        rows = dump(db)
        assert {row["session_id"] for row in rows["runs"]} <= {row["session_id"] for row in rows["sessions"]}
        places = [row["run_index"] for row in rows["runs"]]
        assert places == list(range(len(places)))
        db.delete_session("s")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_memory_is_shared_by_threads(url: str) -> None:
    with SqliteDb(db_url=url) as db:
        together(*(partial(append, db, "s", *(f"{t}-{n}" for n in range(10))) for t in range(8)))

        assert sorted(positions(db, "s").values()) == list(range(80))
        together(*[partial(db.get_session, "s")] * 8)


def test_each_store_in_memory_is_its_own() -> None:
    with SqliteDb(db_url="sqlite://") as one, SqliteDb(db_url="sqlite://") as two:
        append(one, "s", "r")

        assert two.get_session("s") is None
        assert one.id != two.id
