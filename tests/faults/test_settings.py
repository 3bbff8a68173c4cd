"""Clocks, time zones, character sets and engines that are set up in odd ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool, StaticPool

from agno_store import DatabaseError, MySQLDb, PostgresDb, SqliteDb, open_db, store
from agno_store.operations import runs
from tests.contract.database import dump, stored
from tests.contract.samples import append, positions, run_ids, session
from tests.faults import core
from tests.servers import MariaDB, PostgreSQL
from tests.servers.plugin import server_url

CLASSES = {"sqlite": SqliteDb, "postgresql": PostgresDb, "mysql": MySQLDb}

# -- clocks ------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_changes_no_order(beside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.time_ns() // 1000
    for n in range(10):
        backwards = moment - n * 3_600_000_000
        for module in (store, runs):
            monkeypatch.setattr(module, "now", lambda at=backwards: at)
        append(beside, "s", f"r{n}")
        beside.update_session_state("s", lambda state: {"n": state.get("n", 0) + 1})
        beside.upsert_session(session("s", metadata={"n": n}))
    assert run_ids(beside, "s") == [f"r{n}" for n in range(10)]
    assert list(positions(beside, "s").values()) == list(range(10))
    found = beside.get_session("s")
    assert (found.session_data["session_state"], found.metadata) == ({"n": 10}, {"n": 9})


def test_a_clock_that_stands_still_changes_no_order(beside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store, runs):
        monkeypatch.setattr(module, "now", lambda: 1_700_000_000_000_000)
    append(beside, "s", *(f"r{9 - n}" for n in range(10)))
    assert run_ids(beside, "s") == [f"r{9 - n}" for n in range(10)]
    assert [found.run_id for found in beside.get_runs(session_id="s", sort_by="created_at")][:2] == ["r0", "r1"]


# -- time zones --------------------------------------------------------------------------------------

ZONED = """
import json, sys
from datetime import datetime, timezone
from agno_store import open_db

url, session_id = sys.argv[1:]
moment = datetime(2024, 7, 1, 12, 0, tzinfo=timezone.utc)
with open_db(url) as db:
    db.upsert_session({"session_id": session_id, "created_at": moment, "metadata": {"at": moment}})
    db.upsert_run({"run_id": session_id, "created_at": 1719835200}, session_id)
    found = db.get_session(session_id)
    listed = [s.session_id for s in db.get_sessions(start_timestamp=1719835200, end_timestamp=1719835200)]
