"""What a host has hung on a table of ours in SQLite outlives a revision that rebuilds the table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import open_db
from agno_store.errors import DatabaseError, SchemaConflict
from tests.migrations.conftest import contents, fill
from tests.migrations.sessions import application

pytestmark = pytest.mark.backends("sqlite")

REBUILD = """
with op.batch_alter_table(n.sessions, schema=n.schema) as batch:
    batch.alter_column("user_id", type_=sa.String(300))
"""

MADE = {
    "unique index of an expression": "CREATE UNIQUE INDEX uq_mine ON agent_sessions (lower(session_id), user_id)",
    "index of some rows": "CREATE INDEX ix_mine ON agent_sessions (user_id) WHERE user_id > 'a'",
    "index with a direction": "CREATE INDEX ix_mine ON agent_sessions (user_id DESC, created_at)",
    "unique index that knows no case": "CREATE UNIQUE INDEX uq_mine ON agent_sessions (session_id COLLATE NOCASE)",
    "trigger": "CREATE TRIGGER tr_mine AFTER INSERT ON agent_sessions "
    "BEGIN INSERT INTO noted VALUES (NEW.session_id); END",
    "trigger elsewhere": "CREATE TRIGGER tr_mine AFTER INSERT ON noted "
    "BEGIN UPDATE agent_sessions SET agent_id = 'x'; END",
    "view": "CREATE VIEW v_mine AS SELECT session_id, user_id FROM agent_sessions",
}


@pytest.fixture
def file(fresh_url: str) -> str:
    return str(sa.make_url(fresh_url).database)


@pytest.fixture
def other(file: str) -> Iterator[sqlite3.Connection]:
    """A connection of the host's."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def made_by_the_host(other: sqlite3.Connection) -> list[tuple[str, ...]]:
    return other.execute("SELECT type, name, sql FROM sqlite_master WHERE name LIKE '%mine'").fetchall()


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.parametrize("kind", MADE)
def test_it_is_there_after_the_rebuild_and_at_work(
    fresh_url: str, tmp_path: Path, other: sqlite3.Connection, kind: str
) -> None:
    with open_db(fresh_url) as db:
        fill(db)
        rows = contents(db)
    other.execute("CREATE TABLE noted (session_id TEXT)")
    other.execute(MADE[kind])
    before = made_by_the_host(other)
    assert len(before) == 1
    with open_db(fresh_url, versions=application(tmp_path / "versions", REBUILD)) as db:
        assert db.upgrade_schema() == ["a1"]
        with db.db_engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar() == 0
    assert made_by_the_host(other) == before
    with open_db(fresh_url) as db:
        assert contents(db) == rows
        db.upsert_session({"session_id": "new"})
    if kind == "trigger":
        assert other.execute("SELECT session_id FROM noted").fetchall() == [("new",)]
    if kind == "view":
        assert len(other.execute("SELECT * FROM v_mine").fetchall()) == 4
    if kind.startswith("unique"):
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(
                "INSERT INTO agent_sessions (session_id, session_type, user_id, created_at, updated_at) "
                "VALUES ('S0', 'agent', 'ada', 1, 1)"
            )


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_an_index_of_a_column_that_goes_stops_the_upgrade_and_nothing_is_lost(
    fresh_url: str, tmp_path: Path, other: sqlite3.Connection
) -> None:
    drop = REBUILD.replace('alter_column("user_id", type_=sa.String(300))', 'drop_column("x")')
    add = 'op.add_column(n.sessions, sa.Column("x", types.ID), schema=n.schema)'
    with open_db(fresh_url, versions=application(tmp_path / "versions", add, drop)) as db:
        db.upgrade_schema("a1")
        other.execute("CREATE INDEX ix_mine ON agent_sessions (lower(x))")
        before = made_by_the_host(other)
        with pytest.raises(DatabaseError, match="no such column"):
            db.upgrade_schema()
        assert made_by_the_host(other) == before
        other.execute("DROP INDEX ix_mine")
        assert db.upgrade_schema() == ["a2"]


ORPHAN = """
op.execute(f"DELETE FROM {n.sessions} WHERE session_id = 's0'")
"""


def settings(db: Any) -> list[Any]:
    """Return what an upgrade sets for itself, of the one connection that there is."""
    with db.db_engine.connect() as connection:
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("foreign_keys", "busy_timeout")]


def test_rows_without_their_session_stop_the_upgrade_and_it_leaves_all_as_it_was(
    fresh_url: str, tmp_path: Path
) -> None:
    with open_db(fresh_url) as plain:
        fill(plain)
        rows = contents(plain)
    with open_db(fresh_url, versions=application(tmp_path / "versions", REBUILD, ORPHAN)) as db:
        before = settings(db)
        assert before[0] == 1
        db.upgrade_schema("a1")
        assert settings(db) == before
        with pytest.raises(SchemaConflict, match=r"without the session they belong to, in \['agent_sessions_runs', "):
            db.upgrade_schema()
        assert settings(db) == before
    with open_db(fresh_url) as plain:
        assert contents(plain) == rows
