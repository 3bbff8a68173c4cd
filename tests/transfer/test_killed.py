"""An import and a copy that are killed are finished by being run again: every session whole, none twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import open_db
from tests.contract.database import content, dump, empty
from tests.contract.samples import append, session
from tests.killing import until_killed
from tests.transfer.conftest import Opened

TIMES = 20 if os.environ.get("TEST_ALL") else 2
SESSIONS, RUNS = 12, 3


def counted(target: str, source: str, last: int, at: str = "") -> int:
    """Import, killed at the last place of those with ``at`` in the statement; return how many there were."""
    places = 0

    def count(*event: Any) -> None:
        nonlocal places
        places += at in (event[2] if len(event) > 2 else "COMMIT")
        if places == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_db(target) as db:
        db.schema_status()
        sa.event.listen(db.db_engine, "after_cursor_execute", count)
        sa.event.listen(db.db_engine, "commit", count)
        db.import_from(open_db(source) if "://" in source else Path(source))
    return places


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
    total, whole = until_killed(counted, urls[0], at, 0), content(source)
    assert total is not None
    assert content(target) == whole
    lost = 0
    for n in range(TIMES):
        empty(target)
        if n == 0:  # in the middle of a session
            assert until_killed(counted, urls[0], at, SESSIONS // 2, f"INSERT INTO {target.names.runs}") is None
            assert len(dump(target)["sessions"]) == SESSIONS // 2 - 1
        else:
            assert until_killed(counted, urls[0], at, 1 + (total - 1) * n // TIMES) is None
        found = dump(target)
        assert len(found["runs"]) == RUNS * len(found["sessions"]) < RUNS * SESSIONS
        done = target.import_from(file if way == "file" else source, verify=True)
        assert (done.problems, done.sessions.kept) == ([], len(found["sessions"]))
        lost += content(target) != whole
    record_property(
        "told", f"imports from a {way}: {TIMES} of {total} places killed, {lost} not finished by the next run"
    )
    assert lost == 0
