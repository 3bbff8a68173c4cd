"""Upgrades of a store on a cluster of MariaDB servers, which all take writes."""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import MySQLDb, UpgradeLocked, open_db
from agno_store.dialects import cluster
from agno_store.dialects.cluster import LEASE
from agno_store.errors import DatabaseError, SchemaError
from agno_store.migrations import Migrator
from agno_store.migrations.running import Running
from tests.migrations.sessions import ADD_COLUMN, application, session
from tests.migrations.test_races import EVERY, HOLDER, MANY, upgrade_at_once


def test_processes_at_once_on_two_nodes_of_a_cluster(fresh_urls: list[str]) -> None:
    assert upgrade_at_once(fresh_urls, *[{}] * MANY) == EVERY
    assert upgrade_at_once(fresh_urls, *({"table_name": f"store{n % 4}"} for n in range(MANY))) == sorted(EVERY * 4)
    for url in fresh_urls:
        with open_db(url) as db:
            assert Migrator.of(db).drift() == []


def test_the_row_of_a_killed_upgrader_is_taken_over_on_a_cluster(fresh_urls: list[str]) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, fresh_urls[0]], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            open_db(fresh_urls[1], lock_timeout=1) as db,
            pytest.raises(UpgradeLocked, match=f"process {holder.pid} on"),
        ):
            db.upgrade_schema()
    finally:
        holder.kill()
        holder.wait()
    with open_db(fresh_urls[1], lock_timeout=60) as db:
        began = time.monotonic()
        assert db.upgrade_schema() == EVERY
        assert LEASE < time.monotonic() - began < LEASE + 15


# -- who holds the row -------------------------------------------------------------------------------


def test_whoever_waits_is_told_which_process_on_which_host_upgrades(fresh_urls: list[str]) -> None:
    with (
        open_db(fresh_urls[0]) as holder,
        open_db(fresh_urls[1], lock_timeout=0.5) as waiter,
        Migrator.of(holder).running(),
    ):
        who = re.escape(f"process {os.getpid()} on {socket.gethostname()}")
        with pytest.raises(UpgradeLocked, match=rf"{who}, since 20\d\d-[-\d]+ [:\d]+ UTC"):
            waiter.upgrade_schema()
    with open_db(fresh_urls[1]) as waiter:
        assert waiter.upgrade_schema() == EVERY


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "LEASE", 1.0)
    monkeypatch.setattr(cluster, "TOUCH", 0.2)


def kill_others(running: Running) -> None:
    """Kill every connection to the store's database but the upgrader's own, as an administrator may."""
    own = running.connection.connection.dbapi_connection.thread_id()  # type: ignore[union-attr]
    url = running.connection.engine.url
    with session(url.render_as_string(hide_password=False)) as connection:
        me = connection.scalar(sa.text("SELECT CONNECTION_ID()"))
        for process in connection.exec_driver_sql("SHOW PROCESSLIST").mappings().all():
            if process["db"] == url.database and process["Id"] not in (own, me):
                connection.exec_driver_sql(f"KILL {process['Id']}")


@pytest.mark.usefixtures("short_lease")
def test_an_upgrader_that_slept_on_a_cluster_finds_that_another_has_taken_over(fresh_urls: list[str]) -> None:
    with (
        open_db(fresh_urls[0]) as db,
        Migrator.of(db).running() as running,
        open_db(fresh_urls[1]) as other,
    ):
        with other.db_engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE {db.names.upgrader} SET holder = 'somebody else'")
        time.sleep(2 * cluster.TOUCH + 0.5)
        with pytest.raises(UpgradeLocked, match="another one may have taken over"):
            running.run(Migrator.of(db).chain.resolve("head", up=True), up=True)
    with open_db(fresh_urls[1]) as db, db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {db.names.upgrader}")


@pytest.mark.usefixtures("short_lease")
def test_a_holder_whose_second_connection_is_killed_keeps_the_row(fresh_urls: list[str]) -> None:
    with (
        open_db(fresh_urls[0]) as db,
        open_db(fresh_urls[1], lock_timeout=3) as other,
        Migrator.of(db).running() as running,
    ):
        time.sleep(0.5)
        kill_others(running)
        with pytest.raises(UpgradeLocked):
            other.upgrade_schema()
        running.run(Migrator.of(db).chain.resolve("head", up=True), up=True)
        assert running.done == EVERY


@pytest.mark.usefixtures("short_lease")
def test_a_holder_that_cannot_touch_the_row_does_not_go_on(
    fresh_urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.Lease, "_touch", lambda lease: lease._over.wait(60))
    with (
        open_db(fresh_urls[0]) as db,
        open_db(fresh_urls[1], lock_timeout=20) as other,
        Migrator.of(db).running() as running,
    ):
        assert other.upgrade_schema("0001") == EVERY[:1]
        with pytest.raises(UpgradeLocked, match="may have taken over"):
            running.run(Migrator.of(db).chain.resolve("head", up=True), up=True)
    with open_db(fresh_urls[1]) as other:
        assert other.upgrade_schema() == EVERY[1:]


def test_an_upgrader_whose_connection_is_killed_says_so_and_leaves_no_row(
    fresh_urls: list[str], tmp_path: Path
) -> None:
    killed = application(tmp_path / "x", 'op.execute("KILL CONNECTION_ID()")')
    with open_db(fresh_urls[0], versions=killed) as db, pytest.raises(DatabaseError, match="2013"):
        db.upgrade_schema()
    with open_db(fresh_urls[1], lock_timeout=1, versions=application(tmp_path / "y", ADD_COLUMN)) as db:
        assert db.upgrade_schema() == ["a1"]


