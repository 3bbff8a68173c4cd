"""What the first call of a store finds, and does about it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import SchemaBehind, SchemaConflict, SchemaDrifted, SchemaTooNew, open_db
from agno_store.migrations import Migrator
from agno_store.tables import HEAD, REVISIONS
from tests.history import above
from tests.migrations.conftest import fill, snapshot


def test_a_missing_store_is_built_by_the_revisions(db: Any, migrator: Migrator) -> None:
    assert db.schema_status().state == "missing"
    assert db.get_session("nobody") is None
    assert db.schema_status().in_step
    assert migrator.drift() == []


def test_looking_at_a_missing_store_builds_nothing(db: Any) -> None:
    db.schema_status()
    assert not db.table_exists("agent_sessions_alembic_version")


@pytest.mark.parametrize("at", ["0001", "0002"])
def test_a_store_that_is_behind_says_which_command_to_run(db: Any, migrator: Migrator, at: str) -> None:
    migrator.upgrade(at)
    with pytest.raises(SchemaBehind, match="Run: agno-store upgrade --db-url ") as caught:
        db.get_session("s")
    assert (caught.value.current, caught.value.head, caught.value.store) == (at, HEAD, "agent_sessions")
    assert db.schema_status().current == at


def test_a_store_that_is_behind_is_upgraded_if_asked_for(fresh_url: str) -> None:
    with open_db(fresh_url, auto_upgrade_schema=True) as db:
        Migrator.of(db).upgrade("0001")
        fill(db, sessions=1)
        assert db.schema_status().in_step


def test_upgrade_schema_says_what_it_did(db: Any) -> None:
    assert db.upgrade_schema("0002") == ["0001", "0002"]
    assert db.upgrade_schema() == above("0002")
    assert db.upgrade_schema() == []


def test_a_store_ahead_of_this_release_is_left_alone(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        fill(db, sessions=1)
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql("UPDATE agent_sessions_alembic_version SET version_num = '9999'")
        before = snapshot(db.db_engine, db.names)
    for auto in (False, True):
        with open_db(fresh_url, auto_upgrade_schema=auto) as db:
            with pytest.raises(SchemaTooNew, match="9999"):
                db.get_session("s0")
            with pytest.raises(SchemaTooNew):
                db.upgrade_schema()
            with pytest.raises(SchemaTooNew):
                Migrator.of(db).downgrade("0001")
            assert snapshot(db.db_engine, db.names) == before


FOREIGN = {
    "agno 3.x": "session_id VARCHAR(99), session_type VARCHAR(9), session_data TEXT, metadata TEXT, summary TEXT",
    "agno 2.x": "session_id VARCHAR(99), session_type VARCHAR(9), session_data TEXT, metadata TEXT, runs TEXT",
    r"agno 1.x layout \(team": "session_id VARCHAR(99), session_data TEXT, extra_data TEXT, team_data TEXT",
    "another application's": "id INTEGER, title VARCHAR(99)",
}


@pytest.mark.parametrize("layout", FOREIGN)
@pytest.mark.parametrize("auto", [False, True])
def test_a_table_of_somebody_else_is_named_and_left_alone(fresh_url: str, layout: str, auto: bool) -> None:
    with open_db(fresh_url, auto_upgrade_schema=auto) as db:
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE agent_sessions ({FOREIGN[layout]})")
        before = snapshot(db.db_engine, db.names)
        with pytest.raises(SchemaConflict, match=layout):
            db.upsert_session({"session_id": "s"})
        assert snapshot(db.db_engine, db.names) == before


def test_a_stranger_under_the_name_of_a_later_table_is_a_conflict(db: Any, migrator: Migrator) -> None:
    migrator.upgrade("0001")
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE agent_sessions_runs (id INTEGER)")
    with pytest.raises(SchemaConflict, match="agent_sessions_runs is there already"):
        migrator.upgrade()
    assert migrator.current() == "0001"


def test_tables_that_are_there_already_and_match_are_gone_on_from(db: Any, migrator: Migrator) -> None:
    migrator.upgrade()
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agent_sessions_alembic_version SET version_num = '0001'")
    assert migrator.upgrade() == above("0001")
    assert migrator.drift() == []


def test_stamp_records_only_what_is_true(db: Any, migrator: Migrator) -> None:
    migrator.upgrade("0002")
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE agent_sessions_alembic_version")
    for wrong in ("0001", *above("0002"), "base"):
        with pytest.raises(SchemaConflict, match=f"not at revision {wrong}"):
            migrator.stamp(wrong)
    assert migrator.current() is None
    migrator.stamp("0002")
    assert migrator.current() == "0002"
    assert migrator.upgrade() == above("0002")


def test_an_upgrade_does_not_call_a_store_with_a_lost_table_up_to_date(db: Any, migrator: Migrator) -> None:
    migrator.upgrade()
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE agent_sessions_summaries")
    with pytest.raises(SchemaDrifted, match="table agent_sessions_summaries is missing"):
        migrator.upgrade()


@pytest.mark.parametrize(
    ("revision", "change", "below"),
    [
        (HEAD, "ALTER TABLE agent_sessions_runs DROP COLUMN status", None),
        (HEAD, "ALTER TABLE agent_sessions_summaries RENAME TO kept", None),
        (HEAD, "DROP TABLE agent_sessions_media", REVISIONS[-2]),  # as what the last downgrade began with
        (REVISIONS[0], "DROP INDEX ix_agent_sessions_created_at{on}", None),
    ],
)
def test_the_cure_of_drift_takes_no_table_away(
    db: Any, migrator: Migrator, backend: str, revision: str, change: str, below: str | None
) -> None:
    migrator.upgrade(revision)
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(change.format(on=" ON agent_sessions" if backend == "mysql" else ""))
    with pytest.raises(SchemaDrifted) as raised:
        migrator.upgrade(revision)
    said = str(raised.value)
    assert "agno-store upgrade --sql --from base --db-url" in said
    assert "agno-store check --drift --db-url" in said
    # Elsewhere a killed downgrade leaves nothing half done.
    named = re.findall(r"agno-store downgrade --to (\w+)", said)
    assert named == ([below] if below and backend == "mysql" else [])
    assert ("take a backup" in said) is bool(named)


def test_a_select_before_the_upgrade_cannot_fool_it(db: Any) -> None:
    # On a connection that is in a transaction Alembic commits nothing; the pool hands ours out in one.
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT 1")

    sa.event.listen(db.db_engine, "engine_connect", begin)
    try:
        assert db.upgrade_schema() == list(REVISIONS)
    finally:
        sa.event.remove(db.db_engine, "engine_connect", begin)
    assert db.schema_status().in_step


def test_the_hosts_loggers_are_left_as_they_are(db: Any) -> None:
    import logging

    def state() -> dict[str, tuple[int, bool, int]]:
        known = {name: logging.getLogger(name) for name in ("", "host", "sqlalchemy.engine")}
        return {name: (log.level, log.disabled, len(log.handlers)) for name, log in known.items()}

    logging.getLogger("host").setLevel(logging.DEBUG)
    before = state()
    db.upgrade_schema()
    assert state() == before
