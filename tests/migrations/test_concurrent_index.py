"""Indexes on large tables of PostgreSQL are built beside the writers, also after a build that did not end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import open_db
from agno_store.dialects import postgresql
from agno_store.errors import DatabaseError, SchemaError
from agno_store.migrations import Migrator
from agno_store.migrations.chain import Position
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.frozen import load
from tests.migrations.conftest import advisory_locks
from tests.migrations.sessions import application, session

pytestmark = pytest.mark.backends("postgresql")

LARGE = 128 * 1024
"""Bytes, in this module."""

INDEX = 'op.create_index(f"ix_{n.runs}_status", n.runs, ["status", "run_id"], schema=n.schema)'
UNIQUE = 'op.create_index(f"uq_{n.runs}_run_id", n.runs, ["run_id"], unique=True, schema=n.schema)'
DROP = 'op.drop_index(f"ix_{n.runs}_status", n.runs, schema=n.schema)'
IN_BATCH = """
with op.batch_alter_table(n.runs, schema=n.schema) as batch:
    batch.add_column(sa.Column("score", types.COUNT))
    batch.create_index(f"ix_{n.runs}_score", ["score"])
"""
NEW_TABLE = """
op.create_table("tags", sa.Column("tag", types.ID), schema=n.schema)
op.create_index("ix_tags_tag", "tags", ["tag"], schema=n.schema)
"""

WORDS = ("CREATE", "DROP", "UNIQUE", "INDEX", "CONCURRENTLY")

IN_SCHEMA = "coolly named"
OLD_SNAPSHOT = "SELECT txid_current_snapshot()::text"

_STATE = sa.text("SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = :index")
_BUILDERS = sa.text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
    "AND query LIKE 'CREATE%INDEX CONCURRENTLY%'"
)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LARGE", LARGE)


@pytest.fixture
def large(fresh_url: str) -> str:
    """The URL of a store with many runs."""
    fill(fresh_url)
    return fresh_url


def fill(url: str, **options: Any) -> None:
    """Make a store with many runs."""
    with open_db(url, **options) as db:
        db.upsert_session({"session_id": "s"})
        runs = db._store.sql.runs
        times = {"created_at": 1, "updated_at": 1}
        row = {"session_id": "s", "run_type": "agent", "run_data": "{}", "version": 1, **times}
        with db.db_engine.begin() as connection:
            rows = [{**row, "run_id": f"old-{n}", "run_index": n} for n in range(1000, 3000)]
            connection.execute(sa.insert(runs), rows)


def valid(url: str, index: str) -> bool | None:
    """Whether an index is valid; None where it is not there."""
    with session(url) as connection:
        found: bool | None = connection.scalar(_STATE, {"index": index})
        return found


@contextmanager
def statements(db: Any) -> Iterator[list[str]]:
    """Give a list of the statements about indexes that a store sends meanwhile."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        if "INDEX" in words[:3]:
            sent.append(" ".join(word for word in words if word in WORDS))

    sa.event.listen(db.db_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(db.db_engine, "before_cursor_execute", note)


def building(url: str) -> int:
    """Wait until an index is being built that waits for somebody's snapshot; return who builds it."""
    with session(url) as connection:
        for _ in range(1000):
            pid = connection.scalar(_BUILDERS)
            connection.rollback()
            if pid is not None:
                return int(pid)
            time.sleep(0.02)
    raise AssertionError("no index is being built")


@contextmanager
def old_snapshot(url: str) -> Iterator[Any]:
    """Stay in a transaction with a snapshot, for which an index that is built beside writers has to wait."""
    engine = sa.create_engine(url, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        connection.exec_driver_sql(OLD_SNAPSHOT)
        yield connection
    engine.dispose()


def noted(migrator: Migrator) -> list[str]:
    return [step.revision for step in migrator.history() if step.applied_at is not None]


def test_writers_go_on_while_an_index_is_built_and_so_does_a_waiting_upgrade(large: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", INDEX)

    def upgrade() -> tuple[list[str], list[str]]:
        with open_db(large, versions=versions) as db, statements(db) as sent:
            return Migrator.of(db, ddl_lock_timeout=0.2).upgrade(), sent

    with ThreadPoolExecutor(2) as pool:
        with old_snapshot(large), open_db(large) as writer:
            builder = pool.submit(upgrade)
            building(large)
            waiter = pool.submit(upgrade)
            began = time.monotonic()
            for n in range(20):
                writer.upsert_run({"run_id": f"new-{n}"}, session_id="s")
            assert time.monotonic() - began < 5
            time.sleep(0.5)
            assert not builder.done()
            assert not waiter.done()
        assert builder.result(30) == (["a1"], ["CREATE INDEX CONCURRENTLY"])
        assert waiter.result(30)[0] == []
    assert valid(large, "ix_agent_sessions_runs_status") is True
    with open_db(large, versions=versions) as db:
        assert db.schema_status().in_step
        assert noted(Migrator.of(db)) == [*REVISIONS, "a1"]
        assert len(db.get_session("s", deserialize=False)["runs"]) == 2020


@pytest.mark.parametrize(
    ("upgrade", "sent"),
    [
        (INDEX, ["CREATE INDEX CONCURRENTLY"]),
        (UNIQUE, ["CREATE UNIQUE INDEX CONCURRENTLY"]),
        (IN_BATCH, ["CREATE INDEX CONCURRENTLY"]),
        (NEW_TABLE, ["CREATE INDEX"]),
        (INDEX + "\n" + DROP, ["CREATE INDEX CONCURRENTLY", "DROP INDEX"]),
    ],
)
@pytest.mark.parametrize("schema", [None, IN_SCHEMA])
def test_an_index_on_a_large_table_is_built_beside_its_writers(
    fresh_url: str, tmp_path: Path, schema: str | None, upgrade: str, sent: list[str]
) -> None:
    fill(fresh_url, db_schema=schema)
    versions = application(tmp_path / "versions", upgrade)
    with open_db(fresh_url, versions=versions, db_schema=schema) as db, statements(db) as noticed:
        assert db.upgrade_schema() == ["a1"]
        assert noticed == sent
        assert noted(Migrator.of(db))[-1] == "a1"
        assert db.schema_status().in_step


@pytest.mark.parametrize("upgrade", [INDEX, IN_BATCH])
def test_an_index_on_a_small_table_is_built_within_its_revision(fresh_url: str, tmp_path: Path, upgrade: str) -> None:
    versions = application(tmp_path / "versions", upgrade)
    with open_db(fresh_url, versions=versions) as db, statements(db) as sent:
        db.upgrade_schema()
        assert sent[-1] == "CREATE INDEX"


ASKED = INDEX.replace("schema=n.schema", "schema=n.schema, postgresql_concurrently=True")
DROP_ASKED = DROP.replace("schema=n.schema", "schema=n.schema, postgresql_concurrently=True")
OUTSIDE = f"with op.get_context().autocommit_block():\n    {ASKED}"


@pytest.mark.parametrize(
    ("upgrade", "in_large", "in_small"),
    [
        (ASKED, "CREATE INDEX CONCURRENTLY", "CREATE INDEX"),
        (OUTSIDE, "CREATE INDEX CONCURRENTLY", "CREATE INDEX"),
        (f"{INDEX}\n{DROP_ASKED}", "DROP INDEX", "DROP INDEX"),
    ],
)
def test_a_revision_that_asks_for_concurrently_fails_nowhere(
    fresh_url: str, tmp_path: Path, upgrade: str, in_large: str, in_small: str
) -> None:
    versions = application(tmp_path / "versions", upgrade)
    for options, sent in (({"table_name": "large"}, in_large), ({"table_name": "small"}, in_small)):
        if sent == in_large:
            fill(fresh_url, **options)
        with open_db(fresh_url, versions=versions, **options) as db, statements(db) as noticed:
            assert db.upgrade_schema()[-1] == "a1"
            assert noticed[-1] == sent


def test_what_comes_after_an_index_is_as_impatient_as_what_came_before(large: str, tmp_path: Path) -> None:
    setting = "current_setting('lock_timeout')"
    before = f'op.execute("CREATE TABLE noted AS SELECT {setting} AS setting")'
    after = f'op.execute("INSERT INTO noted SELECT {setting}")'
    with open_db(large, versions=application(tmp_path / "versions", f"{before}\n{INDEX}\n{after}")) as db:
        db.upgrade_schema()
        with db.db_engine.connect() as connection:
            assert connection.scalars(sa.text("SELECT setting FROM noted")).all() == ["3s", "3s"]
            assert connection.scalar(sa.text(f"SELECT {setting}")) == "0"


def test_an_index_in_the_callers_transaction_is_built_within_it(large: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", INDEX)
    with open_db(large, versions=versions) as db, statements(db) as sent:
        with db.db_engine.begin() as connection:
            assert db.upgrade_schema(connection=connection) == ["a1"]
            connection.rollback()
        assert valid(large, "ix_agent_sessions_runs_status") is None
        with db.db_engine.begin() as connection:
            db.upgrade_schema(connection=connection)
        assert sent == ["CREATE INDEX"] * 2
    assert valid(large, "ix_agent_sessions_runs_status") is True


# -- builds that did not end -------------------------------------------------------------------------

BUILDER = """
import sys
from agno_store import open_db
from agno_store.dialects import postgresql
postgresql.LARGE = int(sys.argv[3])
with open_db(sys.argv[1], versions=sys.argv[2]) as db:
    db.upgrade_schema()
"""


def killed_while_building(url: str, versions: Path) -> None:
    """Upgrade in a process that is killed while it builds an index, and end what it leaves at the server."""
    process = subprocess.Popen([sys.executable, "-c", BUILDER, url, str(versions), str(LARGE)])
    try:
        pid = building(url)
    finally:
        process.kill()
        process.wait()
    with session(url) as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})


@pytest.mark.parametrize(
    ("upgrade", "index"), [(INDEX, "ix_agent_sessions_runs_status"), (UNIQUE, "uq_agent_sessions_runs_run_id")]
)
def test_the_index_of_a_killed_build_is_built_again(large: str, tmp_path: Path, upgrade: str, index: str) -> None:
    versions = application(tmp_path / "versions", upgrade)
    with old_snapshot(large):
        killed_while_building(large, versions)
    assert valid(large, index) is False
    with open_db(large, versions=versions) as db, statements(db) as sent:
        assert db.schema_status().application is None
        assert db.upgrade_schema() == ["a1"]
        kind = "UNIQUE INDEX" if upgrade is UNIQUE else "INDEX"
        assert sent == ["DROP INDEX CONCURRENTLY", f"CREATE {kind} CONCURRENTLY"]
        assert valid(large, index) is True
        assert Migrator.of(db).position() == Position(HEAD, "a1")


def test_the_index_of_a_killed_build_is_built_again_in_the_callers_transaction(large: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", INDEX)
    with old_snapshot(large):
        killed_while_building(large, versions)
    with open_db(large, versions=versions) as db, statements(db) as sent:
        with db.db_engine.begin() as connection:
            db.upgrade_schema(connection=connection)
        assert sent == ["DROP INDEX", "CREATE INDEX"]
    assert valid(large, "ix_agent_sessions_runs_status") is True


def test_a_unique_index_over_doubles_fails_and_is_built_when_they_are_gone(large: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", UNIQUE)
    with open_db(large) as db:
        db.upsert_session({"session_id": "t"})
        db.upsert_run({"run_id": "old-1000"}, session_id="t")
    with open_db(large, versions=versions) as db:
        for _ in range(2):
            with pytest.raises(DatabaseError, match="UniqueViolation") as caught:
                db.upgrade_schema()
            assert isinstance(caught.value.__cause__, sa.exc.IntegrityError)
        assert Migrator.of(db).position() == Position(HEAD, None)
        with session(large) as connection:
            assert advisory_locks(connection) == 0
        with open_db(large) as writer:  # what is left of the index keeps nobody from writing
            writer.upsert_run({"run_id": "old-1001"}, session_id="t")
            writer.delete_session("t")
        assert db.upgrade_schema() == ["a1"]
        assert valid(large, "uq_agent_sessions_runs_run_id") is True


def test_a_builder_that_is_ended_says_so(large: str, tmp_path: Path) -> None:
    def end() -> None:
        pid = building(large)
        with session(large) as connection:
            connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})

    with open_db(large, versions=application(tmp_path / "versions", INDEX)) as db:
        with old_snapshot(large), ThreadPoolExecutor(1) as pool:
            ended = pool.submit(end)
            with pytest.raises(DatabaseError, match="AdminShutdown"):
                db.upgrade_schema()
            ended.result()
        assert db.upgrade_schema() == ["a1"]
    assert valid(large, "ix_agent_sessions_runs_status") is True


@pytest.mark.parametrize("then", ["raise RuntimeError('in the middle')", 'op.execute("SELECT nothing FROM nowhere")'])
def test_a_revision_that_fails_after_its_index_goes_on_from_it(large: str, tmp_path: Path, then: str) -> None:
    index = "ix_agent_sessions_runs_status"
    with open_db(large, versions=application(tmp_path / "failing", INDEX + "\n" + then)) as db:
        with pytest.raises((SchemaError, DatabaseError)):
            db.upgrade_schema()
        assert valid(large, index) is True
        assert Migrator.of(db).position() == Position(HEAD, None)
    with open_db(large, versions=application(tmp_path / "mended", INDEX)) as db, statements(db) as sent:
        assert db.upgrade_schema() == ["a1"]
        assert sent == []


def test_an_invalid_index_of_another_name_is_left_alone(large: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", INDEX)
    with open_db(large) as db:
        db.upsert_session({"session_id": "t"})
        db.upsert_run({"run_id": "old-1000"}, session_id="t")
    engine = sa.create_engine(large, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY uq_mine ON agent_sessions_runs (run_id)")
    engine.dispose()
    with open_db(large, versions=versions) as db:
        assert db.upgrade_schema() == ["a1"]
    assert valid(large, "uq_mine") is False


def test_the_index_of_the_tenants_is_built_beside_the_writers_of_an_older_store(
    fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LARGE", 0)
    with open_db(fresh_url) as db:
        load(db.db_engine, "postgresql", "0003")
        [planned] = run("upgrade", "--plan", "--to", "0004", "--db-url", fresh_url, "--json").document["plan"]
        assert [(step["built_concurrently"], "CONCURRENTLY" in step["waits"]) for step in planned["steps"]] == [
            (None, False),
            (True, True),
        ]
        with statements(db) as sent:
            assert db.upgrade_schema("0004") == ["0004"]
        assert sent == ["CREATE INDEX CONCURRENTLY"]
    assert valid(fresh_url, "ix_agent_sessions_tenant_id_created_at") is True
