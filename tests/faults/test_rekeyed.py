"""A change of keys that is killed at any of its writes goes on where it is run again, and loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_store import open_db
from tests.cli.program import environment
from tests.contract.database import dump
from tests.contract.old import long
from tests.contract.samples import append, session
from tests.contract.sealing import codec, keys_of, places
from tests.faults.conftest import THOROUGH

Told = Callable[[str], None]

CANARY, RUNS = "Canary-3e8d", 70

KILLED = """
import os, signal, sys
import sqlalchemy as sa
from agno_store import open_db
from tests.contract.sealing import codec

url, moment, number = sys.argv[1:]
writes = 0

def count(_connection, _cursor, statement, *_):
    global writes
    if statement.startswith("UPDATE"):
        writes += 1
        if writes == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, f"{moment}_cursor_execute", count)
open_db(url, codec=codec("2026", "2025")).rekey()
"""


def numbers() -> Iterator[tuple[str, int]]:
    """Where to kill it: before or after which of its writes."""
    if not THOROUGH:
        yield from (("before", 2), ("after", 60))
        return
    for moment in ("before", "after"):
        yield from ((moment, number) for number in range(1, 3 * RUNS, 3))


def furnish(db: Any, database: str) -> None:
    """Sessions under an old key and under none, one of them long."""
    with open_db(database, codec=codec("2025")) as old:
        old.upsert_session(session("old", metadata={"note": CANARY}, summary={"summary": CANARY}))
        append(old, "old", "a", "b", content=CANARY)
    db.upsert_session(session("clear", metadata={"note": CANARY}))
    long(db, "long", RUNS, 0)


def said(database: str) -> list[Any]:
    """What is in the store, for who has all keys."""
    with open_db(database, codec=codec("2026", "2025")) as db:
        return [db.get_session(session_id) for session_id in ("clear", "long", "old")]


@pytest.mark.timeout(1800 if THOROUGH else 120)
def test_a_change_of_keys_that_is_killed_is_simply_run_again(beside: Any, database: str, told: Told) -> None:
    killed = 0
    for moment, number in numbers():
        furnish(beside, database)
        before, rows = said(database), dump(beside)
        command = [sys.executable, "-c", KILLED, database, moment, str(number)]
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        killed += 1
        assert said(database) == before
        with open_db(database, codec=codec("2026", "2025")) as db:
            assert db.rekey().left == 0
            assert db.rekey().rows == 0
        assert said(database) == before
        assert set(keys_of(beside)) == {"2026"}
        assert places(beside, CANARY) == []
        assert [_ages(row) for row in dump(beside)["runs"]] == [_ages(row) for row in rows["runs"]]
        beside.delete_sessions(["clear", "long", "old"])
    told(f"killed a change of keys at {killed} of its writes: 0 payloads lost, 0 left under another key")


def _ages(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["session_id"], row["run_index"], row["version"], row["updated_at"]
