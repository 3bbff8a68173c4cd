"""Who upgrades, on a cluster of MySQL or MariaDB servers: GET_LOCK holds on one node only, a row on all of them.

The row is a lease. Its holder touches it every few seconds from a connection of its own, and whoever waits may
take it over when it has not been touched for ``LEASE`` seconds, because its holder is dead. A holder that was
only asleep finds out before its next operation and stops.

On Galera the loser of a race for the row gets 1213 at its commit, on Group Replication 1180 or 3101, and later
ones 1062 (measured on MariaDB 10.11 with Galera 4 and on MySQL 9.7).
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from agno_store.dialects.together import IS_CLUSTER
from agno_store.dialects.waiting import Flag, attempts, beside
from agno_store.errors import UpgradeLocked
from agno_store.names import Names

LEASE = 10.0
"""Seconds without a touch after which a holder counts as dead."""

TOUCH = 2.0
"""Seconds between two touches."""


def is_cluster(connection: Connection) -> bool:
    """Whether other nodes may be written to at the same time."""
    return connection.execute(sa.text(IS_CLUSTER)).first() is not None


@contextmanager
def causal(connection: Connection) -> Iterator[None]:
    """Let every statement wait until this node has what the others have committed (Galera)."""
    galera = connection.execute(sa.text("SHOW SESSION VARIABLES LIKE 'wsrep_sync_wait'")).first() is not None
    before = connection.scalar(sa.text("SELECT @@wsrep_sync_wait")) if galera else None
    if galera:
        connection.execute(sa.text("SET SESSION wsrep_sync_wait = 15"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        if galera:
            connection.execute(sa.text("SET SESSION wsrep_sync_wait = :before"), {"before": before})
            connection.commit()


class Lease:
    """The row of one store's upgrader."""

    def __init__(self, connection: Connection, names: Names, is_transient: Callable[[DBAPIError], bool]) -> None:
        self._connection = connection
        self._names = names
        self._is_transient = is_transient
        self._holder = uuid.uuid4().hex
        self._over = Flag()
        self._lost = False
        self._touched = time.monotonic()
        self._table = sa.Table(
            names.upgrader,
            sa.MetaData(),
            sa.Column("task", sa.String(16), primary_key=True),
            sa.Column("holder", sa.String(32), nullable=False),
            sa.Column("who", sa.String(255), nullable=False),
            sa.Column("since", sa.String(32), nullable=False),
            sa.Column("touched", sa.BigInteger, nullable=False),
            schema=names.schema,
            mysql_engine="InnoDB",
            mariadb_engine="InnoDB",
        )

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Hold the row. Raises UpgradeLocked, naming its holder, after ``timeout`` seconds."""
        if not sa.inspect(self._connection).has_table(self._table.name, schema=self._table.schema):
            self._connection.execute(sa.schema.CreateTable(self._table, if_not_exists=True))
        self._connection.commit()
        self._take(timeout)
        self._touched = time.monotonic()
        touched_no_more = beside(self._touch, "agno_store lease")
        self._connection.info["agno_store lease"] = self
        try:
            yield
        finally:
            self._over.set()
            touched_no_more()
            self._connection.rollback()
            self._connection.info.pop("agno_store lease", None)  # not there if the connection was lost
            self._patiently(sa.delete(self._table).where(self._table.c.holder == self._holder))

    def refuse_if_lost(self) -> None:
        """Raise UpgradeLocked where another process has taken over, or may have done so."""
        # A statement may have kept the whole cluster from committing, this row too: the next touch will tell.
        for _ in attempts(LEASE):
            if self._lost or time.monotonic() - self._touched < LEASE / 2:
                break
        else:
            self._lost = True
        if self._lost:
            raise UpgradeLocked(
                f"{self._names}: this upgrade was silent for more than {LEASE:g} seconds, and another one may have "
                "taken over. What was finished stays. Run the upgrade again.",
                store=str(self._names),
            )

    def _take(self, timeout: float) -> None:
        seen, since = None, time.monotonic()
        for _ in attempts(timeout):
            row = self._row()
            if row is None:
                if self._written(sa.insert(self._table).values(task="upgrade", touched=0, **self._me())):
                    return
            elif (row.holder, row.touched) != seen:
                seen, since = (row.holder, row.touched), time.monotonic()
            elif time.monotonic() - since > LEASE and self._written(
                sa.update(self._table)
                .where(self._table.c.holder == row.holder, self._table.c.touched == row.touched)
                .values(touched=row.touched + 1, **self._me())
            ):
                return
        raise self._locked(timeout)

    def awaited(self, timeout: float) -> None:
        """Wait until nobody holds the row, or its holder counts as dead. Writes nothing.

        Raises UpgradeLocked, naming the holder, after ``timeout`` seconds.
        """
        seen, since = None, time.monotonic()
        for _ in attempts(timeout):
            if not sa.inspect(self._connection).has_table(self._names.upgrader, schema=self._names.schema):
                return
            row = self._row()
            if row is None or ((row.holder, row.touched) == seen and time.monotonic() - since > LEASE):
                return
            if (row.holder, row.touched) != seen:
                seen, since = (row.holder, row.touched), time.monotonic()
        raise self._locked(timeout)

    def _locked(self, timeout: float) -> UpgradeLocked:
        row = self._row()
        who = f"{row.who}, since {row.since} UTC" if row is not None else "somebody who has just finished"
        return UpgradeLocked(
            f"{self._names}: the upgrade lock was not free within {timeout:g} seconds; it is held by {who}. Nothing "
            f"was changed. Wait and run the upgrade again; a dead holder's lock is free after {LEASE:g} seconds.",
            store=str(self._names),
        )

    def _row(self) -> Any:
        row = self._connection.execute(sa.select(self._table)).first()
        self._connection.commit()
        return row

    def _me(self) -> dict[str, Any]:
        who = f"process {os.getpid()} on {socket.gethostname()}"
        return {"holder": self._holder, "who": who[:255], "since": sa.cast(sa.func.utc_timestamp(), sa.String(32))}

    def _written(self, statement: Any) -> bool:
        """Write and commit; False where another one was faster."""
        try:
            rows = self._connection.execute(statement).rowcount
            self._connection.commit()
        except DBAPIError as error:
            self._connection.rollback()
            if isinstance(error, IntegrityError) or self._is_transient(error):
                return False
            raise
        return rows == 1

    def _patiently(self, statement: Any) -> None:
        for _ in attempts(LEASE):
            if self._written(statement):
                return
            row = self._row()
            if row is None or row.holder != self._holder:
                return

    def _touch(self) -> None:
        # A connection of its own: the other one is at work. The pool's may be all in use.
        pool = self._connection.engine.pool.recreate()
        mine = sa.update(self._table).where(self._table.c.holder == self._holder)
        touch = str(
            mine.values(touched=self._table.c.touched + 1).compile(
                dialect=self._connection.dialect, compile_kwargs={"literal_binds": True}
            )
        )
        failures = self._connection.dialect.loaded_dbapi.Error
        driver: Any = None
        try:
            while not self._over.wait(TOUCH):
                try:
                    driver = driver or pool.connect()
                    cursor = driver.cursor()
                    cursor.execute(touch)
                    self._lost = cursor.rowcount == 0
                    driver.commit()
                    self._touched = time.monotonic()
                except failures as error:  # the next one may work, on another connection
                    if driver is not None:
                        driver.invalidate(error)
                    driver = None
        finally:
            if driver is not None:
                driver.close()
            pool.dispose()
