"""A store whose tables somebody watches with triggers of his own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.samples import append, run, run_ids

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
