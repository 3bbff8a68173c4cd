"""Other sessions that are at a store's tables while it is upgraded, and revisions for them to meet."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from tests.migrations.revisions import write

ADD_COLUMN = 'op.add_column(n.runs, sa.Column("score", types.COUNT), schema=n.schema)'
ON_ANOTHER_TABLE = 'op.add_column(n.summaries, sa.Column("rating", types.COUNT), schema=n.schema)'

OWN_ID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}

DOWNGRADE = "def downgrade(op, n):\n    pass"

VARIABLES = """
revision = {revision!r}
down_revision = {before!r}
branch_labels = {labels!r}
requires = "0003"
"""


def application(folder: Path, *upgrades: str, name: str = "a") -> Path:
    """Write the revisions a1, a2 ... of an application, with these bodies of ``upgrade``; return their folder."""
    before = None
    for number, upgrade in enumerate(upgrades, start=1):
        revision = f"{name}{number}"
        labels = ("application",) if before is None else None
        variables = VARIABLES.format(revision=revision, before=before, labels=labels)
        write(folder, upgrade, variables=variables, downgrade=DOWNGRADE, name=f"{revision}_of_ours")
        before = revision
    return folder


_LEFT = sa.text(
    "SELECT count(*) FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation WHERE l.pid <> pg_backend_pid() "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.locktype = 'advisory' OR c.relname LIKE 'agent_sessions%')"
)


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """Give a connection of its own, as another program has one."""
    engine = sa.create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def locks_left(url: str) -> int:
    """Return how many locks others hold on our tables, or for an upgrade, in a database of PostgreSQL."""
    with session(url) as connection:
        return int(connection.scalar(_LEFT) or 0)


@contextmanager
def holding(url: str, statement: str) -> Iterator[tuple[Connection, int]]:
    """Stay in a transaction after a statement; give its connection, and what the server calls it."""
    with session(url) as connection:
        own_id = int(connection.scalar(sa.text(OWN_ID[connection.dialect.name])) or 0)
        connection.exec_driver_sql(statement).fetchall()
        yield connection, own_id


@contextmanager
def ending(holder: Connection, *, after: float) -> Iterator[None]:
    """End a transaction after some seconds, from another thread."""
    timer = threading.Timer(after, holder.rollback)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class Reader:
    """Reads a table over and over, each time in a transaction of its own, and notes when that began and ended."""

    def __init__(self, url: str, table: str) -> None:
        self.reads: list[tuple[float, float]] = []
        self._url = url
        self._statement = f"SELECT count(*) FROM {table}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        while not self.reads:
            time.sleep(0.01)
        return self

    @property
    def longest(self) -> float:
        """Seconds."""
        return max(ended - began for began, ended in self.reads)

    def pauses(self, wait: float) -> list[float]:
        """Return how long it was let alone after each wait of so many seconds, up to the next such one."""
        waits = [(began, ended) for began, ended in self.reads if ended - began > wait]
        return [after[0] - before[1] for before, after in pairwise(waits)]

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        with session(self._url) as connection:
            while not self._over.wait(0.005):
                began = time.monotonic()
                connection.exec_driver_sql(self._statement).fetchall()
                connection.rollback()
                self.reads.append((began, time.monotonic()))
