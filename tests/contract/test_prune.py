"""Pruning: what goes, what stays, and that a count beforehand is what is then done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agno_store import InvalidArgument, Removed
from tests.contract.database import dump, overwrite, statements
from tests.contract.old import aged, long, many, set_back
from tests.contract.samples import append, listed, run, run_ids, session
from tests.contract.stores import run as running


def pruned(db: Any, *args: Any, **options: Any) -> Removed:
    """Prune, after a count that has to be what is then done and write nothing."""
    before = dump(db)
    planned = db.prune(*args, dry_run=True, **options)
    assert dump(db) == before
    done: Removed = db.prune(*args, **options)
    assert planned == done._replace(dry_run=True)
    return done


def left(db: Any) -> set[str]:
    return set(listed(db))


def test_sessions_without_activity_go_with_all_that_is_in_them(db: Any) -> None:
    for days in (200, 91, 89, 0):
        aged(db, f"{days}", days, "a", "b", summary={"summary": "text"})
    before = dump(db)

    assert pruned(db, "90d") == Removed(sessions=2, runs=4, summaries=2)
    kept = {name: [row for row in rows if row["session_id"] in ("89", "0")] for name, rows in before.items()}
    assert dump(db) == kept
    assert pruned(db, timedelta(days=90)) == Removed()


def test_what_counts_is_the_last_activity(db: Any) -> None:
    for name in ("run", "renamed", "state", "nothing"):
        aged(db, name, 100, "r")
    append(db, "run", "new")
    db.rename_session("renamed", "agent", "new")
    db.update_session_state("state", lambda state: {"n": 1})

    pruned(db, "90d")
    assert left(db) == {"run", "renamed", "state"}


def test_one_users_sessions_can_be_pruned_alone(db: Any) -> None:
    for user in ("alice", "bob", None):
        aged(db, f"of {user}", 100, user_id=user)

    assert pruned(db, "90d", user_id="alice").sessions == 1
    assert left(db) == {"of bob", "of None"}
    assert pruned(db, "90d", user_id="") == Removed()


def test_each_users_newest_sessions_stay(db: Any) -> None:
    for user in ("alice", "bob", None):
        for days in (100, 101, 102, 1):
            aged(db, f"{user} {days}", days, user_id=user)
    aged(db, "only one", 500, user_id="eve")

    assert pruned(db, "90d", keep_last=2).sessions == 6
    assert left(db) == {f"{user} {days}" for user in ("alice", "bob", None) for days in (1, 100)} | {"only one"}
    assert pruned(db, "90d", keep_last=0).sessions == 4
    assert left(db) == {"alice 1", "bob 1", "None 1"}


@pytest.mark.backends("sqlite")
def test_a_session_whose_time_is_none_counts_as_the_newest(db: Any) -> None:
    for days in (100, 101, 102):
        aged(db, str(days), days, user_id="alice")
    overwrite(db, "sessions", "updated_at", "yesterday", session_id="101")

    assert pruned(db, "90d", keep_last=2).sessions == 1
    assert left(db) == {"100", "101"}
    assert pruned(db, "90d", keep_last=1).sessions == 1
    assert left(db) == {"101"}


def test_of_sessions_of_one_moment_as_many_stay_as_were_asked_for(db: Any) -> None:
    running(many, db, 20, 0, 100, user_id="alice")

    assert pruned(db, "90d", keep_last=3).sessions == 17
    assert left(db) == set(sorted(f"old-{n}" for n in range(20))[-3:])


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "PAUSED"])
def test_a_run_that_is_not_over_keeps_its_session_for_thirty_days(db: Any, status: str) -> None:
    aged(db, "29", 29, "r", status=status)
    aged(db, "31", 31, "r", status=status)
    aged(db, "over", 29, "r")

    assert pruned(db, "7d").sessions == 2
    assert left(db) == {"29"}
    assert pruned(db, "28d") == Removed()
    running(set_back, db, "29", 31)
    assert pruned(db, "28d").sessions == 1


@pytest.mark.parametrize(
    ("age", "days"), [("2w", 14), ("14d", 14), ("336h", 14), ("20160m", 14), ("1209600s", 14), (timedelta(14), 14)]
)
def test_an_age_may_be_said_in_several_ways(db: Any, age: Any, days: int) -> None:
    aged(db, "older", days + 0.1)
    aged(db, "younger", days - 0.1)

    pruned(db, age)
    assert left(db) == {"younger"}


@pytest.mark.parametrize(
    "age", [90, 90.0, None, True, "90", "d", "-1d", "1.5d", "90 d", "1y", "9" * 5000 + "d", timedelta(days=-1)]
)
def test_what_is_no_age_is_refused(db: Any, age: Any) -> None:
    aged(db, "s", 1000)

    with pytest.raises(InvalidArgument, match="older_than="):
        db.prune(age)
    assert left(db) == {"s"}


@pytest.mark.parametrize("number", [-1, 1.5, "3", True, 2**63])
def test_what_is_no_number_is_refused(db: Any, number: Any) -> None:
    with pytest.raises(InvalidArgument, match="keep_last="):
        db.prune("90d", keep_last=number)


def test_a_very_long_age_prunes_nothing(db: Any) -> None:
    aged(db, "s", 1000)

    assert pruned(db, "999999999w") == Removed()


def test_more_sessions_than_are_looked_for_at_once(db: Any) -> None:
    running(many, db, 1203, 1, 100)
    aged(db, "kept", 1, "r")

    assert pruned(db, "90d", keep_last=2) == Removed(sessions=1202, runs=1202)
    assert len(left(db)) == 2


# -- beside others -----------------------------------------------------------------------------------

MEANWHILE: dict[str, Callable[[Any], object]] = {
    "run": lambda db: db.upsert_run(run("new"), "2"),
    "state": lambda db: db.update_session_state("2", lambda state: {"n": 1}),
    "save": lambda db: db.upsert_session(session("2", metadata={"n": 1})),
}


@pytest.mark.parametrize("write", MEANWHILE.values(), ids=MEANWHILE.keys())
@pytest.mark.parametrize("runs", [30, 70], ids=["whole", "in pieces"])
def test_a_session_that_is_written_to_meanwhile_stays(db: Any, write: Callable[[Any], object], runs: int) -> None:
    for n in range(3):
        long(db, f"{n}", runs, 100 - n)
    told: list[Removed] = []

    def meanwhile(removed: Removed) -> None:
        if not told:
            write(db)
        told.append(removed)

    assert db.prune("90d", on_progress=meanwhile) == Removed(sessions=2, runs=2 * runs, kept=1) == told[-1]
    assert len(run_ids(db, "2")) == runs + (write is MEANWHILE["run"])


def test_how_much_is_deleted_is_told_after_each_transaction(db: Any) -> None:
    running(many, db, 40, 9, 100)
    told: list[Removed] = []

    assert db.prune("90d", on_progress=told.append) == told[-1] == Removed(sessions=40, runs=360)
    steps = [after.rows - before.rows for before, after in zip([Removed(), *told], told, strict=False)]
    assert steps[0] == 50
    assert all(0 < step <= 100 * 2**n for n, step in enumerate(steps))


def test_a_count_sends_only_reads(db: Any) -> None:
    running(many, db, 10, 60, 100)
    with statements(db.db_engine) as sent:
        assert db.prune("90d", keep_last=1, dry_run=True) == Removed(9, 540, dry_run=True)

    assert {statement.split()[0] for statement in sent} == {"SELECT"}
    assert not [statement for statement in sent if "FOR UPDATE" in statement]
    assert len(sent) == 5
