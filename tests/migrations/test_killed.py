"""An upgrade that is killed, after any statement and after any commit, is finished by the next one.

The next one is a plain run; afterwards the tables are the same to the last index, and so are the rows. Here
some of the places are tried, with TEST_ALL every one; the end of the test run says how many they were, and where
the next run did not get on.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import AgnoStoreError, open_db
from agno_store.migrations import Migrator
from tests.killing import until_killed
from tests.migrations.applications import BATCH, FIRST, written
from tests.migrations.conftest import contents, fill, snapshot

EVERYWHERE = bool(os.environ.get("TEST_ALL"))

PLACES = 6
"""Roughly, of those that are tried without TEST_ALL."""


def counted(url: str, last: int, way: str, target: str, versions: Path | None) -> int:
    """Upgrade or downgrade, killed at the last place; return how many there were."""
    places, committed = 0, False

    def place(*_: Any) -> None:
        nonlocal places
        places += 1
        if places == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(*_: Any) -> None:
        nonlocal committed
        committed = True

    def next_statement(*_: Any) -> None:
        nonlocal committed
        if committed:
            committed = False
            place()

    with open_db(url, versions=versions) as db:
        migrator = Migrator.of(db)
        sa.event.listen(db.db_engine, "after_cursor_execute", place)
        sa.event.listen(db.db_engine, "commit", commit)
        sa.event.listen(db.db_engine, "before_cursor_execute", next_statement)
        getattr(migrator, way)(target)
    return places


@dataclass(frozen=True)
class Way:
    """From where to where, how a store is brought back to the beginning, and whether rows are in it."""

    way: str
    start: str
    target: str
    revisions: tuple[str, ...] = ()
    filled: bool = False

    @property
    def back(self) -> str:
        return "downgrade" if self.way == "upgrade" else "upgrade"


NOTHING = "nothing"
"""Not even the tables that an upgrade keeps its books in."""

WAYS = {
    "from nothing": Way("upgrade", NOTHING, "head"),
    "all up": Way("upgrade", "base", "head"),
    "up with rows": Way("upgrade", "0001", "head", filled=True),
    "all down": Way("downgrade", "head", "base"),
    "batch up": Way("upgrade", "a1", "a2", (FIRST, BATCH), filled=True),
    "batch down": Way("downgrade", "a2", "a1", (FIRST, BATCH), filled=True),
}


def brought_back(db: Any, migrator: Migrator, way: Way) -> None:
    """Bring a store, wherever it is, to where the way begins."""
    if way.start != NOTHING:
        getattr(migrator, way.back)(way.start)
        return
    with db.db_engine.begin() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        found.drop_all(connection)


def looked_at(db: Any, way: Way) -> tuple[Any, Any]:
    """Return the tables and, where there are some, the rows."""
    with db.db_engine.connect() as connection:
        if db.dialect.title == "SQLite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
    rows = raw(db) if way.filled else None
    return snapshot(db.db_engine, db.names), rows


def raw(db: Any) -> dict[str, list[str]]:
    """Return every row of every table of the store."""
    with db.db_engine.connect() as connection:
        found = sa.MetaData()
        found.reflect(connection, only=lambda name, _: name in db.names.tables)
        return {
            name: sorted(str(sorted(row._mapping.items())) for row in connection.execute(sa.select(table)))
            for name, table in found.tables.items()
        }


@dataclass
class Sweep:
    """What came of a process that was killed at one place after the other."""

    places: int = 0
    stuck: list[str] = field(default_factory=list)
    rows_lost: int = 0

    def finish(self, db: Any, way: Way, place: int, whole: tuple[Any, Any]) -> None:
        """Run again after a kill, and hold what is there against what a run without one leaves."""
        self.places += 1
        try:
            getattr(Migrator.of(db), way.way)(way.target)
            tables, rows = looked_at(db, way)
        except (AgnoStoreError, sa.exc.SQLAlchemyError) as error:
            self.stuck.append(f"at place {place}: {error}")
            return
        if tables != whole[0]:
            self.stuck.append(f"at place {place} with other tables: {tables}")
        if rows != whole[1]:
            self.rows_lost += different(rows, whole[1])

    def tell(self, record_property: Callable[[str, Any], None], name: str, total: int) -> None:
        """Let the end of the test run say it."""
        counts = {"stuck": len(self.stuck), "rows lost or doubled": self.rows_lost}
        said = ", ".join(f"{count} {what}" for what, count in counts.items())
        record_property("told", f"{name}: {self.places} of {total} places killed, {said}")
        record_property("counted", {"places killed": self.places, **counts})


def different(rows: dict[str, list[str]], others: dict[str, list[str]]) -> int:
    """Return how many rows are in one of the two only."""
    counts = [Counter((table, row) for table, found in each.items() for row in found) for each in (rows, others)]
    return sum(((counts[0] - counts[1]) + (counts[1] - counts[0])).values())


@pytest.mark.timeout(3600 if EVERYWHERE else 300)  # over a hundred processes; each is given two minutes
@pytest.mark.parametrize("name", WAYS)
def test_what_is_killed_anywhere_is_finished_by_the_next_run(
    fresh_url: str, tmp_path: Path, name: str, record_property: Callable[[str, Any], None]
) -> None:
    way, sweep = WAYS[name], Sweep()
    versions = written(tmp_path, *way.revisions) if way.revisions else None
    with open_db(fresh_url, versions=versions) as db:
        migrator = Migrator.of(db)
        migrator.upgrade("head")
        if way.filled:
            fill(db)
        if way.start != NOTHING:
            getattr(migrator, way.way)(way.start)
        brought_back(db, migrator, way)
        first = looked_at(db, way)
        total = until_killed(counted, fresh_url, 0, way.way, way.target, versions)
        assert total is not None
        whole = looked_at(db, way)
        for place in range(1, total + 1, 1 if EVERYWHERE else max(1, total // PLACES)):
            brought_back(db, migrator, way)
            assert looked_at(db, way) == first, f"before place {place} of {total}"
            assert until_killed(counted, fresh_url, place, way.way, way.target, versions) is None
            sweep.finish(db, way, place, whole)
            if sweep.stuck:  # there is no way back from there to the next place
                break
        sweep.tell(record_property, name, total)
        assert (sweep.stuck, sweep.rows_lost) == ([], 0)
        if way.filled:
            assert len(contents(db)) == 3
