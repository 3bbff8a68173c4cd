"""An upgrade that finds a table in use steps back, so that its readers never wait for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import MySQLDb, PostgresDb, UpgradeLocked, open_db
from agno_store.migrations import Migrator
from agno_store.migrations.chain import Position
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.cli.stores import NAMES, at
from tests.migrations.sessions import ADD_COLUMN, ON_ANOTHER_TABLE, Reader, application, ending, holding

pytestmark = pytest.mark.backends("postgresql", "mysql")

PATIENCE = 1.0
"""Seconds that a statement of the upgrade may wait for a table; MySQL counts whole ones."""

TOLERANCE = 1.5

RUNS = "agent_sessions_runs"
READ = f"SELECT * FROM {RUNS}"

WAITS = {
    "postgresql": "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'",
    "mysql": "SELECT concat(@@lock_wait_timeout, ' ', @@innodb_lock_wait_timeout)",
}
SET_WAITS = {
    "postgresql": "SET lock_timeout = '{}s'",
    "mysql": "SET SESSION lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0}",
}
CLASSES: dict[str, Any] = {"postgresql": PostgresDb, "mysql": MySQLDb}


@contextmanager
def at_head(url: str, versions: Path, lock_timeout: float = 60) -> Iterator[tuple[Any, Migrator]]:
    """A store with our revisions, and its migrator that has those of an application besides."""
    with open_db(url) as db:
        db.upgrade_schema()
    with open_db(url, versions=versions, lock_timeout=lock_timeout) as db:
        yield db, Migrator.of(db, ddl_lock_timeout=PATIENCE)


def test_readers_of_a_table_in_use_never_wait_long_and_the_holder_is_named(fresh_url: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", ON_ANOTHER_TABLE, ADD_COLUMN)
    with at_head(fresh_url, versions, lock_timeout=3) as (_, migrator):
        with holding(fresh_url, READ) as (connection, holder), Reader(fresh_url, RUNS) as reader:
            began = time.monotonic()
            with (
                ending(connection, after=12),
                pytest.raises(UpgradeLocked, match=rf"(process|perhaps connection) {holder}\b") as caught,
            ):
                migrator.upgrade()
            took = time.monotonic() - began
        assert isinstance(caught.value, TimeoutError)
        assert 3 <= took < 3 + 3 * (PATIENCE + TOLERANCE)
        assert PATIENCE / 2 < reader.longest < PATIENCE + TOLERANCE
        # Between two attempts they are let alone for as long as they may have stood.
        assert min(reader.pauses(PATIENCE / 2)) > PATIENCE / 2
        assert migrator.position() == Position(HEAD, "a1")
        assert [step.revision for step in migrator.history() if step.applied_at][-1] == "a1"
        assert migrator.upgrade() == ["a2"]


def test_an_upgrade_goes_on_when_the_holder_ends(fresh_url: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", ON_ANOTHER_TABLE, ADD_COLUMN)
    with at_head(fresh_url, versions) as (_, migrator), holding(fresh_url, READ) as (holder, _):
        with Reader(fresh_url, RUNS) as reader, ending(holder, after=1.5 * PATIENCE):
            assert migrator.upgrade() == ["a1", "a2"]
        assert reader.longest < PATIENCE + TOLERANCE
        noted = [entry.revision for entry in migrator.history() if entry.applied_at]
        assert noted == [*REVISIONS, "a1", "a2"]


def test_a_held_row_is_waited_for_in_the_same_way(fresh_url: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", "op.execute(f\"UPDATE {n.sessions} SET user_id = 'ada'\")")
    with at_head(fresh_url, versions, lock_timeout=1) as (_, migrator):
        with open_db(fresh_url) as db:
            db.upsert_session({"session_id": "s"})
        with (
            holding(fresh_url, "SELECT * FROM agent_sessions FOR UPDATE") as (_, holder),
            pytest.raises(UpgradeLocked, match=rf"\b{holder}\b"),
        ):
            migrator.upgrade()
        assert migrator.upgrade() == ["a1"]


def test_the_program_says_who_holds_the_table(fresh_url: str) -> None:
    at(fresh_url, "0001")
    words = ("--lock-timeout", "1", "--ddl-lock-timeout", "1", "--json")
    with holding(fresh_url, f"SELECT * FROM {NAMES.version} FOR UPDATE") as (_, holder):
        answer = run("upgrade", "--db-url", fresh_url, *words)
    assert (answer.code, answer.document["error"]["type"]) == (6, "UpgradeLocked")
    assert f" {holder}" in answer.complaint
    assert run("current", "--db-url", fresh_url, "--json").document["current"] == "0001"
    assert run("upgrade", "--db-url", fresh_url).code == 0


# -- what is set for a caller's connections ----------------------------------------------------------


def ends(ending: str, url: str, migrator: Migrator) -> None:
    """Run an upgrade that succeeds, that meets a held table, or that fails."""
    if ending == "upgraded":
        assert migrator.upgrade()[-1] == "a2"
    elif ending == "held":
        with holding(url, READ), pytest.raises(UpgradeLocked):
            migrator.upgrade()
    else:
        with pytest.raises(sa.exc.ProgrammingError):
            migrator.upgrade()


def engine_with_waits(backend: str, url: str, seconds: int) -> sa.Engine:
    """Return an engine of a caller's that has one connection, on which it sets how long to wait for locks."""
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=2)

    @sa.event.listens_for(engine, "connect")
    def set_waits(driver: Any, _: object) -> None:
        driver.cursor().execute(SET_WAITS[backend].format(seconds))
        driver.commit()

    return engine


