"""An import and a copy that are killed are finished by being run again: every session whole, none twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.database import content, dump, empty
from tests.contract.samples import append, session
from tests.transfer.conftest import Opened

TIMES = 20 if os.environ.get("TEST_ALL") else 2
SESSIONS, RUNS = 12, 3

KILLED = """
import os, signal, sys
import sqlalchemy as sa
from pathlib import Path
from agno_store import open_db

target, source, place, at = sys.argv[1:]
places = 0

def count(*event):
    global places
    places += at in (event[2] if len(event) > 2 else "COMMIT")
    if places == int(place):
        os.kill(os.getpid(), signal.SIGKILL)

with open_db(target) as db:
    db.schema_status()
    sa.event.listen(db.db_engine, "after_cursor_execute", count)
    sa.event.listen(db.db_engine, "commit", count)
    db.import_from(open_db(source) if "://" in source else Path(source))
print(places)
"""


def killed_at(place: int, target: str, source: str, at: str = "") -> int | None:
    """Import in a process that is killed at a place, of those with ``at`` in the statement; return how many it has."""
    arguments = [sys.executable, "-c", KILLED, target, source, str(place), at]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    if ended.returncode == 0:
        return int(ended.stdout)
    assert ended.returncode == -9, ended.stderr
    return None


@pytest.mark.timeout(1800 if TIMES > 2 else 300)
@pytest.mark.parametrize("way", ["file", "store"])
def test_what_is_killed_anywhere_is_finished_by_the_next_run(
    backend: str, opened: Opened, tmp_path: Path, way: str, record_property: Callable[[str, Any], None]
) -> None:
    source, target = opened("sqlite"), opened(backend)
    for n in range(SESSIONS):
        source.upsert_session(session(f"s{n:03}", metadata={"n": n}, summary={"summary": "x"}))
        append(source, f"s{n:03}", *(f"r{m}" for m in range(RUNS)))
    target.upgrade_schema()
    file = tmp_path / "all.jsonl.gz"
    source.export(file)
    urls = [db.db_engine.url.render_as_string(hide_password=False) for db in (target, source)]
    at = str(file) if way == "file" else urls[1]
    total, whole = killed_at(0, urls[0], at), content(source)
    assert total is not None
    assert content(target) == whole
    lost = 0
    for n in range(TIMES):
        empty(target)
        if n == 0:  # in the middle of a session
            assert killed_at(SESSIONS // 2, urls[0], at, f"INSERT INTO {target.names.runs}") is None
            assert len(dump(target)["sessions"]) == SESSIONS // 2 - 1
        else:
            assert killed_at(1 + (total - 1) * n // TIMES, urls[0], at) is None
        found = dump(target)
        assert len(found["runs"]) == RUNS * len(found["sessions"]) < RUNS * SESSIONS
        done = target.import_from(file if way == "file" else source, verify=True)
        assert (done.problems, done.sessions.kept) == ([], len(found["sessions"]))
        lost += content(target) != whole
    record_property(
        "told", f"imports from a {way}: {TIMES} of {total} places killed, {lost} not finished by the next run"
    )
    assert lost == 0
