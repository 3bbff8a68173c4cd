"""The long part of a revision: rows filled in small batches, beside the writers, after the upgrade.

A revision that has one says which table it walks, ``backfills = "sessions"``, and what it does with some rows of
it, ``backfill(connection, n, keys)``, where keys are tuples of the primary key. Each batch is a transaction that
also notes how far it came, so that a backfill may be killed at any moment, goes on where it was, and does no
row twice. It is never part of an upgrade: the release must work with rows that are not filled yet.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.script import Script
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from agno_store import escapes
from agno_store.dialects.locks import BATCH
from agno_store.dialects.waiting import attempts
from agno_store.errors import NotFound
from agno_store.migrations.journal import BACKFILL, UP
from agno_store.migrations.migrator import Migrator
from agno_store.migrations.mistakes import told_of
from agno_store.migrations.running import known_position
from agno_store.tables import table

_LEFT = "The rows before these are done, and nothing of these was changed. Mend it, and run the backfill again."

Progress = Callable[[int, int], None]
"""Called after each batch with the rows done and those that there were at the start."""


@dataclass(frozen=True)
class Backfill:
    """A backfill that is not finished. ``rows`` is the size of its table, ``done`` how many rows lie behind it."""

    revision: str
    message: str
    table: str
    rows: int
    done: int


def pending(migrator: Migrator) -> list[Backfill]:
    """Return the backfills of the store's revisions that are not finished. Writes nothing."""
    if not migrator.dialect.is_there(migrator.engine.url):
        return []
    with _walks(migrator) as (connection, walks):
        return [walk.described(connection) for walk in walks if not walk.is_finished(connection)]


def run(
    migrator: Migrator, revision: str, *, batch: int = BATCH, pause: float = 0.0, on_progress: Progress | None = None
) -> int:
    """Run the backfill of a revision to its end, or go on with it, and return the rows it was given.

    Several may run at once: they take turns, with each other and with the writers. One that is finished is given
    none. Raises NotFound where the store has no such revision, or the revision no backfill.
    """
    missing = NotFound(f"{migrator.names}: the store has no revision {revision!r} with a backfill.")
    if not migrator.dialect.is_there(migrator.engine.url):
        raise missing
    with _walks(migrator) as (connection, walks):
        walk = next((walk for walk in walks if walk.script.revision == revision), None)
        if walk is None:
            raise missing
        found = walk.described(connection)
    with migrator.running() as running:
        walk.begin(running.connection)
        running.commit()
    done = found.done
    while True:
        count = _patiently(migrator, lambda connection: walk.step(connection, batch))
        done += count
        if on_progress is not None:
            on_progress(done, found.rows)
        if count < batch:
            return done - found.done
        time.sleep(max(pause, migrator.dialect.notices_after))


@contextmanager
def _walks(migrator: Migrator) -> Iterator[tuple[Connection, list[_Walk]]]:
    """Give a connection, and the backfills of the revisions that the store has."""
    with migrator.dialect.connected(migrator.engine) as connection:
        applied = migrator.chain.applied(known_position(connection, migrator.names, migrator.chain))
        yield connection, [_Walk(migrator, script) for script in applied if hasattr(script.module, "backfill")]


def _patiently(migrator: Migrator, work: Callable[[Connection], int]) -> int:
    failure: DBAPIError | None = None
    for _ in attempts(migrator.lock_timeout):
        try:
            with migrator.dialect.transaction(migrator.engine, writes=True) as connection:
                return work(connection)
        except DBAPIError as error:
            if not migrator.dialect.is_transient(error):
                raise
            failure = error
    assert failure is not None
    raise failure


class _Walk:
    """One backfill's way through its table, in the order of the primary key."""

    def __init__(self, migrator: Migrator, script: Script) -> None:
        self.names = migrator.names
        self.script = script
        self.journal = migrator.journal
        self.table = table(migrator.names, getattr(migrator.names, script.module.backfills))
        self.key = list(self.table.primary_key)

    def is_finished(self, connection: Connection) -> bool:
        """Whether it ended after its revision was last applied."""
        line = self._line(connection)
        return line is not None and line["microseconds"] is not None

    def described(self, connection: Connection) -> Backfill:
        """Return it with the size of its table and how far it came."""
        line, count = self._line(connection), sa.select(sa.func.count()).select_from(self.table)
        reached = None if line is None else _read(line["reached"])
        behind = 0 if reached is None else connection.scalar(count.where(~self._after(reached))) or 0
        rows = connection.scalar(count) or 0
        return Backfill(self.script.revision, self.script.doc, self.table.name, rows, behind)

    def begin(self, connection: Connection) -> None:
        """Note that it has begun, unless it has."""
        self.journal.ensure(connection)
        if self._line(connection) is None:
            connection.execute(self.journal.noting(BACKFILL, self.script.revision, None, None))

    def step(self, connection: Connection, batch: int) -> int:
        """Do the next rows and note it; return how many they were."""
        line = self._line(connection, locked=True)
        if line is None or line["microseconds"] is not None:  # another process has ended it
            return 0
        reached = _read(line["reached"])
        chosen = sa.select(*self.key).order_by(*self.key).limit(batch)
        rest = chosen if reached is None else chosen.where(self._after(reached))
        keys = [tuple(row) for row in connection.execute(rest)]
        if keys:
            with told_of(self.names, [self.script], _LEFT):
                self.script.module.backfill(connection, self.names, keys)
        changed: dict[str, Any] = {"reached": _written(keys[-1]) if keys else line["reached"]}
        if len(keys) < batch:
            # Where it was is nobody's business any more: it is the key of a session that may be deleted one day.
            changed = {"reached": None, "microseconds": self.journal.clock - self.journal.table.c.done_at}
        journal = self.journal.table
        connection.execute(sa.update(journal).where(journal.c.entry == line["entry"]).values(changed))
        return len(keys)

    def _line(self, connection: Connection, *, locked: bool = False) -> Any:
        """Return its line of the journal, unless the revision was applied anew since then."""
        if not self.journal.is_there(connection):
            return None
        j = self.journal.table
        counts = (j.c.revision == self.script.revision, j.c.what.in_((UP, BACKFILL)))
        mine = sa.select(j).where(*counts).order_by(j.c.entry.desc()).limit(1)
        line = connection.execute(mine.with_for_update() if locked else mine).mappings().first()
        return line if line is not None and line["what"] == BACKFILL else None

    def _after(self, reached: Sequence[Any]) -> Any:
        # Spelled out, because MySQL reads the whole index for a comparison of rows.
        return sa.or_(
            *(
                sa.and_(*(self.key[m] == reached[m] for m in range(n)), self.key[n] > reached[n])
                for n in range(len(self.key))
            )
        )


def _written(key: Sequence[Any]) -> str:
    """Return a key as the journal keeps it: texts as they stand in the database."""
    return json.dumps([escapes.escape(part) if type(part) is str else part for part in key])


def _read(reached: str | None) -> list[Any] | None:
    if reached is None:
        return None
    return [escapes.AsStored(part) if isinstance(part, str) else part for part in json.loads(reached)]
