"""What upgrades note: every revision, when, by which release, and how long it took."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import __version__, open_db
from agno_store.migrations import Migrator
from agno_store.migrations.journal import Entry
from agno_store.migrations.rehearsal import rehearse
from agno_store.names import Names
from agno_store.tables import REVISIONS
from tests.frozen import frozen, load
from tests.migrations.applications import BATCH, FIRST, written

UP = [("up", revision) for revision in REVISIONS]
DOWN = [("down", revision) for revision in reversed(REVISIONS)]
FROZEN = [old.revision for old in frozen() if (old.release, old.variant) == ("0.1.0", "default")]
"""Those of the release that kept no journal."""


def entries(db: Any) -> list[Entry]:
    """Return every line of a store's journal."""
    migrator = Migrator.of(db)
    with db.db_engine.connect() as connection:
        return migrator.journal.entries(connection)


def said(db: Any) -> list[tuple[str, str]]:
    """Return what was done with which revision."""
    return [(entry.what, entry.revision) for entry in entries(db)]


def server_time(db: Any) -> datetime:
    """Return what the server's clock says."""
    with db.db_engine.connect() as connection:
        microseconds = connection.exec_driver_sql(f"SELECT {db.dialect.clock.replace('%', '%%')}").scalar()
    return datetime.fromtimestamp(microseconds / 1_000_000, timezone.utc)


