"""Upgrades behind PgBouncer in transaction mode, where clients take turns with the server's sessions."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import ConfigurationError, PostgresDb, SchemaBehind, UpgradeLocked, open_db
from agno_store.dialects import postgresql
from agno_store.errors import DatabaseError, SchemaError
from agno_store.migrations import Migrator
from agno_store.migrations.chain import Position
from agno_store.migrations.rehearsal import rehearse
from agno_store.tables import HEAD
from tests.migrations.conftest import advisory_locks, contents, fill, snapshot
from tests.migrations.sessions import (
    ADD_COLUMN,
    ON_ANOTHER_TABLE,
    Reader,
    application,
    ending,
    holding,
    locks_left,
    session,
)
from tests.migrations.test_races import EVERY, MANY, upgrade_at_once
from tests.servers.pgbouncer import PgBouncer

SESSIONS = 3
"""Those that PgBouncer has for one database."""

SETTINGS = ("lock_timeout", "search_path", "statement_timeout", "default_transaction_isolation", "application_name")


@pytest.fixture
def pooled(pgbouncer: PgBouncer, fresh_url: str) -> Iterator[str]:
    """The URL of an empty database through the pooler, on which nothing is left behind."""
    url = pgbouncer.through(fresh_url)
    before = settings_of_all_sessions(url)
    yield url
    assert settings_of_all_sessions(url) == before
    assert locks_left(fresh_url) == 0


def settings_of_all_sessions(url: str) -> list[tuple[str, ...]]:
    """Return what is set in the sessions that the pooler has for a database."""
    found = sa.select(*(sa.func.current_setting(name) for name in SETTINGS))
    with ExitStack() as clients:
        connections = [clients.enter_context(session(url)) for _ in range(SESSIONS)]
        return [tuple(connection.execute(found).one()) for connection in connections]


def opened(url: str, **options: Any) -> PostgresDb:
    return PostgresDb(url, pooler="transaction", **options)


def test_processes_at_once_behind_a_transaction_pooler(pgbouncer: PgBouncer, fresh_url: str) -> None:
    url, options = pgbouncer.through(fresh_url), {"pooler": "transaction"}
    assert upgrade_at_once([url], *[options] * MANY) == EVERY
    with open_db(fresh_url) as db:
        with db.db_engine.connect() as connection:
            assert advisory_locks(connection) == 0
        assert Migrator.of(db).drift() == []


def test_everything_that_is_done_to_a_schema_is_done_behind_a_pooler(pooled: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", ADD_COLUMN)
    with opened(pooled) as db:
        assert db.upgrade_schema("0001") == EVERY[:1]
        with pytest.raises(SchemaBehind):
            db.get_session("s")
        assert rehearse(Migrator.of(db)) == EVERY[1:]
        assert db.schema_status().current == "0001"
        assert db.upgrade_schema() == EVERY[1:]
        fill(db)
        assert Migrator.of(db).drift() == []
        assert Migrator.of(db).lost_by_downgrade("0001") == {db.names.runs: 6, db.names.summaries: 3, db.names.media: 0}
        assert Migrator.of(db).downgrade("0002") == EVERY[:1:-1]
        Migrator.of(db).stamp("0002")
    with opened(pooled, auto_upgrade_schema=True, versions=versions) as db:
        assert len(contents(db)) == 3
        assert Migrator.of(db).position() == Position(HEAD, "a1")
        noted = [(step.revision, step.applied) for step in Migrator.of(db).history() if step.applied_at]
        assert noted == [(revision, True) for revision in (*EVERY, "a1")]


def test_a_first_use_behind_a_pooler_builds_the_store(pooled: str) -> None:
    with opened(pooled, db_schema="coolly made") as db:
        fill(db)
        assert Migrator.of(db).drift() == []


def test_an_index_behind_a_pooler_is_built_within_the_transaction(
    pooled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LARGE", 0)
    index = 'op.create_index(f"ix_{n.runs}_status", n.runs, ["status"], schema=n.schema)'
    sent: list[str] = []
    with opened(pooled, versions=application(tmp_path / "versions", index)) as db:
        sa.event.listen(db.db_engine, "before_cursor_execute", lambda _c, _cursor, text, *_: sent.append(text))
        db.upgrade_schema()
    assert [text for text in sent if "ix_agent_sessions_runs_status" in text and text.startswith("CREATE")]
    assert not [text for text in sent if "CONCURRENTLY" in text]


FAILURES: dict[str, tuple[str, type[Exception]]] = {
    "in Python": ("raise LookupError('in the middle')", SchemaError),
    "in SQL": ('op.execute("SELECT nothing FROM nowhere")', DatabaseError),
    "outside": ('with op.get_context().autocommit_block():\n    op.execute("SELECT 1")', ConfigurationError),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_upgrade_that_fails_behind_a_pooler_changes_nothing(pooled: str, tmp_path: Path, failure: str) -> None:
    upgrade, error = FAILURES[failure]
    with opened(pooled) as db:
        db.upgrade_schema("0002")
        before = snapshot(db.db_engine, db.names)
    with opened(pooled, versions=application(tmp_path / "failing", ON_ANOTHER_TABLE, ADD_COLUMN, upgrade)) as db:
        for _ in range(2):
            with pytest.raises(error):
                db.upgrade_schema()
            assert snapshot(db.db_engine, db.names) == before
    with opened(pooled, versions=application(tmp_path / "mended", ON_ANOTHER_TABLE, ADD_COLUMN)) as db:
        assert db.upgrade_schema() == [*EVERY[2:], "a1", "a2"]


def test_readers_of_a_table_in_use_do_not_wait_long_behind_a_pooler(
    pooled: str, fresh_url: str, tmp_path: Path
) -> None:
    versions = application(tmp_path / "versions", ON_ANOTHER_TABLE, ADD_COLUMN)
    runs = "agent_sessions_runs"
    with opened(pooled, versions=versions, lock_timeout=1) as db:
        db.upgrade_schema(HEAD)
        with (
            holding(fresh_url, f"SELECT * FROM {runs}") as (_, holder),
            Reader(fresh_url, runs) as reader,
            pytest.raises(UpgradeLocked, match=rf"process {holder}\b"),
        ):
            Migrator.of(db, ddl_lock_timeout=0.5).upgrade()
        assert reader.longest < 2
        assert Migrator.of(db).position() == Position(HEAD, None)
        assert Migrator.of(db).upgrade() == ["a1", "a2"]


def test_what_was_rolled_back_with_a_retry_is_reported_once(pooled: str, fresh_url: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", ON_ANOTHER_TABLE, ADD_COLUMN)
    with opened(pooled, versions=versions) as db:
        db.upgrade_schema(HEAD)
        with holding(fresh_url, "SELECT * FROM agent_sessions_runs") as (holder, _), ending(holder, after=0.5):
            assert Migrator.of(db, ddl_lock_timeout=0.2).upgrade() == ["a1", "a2"]


KILLED = """
import sys
from agno_store import open_db
with open_db(sys.argv[1], pooler="transaction", versions=sys.argv[2]) as db:
    db.upgrade_schema()
