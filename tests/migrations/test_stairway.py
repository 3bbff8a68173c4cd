"""Every revision goes up, down and up again, on stores that hold something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_store.migrations import Migrator
from agno_store.tables import HEAD, REVISIONS
from tests.migrations.conftest import contents, fill, snapshot


def test_each_step_down_and_up_gives_the_same_tables(db: Any, migrator: Migrator) -> None:
    seen = {}
    for revision in REVISIONS:
        assert migrator.upgrade(revision) == [revision]
        seen[revision] = snapshot(db.db_engine, db.names)
    for n in range(len(REVISIONS) - 1, 0, -1):
        assert migrator.downgrade(REVISIONS[n - 1]) == [REVISIONS[n]]
        assert snapshot(db.db_engine, db.names) == seen[REVISIONS[n - 1]]
        assert migrator.upgrade(REVISIONS[n]) == [REVISIONS[n]]
        assert snapshot(db.db_engine, db.names) == seen[REVISIONS[n]]
        migrator.downgrade(REVISIONS[n - 1])
    migrator.downgrade("base")
    assert snapshot(db.db_engine, db.names) == {"revision": []}


def test_an_upgrade_of_a_full_store_changes_no_row(db: Any, migrator: Migrator) -> None:
    fill(db)
    before = contents(db)
    for session in before:
        session["summary"] = None
    migrator.downgrade("0002")
    migrator.upgrade()
    assert contents(db) == before
    assert migrator.drift() == []


def test_a_second_upgrade_changes_nothing(db: Any, migrator: Migrator) -> None:
    migrator.upgrade()
    before = snapshot(db.db_engine, db.names)
    assert migrator.upgrade() == []
    assert snapshot(db.db_engine, db.names) == before


def test_upgrading_to_an_older_revision_changes_nothing(migrator: Migrator) -> None:
    migrator.upgrade()
    assert migrator.upgrade("0001") == []
    assert migrator.current() == HEAD


def test_downgrading_to_a_newer_revision_changes_nothing(migrator: Migrator) -> None:
    migrator.upgrade("0001")
    assert migrator.downgrade("0003") == []
    assert migrator.current() == "0001"


def test_a_downgrade_says_beforehand_what_will_be_lost(db: Any, migrator: Migrator) -> None:
    fill(db, sessions=2, runs=3)
    assert migrator.lost_by_downgrade("0001") == {db.names.runs: 6, db.names.summaries: 2, db.names.media: 0}
    assert migrator.lost_by_downgrade("head") == {}


@pytest.mark.parametrize("at", REVISIONS[:-1])
def test_rows_of_an_older_revision_are_there_and_usable_after_the_upgrade(
    db: Any, migrator: Migrator, insert_old: Callable[[str, dict[str, Any]], None], at: str
) -> None:
    migrator.upgrade(at)
    stamp = {"created_at": 1_700_000_000_000_000, "updated_at": 1_700_000_000_000_000}
    insert_old(
        db.names.sessions,
        {"session_id": "old", "session_type": "agent", "user_id": "ada", "session_data": '{"session_name":"Old"}'}
        | {"next_run_index": 1 if at >= "0002" else 0}
        | stamp,
    )
    if at >= "0002":
        run = {"session_id": "old", "run_id": "r", "run_index": 0, "run_type": "agent", "run_data": '{"run_id":"r"}'}
        insert_old(db.names.runs, run | stamp)
    assert migrator.upgrade()[-1] == HEAD
    db.upsert_run({"run_id": "new", "agent_id": "a"}, session_id="old", user_id="ada")
    session = db.get_session("old", deserialize=False)
    assert session["session_data"] == {"session_name": "Old"}
    assert session["created_at"] == 1_700_000_000
    assert [run["run_id"] for run in session["runs"]] == (["r", "new"] if at >= "0002" else ["new"])
