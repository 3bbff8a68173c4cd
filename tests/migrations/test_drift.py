"""The declared tables and the head of the chain agree, and any difference is found."""

from __future__ import annotations

import re
from argparse import Namespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from agno_store import open_db
from agno_store.migrations import Migrator
from tests.package.source import ROOT


def run(db: Any, statement: str) -> None:
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def fresh(db: Any, migrator: Migrator) -> Any:
    migrator.upgrade()
    return db


def test_a_fresh_store_has_no_drift(fresh: Any, migrator: Migrator) -> None:
    assert migrator.drift() == []


def test_a_store_in_the_schema_named_like_the_default_one_has_no_drift(backend: str, fresh_url: str) -> None:
    schema = {"postgresql": "public", "mysql": sa.make_url(fresh_url).database}.get(backend)
    with open_db(fresh_url, db_schema=schema) as db:
        migrator = Migrator.of(db)
        migrator.upgrade()
        assert migrator.drift() == []


def test_strangers_tables_are_no_drift(fresh: Any, migrator: Migrator) -> None:
    run(fresh, "CREATE TABLE agent_sessions_of_mine (id INTEGER)")
    assert migrator.drift() == []


CHANGES = {
    "an index dropped": "DROP INDEX ix_agent_sessions_created_at{on}",
    "an index added": "CREATE INDEX stray ON agent_sessions (agent_id)",
    "a column added": "ALTER TABLE agent_sessions ADD COLUMN stray INTEGER",
    "a column dropped": "ALTER TABLE agent_sessions DROP COLUMN workflow_name",
    "a table dropped": "DROP TABLE agent_sessions_summaries",
}

SERVER_CHANGES = {
    "a type changed": {
        "postgresql": "ALTER TABLE agent_sessions ALTER COLUMN workflow_name TYPE VARCHAR(20)",
        "mysql": "ALTER TABLE agent_sessions MODIFY workflow_name VARCHAR(20)",
    },
    "a column made nullable": {
        "postgresql": "ALTER TABLE agent_sessions ALTER COLUMN session_type DROP NOT NULL",
        "mysql": "ALTER TABLE agent_sessions MODIFY session_type VARCHAR(255) NULL",
    },
    "a default dropped": {
        "postgresql": "ALTER TABLE agent_sessions ALTER COLUMN version DROP DEFAULT",
        "mysql": "ALTER TABLE agent_sessions ALTER COLUMN version DROP DEFAULT",
    },
    "a default changed": {
        "postgresql": "ALTER TABLE agent_sessions ALTER COLUMN version SET DEFAULT 7",
        "mysql": "ALTER TABLE agent_sessions ALTER COLUMN version SET DEFAULT 7",
    },
    "a foreign key dropped": {
        "postgresql": "ALTER TABLE agent_sessions_runs DROP CONSTRAINT fk_agent_sessions_runs_session_id",
        "mysql": "ALTER TABLE agent_sessions_runs DROP FOREIGN KEY fk_agent_sessions_runs_session_id",
    },
    "a primary key dropped": {
        "postgresql": "ALTER TABLE agent_sessions_runs DROP CONSTRAINT pk_agent_sessions_runs",
        "mysql": "ALTER TABLE agent_sessions_runs DROP PRIMARY KEY",
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_drift_finds(fresh: Any, migrator: Migrator, backend: str, change: str) -> None:
    run(fresh, CHANGES[change].format(on=" ON agent_sessions" if backend == "mysql" else ""))
    assert len(migrator.drift()) == 1


@pytest.mark.parametrize("change", SERVER_CHANGES)
def test_drift_finds_what_only_servers_can_alter(fresh: Any, migrator: Migrator, backend: str, change: str) -> None:
    spelled = SERVER_CHANGES[change]
    try:
        run(fresh, spelled.get(backend, spelled["postgresql"]))
    except sa.exc.OperationalError:  # SQLite learns to alter, release by release: what it cannot do need not be found
        assert backend == "sqlite"
        return
    assert len(migrator.drift()) == 1


GUIDE = (ROOT / "docs/howto/tidy.md").read_text()
"""Its statement to have MariaDB compress runs is run as it stands there, in a way that MySQL passes over."""

COMPRESS = re.search(r"```sql\n(ALTER TABLE .+?);\n```", GUIDE, re.DOTALL)[1].replace(  # type: ignore[index]
    "COMPRESSED", "/*M!100301 COMPRESSED */"
)


@pytest.mark.backends("mysql")
@pytest.mark.parametrize(
    ("declared", "is_drift"),
    [
        (COMPRESS, False),
        (COMPRESS.replace("NOT NULL", "NULL"), True),
        (COMPRESS.replace("utf8mb4_bin", "latin1_bin").replace("utf8mb4", "latin1"), True),
        (COMPRESS.replace("utf8mb4_bin", "utf8mb4_general_ci"), True),
        (COMPRESS.replace("LONGTEXT", "MEDIUMTEXT"), True),
    ],
)
def test_that_mariadb_keeps_a_column_compressed_is_no_drift(
    fresh: Any, migrator: Migrator, declared: str, is_drift: bool
) -> None:
    run(fresh, declared)
    found = migrator.drift()
    assert len(found) == is_drift
    assert all("run_data" in said for said in found)

    run(fresh, "ALTER TABLE agent_sessions_runs MODIFY version BIGINT NULL DEFAULT 1")
    assert len(migrator.drift()) == is_drift + 1  # of another column


@pytest.mark.backends("mysql")
def test_alembics_own_check_passes_over_it_too(fresh: Any, fresh_url: str) -> None:
    run(fresh, COMPRESS)
    config = Config(str(ROOT / "alembic.ini"), cmd_opts=Namespace(x=[f"url={fresh_url}"]))
    command.check(config)


@pytest.mark.backends("mysql")
def test_a_store_with_a_compressed_column_is_upgraded_and_used(fresh: Any, migrator: Migrator) -> None:
    migrator.downgrade("0004")
    run(fresh, COMPRESS)
    migrator.upgrade()
    assert migrator.drift() == []

    long = "number customer Zürich \N{WINKING FACE} \x00 " * 500
    session = fresh.upsert_session({"session_id": "s", "user_id": "ada", "session_data": {"session_state": {"n": 1}}})
    fresh.upsert_session(session, run={"run_id": "r1", "agent_id": "helper", "content": long})
    fresh.upsert_run({"run_id": "r2", "agent_id": "helper", "content": "short", "status": "RUNNING"}, session_id="s")
    fresh.update_run_in_session("s", "r2", {"content": long[::-1]})

    runs = fresh.get_session("s", deserialize=False)["runs"]
    assert [run["content"] for run in runs] == [long, long[::-1]]
    assert [session.session_id for session in fresh.get_sessions(user_id="ada")] == ["s"]
    assert [place.run_id for found in fresh.search("Zürich") for place in found.places] == ["r1"]