# -- the nodes' own copies ---------------------------------------------------------------------------


def test_each_node_sees_at_once_what_the_other_has_upgraded(fresh_urls: list[str]) -> None:
    for n in range(8):
        name = f"store{n}"
        here, there = fresh_urls[n % 2], fresh_urls[1 - n % 2]
        with open_db(here, table_name=name) as one, open_db(there, table_name=name) as other:
            assert one.upgrade_schema("0001") == EVERY[:1]
            assert other.upgrade_schema("0002") == EVERY[1:2]
            assert one.upgrade_schema() == EVERY[2:]
            assert other.upgrade_schema() == []
            assert other.upsert_session({"session_id": "s"})


def test_a_node_that_lags_behind_waits_instead_of_upgrading_again(fresh_urls: list[str]) -> None:
    with open_db(fresh_urls[0]) as one, open_db(fresh_urls[1]) as other:
        one.upgrade_schema("0001")
        other.upgrade_schema("0001")
        with session(fresh_urls[1]) as lagging:
            lagging.exec_driver_sql("FLUSH TABLES WITH READ LOCK")
            assert one.upgrade_schema() == EVERY[1:]
            with ThreadPoolExecutor(1) as pool:
                upgrading = pool.submit(other.upgrade_schema)
                time.sleep(0.5)
                lagging.exec_driver_sql("UNLOCK TABLES")
                assert upgrading.result(30) == []
        assert other.schema_status().in_step


def test_a_node_that_lags_behind_does_not_take_a_downgraded_store_for_one_that_is_up_to_date(
    fresh_urls: list[str],
) -> None:
    with open_db(fresh_urls[0]) as one, open_db(fresh_urls[1]) as other:
        one.upgrade_schema()
        assert other.upgrade_schema() == []
        with session(fresh_urls[1]) as lagging, ThreadPoolExecutor(1) as pool:
            lagging.exec_driver_sql("FLUSH TABLES WITH READ LOCK")
            assert Migrator.of(one).downgrade("0001") == EVERY[:0:-1]
            upgrading = pool.submit(other.upgrade_schema)
            time.sleep(0.5)
            lagging.exec_driver_sql("UNLOCK TABLES")
            assert upgrading.result(30) == EVERY[1:]
        assert other.schema_status().in_step


VARIABLES = "SELECT @@wsrep_sync_wait, @@lock_wait_timeout, @@innodb_lock_wait_timeout"


@pytest.mark.parametrize("ending", ["upgraded", "locked", "failed"])
def test_the_variables_of_a_callers_only_connection_are_as_before(
    fresh_urls: list[str], tmp_path: Path, ending: str
) -> None:
    engine = sa.create_engine(fresh_urls[0], pool_size=1, max_overflow=0)

    def looked() -> tuple[Any, ...]:
        with engine.connect() as connection:
            return tuple(connection.exec_driver_sql(VARIABLES).one())

    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1, lock_wait_timeout = 77")
    before = looked()
    assert before[:2] == (1, 77)
    failing = application(tmp_path / "versions", "raise RuntimeError")
    store = MySQLDb(db_engine=engine, lock_timeout=0.3, versions=failing if ending == "failed" else None)
    if ending == "upgraded":
        assert store.upgrade_schema() == EVERY
    elif ending == "failed":
        with pytest.raises(SchemaError, match="RuntimeError"):
            store.upgrade_schema()
    else:
        with open_db(fresh_urls[1]) as other, Migrator.of(other).running(), pytest.raises(UpgradeLocked):
            store.upgrade_schema()
    assert looked() == before
    engine.dispose()


# -- writers -----------------------------------------------------------------------------------------


def test_writers_on_another_node_lose_nothing_while_tables_change(fresh_urls: list[str], tmp_path: Path) -> None:
    with open_db(fresh_urls[0]) as db:
        db.upgrade_schema()
    changes = [
        f'op.add_column(n.{table}, sa.Column("x{n}", types.COUNT), schema=n.schema)'
        for n in range(4)
        for table in ("runs", "sessions")
    ]
    changes += ['op.create_index(f"ix_{n.runs}_x0", n.runs, ["x0"], schema=n.schema)']
    over = threading.Event()

    def write(writer: int) -> int:
        with open_db(fresh_urls[1]) as db:
            for number in itertools.count():
                db.upsert_run({"run_id": f"{writer}-{number}"}, session_id=f"s{writer % 2}")
                if over.is_set():
                    return number + 1
        raise AssertionError

    with open_db(fresh_urls[0], versions=application(tmp_path / "versions", *changes)) as db:
        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write, n) for n in range(4)]
            time.sleep(0.3)
            done = db.upgrade_schema()
            over.set()
            written = sum(writer.result(60) for writer in writers)
        assert len(done) == len(changes)
        runs = [run for session_id in ("s0", "s1") for run in db.get_session(session_id, deserialize=False)["runs"]]
        assert len({run["run_id"] for run in runs}) == len(runs) == written > 8
    for session_id in ("s0", "s1"):
        assert positions(fresh_urls[1], session_id) == list(range(len(positions(fresh_urls[1], session_id))))


def positions(url: str, session_id: str) -> list[int]:
    """Return the places that the runs of a session have, as a node sees them when it has all of them."""
    with session(url) as connection:
        connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 15")
        find = f"SELECT run_index FROM agent_sessions_runs WHERE session_id = '{session_id}' ORDER BY 1"
        return list(connection.exec_driver_sql(find).scalars())
