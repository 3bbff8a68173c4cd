"""A backfill gives every row to its revision once, whoever is killed, waits or writes meanwhile."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import open_db
from agno_store.errors import ConfigurationError, NotFound, SchemaError, SchemaTooNew
from agno_store.migrations import Migrator
from agno_store.migrations.backfill import Backfill, pending, run
from agno_store.tables import HEAD
from tests.cli.stores import execute
from tests.migrations.backfilling import IDS, counts, filled, written

ROWS = {"sessions": len(IDS), "runs": 15}

KILLED = """
import os, signal, sys, traceback
import sqlalchemy as sa
from agno_store import open_db
from agno_store.migrations import Migrator
from agno_store.migrations.backfill import pending, run

url, versions, step = sys.argv[1:]

def killed(last):
    places = 0

    def place(*_):
        nonlocal places
        places += 1
        if places == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_db(url, versions=versions) as db:
        migrator = Migrator.of(db)
        if not pending(migrator):
            return
        sa.event.listen(db.db_engine, "after_cursor_execute", place)
        sa.event.listen(db.db_engine, "commit", place)
        run(migrator, "app1", batch=2)

for last in range(1, 200, int(step)):
    child = os.fork()
    if child == 0:
        try:
            killed(last)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(0 if last > 20 and status == 0 else f"over after {last} with {status}")
"""

RUNNING = """
import sys
from agno_store import open_db
from agno_store.migrations import Migrator
from agno_store.migrations.backfill import run

with open_db(sys.argv[1], versions=sys.argv[2]) as db:
    migrator = Migrator.of(db)
    print("ready", flush=True)
    sys.stdin.readline()
    print(run(migrator, "app1", batch=3))
