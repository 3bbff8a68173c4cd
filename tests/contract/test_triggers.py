"""A store whose tables somebody watches with triggers of his own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.samples import append, positions, run, run_ids

COLOURS = ("sync",)


@pytest.mark.backends("mysql")
def test_triggers_that_count_their_own_rows_do_not_move_runs(db: Any) -> None:
    append(db, "s", "r")
    audit = f"{db.names.sessions}_audit"
    with db.db_engine.begin() as c:
        c.exec_driver_sql(f"CREATE TABLE {audit} (entry BIGINT AUTO_INCREMENT PRIMARY KEY, at BIGINT)")
        c.exec_driver_sql(
            f"CREATE TRIGGER {audit} AFTER UPDATE ON {db.names.sessions} FOR EACH ROW "
            f"INSERT INTO {audit} (at) VALUES (NEW.updated_at), (OLD.updated_at)"
        )
    try:
        placed = [db.upsert_run(run(run_id), "s").run_index for run_id in ("audited-1", "audited-2")]
    finally:
        with db.db_engine.begin() as c:
            c.exec_driver_sql(f"DROP TRIGGER {audit}")
            c.exec_driver_sql(f"DROP TABLE {audit}")

    assert placed == [1, 2]
    assert run_ids(db, "s") == ["r", "audited-1", "audited-2"]


def turn(db: Any, run_id: str) -> None:
    """Read a session, and store it with a run."""
    found = db.get_session("s", runs_limit=5)
    db.upsert_session(replace(found, metadata={"last": run_id}), run=run(run_id))


def used(db: Any) -> None:
    for _ in range(3):
        db.get_session("s", runs_limit=5)


@pytest.mark.backends("mysql")
@pytest.mark.own_pool
def test_a_trigger_on_runs_may_write_to_their_session(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    sessions, runs = db.names.sessions, db.names.runs
    with db.db_engine.begin() as c:
        c.exec_driver_sql(f"ALTER TABLE {sessions} ADD COLUMN seen INT NOT NULL DEFAULT 0")
        c.exec_driver_sql(
            f"CREATE TRIGGER seen AFTER INSERT ON {runs} FOR EACH ROW "
            f"UPDATE {sessions} SET seen = seen + 1 WHERE session_id = NEW.session_id"
        )
    used(db)
    turn(db, "second")
    db.upsert_run(run("third"), "s")
    assert positions(db, "s") == {"r": 0, "second": 1, "third": 2}


@pytest.mark.backends("mysql")
@pytest.mark.own_pool
def test_a_trigger_that_marks_sessions_with_its_own_time_leaves_no_gap(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    with db.db_engine.begin() as c:
        c.exec_driver_sql(
            f"CREATE TRIGGER later BEFORE UPDATE ON {db.names.sessions} FOR EACH ROW "
            "SET NEW.updated_at = NEW.updated_at + 1"
        )
    used(db)
    turn(db, "second")
    db.upsert_run(run("third"), "s")
    assert positions(db, "s") == {"r": 0, "second": 1, "third": 2}