"""


def test_a_killed_upgrader_leaves_neither_lock_nor_change_behind_a_pooler(
    pooled: str, fresh_url: str, tmp_path: Path
) -> None:
    sleeping = application(tmp_path / "sleeping", ADD_COLUMN, "import time\ntime.sleep(600)")
    process = subprocess.Popen([sys.executable, "-c", KILLED, pooled, str(sleeping)])
    try:
        wait_for(lambda: locks_left(fresh_url) > 0)
        with opened(pooled, lock_timeout=0.3) as db, pytest.raises(UpgradeLocked, match=r"process \d+"):
            db.upgrade_schema()
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: locks_left(fresh_url) == 0)
    with opened(pooled, lock_timeout=1, versions=application(tmp_path / "awake", ADD_COLUMN)) as db:
        assert db.schema_status().state == "missing"
        assert db.upgrade_schema() == [*EVERY, "a1"]


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_upgraders_that_wait_leave_the_sessions_to_the_others(pooled: str) -> None:
    with opened(pooled) as db:
        db.upgrade_schema()

    def wait() -> None:
        with opened(pooled, lock_timeout=60, table_name="another") as waiting:
            waiting.upgrade_schema("0001")

    waiters = [threading.Thread(target=wait) for _ in range(8)]
    with opened(pooled) as db, Migrator.of(db).running():  # one of the three sessions
        for waiter in waiters:
            waiter.start()
        time.sleep(0.3)
        with Reader(pooled, "agent_sessions") as reader:
            time.sleep(1)
        assert reader.longest < 1
    for waiter in waiters:
        waiter.join()