@pytest.mark.parametrize("ending", ["upgraded", "held", "failed"])
def test_the_settings_of_a_callers_only_connection_are_as_before(
    backend: str, fresh_url: str, tmp_path: Path, ending: str
) -> None:
    last = 'op.execute("SELECT nothing FROM nowhere")' if ending == "failed" else ADD_COLUMN
    versions = application(tmp_path / "versions", ON_ANOTHER_TABLE, last)
    engine = engine_with_waits(backend, fresh_url, 7)

    def looked() -> Any:
        with engine.connect() as connection:
            return connection.scalar(sa.text(WAITS[backend]))

    db = CLASSES[backend](db_engine=engine, lock_timeout=0.5)
    db.upgrade_schema()
    before = looked()
    assert before == ("7000" if backend == "postgresql" else "7 7")
    db = CLASSES[backend](db_engine=engine, lock_timeout=0.5, versions=versions)
    ends(ending, fresh_url, Migrator.of(db, ddl_lock_timeout=PATIENCE))
    assert looked() == before
    assert db.schema_status().current == HEAD
    engine.dispose()


def test_a_shorter_wait_that_is_set_at_connect_stays_in_force(backend: str, fresh_url: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", ADD_COLUMN)
    engine = engine_with_waits(backend, fresh_url, 1)
    db = CLASSES[backend](db_engine=engine, lock_timeout=0, versions=versions)
    with open_db(fresh_url) as plain:
        plain.upgrade_schema()
    with (
        holding(fresh_url, READ) as (holder, _),
        Reader(fresh_url, RUNS) as reader,
        ending(holder, after=5 * PATIENCE),
        pytest.raises(UpgradeLocked),
    ):
        Migrator.of(db, ddl_lock_timeout=20).upgrade()
    assert reader.longest < 1 + TOLERANCE
    engine.dispose()


@pytest.mark.parametrize("seconds", [0, 0.0001])
def test_no_patience_at_all_is_not_patience_without_end(fresh_url: str, tmp_path: Path, seconds: float) -> None:
    with (
        at_head(fresh_url, application(tmp_path / "versions", ADD_COLUMN), lock_timeout=0) as (db, _),
        holding(fresh_url, READ) as (holder, _),
        Reader(fresh_url, RUNS) as reader,
        ending(holder, after=5 * PATIENCE),
        pytest.raises(UpgradeLocked),
    ):
        Migrator.of(db, ddl_lock_timeout=seconds).upgrade()
    assert reader.longest < 1 + TOLERANCE


def test_an_upgrade_with_nothing_to_do_waits_for_nobody(fresh_url: str, tmp_path: Path) -> None:
    with at_head(fresh_url, application(tmp_path / "versions", ADD_COLUMN), lock_timeout=0) as (_, migrator):
        migrator.upgrade()
        with holding(fresh_url, READ):
            assert migrator.upgrade() == []