print(json.dumps([found.created_at, str(found.metadata["at"]), found.runs[0].created_at, session_id in listed]))
"""


def in_zone(url: str, zone: str) -> list[Any]:
    """What a process in a time zone stores and reads."""
    command = [sys.executable, "-c", ZONED, url, zone]
    done = subprocess.run(command, env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


def test_a_moment_is_the_same_in_every_time_zone(beside: Any, database: str) -> None:
    expected = [1719835200, "2024-07-01 12:00:00+00:00", 1719835200, True]
    for zone in ("UTC", "Asia/Kolkata", "America/Los_Angeles"):
        assert in_zone(database, zone) == expected, zone
    rows = {zone: stored(beside, "sessions", "created_at", session_id=zone) for zone in ("UTC", "Asia/Kolkata")}
    assert set(rows.values()) == {1719835200_000000}


ODD_SERVERS: dict[str, Callable[[], Any]] = {
    "postgresql": lambda: PostgreSQL(settings={"timezone": "Asia/Kolkata", "standard_conforming_strings": "off"}),
    "mysql": lambda: MariaDB(
        settings={
            "default-time-zone": "-08:00",
            "character-set-server": "latin1",
            "collation-server": "latin1_swedish_ci",
            "sql-mode": "",
            "lower-case-table-names": "1",
        }
    ),
}


@pytest.mark.backends("postgresql", "mysql")
def test_a_server_in_another_time_zone_with_odd_defaults_serves_as_any_other(
    backend: str, told: Callable[[str], None]
) -> None:
    with ODD_SERVERS[backend]() as server, open_db(server.url) as db:
        core.work(db)
        assert in_zone(server.url, "Asia/Kolkata") == [1719835200, "2024-07-01 12:00:00+00:00", 1719835200, True]
    told("the core on a server in another time zone and with odd defaults: all as on any other")


# -- character sets ----------------------------------------------------------------------------------

CHARACTER_SETS = ("CHARACTER SET latin1", "CHARACTER SET utf8mb3", "CHARACTER SET utf16 COLLATE utf16_bin")
IN_ENCODING = "ENCODING '{}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"


@pytest.fixture
def made(backend: str) -> Iterator[Callable[[str], str]]:
    """Make databases with options of their own, which are dropped at the end; give their URLs."""
    engine = sa.create_engine(server_url(backend), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    names: list[str] = []

    def make(options: str) -> str:
        names.append(f"odd_{uuid.uuid4().hex[:12]}")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {names[-1]} {options}")
        return engine.url.set(database=names[-1]).render_as_string(hide_password=False)

    yield make
    for name in names:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}" + (" WITH (FORCE)" if backend == "postgresql" else ""))
    engine.dispose()


@pytest.mark.backends("mysql")
def test_a_database_of_another_character_set_stores_every_text(made: Callable[[str], str]) -> None:
    for options in CHARACTER_SETS:
        with open_db(made(options)) as db:
            core.work(db)


@pytest.mark.backends("postgresql")
@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"])
def test_a_database_of_another_encoding_stores_what_it_can_hold_and_refuses_the_rest(
    made: Callable[[str], str], encoding: str
) -> None:
    with open_db(made(IN_ENCODING.format(encoding))) as db:
        fitting = {"LATIN1": "Grüße, Ærø", "EUC_JP": "日本語"}[encoding]
        append(db, "s", "r", content=fitting)
        before = dump(db)
        for call in (
            lambda: append(db, "s", "r", content="🦜"),
            lambda: db.update_session_state("s", lambda state: {"x": "🦜"}),
            lambda: db.upsert_session(session("🦜")),
        ):
            with pytest.raises(DatabaseError, match="Use a database in UTF-8"):
                call()
        assert dump(db) == before
        assert db.get_run("r").content == fitting


@pytest.mark.backends("postgresql")
def test_a_database_without_an_encoding_stores_every_text(made: Callable[[str], str]) -> None:
    with open_db(made(IN_ENCODING.format("SQL_ASCII"))) as db:
        core.work(db)


# -- a caller's own engine ---------------------------------------------------------------------------

ENGINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "AUTOCOMMIT": {"isolation_level": "AUTOCOMMIT"},
    "SERIALIZABLE": {"isolation_level": "SERIALIZABLE"},
    "without a pool": {"poolclass": NullPool},
    "that logs": {"echo": True, "hide_parameters": True},
    "with a pool of two": {"pool_size": 2, "max_overflow": 0},
}


def assert_serves(engine: sa.Engine, backend: str) -> None:
    core.work(CLASSES[backend](db_engine=engine))
    engine.dispose()


@pytest.mark.parametrize("options", ENGINES.values(), ids=ENGINES.keys())
def test_a_callers_engine_does_the_core(beside: Any, database: str, backend: str, options: dict[str, Any]) -> None:
    assert_serves(sa.create_engine(database, **options), backend)


@pytest.mark.backends("sqlite")
def test_one_connection_for_all_threads_does_the_core(beside: Any, database: str, backend: str) -> None:
    arguments = {"check_same_thread": False}
    assert_serves(sa.create_engine(database, poolclass=StaticPool, connect_args=arguments), backend)


def test_an_engine_with_listeners_of_its_own_does_the_core(beside: Any, database: str, backend: str) -> None:
    engine = sa.create_engine(database)
    seen: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        def listener(*_: Any, **__: Any) -> None:
            seen[name] = seen.get(name, 0) + 1

        return listener

    for name in ("connect", "checkout", "checkin", "begin", "rollback", "after_cursor_execute"):
        event.listen(engine, name, note(name))

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def comment(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return (statement if statement.startswith(("BEGIN", "PRAGMA")) else f"{statement} -- of the host"), parameters

    assert_serves(engine, backend)
    assert seen["after_cursor_execute"] > 20
