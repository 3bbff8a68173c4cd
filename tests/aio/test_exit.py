"""How programs end that used an asynchronous store: at once, and without a word."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

ROOT = Path(__file__).resolve().parents[2]

HEAD = """
import asyncio, os, sys, threading
from agno_store import open_async_db
RUN = {"agent_id": "a", "content": "hello"}
async def use(db, *names):
    await asyncio.gather(*(db.upsert_run({**RUN, "run_id": name}, "s") for name in names))
def main(work):
    asyncio.run(work, debug=False)
db = open_async_db(sys.argv[1])
"""

PROGRAMS = {
    "closed": "async def work():\n    async with db: await use(db, 'a', 'b')\nmain(work())",
    "left open": "main(use(db, 'a', 'b'))",
    "two loops": "main(use(db, 'a'))\nmain(use(db, 'b'))",
    "in memory": "db = open_async_db('sqlite://')\nmain(use(db, 'a'))\nmain(use(db, 'b'))",
    "in memory, closed": """
db = open_async_db('sqlite://')
async def work():
    async with db: await use(db, 'a')
main(work())""",
    "a thread's loop": "t = threading.Thread(target=main, args=(use(db, 'a'),)); t.start(); t.join()",
    "a task left running": """
async def work():
    await use(db, 'a')
    task = asyncio.create_task(use(db, *'bcdefg'))
    await asyncio.sleep(0.001)
main(work())""",
    "an exception": """
async def work():
    await use(db, 'a')
    raise ZeroDivisionError
try: main(work())
except ZeroDivisionError: pass""",
    "never used": "",
    "a store that was thrown away": "main(use(db, 'a'))\ndel db",
}


def finished(program: str, url: URL | str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, *options, "-c", HEAD + program, text],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_ends_without_a_warning(url: URL, tmp_path: Path, program: str) -> None:
    done = finished(program, url, tmp_path, "-X", "dev", "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_loop_that_is_not_ended_in_order_keeps_no_program_from_ending(url: URL, tmp_path: Path) -> None:
    began = time.monotonic()
    for end in ("", "\nloop.close()"):
        program = f"loop = asyncio.new_event_loop()\nloop.run_until_complete(use(db, 'a', 'b')){end}"
        done = finished(program, url, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 45


def test_a_forked_child_leaves_its_parents_connections_alone(url: URL, tmp_path: Path) -> None:
    program = """
loop = asyncio.new_event_loop()
loop.run_until_complete(use(db, 'a', 'b'))
child = os.fork()
if not child:
    main(use(db, 'c'))
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
loop.run_until_complete(use(db, 'd', 'e'))
print(len(loop.run_until_complete(db.get_runs(session_id='s'))))
loop.run_until_complete(db.close())
loop.close()
"""
    # aiosqlite has threads, of which Python 3.12 and later warn.
    done = finished(program, url, tmp_path, "-W", "ignore::DeprecationWarning")
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "")


BLOCKED = """
import sys
for name in sys.argv[1].split(): sys.modules[name] = None
import asyncio
import agno_store
from agno_store import AsyncMySQLDb, AsyncPostgresDb, AsyncSqliteDb, MissingDriver, SqliteDb, open_async_db, open_db
with SqliteDb("a.db") as db:
    async def in_a_loop():
        db.upsert_session({"session_id": "s", "session_type": "agent"})
        db.update_session_state("s", lambda state: {"n": 1})
    asyncio.run(in_a_loop())
    assert db.get_session("s").session_data == {"session_state": {"n": 1}}
for url in sys.argv[2:]:
    try: open_async_db(url)
    except ImportError as error:
        print(type(error).__name__, 'pip install "agno-store[async]"' in str(error), sep="", end=" ")
    else: print("opened", end=" ")
"""


@pytest.mark.parametrize(
    ("blocked", "answer"),
    [
        ("greenlet", "MissingDriverTrue MissingDriverTrue MissingDriverTrue"),
        ("aiosqlite", "MissingDriverTrue opened opened"),
        ("asyncmy", "opened opened MissingDriverTrue"),
        ("nothing", "opened opened opened"),
    ],
)
def test_what_is_missing_is_an_import_error_that_names_the_extra(tmp_path: Path, blocked: str, answer: str) -> None:
    urls = ("sqlite:///b.db", "postgresql://u:s3cret@host/db", "mysql://u:s3cret@host/db")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, blocked, *urls],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (answer, "")
