"""A source is only read, and whatever is wrong with it is said before or after anything is written, not in between."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from agno_store import (
    AccessDenied,
    AgnoStoreError,
    AgnoTables,
    ConfigurationError,
    DatabaseError,
    DatabaseUnreachable,
    NotFound,
    SchemaConflict,
    open_db,
)
from tests.contract.database import dump
from tests.legacy import SAMPLES, imported, sample
from tests.legacy.tables import IDS, Tables, run

ROW = {"session_id": "s", "session_type": "agent", "agent_id": "a", "runs": [run("r")]}


@pytest.mark.parametrize("layout", IDS)
def test_every_layout_is_known_by_its_columns(old: Tables, fresh_url: str, layout: str) -> None:
    old.sessions(layout, name="mine")
    with AgnoTables(fresh_url) as tables:
        [found] = tables.found()
        assert (found.name, found.layout.name, found.runs) == ("mine", layout, None)
        old.runs(name="mine_runs")
        assert tables.found()[0].runs == ("mine_runs" if layout in ("2.x", "3.x") else None)


def test_the_tables_in_agnos_own_schema_are_found_without_being_named(old: Tables, fresh_url: str) -> None:
    if old.engine.dialect.name != "postgresql":
        return
    old.sessions("2.x")
    with old.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA ai")
        connection.exec_driver_sql("ALTER TABLE agno_sessions SET SCHEMA ai")
    with AgnoTables(fresh_url) as tables, AgnoTables(fresh_url, schema="public") as elsewhere:
        assert [str(found) for found in tables.found()] == ["ai.agno_sessions"]
        with pytest.raises(NotFound, match="schema public; it has no tables"):
            elsewhere.found()


def test_a_source_cannot_be_written_through(old: Tables, fresh_url: str) -> None:
    table = old.sessions("2.x", [ROW])
    with AgnoTables(fresh_url) as tables:
        source = tables.source
        with (
            pytest.raises(DBAPIError),
            source.dialect.transaction(source.db_engine, writes=False) as connection,
        ):
            connection.execute(table.delete())


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("name", SAMPLES)
def test_not_a_byte_of_a_file_is_changed(db: Any, tmp_path: Path, name: str) -> None:
    url = sample(name, tmp_path)
    file = Path(str(make_url(url).database))
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    file.chmod(0o444)
    done = imported(db, url, verify=True)
    assert (done.problems, done.verified) == ([], 4)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    # Of a file with a write-ahead log SQLite makes the two files beside it for any reader.
    beside = {found.name.removeprefix(file.name): found.stat().st_size for found in tmp_path.glob(f"{file.name}?*")}
    assert beside.keys() <= {"-wal", "-shm"}
    assert not beside.get("-wal")


def test_old_tables_are_left_as_they_are(db: Any, old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    old.runs([{"run_id": "r2", "session_id": "s", "run_type": "agent", "run_data": run("r2")}])
    before = old.contents()
    assert imported(db, fresh_url, verify=True).problems == []
    assert old.contents() == before


def test_a_table_that_is_none_of_agnos_is_refused(db: Any, old: Tables, fresh_url: str) -> None:
    db.upgrade_schema()
    with pytest.raises(NotFound, match="There is no session table of agno's"):
        imported(db, fresh_url)
    with old.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE shop (id INTEGER, title VARCHAR(20))")
    old.runs()
    for name, said in {
        "shop": "no session table of agno's: its columns are id, title",
        "agno_runs": "agno's table of runs: name the table of their sessions",
        "agent_sessions": "a store of agno_store's already: agno-store copy",
    }.items():
        with pytest.raises(SchemaConflict, match=said):
            imported(db, fresh_url, name)
    with pytest.raises(NotFound, match=r"There is no table none in .*; its tables are agent_sessions,"):
        imported(db, fresh_url, "none")


@pytest.mark.backends("sqlite")
def test_a_source_that_is_not_there_is_not_made(db: Any, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match=r"There is no file .*none.db"):
        AgnoTables(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="in memory"):
        AgnoTables("sqlite://")
    with pytest.raises(ConfigurationError, match="SQLite has no schemas"):
        AgnoTables(f"sqlite:///{tmp_path}/none.db", schema="ai")
    (tmp_path / "text.db").write_text("no database, and long enough not to be taken for an empty one\n" * 100)
    with pytest.raises(DatabaseError, match="file is not a database"):
        imported(db, f"sqlite:///{tmp_path}/text.db")


def test_what_came_before_a_source_failed_is_whole(db: Any, old: Tables, fresh_url: str) -> None:
    table = old.sessions("2.x", [{**ROW, "session_id": f"s{number}"} for number in range(5)])
    read = 0

    def vanish(done: int, _total: int | None) -> None:
        nonlocal read
        read = done
        if done == 3:
            table.drop(old.engine)

    with pytest.raises(DatabaseError, match="agno's tables"):
        imported(db, fresh_url, watch=vanish)
    assert read == 3
    assert [len(found.runs) for found in db.get_sessions()] == [1, 1, 1]


@pytest.mark.backends("postgresql", "mysql")
def test_a_role_that_may_only_read_is_enough_and_one_that_may_not_is_told(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    url, is_mysql = make_url(fresh_url), old.engine.dialect.name == "mysql"
    role = f"reader_{url.database}"[:32]
    database = f"{url.database}.*" if is_mysql else "agno_sessions"
    account = f"'{role}'@'%%'" if is_mysql else role
    login = "IDENTIFIED BY" if is_mysql else "LOGIN PASSWORD"
    reader = url.set(username=role, password="secret").render_as_string(hide_password=False)
    with old.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE USER {account} {login} 'secret'")
    try:
        with open_db(fresh_url, table_name="target") as db:
            # MySQL does not show a table, or let anybody connect, without a right to it.
            refused = DatabaseError if is_mysql else AccessDenied
            with pytest.raises(refused) as caught:
                imported(db, reader)
            assert "secret" not in str(caught.value)
            with old.engine.begin() as connection:
                connection.exec_driver_sql(f"GRANT SELECT ON {database} TO {account}")
            assert imported(db, reader, "agno_sessions", verify=True).problems == []
            assert len(dump(db)["runs"]) == 1
    finally:
        with old.engine.begin() as connection:
            if not is_mysql:
                connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP USER {account}")


def test_names_are_quoted(db: Any, old: Tables, fresh_url: str) -> None:
    name = 'my "old" sessions; 100%'
    old.sessions("2.x", [ROW], name)
    done = imported(db, fresh_url, name, verify=True)
    assert (done.problems, done.sessions.inserted) == ([], 1)
    with old.engine.connect() as connection:
        assert sa.inspect(connection).has_table(name)


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(AgnoStoreError) as caught:
        AgnoTables("postgresql://ai:p@ss@host/db")
    assert "p@ss" not in str(caught.value)
