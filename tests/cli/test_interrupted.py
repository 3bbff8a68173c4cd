"""Ctrl-C while an upgrade waits or works: it ends at once with the shell's code, and the next run finishes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import environment, run
from tests.cli.stores import at, locked

INTERRUPTED = 130
"""128 and the number of SIGINT, as a shell has it."""

LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
from agno_store.cli import main
"""

WAITING = """
import sqlalchemy as sa

def tell(_connection, _cursor, statement, *_):
    if any(word in statement for word in ("pg_try_advisory_lock", "GET_LOCK", "BEGIN IMMEDIATE")):
        print("waiting", flush=True)

sa.event.listen(sa.Engine, "before_cursor_execute", tell)
"""

IN_THE_MIDDLE = """
import os
import sqlalchemy as sa

def interrupt(_connection, _cursor, statement, *_):
    if "_summaries" in statement and statement.lstrip().startswith("CREATE TABLE"):
        os.kill(os.getpid(), signal.SIGINT)

sa.event.listen(sa.Engine, "{moment}_cursor_execute", interrupt)
"""


def program(before: str, url: str) -> list[str]:
    """Return the command that upgrades a store, in a process that does something before."""
    return [sys.executable, "-c", f"{LISTENING}{before}\nmain()", "upgrade", "--db-url", url]


def test_ctrl_c_ends_the_waiting_for_another_upgrade(fresh_url: str, folder: Path) -> None:
    at(fresh_url, REVISIONS[0])
    with locked(fresh_url):
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        waiting = subprocess.Popen(program(WAITING, fresh_url), env=environment(), cwd=folder, **pipes)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waiting\n"
        time.sleep(0.5)
        waiting.send_signal(signal.SIGINT)
        if not fresh_url.startswith("sqlite"):  # which waits by itself, and lets nobody in between
            assert waiting.wait(timeout=30) == INTERRUPTED
    _, said = waiting.communicate(timeout=30)
    assert (waiting.returncode, said) == (INTERRUPTED, "")
    assert run("check", "--db-url", fresh_url).code == 3
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", "1").code == 0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_middle_leaves_what_the_next_run_finishes(fresh_url: str, folder: Path, moment: str) -> None:
    at(fresh_url, REVISIONS[0])
    command = program(IN_THE_MIDDLE.format(moment=moment), fresh_url)
    ended = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (INTERRUPTED, "")
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", "1", "--json").document["current"] == HEAD
    assert run("check", "--drift", "--db-url", fresh_url).code == 0
    engine = sa.create_engine(fresh_url)
    assert sa.inspect(engine).has_table("agent_sessions_summaries")
    engine.dispose()
