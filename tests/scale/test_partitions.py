"""Runs in hash partitions, made as docs/howto/scale-out.md says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from agno_store import PostgresDb, Removed, open_db
from agno_store.dialects import postgresql
from agno_store.migrations import Migrator
from agno_store.tables import REVISIONS
from tests.contract.database import dump
from tests.contract.samples import append, positions, run
from tests.migrations.sessions import ADD_COLUMN, application
from tests.scale.partitions import is_partitioned, partition

pytestmark = pytest.mark.backends("postgresql")

INDEX = 'op.create_index(f"ix_{n.runs}_status", n.runs, ["status"], schema=n.schema)'
OF_A_SESSION: dict[str, Callable[[Any], Any]] = {
    "get_session": lambda db: db.get_session("s1"),
    "get_session with its last runs": lambda db: db.get_session("s1", runs_limit=2),
    "get_runs": lambda db: db.get_runs(session_id="s1", deserialize=False),
    "get_run": lambda db: db.get_run("r0", session_id="s1"),
    "upsert_run": lambda db: db.upsert_run(run("new"), "s1"),
    "upsert_run again": lambda db: db.upsert_run(run("r0", "other"), "s1"),
    "update_run_in_session": lambda db: db.update_run_in_session("s1", "r0", {"content": "x"}),
    "delete_run": lambda db: db.delete_run("r0", session_id="s1"),
    "delete_session": lambda db: db.delete_session("s1"),
}


def filled(db: Any) -> None:
    for n in range(40):
        append(db, f"s{n}", *(f"r{m}" for m in range(3)))


@pytest.fixture
def db(fresh_url: str) -> Iterator[PostgresDb]:
    """A store with rows, partitioned since."""
    with PostgresDb(fresh_url) as store:
        filled(store)
        partition(store.db_engine)
        yield store


def test_a_store_that_is_partitioned_keeps_its_rows_and_is_in_step(fresh_url: str) -> None:
    with PostgresDb(fresh_url) as db:
        filled(db)
        before = dump(db)
        partition(db.db_engine)
        assert dump(db) == before
        with db.db_engine.connect() as connection:
            assert is_partitioned(connection)
            used = "SELECT count(DISTINCT tableoid) FROM agent_sessions_runs"
            assert connection.exec_driver_sql(used).scalar() == 8
        assert db.schema_status().in_step
        assert db.upgrade_schema() == []
        assert Migrator.of(db).drift() == []
        append(db, "s0", "r3")
        assert positions(db, "s0") == {f"r{n}": n for n in range(4)}
        db.delete_session("s0")
        assert len(db.get_runs()) == 39 * 3


@pytest.mark.parametrize("name", OF_A_SESSION)
def test_what_is_asked_of_a_session_looks_into_one_partition(db: PostgresDb, name: str) -> None:
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if "agent_sessions_runs" in statement and not statement.startswith("EXPLAIN"):
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    sa.event.listen(db.db_engine, "before_cursor_execute", explain)
    OF_A_SESSION[name](db)
    assert plans
    for plan in plans:
        assert len(set(re.findall(r" on (?:agent_sessions_partitions\.)?(runs_\d)\b", plan))) <= 1, plan


def test_partitions_are_pruned(db: PostgresDb) -> None:
    assert db.prune("0s", keep_last=10) == Removed(30, 90)
    assert len(db.get_runs()) == 30
    append(db, "s1", *(f"m{n}" for n in range(60)))
    assert db.prune("0s").runs >= 60 + 27
    assert db.get_runs() == []


def test_revisions_still_to_come_are_run_on_partitions(fresh_url: str) -> None:
    with PostgresDb(fresh_url) as db:
        db.upgrade_schema("0002")
        partition(db.db_engine)
        assert db.schema_status().pending == REVISIONS[2:]
        assert db.upgrade_schema() == list(REVISIONS[2:])
        assert Migrator.of(db).drift() == []
        filled(db)
        Migrator.of(db).downgrade("0002")
        db.upgrade_schema()
        assert len(db.get_runs()) == 120
        with db.db_engine.connect() as connection:
            assert is_partitioned(connection)


def test_an_applications_column_and_index_are_made_on_partitions(
    db: PostgresDb, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LARGE", 0)  # what is large is built CONCURRENTLY, which no partitioned table can
    with open_db(fresh_url, versions=application(tmp_path / "versions", ADD_COLUMN, INDEX)) as other:
        assert other.upgrade_schema() == ["a1", "a2"]
        assert len(other.get_runs()) == 120


def test_rights_are_as_they_were(fresh_url: str) -> None:
    acl = "SELECT relacl::text FROM pg_class WHERE oid = 'agent_sessions_runs'::regclass"
    with PostgresDb(fresh_url) as db:
        db.upgrade_schema()
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql("GRANT SELECT, INSERT ON agent_sessions_runs TO pg_monitor")
            connection.exec_driver_sql("GRANT SELECT ON agent_sessions_runs TO PUBLIC")
            before = connection.exec_driver_sql(acl).scalar_one()
        partition(db.db_engine)
        with db.db_engine.connect() as connection:
            assert sorted(connection.exec_driver_sql(acl).scalar_one()[1:-1].split(",")) == sorted(
                before[1:-1].split(",")
            )


@pytest.mark.backends("mysql")
def test_mysql_partitions_no_table_with_a_foreign_key(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        with db.db_engine.connect() as connection, pytest.raises(DBAPIError, match=r"(?i)foreign key"):
            connection.exec_driver_sql("ALTER TABLE agent_sessions_runs PARTITION BY KEY (session_id) PARTITIONS 8")
