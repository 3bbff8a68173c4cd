"""The storages made for agno 1, where it is not there: sessions are dictionaries."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import ConfigurationError, CorruptRow, InvalidArgument, SchemaBehind, open_db
from agno_store.migrations import Migrator
from agno_store.storage import MySQLStorage, PostgresStorage, SqliteStorage
from tests.contract.database import statements
from tests.history import BEFORE_HEAD, above

COLOURS = ("sync",)

CLASSES: dict[str, Any] = {"sqlite": SqliteStorage, "postgresql": PostgresStorage, "mysql": MySQLStorage}

Open = Callable[..., Any]


@pytest.fixture
def opened(backend: str, fresh_url: str) -> Iterator[Open]:
    """Open storages in an empty database of the test's own."""
    made: list[Any] = []

    def open_one(**options: Any) -> Any:
        where = {} if backend == "sqlite" else {"schema": None}
        made.append(CLASSES[backend]("agent_sessions", db_url=fresh_url, **where, **options))
        return made[-1]

    yield open_one
    for storage in made:
        storage.close()


def session(session_id: str = "s1", runs: int = 1, **more: Any) -> dict[str, Any]:
    said = [{"run_id": f"r{number}", "agent_id": "a", "content": "Hello."} for number in range(runs)]
    return {"session_id": session_id, "user_id": "ada", "agent_id": "a", "memory": {"runs": said}, **more}


def test_a_dictionary_is_read_as_it_was_given(opened: Open) -> None:
    storage = opened()
    given = session(runs=3, session_data={"session_name": "First"}, extra_data={"n": 1}, created_at=1_700_000_000)
    read = storage.upsert(given)
    assert {name: read[name] for name in given} == given
    assert {name for name, value in read.items() if value is None} == {
        "team_session_id",
        "workflow_session_id",
        "agent_data",
    }
    assert storage.get_all_sessions("ada") == storage.get_recent_sessions(limit=1) == [read]
    assert storage.read("s2") is None
    storage.delete_session("s1")
    assert storage.get_all_session_ids() == []


def test_the_store_beneath_has_runs_and_a_name(opened: Open) -> None:
    storage = opened()
    storage.upsert(session(runs=2, session_data={"session_name": "First"}))
    with open_db(storage.db_engine.url, table_name=storage.table_name) as db:
        assert [run.run_id for run in db.get_session("s1").runs] == ["r0", "r1"]
        assert [found.session_id for found in db.get_sessions(session_name="first")] == ["s1"]


def test_a_save_writes_the_runs_that_were_changed(opened: Open) -> None:
    storage = opened()
    storage.upsert(session(runs=50))
    engine = storage.db_engine
    with statements(engine) as sent:
        storage.upsert(session(runs=51))
    written = [text for text in sent if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))]
    assert len(written) <= 4, written


def test_a_session_that_another_agno_has_stored_has_a_memory(opened: Open) -> None:
    storage = opened()
    storage.db.upsert_session({"session_id": "s1", "user_id": "ada", "summary": {"summary": "Short."}})
    storage.db.upsert_run({"run_id": "r1", "agent_id": "a"}, "s1")
    assert storage.read("s1")["memory"] == {
        "summaries": {"ada": {"s1": {"summary": "Short."}}},
        "runs": [{"run_id": "r1", "agent_id": "a"}],
    }
    storage.db.upsert_session({"session_id": "s2", "user_id": "ada"})
    assert storage.read("s2")["memory"] == {"summaries": {}, "runs": []}


def test_what_is_damaged_is_told_of_and_left_as_it_is(opened: Open) -> None:
    storage = opened()
    storage.upsert(session("s1", session_data={"n": 1}))
    storage.upsert(session("s2"))
    with storage.db_engine.begin() as connection:
        connection.execute(sa.text("UPDATE agent_sessions SET session_data = '[]' WHERE session_id = 's1'"))
    with pytest.raises(CorruptRow, match="s1"):
        storage.read("s1")
    damaged = storage.get_all_sessions()[1]
    assert damaged["session_id"] == "s1"
    assert storage.upsert(damaged)["memory"]["runs"] == damaged["memory"]["runs"]
    with storage.db_engine.begin() as connection:
        stored = sa.select(sa.cast(sa.column("session_data"), sa.String(10))).where(sa.column("session_id") == "s1")
        assert connection.scalar(stored.select_from(sa.table("agent_sessions"))) == "[]"


def test_tables_that_are_behind_are_upgraded_when_that_was_asked_for(opened: Open) -> None:
    storage = opened()
    Migrator.of(storage.db).upgrade(BEFORE_HEAD)
    with pytest.raises(SchemaBehind):
        storage.read("s1")
    assert storage.upgrade_schema() == above(BEFORE_HEAD)
    assert storage.read("s1") is None
    storage.drop()
    Migrator.of(storage.db).upgrade(BEFORE_HEAD)
    assert opened(auto_upgrade_schema=True).read("s1") is None


@pytest.mark.backends("postgresql", "mysql")
def test_the_schema_is_made(backend: str, fresh_url: str) -> None:
    schema = f"ai_{uuid.uuid4().hex}"
    with CLASSES[backend]("agent_sessions", schema, fresh_url) as storage:
        try:
            storage.create()
            assert storage.schema == schema
            assert storage.upsert(session())["session_id"] == "s1"
            assert sa.inspect(storage.db_engine).has_table("agent_sessions", schema=schema)
        finally:
            storage.drop()
            with storage.db_engine.begin() as connection:
                connection.execute(sa.schema.DropSchema(schema, cascade=backend == "postgresql", if_exists=True))


def test_of_several_places_the_first_counts(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/by_url.db", tmp_path / "by_file.db"
    engine = sa.create_engine(f"sqlite:///{tmp_path}/by_engine.db")
    for name in ("engine", "url", "file"):
        given: dict[str, Any] = {"db_file": file}
        given |= {} if name == "file" else {"db_url": url}
        given |= {"db_engine": engine} if name == "engine" else {}
        with SqliteStorage("t", **given) as storage:
            assert Path(storage.db_engine.url.database or "").name == f"by_{name}.db"
    with SqliteStorage("t") as storage:
        assert storage.upsert(session())["session_id"] == "s1"
    engine.dispose()


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigurationError, match="schema_version=2"):
        SqliteStorage("t", schema_version=2)
    with pytest.raises(ConfigurationError, match="db_url"):
        PostgresStorage("t")
    with pytest.raises(ConfigurationError, match="Use SqliteDb"):
        MySQLStorage("t", db_url="sqlite://")
    with pytest.raises(InvalidArgument, match="mode='crowd'"):
        SqliteStorage("t", mode="crowd")
    with SqliteStorage("t") as storage:
        with pytest.raises(InvalidArgument, match="needs the session_id"):
            storage.delete_session()
        with pytest.raises(InvalidArgument, match="session_data must be a dict"):
            storage.upsert(session(session_data=["x"]))
        with pytest.raises(InvalidArgument, match="session_id"):
            storage.upsert({"user_id": "ada"})