def test_every_revision_is_noted_with_its_time_release_and_duration(db: Any, migrator: Migrator) -> None:
    reported: dict[str, float] = {}
    before, begun = server_time(db), time.monotonic()
    migrator.upgrade(on_step=lambda step, seconds: reported.update({step.revision: seconds}))
    after, lasted = server_time(db), time.monotonic() - begun
    found = entries(db)
    assert [(entry.what, entry.revision) for entry in found] == UP
    assert {entry.applied_by for entry in found} == {__version__}
    times = [entry.done_at for entry in found]
    assert times == sorted(times)
    assert before <= times[0]
    assert times[-1] <= after + timedelta(milliseconds=1)  # SQLite's clock has milliseconds, and rounds
    assert abs(after - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert {entry.revision: entry.seconds for entry in found} == pytest.approx(reported, abs=1e-5)
    assert all(entry.seconds is not None and 0 < entry.seconds < 60 for entry in found)
    assert sum(entry.seconds or 0 for entry in found) < lasted


def test_the_time_is_the_servers_in_whatever_zone_it_is(backend: str, fresh_url: str) -> None:
    zones = {"postgresql": "SET timezone = 'Asia/Kolkata'", "mysql": "SET time_zone = '+05:30'"}
    with open_db(fresh_url) as db:
        if backend in zones:
            sa.event.listen(db.db_engine, "connect", lambda driver, _: driver.cursor().execute(zones[backend]))
        Migrator.of(db).upgrade()
        assert abs(entries(db)[0].done_at - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_up_down_and_up_again_are_all_there_and_the_last_one_counts(db: Any, migrator: Migrator) -> None:
    migrator.upgrade()
    migrator.downgrade("0001")
    migrator.upgrade("0002")
    assert said(db) == [*UP, *DOWN[:-1], ("up", "0002")]
    found = entries(db)
    first, second, third, *_ = history = migrator.history()
    assert [step.revision for step in history] == list(REVISIONS)
    assert (first.applied_at, second.applied_at) == (found[0].done_at, found[-1].done_at)
    assert (second.applied_by, second.seconds, second.release) == (__version__, found[-1].seconds, "0.1.0")
    assert (third.applied, third.applied_at, third.applied_by, third.seconds) == (False, None, None, None)


def test_an_applications_revisions_are_noted_too(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url, versions=written(tmp_path, FIRST, BATCH)) as db:
        migrator = Migrator.of(db)
        migrator.upgrade()
        migrator.downgrade("a1")
        assert said(db) == [*UP, ("up", "a1"), ("up", "a2"), ("down", "a2")]
        steps = {step.revision: step for step in migrator.history()}
        assert (steps["a1"].applied, steps["a1"].release, steps["a1"].applied_by) == (True, None, __version__)
        assert (steps["a2"].applied, steps["a2"].applied_at) == (False, None)


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from agno_store import open_db
from agno_store.migrations import Migrator

url, way, target, table = sys.argv[1:]
written = 0

def look(_c, _cursor, statement, *_):
    global written
    verb = statement.split()[0]
    written += verb in ("INSERT", "UPDATE", "DELETE") and table in statement.split("SELECT")[0].split("WHERE")[0]
    if written == 2:
        os.kill(os.getpid(), signal.SIGKILL)

with open_db(url) as db:
    sa.event.listen(db.db_engine, "after_cursor_execute", look)
    getattr(Migrator.of(db), way)(target)
"""


@pytest.mark.parametrize("table", ["agent_sessions_alembic_version", "agent_sessions_upgrades"])
@pytest.mark.parametrize(("way", "start", "target"), [("upgrade", "base", "head"), ("downgrade", "head", "base")])
def test_killed_over_the_books_and_run_again_each_revision_is_noted_once(
    fresh_url: str, table: str, way: str, start: str, target: str
) -> None:
    with open_db(fresh_url) as db:
        migrator = Migrator.of(db)
        migrator.upgrade(start)
        command = [sys.executable, "-c", KILLED, fresh_url, way, target, table]
        assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
        getattr(migrator, way)(target)
        assert said(db) == (UP if way == "upgrade" else [*UP, *DOWN])
        numbers = sa.select(migrator.journal.table.c.entry).order_by(sa.text("1"))
        with db.db_engine.connect() as connection:
            assert list(connection.execute(numbers).scalars()) == list(range(1, len(said(db)) + 1))


def test_a_stamp_is_noted(db: Any, migrator: Migrator) -> None:
    migrator.upgrade("0002")
    with db.db_engine.begin() as connection:
        for table in (db.names.version, db.names.upgrades):
            connection.execute(sa.text(f"DROP TABLE {table}"))
    migrator.stamp("0002")
    assert said(db) == [("stamp", "0002")]
    first, second, *others = migrator.history()
    assert (first.applied, first.applied_at, first.applied_by) == (True, None, None)
    assert (second.applied, second.applied_by, second.seconds) == (True, __version__, None)
    assert second.applied_at == entries(db)[0].done_at
    assert not any(step.applied for step in others)
    migrator.upgrade()
    assert said(db) == [("stamp", "0002"), *UP[2:]]


def test_a_refused_stamp_is_not_noted(db: Any, migrator: Migrator) -> None:
    migrator.upgrade("0002")
    before = said(db)
    with pytest.raises(Exception, match="is not at revision 0003"):
        migrator.stamp("0003")
    assert said(db) == before


@contextmanager
def statements(db: Any) -> Iterator[list[str]]:
    """Keep what is sent meanwhile."""
    sent: list[str] = []

    def keep(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(db.db_engine, "before_cursor_execute", keep)
    yield sent
    sa.event.remove(db.db_engine, "before_cursor_execute", keep)


def changing(sent: list[str]) -> list[str]:
    """Return the statements that change something."""
    return [
        text for text in sent if text.split()[0].upper() in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")
    ]


def has_journal(db: Any) -> bool:
    """Whether the journal is there."""
    return bool(db.table_exists(db.names.upgrades))


def without_journal(db: Any) -> None:
    """Bring a store to head and take its journal away."""
    db.upgrade_schema()
    with db.db_engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE {db.names.upgrades}"))


def test_without_a_journal_an_upgrade_with_nothing_to_do_sends_no_ddl(backend: str, fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        without_journal(db)
        with statements(db) as sent:
            assert Migrator.of(db).upgrade() == []
            assert db.upgrade_schema() == []
            db.get_sessions()
            if backend != "mysql":  # which takes no transaction of a caller's
                with db.db_engine.begin() as connection:
                    if backend == "sqlite":
                        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
                    assert db.upgrade_schema(connection=connection) == []
        assert sent
        assert changing(sent) == []
        assert not has_journal(db)
        assert [step.applied_at for step in Migrator.of(db).history()] == [None] * len(REVISIONS)
        assert all(step.applied for step in Migrator.of(db).history())


@pytest.mark.parametrize("at", FROZEN)
def test_without_a_journal_the_next_upgrade_with_something_to_do_makes_it(
    backend: str, fresh_url: str, at: str
) -> None:
    with open_db(fresh_url) as db:
        load(db.db_engine, backend, at)
        done = Migrator.of(db).upgrade()
        assert said(db) == [("up", revision) for revision in done]
        history = {step.revision: step for step in Migrator.of(db).history()}
        assert all(step.applied for step in history.values())
        assert [revision for revision, step in history.items() if step.applied_at is None] == [
            revision for revision in REVISIONS if revision not in done
        ]


def test_without_a_journal_a_downgrade_makes_it(backend: str, fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        load(db.db_engine, backend, "0003")
        Migrator.of(db).downgrade("0002")
        assert said(db) == [("down", "0003")]


@pytest.mark.backends("sqlite", "postgresql")
def test_a_rehearsal_is_not_noted(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        Migrator.of(db).upgrade("0002")
        rehearse(Migrator.of(db))
        assert said(db) == UP[:2]


def test_a_callers_transaction_that_is_rolled_back_leaves_nothing(backend: str, fresh_url: str) -> None:
    if backend == "mysql":
        return  # which refuses such a transaction
    with open_db(fresh_url) as db:
        with db.db_engine.connect() as connection:
            if backend == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            db.upgrade_schema(connection=connection)
            connection.rollback()
        assert not has_journal(db)
        with db.db_engine.begin() as connection:
            db.upgrade_schema(connection=connection)
        assert said(db) == UP


def test_two_stores_of_one_database_have_a_journal_each(fresh_url: str) -> None:
    with open_db(fresh_url, table_name="one") as one, open_db(fresh_url, table_name="t\"w'o %s") as two:
        Migrator.of(one).upgrade("0001")
        Migrator.of(two).upgrade("0002")
        assert (said(one), said(two)) == (UP[:1], UP[:2])
        assert Names("one").upgrades == "one_upgrades"
