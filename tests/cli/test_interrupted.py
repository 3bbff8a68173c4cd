"""Ctrl-C while an upgrade waits or works: it ends at once with the shell's code, and the next run finishes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import environment, installed, run
from tests.cli.stores import at, locked

INTERRUPTED = 130
"""128 and the number of SIGINT, as a shell has it."""

IN_THE_MIDDLE = """
import os, signal, sys
import sqlalchemy as sa
from agno_store.cli import main

def interrupt(_connection, _cursor, statement, *_):
    if "_summaries" in statement and statement.lstrip().startswith("CREATE TABLE"):
        os.kill(os.getpid(), signal.SIGINT)

sa.event.listen(sa.Engine, "{moment}_cursor_execute", interrupt)
main()
"""


def test_ctrl_c_ends_the_waiting_for_another_upgrade(fresh_url: str, folder: Path) -> None:
    at(fresh_url, REVISIONS[0])
    with locked(fresh_url):
        command = [installed(), "upgrade", "--db-url", fresh_url]
        waiting = subprocess.Popen(command, env=environment(), cwd=folder, stderr=subprocess.PIPE, text=True)
        time.sleep(4)
        assert waiting.poll() is None
        waiting.send_signal(signal.SIGINT)
        if not fresh_url.startswith("sqlite"):  # which waits by itself, and lets nobody in between
            assert waiting.wait(timeout=10) == INTERRUPTED
    _, said = waiting.communicate(timeout=30)
    assert (waiting.returncode, said) == (INTERRUPTED, "")
    assert run("check", "--db-url", fresh_url).code == 3
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", "1").code == 0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_middle_leaves_what_the_next_run_finishes(fresh_url: str, folder: Path, moment: str) -> None:
    at(fresh_url, REVISIONS[0])
    command = [sys.executable, "-c", IN_THE_MIDDLE.format(moment=moment), "upgrade", "--db-url", fresh_url]
    ended = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (INTERRUPTED, "")
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", "1", "--json").document["current"] == HEAD
    assert run("check", "--drift", "--db-url", fresh_url).code == 0
    engine = sa.create_engine(fresh_url)
    assert sa.inspect(engine).has_table("agent_sessions_summaries")
    engine.dispose()
