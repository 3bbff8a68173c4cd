"""Ctrl-C, or being told to end, while something waits or works: it ends with the shell's code and leaves nothing over.

The next run finishes what it has begun.
"""

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

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and so does nohup
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
        os.kill(os.getpid(), {number})

sa.event.listen(sa.Engine, "{moment}_cursor_execute", interrupt)
"""


def program(before: str, url: str) -> list[str]:
    """Return the command that upgrades a store, in a process that does something before."""
    return [sys.executable, "-c", f"{LISTENING}{before}\nmain()", "upgrade", "--db-url", url]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_the_waiting_for_another_upgrade(fresh_url: str, folder: Path, number: signal.Signals) -> None:
    at(fresh_url, REVISIONS[0])
    with locked(fresh_url):
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        waiting = subprocess.Popen(program(WAITING, fresh_url), env=environment(), cwd=folder, **pipes)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waiting\n"
        time.sleep(0.5)
        waiting.send_signal(number)
        if not fresh_url.startswith("sqlite"):  # which waits by itself, and lets nobody in between
            assert waiting.wait(timeout=30) == 128 + number
    _, said = waiting.communicate(timeout=30)
    assert (waiting.returncode, said) == (128 + number, "")
    assert run("check", "--db-url", fresh_url).code == 3
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", "1").code == 0


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_in_the_middle_leaves_what_the_next_run_finishes(
    fresh_url: str, folder: Path, moment: str, number: signal.Signals
) -> None:
    at(fresh_url, REVISIONS[0])
    command = program(IN_THE_MIDDLE.format(moment=moment, number=int(number)), fresh_url)
    ended = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (128 + number, "")
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", "1", "--json").document["current"] == HEAD
    assert run("check", "--drift", "--db-url", fresh_url).code == 0
    engine = sa.create_engine(fresh_url)
    assert sa.inspect(engine).has_table("agent_sessions_summaries")
    engine.dispose()


OF_AN_EXPORT = """
import os
from agno_store.transfer import files

line = files._line

def end(value):
    os.kill(os.getpid(), {number})
    os.kill(os.getpid(), {number})  # as timeout does
    return line(value)

files._line = end
"""


def exported(url: str, folder: Path, before: str, *, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    """Export a store in a process that does something before; return how it ended."""
    if ignored:
        before = f"signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{before}"
    command = [sys.executable, "-c", f"{LISTENING}{before}\nmain()", "export", "sessions.jsonl", "--db-url", url]
    return subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_leaves_no_part_of_an_export_behind(fresh_url: str, folder: Path, number: signal.Signals) -> None:
    at(fresh_url, HEAD)
    before = set(folder.iterdir())
    ended = exported(fresh_url, folder, OF_AN_EXPORT.format(number=int(number)))
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", "")
    assert set(folder.iterdir()) == before


@pytest.mark.backends("sqlite")
def test_a_hangup_that_is_ignored_stays_ignored(fresh_url: str, folder: Path) -> None:
    at(fresh_url, HEAD)
    ended = exported(fresh_url, folder, OF_AN_EXPORT.format(number=int(signal.SIGHUP)), ignored=True)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "sessions.jsonl").exists()
