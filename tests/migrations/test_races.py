"""Many upgraders at once, and an upgrader that dies."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agno_store import UpgradeLocked, open_db
from agno_store.dialects.writer import LOCKS
from agno_store.migrations import Migrator
from agno_store.tables import REVISIONS
from tests.forking import in_child
from tests.migrations.conftest import contents, fill
from tests.migrations.test_stores import drop_schemas
from tests.servers import PostgreSQL

MANY = 16 if os.environ.get("TEST_ALL") else 8

UPGRADER = """
import json, sys, time
from agno_store import open_db
from agno_store.migrations import Migrator
url, start, options = sys.argv[1:]
with open_db(url, **json.loads(options)) as db:
    migrator = Migrator.of(db)
    time.sleep(max(0, float(start) - time.time()))
    print(",".join(migrator.upgrade()))
"""

EVERY = sorted(REVISIONS)


def upgrade_at_once(urls: list[str], *options: dict[str, Any]) -> list[str]:
    """Upgrade in a process for each of the options, all at the same moment; return what they have applied."""
    start = str(time.time() + 0.4 * len(options))
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen([sys.executable, "-c", UPGRADER, url, start, json.dumps(each)], **pipes)
        for url, each in zip(itertools.cycle(urls), options, strict=False)
    ]
    ended = [(*process.communicate(timeout=180), process.returncode) for process in processes]
    assert [code for _, _, code in ended] == [0] * len(options), "".join(err for _, err, _ in ended)[-3000:]
    return sorted(revision for out, _, _ in ended for revision in out.strip().split(",") if revision)


@pytest.mark.backends("mysql")
def test_a_table_that_somebody_changes_can_be_looked_at(fresh_url: str) -> None:
    """MySQL, other than MariaDB, refuses that for as long as it lasts."""
    with open_db(fresh_url) as db, ThreadPoolExecutor(1) as pool:
        db.upgrade_schema()
        looked = threading.Event()

        def change() -> None:
            with db.db_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                while not looked.is_set():
                    for what in ("ADD COLUMN more INT", "DROP COLUMN more"):
                        connection.exec_driver_sql(f"ALTER TABLE {db.names.version} {what}, ALGORITHM=COPY")

        changing = pool.submit(change)
        try:
            for _ in range(40):
                with open_db(fresh_url) as other:
                    assert other.upgrade_schema() == []
                    assert other.schema_status().state == "in step"
        finally:
            looked.set()
        changing.result()


@pytest.mark.parametrize("at", ["base", "0001"])
def test_processes_at_once_all_succeed_and_run_each_revision_once(fresh_url: str, at: str) -> None:
    with open_db(fresh_url) as db:
        if at != "base":
            Migrator.of(db).upgrade(at)
        assert upgrade_at_once([fresh_url], *[{}] * MANY) == EVERY[0 if at == "base" else 1 :]
        assert Migrator.of(db).drift() == []


def test_processes_upgrading_different_stores_do_not_disturb_each_other(fresh_url: str) -> None:
    assert upgrade_at_once([fresh_url], *({"table_name": f"store{n % 4}"} for n in range(MANY))) == sorted(EVERY * 4)


@pytest.mark.backends("postgresql", "mysql")
def test_processes_make_one_schema_for_different_stores(backend: str, fresh_url: str) -> None:
    schema = "of them all"
    try:
        each = ({"table_name": f"store{n % 4}", "db_schema": schema} for n in range(MANY))
        assert upgrade_at_once([fresh_url], *each) == sorted(EVERY * 4)
    finally:
        drop_schemas(backend, fresh_url, [schema])


@pytest.mark.backends("postgresql")
def test_races_leave_no_error_in_the_log_of_postgresql(backend: str) -> None:
    with PostgreSQL() as server:
        for at in (None, "0001"):
            same = {"table_name": f"at_{at}"}
            if at:
                with open_db(server.url, **same) as db:
                    Migrator.of(db).upgrade(at)
            upgrade_at_once(
                [server.url], *[same] * 8, *({"table_name": f"own{n}", "db_schema": "ai"} for n in range(8))
            )
        log = server.log_text()
    assert "ready to accept connections" in log
    assert [line for line in log.splitlines() if "ERROR" in line or "FATAL" in line] == []


def test_threads_at_once_all_succeed_and_run_each_revision_once(fresh_url: str) -> None:
    def upgrade(n: int) -> list[str]:
        with open_db(fresh_url, table_name=f"store{n % 4}") as db:
            done: list[str] = db.upgrade_schema()
            return done

    with ThreadPoolExecutor(MANY) as pool:
        applied = list(pool.map(upgrade, range(MANY)))
    assert sorted(revision for one in applied for revision in one) == sorted(EVERY * 4)


def test_first_uses_at_once_build_the_store_once(fresh_url: str) -> None:
    def use(n: int) -> None:
        with open_db(fresh_url) as db:
            fill(db, sessions=1, runs=n % 3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    with open_db(fresh_url) as db:
        assert len(contents(db)) == 1


def test_waiting_for_the_lock_ends_and_says_who_has_it(backend: str, fresh_url: str) -> None:
    with open_db(fresh_url) as holder, open_db(fresh_url, lock_timeout=0.5) as waiter:
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with (
                holder.db_engine.connect() as connection,
                holder.dialect.upgrading(connection, holder.names, timeout=5, scope=holder.dialect.scope(pooled=False)),
            ):
                held.set()
                done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert held.wait(10)
            began = time.monotonic()
            writer = f"process {os.getpid()} " if LOCKS.exists() else "another process"
            who = {"sqlite": writer, "postgresql": r"process \d+ ", "mysql": r"connection \d+ \(.* since .*\)"}
            with pytest.raises(UpgradeLocked, match=who[backend]) as caught:
                waiter.upgrade_schema()
            assert time.monotonic() - began < 10
            assert isinstance(caught.value, TimeoutError)
        finally:
            done.set()
            thread.join()
        assert waiter.upgrade_schema() == EVERY


def test_an_upgrade_that_another_one_overtakes_has_not_failed(fresh_url: str) -> None:
    class Overtaken(Migrator):
        """Meets another upgrade between giving the lock back and reading the version again."""

        def verify(self, connection: Any, wanted: Any, *, up: bool) -> None:
            with open_db(fresh_url) as other:
                assert other.upgrade_schema() == EVERY[2:]
            super().verify(connection, wanted, up=up)

    with open_db(fresh_url) as db:
        assert Overtaken.of(db).upgrade("0002") == ["0001", "0002"]
        assert db.schema_status().in_step


HOLDER = """
import sys, time
from agno_store import open_db
with open_db(sys.argv[1]) as db, db.db_engine.connect() as connection:
    with db.dialect.upgrading(connection, db.names, timeout=5, scope=db.dialect.scope(pooled=False)):
        print("held", flush=True)
        time.sleep(600)
"""


def test_the_lock_of_a_killed_upgrader_is_free_at_once(fresh_url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, fresh_url], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
    finally:
        holder.kill()
        holder.wait()
    with open_db(fresh_url, lock_timeout=10) as db:
        assert db.upgrade_schema() == EVERY


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_child_that_is_forked_while_a_thread_first_uses_the_store_uses_it_too(fresh_url: str) -> None:
    with (
        open_db(fresh_url) as db,
        subprocess.Popen([sys.executable, "-c", HOLDER, fresh_url], stdout=subprocess.PIPE, text=True) as holder,
        ThreadPoolExecutor(1) as pool,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        used = pool.submit(db.get_session, "s")
        time.sleep(1)  # so that it waits there
        status = in_child(lambda: db.get_session("s"))
        holder.kill()
        assert used.result() is None
        assert status() == 0
        assert db.schema_status().in_step
