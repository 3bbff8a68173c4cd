"""A session too large for one transaction goes in pieces, of which nobody sees one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agno_store import NotFound, Removed, RunUpdate
from agno_store.owners import GONE
from agno_store.removed import FIRST, HOLD, MOST, Pace
from tests.contract.database import dump, overwrite
from tests.contract.old import aged, long
from tests.contract.samples import append, listed, positions, run, session

RUNS = 260

READS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "get_session": (None, lambda db: db.get_session("s")),
    "get_session of its owner": (None, lambda db: db.get_session("s", user_id="alice")),
    "get_session with its last runs": (None, lambda db: db.get_session("s", runs_limit=3)),
    "get_sessions": (["other"], lambda db: [found.session_id for found in db.get_sessions()]),
    "get_sessions with a total": (1, lambda db: db.get_sessions(deserialize=False)[1]),
    "get_sessions of its owner": (0, lambda db: db.get_sessions(deserialize=False, user_id="alice")[1]),
    "get_run": (None, lambda db: db.get_run(f"r{RUNS - 1}")),
    "get_run of the session": (None, lambda db: db.get_run(f"r{RUNS - 1}", session_id="s")),
    "get_runs": (1, lambda db: len(db.get_runs())),
    "get_runs of the session": (([], 0), lambda db: db.get_runs(session_id="s", deserialize=False)),
    "get_runs of its owner": ([], lambda db: db.get_runs(session_id="s", user_id="alice")),
    "get_summary": (None, lambda db: db.get_summary("s")),
    "stats": ((1, 1), lambda db: (db.stats().sessions, db.stats().runs)),
    "search": ([], lambda db: [found.session_id for found in db.search("hello") if found.session_id == "s"]),
}

WRITES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "upsert_session": (1, lambda db: db.upsert_session(session("s", user_id="bob")).version),
    "upsert_sessions": (1, lambda db: db.upsert_sessions([session("s", user_id="bob")])[0].version),
    "insert_session_if_absent": (True, lambda db: db.insert_session_if_absent(session("s", user_id="bob"))),
    "upsert_run": (0, lambda db: db.upsert_run(run("r259"), "s", user_id="bob").run_index),
    "append_run_to_session_if_absent": (None, lambda db: db.append_run_to_session_if_absent("s", run("r259"))),
    "update_run_in_session": (RunUpdate.MISSING, lambda db: db.update_run_in_session("s", "r259", {"content": "x"})),
    "cancel_pending_run": (False, lambda db: db.cancel_pending_run("r259", session_id="s", reason="no")),
    "rename_session": (None, lambda db: db.rename_session("s", "agent", "name")),
    "update_session_state": (None, lambda db: db.update_session_state("s", lambda state: {"n": 1})),
    "reassign_session_owner": (
        False,
        lambda db: db.reassign_session_owner("s", previous_user_id="alice", user_id="bob"),
    ),
    "delete_run": (False, lambda db: db.delete_run("r259", session_id="s")),
    "delete_session": (False, lambda db: db.delete_session("s")),
}


class Interrupted(Exception):
    pass


def half(db: Any) -> Removed:
    """Interrupt the deletion of a session in the middle; return what was deleted of it."""
    long(db, "s", RUNS, 100, user_id="alice", summary={"summary": "text"})
    aged(db, "other", 1, "r")
    told: list[Removed] = []

    def interrupt(removed: Removed) -> None:
        told.append(removed)
        if len(told) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        db.prune("90d", on_progress=interrupt)
    assert told[-1].sessions == 0
    assert len(dump(db)["runs"]) == RUNS + 1 - told[-1].runs
    return told[-1]


def test_nobody_finds_a_session_of_which_a_part_is_deleted(db: Any) -> None:
    half(db)
    before = dump(db)

    assert {name: call(db) for name, (_, call) in READS.items()} == {name: told for name, (told, _) in READS.items()}
    assert dump(db) == before


def test_what_was_interrupted_is_finished_by_the_next(db: Any) -> None:
    deleted = half(db)
    planned = db.prune("9000d", dry_run=True)

    assert planned == Removed(1, RUNS - deleted.runs, 1, dry_run=True)
    assert db.prune("0s", user_id="", dry_run=True) == planned
    assert db.prune("9000d") == planned._replace(dry_run=False)
    assert {row["session_id"] for rows in dump(db).values() for row in rows} == {"other"}
    assert db.prune("9000d") == Removed()


@pytest.mark.parametrize(("told", "call"), WRITES.values(), ids=WRITES.keys())
def test_who_writes_to_such_a_session_finds_none_and_may_make_one(
    db: Any, told: Any, call: Callable[[Any], Any]
) -> None:
    half(db)

    assert call(db) == told
    found = dump(db)
    of_it = {name: [row for row in rows if row["session_id"] == "s"] for name, rows in found.items()}
    assert len(of_it["runs"]) <= 1
    assert of_it["summaries"] == []
    assert [row["user_id"] for row in of_it["sessions"]] in ([], ["bob"])
    assert db.prune("90d") == Removed()
    assert dump(db) == found


def test_a_run_of_nobody_begins_such_a_session_anew(db: Any) -> None:
    append(db, "s", "r1")  # so that this store knows it
    overwrite(db, "sessions", "user_id", GONE, session_id="s")

    assert db.upsert_run(run("r2"), "s").run_index == 0
    assert [row["user_id"] for row in dump(db)["sessions"]] == [None]
    assert positions(db, "s") == {"r2": 0}


def test_a_session_of_nobody_that_was_read_before_is_saved_anew(db: Any) -> None:
    append(db, "s", "r1")
    read = db.get_session("s")
    overwrite(db, "sessions", "user_id", GONE, session_id="s")  # neither its version nor its time tells of it

    db.upsert_session(replace(read, metadata={"changed": True}))
    assert [row["user_id"] for row in dump(db)["sessions"]] == [None]
    assert (db.get_session("s").metadata, positions(db, "s")) == ({"changed": True}, {})


def test_who_is_told_that_there_is_none_has_changed_nothing(db: Any) -> None:
    half(db)
    before = dump(db)

    with pytest.raises(NotFound):
        db.upsert_summary("s", {"summary": "x"})
    assert dump(db) == before


def test_a_reader_sees_all_of_a_session_or_nothing(db: Any) -> None:
    long(db, "s", RUNS, 100)
    seen: list[int] = []

    def look(_removed: Removed) -> None:
        seen.append(len(positions(db, "s")))
        seen.append(len(listed(db)))

    assert db.prune("90d", on_progress=look) == Removed(1, RUNS)
    assert len(seen) > 4
    assert set(seen) == {0}


def test_a_session_is_not_begun_that_is_written_to(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_store.removed.MOST", RUNS // 2)  # else it would go whole, at the pace of the first
    long(db, "a", RUNS, 101)
    long(db, "b", RUNS, 100)
    once: list[object] = []

    def write(_removed: Removed) -> None:
        if not once:
            once.append(db.upsert_run(run("new"), "b"))

    assert db.prune("90d", on_progress=write) == Removed(1, RUNS, kept=1)
    assert len(positions(db, "b")) == RUNS + 1


# -- how much at a time ------------------------------------------------------------------------------


def test_the_pace_grows_while_it_is_quick_and_no_further() -> None:
    pace = Pace()
    assert pace.rows == FIRST
    for _ in range(20):
        pace.took(pace.rows, HOLD / 10)
    assert pace.rows == MOST


def test_the_pace_is_halved_when_others_had_to_wait_and_ends_at_one_row() -> None:
    pace = Pace()
    pace.took(FIRST, HOLD * 1.1)
    assert pace.rows == FIRST // 2
    for _ in range(20):
        pace.took(pace.rows, HOLD * 2)
    assert pace.rows == 1
    pace.took(1, HOLD / 10)
    assert pace.rows == 2
    few = Pace()
    few.took(FIRST // 5, HOLD * 2)  # fewer than there might have been
    assert few.rows == FIRST // 10


@pytest.mark.parametrize(("rows", "seconds"), [(FIRST, HOLD * 0.7), (3, HOLD / 10)], ids=["long enough", "few rows"])
def test_the_pace_stays_where_nothing_is_known(rows: int, seconds: float) -> None:
    pace = Pace()
    pace.took(rows, seconds)
    assert pace.rows == FIRST