"""


@pytest.mark.parametrize("table", ROWS)
def test_every_row_is_given_once_and_it_says_how_far_it_is(fresh_url: str, tmp_path: Path, table: str) -> None:
    migrator, rows = filled(fresh_url, written(tmp_path, table)), ROWS[table]
    name = getattr(migrator.names, table)
    assert pending(migrator) == [Backfill("app1", "what app1_first brings", name, rows, 0)]
    assert counts(migrator, table) == [None] * rows
    seen: list[tuple[int, int]] = []
    assert run(migrator, "app1", batch=4, on_progress=lambda done, total: seen.append((done, total))) == rows
    assert counts(migrator, table) == [1] * rows
    assert seen == [(min(n, rows), rows) for n in (4, 8, 12, 16)]
    assert pending(migrator) == []


@pytest.mark.parametrize("batch", [1, len(IDS), 500])
def test_batches_of_any_size_give_every_row_once(fresh_url: str, tmp_path: Path, batch: int) -> None:
    migrator = filled(fresh_url, written(tmp_path))
    assert run(migrator, "app1", batch=batch) == len(IDS)
    assert counts(migrator) == [1] * len(IDS)


@pytest.mark.parametrize("table", ROWS)
def test_rows_of_tenants_are_filled_too(fresh_url: str, tmp_path: Path, table: str) -> None:
    versions = written(tmp_path, table)
    for tenant in ("acme", "\x1a:", "\x00"):
        filled(fresh_url, versions, tenant_id=tenant)
    migrator = filled(fresh_url, versions)
    rows = counts(migrator, table)
    assert len(rows) > 3 * (ROWS[table] - 1)
    assert run(migrator, "app1", batch=2) == len(rows)
    assert set(counts(migrator, table)) == {1}


def test_a_store_without_rows_is_filled_at_once(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url, versions=written(tmp_path)) as db:
        migrator = Migrator.of(db)
        migrator.upgrade()
        assert [backfill.rows for backfill in pending(migrator)] == [0]
        assert run(migrator, "app1") == 0
        assert pending(migrator) == []


@pytest.mark.parametrize("table", ROWS)
def test_killed_after_any_statement_and_resumed_every_row_is_given_once(
    fresh_url: str, tmp_path: Path, table: str
) -> None:
    versions = written(tmp_path, table)
    migrator = filled(fresh_url, versions)
    command = [sys.executable, "-c", KILLED, fresh_url, str(versions), "1" if os.environ.get("TEST_ALL") else "3"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert pending(migrator) == []
    assert set(counts(migrator, table)) == {1}


def test_an_odd_name_and_schema_are_filled_too(backend: str, fresh_url: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"table_name": "quo\"te's %c"}
    if backend == "postgresql":
        options["db_schema"] = "own Schema"
    migrator = filled(fresh_url, written(tmp_path), **options)
    assert run(migrator, "app1", batch=2) == len(IDS)
    assert counts(migrator) == [1] * len(IDS)


def test_two_processes_at_once_share_the_rows(fresh_url: str, tmp_path: Path) -> None:
    versions = written(tmp_path)
    migrator = filled(fresh_url, versions, plain=30)
    command = [sys.executable, "-c", RUNNING, fresh_url, str(versions)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"  # type: ignore[union-attr]
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    given = [int(out) for out, _ in said]
    assert sum(given) == len(IDS) + 30
    assert set(counts(migrator)) == {1}


def test_one_that_is_finished_is_given_nothing(fresh_url: str, tmp_path: Path) -> None:
    migrator = filled(fresh_url, written(tmp_path))
    run(migrator, "app1")
    before = journal(migrator)
    assert run(migrator, "app1") == 0
    assert set(counts(migrator)) == {1}
    assert journal(migrator) == before


def journal(migrator: Migrator) -> list[Any]:
    """Return every line, those of backfills too."""
    lines = sa.select(migrator.journal.table).order_by(migrator.journal.table.c.entry)
    with migrator.dialect.connected(migrator.engine) as connection:
        return list(connection.execute(lines))


def test_it_is_noted_with_its_time_and_without_a_key_and_is_no_part_of_the_history(
    fresh_url: str, tmp_path: Path
) -> None:
    migrator = filled(fresh_url, written(tmp_path))
    before, begun = migrator.history(), time.monotonic()
    run(migrator, "app1", batch=4)
    lasted = time.monotonic() - begun
    assert migrator.history() == before
    line = journal(migrator)[-1]
    assert (line.what, line.revision, line.reached) == ("backfill", "app1", None)
    assert 0 < line.microseconds / 1e6 < lasted + 0.01


def test_without_a_journal_it_makes_it(fresh_url: str, tmp_path: Path) -> None:
    migrator = filled(fresh_url, written(tmp_path))
    execute(fresh_url, "DROP TABLE agent_sessions_upgrades")  # as where an older release has applied the revision
    assert run(migrator, "app1", batch=4) == len(IDS)
    assert pending(migrator) == []


def test_of_rows_added_meanwhile_those_ahead_are_filled(fresh_url: str, tmp_path: Path) -> None:
    migrator = filled(fresh_url, written(tmp_path), plain=20)
    with open_db(fresh_url) as db:

        def add(done: int, _total: int) -> None:
            if done == 15:
                db.upsert_session({"session_id": "+behind"})  # + is before any letter
                db.upsert_session({"session_id": "plain999"})

        run(migrator, "app1", batch=5, on_progress=add)
    assert sorted(counts(migrator), key=str) == [*[1] * (len(IDS) + 20 + 1), None]
    assert pending(migrator) == []


def test_rows_deleted_meanwhile_do_not_disturb(fresh_url: str, tmp_path: Path) -> None:
    migrator = filled(fresh_url, written(tmp_path), plain=20)
    with open_db(fresh_url) as db:

        def delete(done: int, _total: int) -> None:
            if done == 10:
                db.delete_sessions([f"plain{n:03}" for n in range(20)])

        run(migrator, "app1", batch=5, on_progress=delete)
    assert counts(migrator) == [1] * len(IDS)


class _Stopped(Exception):
    pass


def stop(done: int, _total: int) -> None:
    """Stop after a batch."""
    raise _Stopped


def test_after_downgrade_and_upgrade_it_begins_anew(fresh_url: str, tmp_path: Path) -> None:
    migrator = filled(fresh_url, written(tmp_path))
    for finished in (False, True):
        if finished:
            run(migrator, "app1")
        else:
            with pytest.raises(_Stopped):
                run(migrator, "app1", batch=3, on_progress=stop)
            assert [(backfill.rows, backfill.done) for backfill in pending(migrator)] == [(len(IDS), 3)]
        migrator.downgrade("application@base")
        assert pending(migrator) == []
        with pytest.raises(NotFound, match="no revision 'app1' with a backfill"):
            run(migrator, "app1")
        assert migrator.upgrade() == ["app1"]
        assert [(backfill.rows, backfill.done) for backfill in pending(migrator)] == [(len(IDS), 0)]
    assert run(migrator, "app1", batch=3) == len(IDS)
    assert counts(migrator) == [1] * len(IDS)


def test_a_stamp_does_not_begin_it_anew(fresh_url: str, tmp_path: Path) -> None:
    versions = written(tmp_path)
    migrator = filled(fresh_url, versions)
    migrator.extend = lambda tables: tables.sessions.append_column(sa.Column("filled", sa.Integer))
    with pytest.raises(_Stopped):
        run(migrator, "app1", batch=3, on_progress=stop)
    migrator.stamp("head")
    assert [backfill.done for backfill in pending(migrator)] == [3]
    assert run(migrator, "app1") == len(IDS) - 3
    migrator.stamp("head")
    assert pending(migrator) == []
    assert set(counts(migrator)) == {1}


def test_one_that_fails_keeps_what_it_has_done(fresh_url: str, tmp_path: Path) -> None:
    failing = "    if any(values[0] == 'plain005' for values in keys):\n        raise RuntimeError('not this one')\n"
    migrator = filled(fresh_url, written(tmp_path, more=failing), plain=10)
    with pytest.raises(SchemaError, match=r"app1 failed in line \d+ of .*not this one.*run the backfill again"):
        run(migrator, "app1", batch=1)
    found = counts(migrator)
    [backfill] = pending(migrator)
    assert 0 < found.count(1) == backfill.done < len(found)
    assert set(found) == {1, None}


def test_it_is_no_part_of_an_upgrade(fresh_url: str, tmp_path: Path) -> None:
    versions = written(tmp_path)
    with open_db(fresh_url) as db:
        db.upsert_session({"session_id": "s"})
    with open_db(fresh_url, versions=versions, auto_upgrade_schema=True) as db:
        assert [s["session_id"] for s in db.get_sessions(deserialize=False)[0]] == ["s"]
        migrator = Migrator.of(db)
        assert migrator.position().application == "app1"
        assert counts(migrator) == [None]
        assert migrator.upgrade() == []
        assert len(pending(migrator)) == 1
        assert db.schema_status().in_step


def test_where_there_is_nothing_nothing_is_pending_and_nothing_made(tmp_path: Path) -> None:
    with open_db(f"sqlite:///{tmp_path}/new/a.db", versions=written(tmp_path)) as db:
        assert pending(Migrator.of(db)) == []
        with pytest.raises(NotFound):
            run(Migrator.of(db), "app1")
    assert not (tmp_path / "new").exists()


def test_a_store_ahead_is_left_alone(fresh_url: str, tmp_path: Path) -> None:
    migrator = filled(fresh_url, written(tmp_path))
    execute(fresh_url, f"UPDATE agent_sessions_alembic_version SET version_num = '9999' WHERE version_num = '{HEAD}'")
    for call in (lambda: pending(migrator), lambda: run(migrator, "app1")):
        with pytest.raises(SchemaTooNew):
            call()
    assert set(counts(migrator)) == {None}


@pytest.mark.parametrize("walked", ["", 'backfills = "tags"'])
def test_a_backfill_without_a_table_is_refused_before_anything_is_done(tmp_path: Path, walked: str) -> None:
    versions = written(tmp_path)
    file = versions / "app1_first.py"
    file.write_text(file.read_text().replace('backfills = "sessions"', walked))
    refused = pytest.raises(ConfigurationError, match="must name the table that it goes through")
    with open_db(f"sqlite:///{tmp_path}/a.db", versions=versions) as db, refused:
        db.upgrade_schema()
    assert not (tmp_path / "a.db").exists()


def test_writers_wait_no_longer_than_a_batch(fresh_url: str, tmp_path: Path) -> None:
    slow = "    import time\n    time.sleep(0.1)\n"
    migrator = filled(fresh_url, written(tmp_path, more=slow), plain=17)
    waited: list[float] = []
    over = threading.Event()

    def write() -> None:
        with open_db(fresh_url) as db:
            for n in itertools.cycle(range(17)):
                if over.is_set():
                    return
                begun = time.monotonic()
                db.upsert_session({"session_id": f"plain{n:03}", "session_data": {"n": len(waited)}})
                waited.append(time.monotonic() - begun)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run(migrator, "app1", batch=5)
    finally:
        over.set()
        writer.join()
    assert set(counts(migrator)) == {1}
    assert len(waited) > 20
    assert max(waited) < 0.1 + 0.11 + 0.25  # a batch, until it is noticed, and what a busy machine adds
