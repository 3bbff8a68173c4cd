"""What was acknowledged is there, once, after a server or a writer was killed in the middle of its writes.

Here it is killed a few times, with TEST_ALL often; the end of the test run says what was counted.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_store import DatabaseError, OutcomeUnknown, SqliteDb
from tests.contract.samples import append, positions, session
from tests.faults.conftest import THOROUGH
from tests.servers.process import Server

pytestmark = pytest.mark.timeout(1800 if THOROUGH else 300)

ROUNDS = 12 if THOROUGH else 2
WRITERS = 6
EACH = 12
"""Runs, at least, that are acknowledged before each time the server is killed, and after the last."""


class Writer(threading.Thread):
    """Appends runs and counts in the session's state, and notes what was acknowledged, until it is told to stop."""

    def __init__(self, db: Any, name: str, over: threading.Event) -> None:
        super().__init__(name=name)
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.counted = self.unknown = 0
        self.failures: list[BaseException] = []
        self._db = db
        self._over = over

    def run(self) -> None:
        n = 0
        while not self._over.is_set():
            n += 1
            try:
                self._write(f"{self.name}-{n}")
            except DatabaseError as error:
                self.failures.append(error)

    def _write(self, run_id: str) -> None:
        try:
            append(self._db, "s", run_id)
        except DatabaseError:
            self.refused.append(run_id)
            raise
        self.acknowledged.append(run_id)
        try:
            self._db.update_session_state("s", lambda state: {"n": state.get("n", 0) + 1})
        except OutcomeUnknown:
            self.unknown += 1
            raise
        self.counted += 1


def wait_for(writers: list[Writer], more: int) -> None:
    """Wait until so many more runs are acknowledged."""

    def acknowledged() -> int:
        return sum(len(writer.acknowledged) for writer in writers)

    goal, deadline = acknowledged() + more, time.monotonic() + 60
    while acknowledged() < goal and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.backends("postgresql", "mysql")
def test_what_was_acknowledged_is_there_once_after_the_server_was_killed(
    durable: Server, opened: Callable[..., Any], told: Callable[[str], None]
) -> None:
    db = opened(durable.url, table_name="killed")
    db.upsert_session(session("s", session_data={}))
    over = threading.Event()
    writers = [Writer(db, f"w{n}", over) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    for _ in range(ROUNDS):
        wait_for(writers, EACH)
        time.sleep(random.uniform(0.0, 0.2))
        durable.kill()
        time.sleep(random.uniform(0.0, 0.5))
        durable.restart()
    wait_for(writers, EACH)
    over.set()
    for writer in writers:
        writer.join()

    acknowledged = [run_id for writer in writers for run_id in writer.acknowledged]
    refused = {run_id for writer in writers for run_id in writer.refused}
    stored = positions(opened(durable.url, table_name="killed"), "s")
    assert set(acknowledged) <= set(stored) <= set(acknowledged) | refused
    assert sorted(stored.values()) == list(range(len(stored)))
    counted, unknown = sum(writer.counted for writer in writers), sum(writer.unknown for writer in writers)
    assert counted <= db.get_session("s").session_data["session_state"]["n"] <= counted + unknown
    assert len(acknowledged) >= (ROUNDS + 1) * EACH
    failures = sum(len(writer.failures) for writer in writers)
    told(
        f"killed the server {ROUNDS} times under {WRITERS} writers: {len(acknowledged)} runs and {counted} changes "
        f"acknowledged, 0 lost, 0 doubled; {failures} calls failed, {unknown} of them said to be unknown"
    )


WRITES = """
import sys
from agno_store import SqliteDb

file, name = sys.argv[1:]
with SqliteDb(file) as db:
    n = 0
    while True:
        n += 1
        db.upsert_run({"run_id": f"{name}-{n}", "content": "x" * 2000}, "s")
        print(f"{name}-{n}", flush=True)
"""


def test_what_a_killed_process_had_acknowledged_is_in_the_file(tmp_path: Path, told: Callable[[str], None]) -> None:
    file, acknowledged = tmp_path / "agents.db", []
    rounds = 40 if THOROUGH else 3
    with SqliteDb(file) as db:
        db.upsert_session(session("s"))
    for n in range(rounds):
        writing = [
            subprocess.Popen([sys.executable, "-c", WRITES, str(file), f"{n}-{w}"], stdout=subprocess.PIPE, text=True)
            for w in range(2)
        ]
        for writer in writing:
            assert writer.stdout
            acknowledged.append(writer.stdout.readline().strip())
        time.sleep(random.uniform(0.0, 0.3))
        for writer in writing:
            writer.kill()
        for writer in writing:
            assert writer.stdout
            acknowledged += [line.strip() for line in writer.stdout.read().split("\n")[:-1]]
            writer.stdout.close()
            assert writer.wait() == -9
        with sqlite3.connect(file) as looked:
            assert looked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        looked.close()
        with SqliteDb(file) as db:
            append(db, "s", f"after-{n}")
            acknowledged.append(f"after-{n}")
    with SqliteDb(file) as db:
        stored = positions(db, "s")
    assert set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + 2 * rounds  # what was killed before it could say so
    assert sorted(stored.values()) == list(range(len(stored)))
    assert os.path.getsize(file) > 0
    told(f"killed 2 writers of a SQLite file {rounds} times: {len(acknowledged)} runs acknowledged, 0 lost, 0 doubled")
