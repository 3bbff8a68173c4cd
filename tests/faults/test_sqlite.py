"""What can be wrong with a file: no room, no right to write, somebody else who writes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from agno_store import AccessDenied, DatabaseError, SqliteDb, UpgradeLocked, open_async_db, open_db
from agno_store.tables import REVISIONS
from tests.contract.database import ask, dump
from tests.contract.processes import append_runs, in_processes
from tests.contract.samples import append, positions, run_ids, session
from tests.faults.conftest import THOROUGH
from tests.faults.methods import WRITES, furnish

TELLS_CODES = sys.version_info >= (3, 11)
"""From then on Python tells SQLite's codes, and texts are not looked at."""


def test_processes_write_to_one_file_and_nobody_is_sent_away(tmp_path: Path, told: Callable[[str], None]) -> None:
    processes, each = (8, 200) if THOROUGH else (4, 50)
    url = f"sqlite:///{tmp_path}/agents.db"
    in_processes(append_runs, [(url, "s", f"{p}-", each) for p in range(processes)])
    with open_db(url) as db:
        stored = positions(db, "s")
    assert set(stored) == {f"{p}-{n}" for p in range(processes) for n in range(each)}
    assert sorted(stored.values()) == list(range(processes * each))
    told(f"{processes} processes wrote {each} runs each to one SQLite file: 0 locked, 0 lost, 0 doubled")


def test_a_file_that_is_made_has_room_for_runs_in_its_pages_and_one_that_is_there_stays(tmp_path: Path) -> None:
    old = sa.create_engine(f"sqlite:///{tmp_path}/old.db")
    with old.begin() as connection:
        connection.exec_driver_sql("PRAGMA page_size = 4096")
        connection.exec_driver_sql("CREATE TABLE other (x)")
    sizes = {}
    for name in ("new.db", "old.db"):
        with SqliteDb(db_file=tmp_path / name) as db:
            append(db, "s", *(f"r{n}" for n in range(90)), content="x" * 2_500)
            with db.db_engine.connect() as connection:
                sizes[name] = connection.exec_driver_sql("PRAGMA page_size").scalar()
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
                connection.rollback()
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert sizes == {"new.db": 8192, "old.db": 4096}
    assert (tmp_path / "new.db").stat().st_size < (tmp_path / "old.db").stat().st_size


FULL = "there is no room left" if TELLS_CODES else "full"

# -- no room -----------------------------------------------------------------------------------------


def test_a_full_file_is_an_error_that_changes_nothing(tmp_path: Path, told: Callable[[str], None]) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/agents.db")
    pages = {"most": 0}

    @event.listens_for(engine, "checkout")
    def limit(driver: Any, *_: object) -> None:
        if pages["most"]:
            driver.execute(f"PRAGMA max_page_count = {pages['most']}")

    db = SqliteDb(db_engine=engine)
    append(db, "s", "r0", content="x" * 1000)
    with engine.connect() as connection:
        pages["most"] = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 30
    written = 0
    with pytest.raises(DatabaseError, match=FULL):  # noqa: PT012
        while True:
            append(db, "s", f"r{written + 1}", content="x" * 1000)
            written += 1
    before = dump(db)
    large = {"content": "y" * 200_000}
    for call in (
        lambda: append(db, "s", "large", **large),
        lambda: db.upsert_session(session("new", metadata=large)),
        lambda: db.update_session_state("s", lambda state: large),
        lambda: db.upsert_summary("s", {"summary": "z" * 200_000}),
    ):
        with pytest.raises(DatabaseError, match=FULL):
            call()
        assert dump(db) == before
    assert len(run_ids(db, "s")) == written + 1 > 10
    pages["most"] = 100_000
    append(db, "s", "large", **large)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    engine.dispose()
    told(f"filled a SQLite file after {written} runs: 5 calls refused, 0 rows changed by them, usable again with room")


# -- no right ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["mode=ro", "immutable=1"])
def test_a_file_opened_for_reading_is_read_and_refuses_each_write(tmp_path: Path, how: str) -> None:
    with SqliteDb(tmp_path / "agents.db") as db:
        furnish(db)
        before = dump(db)
    url = f"sqlite:///file:{tmp_path}/agents.db?{how}&uri=true"
    denied = AccessDenied if TELLS_CODES else DatabaseError
    with open_db(url) as db:
        assert run_ids(db, "s") == ["r", "pending"]
        for name, write in WRITES.items():
            with pytest.raises(denied):
                write(db)
            assert dump(db) == before, name


# -- somebody else -----------------------------------------------------------------------------------

HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("holding", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def test_a_writer_that_does_not_end_is_named(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/agents.db", connect_args={"timeout": 0.3})
    db = SqliteDb(db_engine=engine)
    append(db, "s", "r1")
    command = [sys.executable, "-c", HOLDS, f"{tmp_path}/agents.db"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "holding\n"
        began = time.monotonic()
        with pytest.raises(DatabaseError, match=r"has been writing all the time|locked") as raised:
            append(db, "s", "r2")
        assert time.monotonic() - began < 5
        assert run_ids(db, "s") == ["r1"]
        if TELLS_CODES and Path("/proc/locks").exists():
            assert f"process {holder.pid} " in str(raised.value)
        holder.stdin.write("\n")
    append(db, "s", "r2")
    assert run_ids(db, "s") == ["r1", "r2"]
    engine.dispose()


def test_who_is_stopped_at_the_beginning_of_an_upgrade_is_not_told_of_a_writer(tmp_path: Path) -> None:
    begun: list[str] = []
    with SqliteDb(tmp_path / "agents.db") as db:

        @event.listens_for(db.db_engine, "before_cursor_execute")
        def interrupt(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
            driver: Any = connection.connection.dbapi_connection
            driver.set_progress_handler((lambda: True) if statement == "BEGIN IMMEDIATE" and not begun else None, 1)
            begun.extend([statement] * statement.startswith("BEGIN"))

        said = (DatabaseError, "interrupted") if TELLS_CODES else (UpgradeLocked, "has been writing")
        with pytest.raises(said[0], match=said[1]):
            db.upgrade_schema()
        assert begun == ["BEGIN IMMEDIATE"]
        assert db.upgrade_schema() == list(REVISIONS)


@pytest.fixture
def read(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who is reading a file that has no write-ahead log, and so keeps it from getting one."""
    with closing(sqlite3.connect(tmp_path / "agents.db", isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("CREATE TABLE of_the_host (x)")
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM of_the_host").fetchall()
        yield connection


@pytest.mark.parametrize("own", [True, False])
def test_an_upgrade_that_cannot_be_committed_beside_a_reader_leaves_nothing_but_foreign_keys_on(
    tmp_path: Path, read: sqlite3.Connection, opened: Callable[..., Any], own: bool
) -> None:
    url = f"sqlite:///{tmp_path}/agents.db?timeout=0.1"
    engine = sa.create_engine(url)
    event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA foreign_keys = ON"))
    options: dict[str, Any] = {"lock_timeout": 0.3, "media_over": 1000}
    db = opened(url, **options) if own else SqliteDb(db_engine=engine, **options)
    with pytest.raises(UpgradeLocked, match=r"has been reading .* rolled back"):
        db.upgrade_schema()
    with pytest.raises(UpgradeLocked, match="has been reading"):
        append(db, "s", "r")
    assert ask(db, "PRAGMA foreign_keys") == [1]
    read.execute("COMMIT")
    assert db.schema_status().state == "missing"
    append(db, "s", "r", images=[{"content": "x" * 5000}])
    assert ask(db, "SELECT count(*) FROM agent_sessions_media") != [0]
    db.delete_session("s")
    assert ask(db, "SELECT count(*) FROM agent_sessions_media") == [0]
    engine.dispose()


def test_an_upgrade_of_tasks_that_cannot_be_committed_waits_as_long_as_it_may(
    tmp_path: Path, read: sqlite3.Connection
) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/agents.db?timeout=0.1"
        async with open_async_db(url, lock_timeout=0.3) as db:
            with pytest.raises(UpgradeLocked, match="has been reading"):
                await db.upgrade_schema()
        async with open_async_db(url, lock_timeout=20) as db:
            upgrading = asyncio.create_task(db.upgrade_schema())
            await asyncio.sleep(1.5)
            assert not upgrading.done()
            read.execute("COMMIT")
            assert await upgrading == list(REVISIONS)

    asyncio.run(main())


def test_who_connects_beside_a_reader_without_a_write_ahead_log_does_not_wait_for_him_as_long_as_for_a_writer(
    tmp_path: Path, read: sqlite3.Connection, opened: Callable[..., Any]
) -> None:
    db = opened(f"sqlite:///{tmp_path}/agents.db?timeout=4")
    assert db.ping() < 4
    with db.db_engine.connect() as first:
        assert first.exec_driver_sql("PRAGMA busy_timeout").scalar() == 4000
        assert first.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        began = time.monotonic()
        with db.db_engine.connect() as second:
            assert second.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert time.monotonic() - began < 1  # once is enough for all of them
    read.execute("COMMIT")
    db.db_engine.dispose()
    assert ask(db, "PRAGMA journal_mode") == ["wal"]
    assert ask(db, "PRAGMA busy_timeout") == [4000]
