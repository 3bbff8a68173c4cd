"""A prune that is killed at any of its writes, one beside writers, and one of very many sessions."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from agno_store.removed import FIRST, MOST
from tests.cli.program import environment
from tests.contract.database import dump
from tests.contract.old import aged, long, many
from tests.contract.samples import append, listed, positions, run
from tests.faults.conftest import THOROUGH

Told = Callable[[str], None]

RUNS = 130

# -- killed ------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import sqlalchemy as sa
from agno_store import open_db

url, moment, number = sys.argv[1:]
writes = 0

def count(_connection, _cursor, statement, *_):
    global writes
    if statement.startswith(("DELETE", "UPDATE")):
        writes += 1
        if writes == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, f"{moment}_cursor_execute", count)
open_db(url).prune("90d")
print(writes)
"""


def furnish(db: Any) -> None:
    """Old sessions of several sizes, and one that is not old."""
    many(db, 12, 4, 100)
    long(db, "long", RUNS, 300, user_id="alice", summary={"summary": "text"})
    aged(db, "new", 1, "a", user_id="alice")


def pruned(url: str, moment: str, number: int) -> subprocess.CompletedProcess[str]:
    """Prune in a process that is killed before or after one of its writes, if it has that many."""
    command = [sys.executable, "-c", KILLED, url, moment, str(number)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def places() -> Iterator[tuple[str, int]]:
    """Where to kill it: before or after a few of its writes, or nine of them, which is all if it is quick."""
    if not THOROUGH:
        yield from (("before", 2), ("after", 5), ("after", 8))
        return
    for moment in ("before", "after"):
        yield from ((moment, number) for number in range(1, 10))


def test_a_prune_that_is_killed_is_simply_run_again(beside: Any, database: str, told: Told) -> None:
    killed = 0
    for moment, number in places():
        furnish(beside)
        kept = {name: [row for row in rows if row["session_id"] == "new"] for name, rows in dump(beside).items()}
        ended = pruned(database, moment, number)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        killed += 1
        assert len(positions(beside, "long")) == (RUNS if "long" in listed(beside) else 0)
        planned = beside.prune("90d", dry_run=True)
        assert beside.prune("90d") == planned._replace(dry_run=False)
        assert dump(beside) == kept
    told(f"killed a prune at {killed} of its writes: 0 halves of a session seen, 0 sessions left or lost")


# -- beside writers ----------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Goes on in old sessions, one after the other, and notes which runs were acknowledged."""

    def __init__(self, db: Any, name: str, sessions: list[str]) -> None:
        super().__init__(name=name)
        self.acknowledged: list[tuple[str, str]] = []
        self._db, self._sessions = db, sessions

    def run(self) -> None:
        for session_id in self._sessions:
            self._db.upsert_run(run(f"{self.name} {session_id}"), session_id)
            self.acknowledged.append((session_id, f"{self.name} {session_id}"))


def test_no_run_is_lost_that_is_written_beside_a_prune(beside: Any, told: Told) -> None:
    many(beside, 400, 4, 100)
    for n in range(4):
        long(beside, f"long-{n}", 200, 300)
    names = [f"old-{n}" for n in range(0, 400, 20)] + [f"long-{n}" for n in range(4)]
    writers = [Writer(beside, f"w{n}", names[n:] + names[:n]) for n in range(4)]
    for writer in writers:
        writer.start()
    done = beside.prune("90d")
    for writer in writers:
        writer.join()

    wanted = Counter(found for writer in writers for found in writer.acknowledged)
    stored = Counter((row["session_id"], row["run_id"]) for row in dump(beside)["runs"])
    assert len(wanted) == 4 * len(names)
    assert wanted - stored == Counter()
    for session_id in listed(beside):  # it was made anew, or it is as it was
        places = sorted(positions(beside, session_id).values())
        assert places == list(range(len(places)))
    assert done.sessions >= 400 - len(names)
    told(f"{len(wanted)} runs written beside a prune of {done.sessions} sessions: 0 lost")


# -- many --------------------------------------------------------------------------------------------


def rows_per_transaction(engine: sa.Engine) -> tuple[list[int], Callable[[], None]]:
    """Count the rows that each transaction deletes."""
    counts = [0]

    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            counts[-1] += cursor.rowcount
        elif statement.startswith(("COMMIT", "BEGIN")) and counts[-1]:
            counts.append(0)

    event.listen(engine, "after_cursor_execute", count)
    return counts, lambda: event.remove(engine, "after_cursor_execute", count)


@pytest.mark.backends("sqlite")
def test_no_transaction_holds_the_file_for_more_than_its_rows(beside: Any) -> None:
    many(beside, 600, 10, 100)
    long(beside, "long", 3000, 300)
    counts, stop = rows_per_transaction(beside.db_engine)
    try:
        assert beside.prune("90d").rows == 600 * 11 + 3001
    finally:
        stop()

    counts = [count for count in counts if count]
    assert sum(counts) == 600 * 11 + 3001
    assert counts[0] == FIRST
    assert max(counts) <= MOST
    assert all(count <= FIRST * 2**n for n, count in enumerate(counts))


MANY = 100_000 if THOROUGH else 20_000
LARGEST = 50_000_000

MEASURED = """
import sys
from agno_store import clearing, open_db

def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

clearing.pause = lambda seconds: None  # nobody else writes
db = open_db(sys.argv[1])
db.prune("9000d", dry_run=True)
before = most()
done = db.prune("90d", keep_last=2)
print(done.sessions, done.runs, most() - before)
"""


@pytest.mark.timeout(1800 if THOROUGH else 120)
@pytest.mark.backends(*(("sqlite", "postgresql", "mysql") if THOROUGH else ("sqlite",)))
def test_very_many_sessions_are_pruned_in_little_memory(beside: Any, database: str, told: Told) -> None:
    many(beside, MANY, 1, 100)
    append(beside, "new", "a")
    command = [sys.executable, "-c", MEASURED, database]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=1200, check=True)
    sessions, runs, most = map(int, ended.stdout.split())

    assert sessions == runs == MANY - 1
    assert len(listed(beside)) == 2
    assert most < LARGEST
    told(f"{sessions} sessions pruned in {most / 1e6:.1f} MB over the start")
