"""Many upgraders at once, and an upgrader that dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agno_store import UpgradeLocked, open_db
from agno_store.migrations import Migrator
from tests.migrations.conftest import contents, fill, snapshot

PROCESSES = 16 if os.environ.get("TEST_ALL") else 8

UPGRADER = """
import sys, time
from agno_store import open_db
from agno_store.migrations import Migrator
url, name, start = sys.argv[1:]
with open_db(url, table_name=name) as db:
    migrator = Migrator.of(db)
    time.sleep(max(0, float(start) - time.time()))
    print(",".join(migrator.upgrade()))
"""


def upgrade_at_once(url: str, names: list[str]) -> list[str]:
    """Upgrade in as many processes as there are names, all at the same moment; return what each applied."""
    start = str(time.time() + 3)
    command = [sys.executable, "-c", UPGRADER, url]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, name, start], **pipes) for name in names]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [code for _, _, code in ended] == [0] * len(names), "".join(err for _, err, _ in ended)[-3000:]
    return [out.strip() for out, _, _ in ended]


@pytest.mark.parametrize("at", ["base", "0001"])
def test_processes_at_once_all_succeed_and_run_each_revision_once(fresh_url: str, at: str) -> None:
    with open_db(fresh_url) as db:
        if at != "base":
            Migrator.of(db).upgrade(at)
        applied = upgrade_at_once(fresh_url, [db.table_name] * PROCESSES)
        pending = ["0001", "0002", "0003"][0 if at == "base" else 1 :]
        assert sorted(revision for one in applied for revision in one.split(",") if one) == pending
        assert Migrator.of(db).drift() == []


def test_processes_upgrading_different_stores_do_not_disturb_each_other(fresh_url: str) -> None:
    names = [f"store{n}" for n in range(4)]
    assert upgrade_at_once(fresh_url, names) == ["0001,0002,0003"] * 4


def test_threads_upgrade_their_own_stores_at_once(fresh_url: str) -> None:
    def upgrade(n: int) -> list[str]:
        with open_db(fresh_url, table_name=f"store{n % 4}") as db:
            done: list[str] = db.upgrade_schema()
            return done

    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(upgrade, range(8)))
    assert sorted(revision for one in applied for revision in one) == sorted(["0001", "0002", "0003"] * 4)


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
                holder.dialect.upgrading(connection, holder.names, timeout=5, pooled=False),
            ):
                held.set()
                done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert held.wait(10)
            began = time.monotonic()
            who = {"sqlite": "another process", "postgresql": r"process \d+ ", "mysql": r"connection \d+"}
            with pytest.raises(UpgradeLocked, match=who[backend]) as caught:
                waiter.upgrade_schema()
            assert time.monotonic() - began < 10
            assert isinstance(caught.value, TimeoutError)
        finally:
            done.set()
            thread.join()
        assert waiter.upgrade_schema() == ["0001", "0002", "0003"]


def test_an_upgrade_that_another_one_overtakes_has_not_failed(fresh_url: str) -> None:
    class Overtaken(Migrator):
        """Meets another upgrade between giving the lock back and reading the version again."""

        def _verify(self, target: str, *, up: bool) -> None:
            with open_db(fresh_url) as other:
                assert other.upgrade_schema() == ["0003"]
            super()._verify(target, up=up)

    with open_db(fresh_url) as db:
        assert Overtaken.of(db).upgrade("0002") == ["0001", "0002"]
        assert db.schema_status().in_step


HOLDER = """
import sys, time
from agno_store import open_db
with open_db(sys.argv[1]) as db, db.db_engine.connect() as connection:
    with db.dialect.upgrading(connection, db.names, timeout=5, pooled=False):
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
        assert db.upgrade_schema() == ["0001", "0002", "0003"]


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from agno_store import open_db
from agno_store.migrations import Migrator
url, last, way = sys.argv[1:]
sent = 0

def count(*_):
    global sent
    sent += 1
    if sent == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

with open_db(url) as db:
    migrator = Migrator.of(db)
    sa.event.listen(db.db_engine, "after_cursor_execute", count)
    migrator.upgrade() if way == "up" else migrator.downgrade("base")
print(sent)
"""


def killed_after(statements: int, url: str, way: str) -> int | None:
    """Upgrade in a process that is killed after some statements; return how many a whole upgrade sends."""
    arguments = [sys.executable, "-c", KILLED, url, str(statements), way]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    if ended.returncode == 0:
        return int(ended.stdout)
    assert ended.returncode == -9, ended.stderr
    return None


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_killed_after_any_statement_is_finished_by_the_next(
    fresh_url: str, tmp_path: Path, way: str, record_property: Any
) -> None:
    with open_db(fresh_url) as db:
        migrator = Migrator.of(db)
        migrator.upgrade()
        whole = snapshot(db.db_engine, db.names)
        if way == "up":
            migrator.downgrade("base")
        total = killed_after(0, fresh_url, way)
        assert total is not None
        step = 1 if os.environ.get("TEST_ALL") else max(1, total // 6)
        places = range(1, total + 1, step)
        for place in places:
            if way == "up":
                migrator.downgrade("base")
            else:
                migrator.upgrade()
            assert killed_after(place, fresh_url, way) is None
            if way == "down":
                migrator.downgrade("base")
            migrator.upgrade()
            assert snapshot(db.db_engine, db.names) == whole, f"killed after statement {place} of {total}"
            assert migrator.drift() == []
        record_property("killed", f"{len(places)} of {total} places")
