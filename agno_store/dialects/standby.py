"""A PostgreSQL standby: how far it has to be, and how far it is.

It replays the primary's log, record by record, and a commit is visible there once its record is replayed
(https://www.postgresql.org/docs/current/functions-admin.html). A promoted one no longer replays: it writes a log
of its own, whose positions mean the same only while the primary is on that timeline, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from agno_store.dialects.answers import within
from agno_store.errors import ConfigurationError

CONNECT_TIMEOUT = 3
"""Seconds; a standby that takes longer is not worth waiting for."""

DRIVERS = ("psycopg", "psycopg_async")
"""Those that can be kept from waiting for ever for a server that hangs."""

_HERE = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
"""The timeline of a server that is no standby."""

# Not the flushed position: with synchronous_commit=off a commit is acknowledged before it is flushed.
_POSITION = sa.text(f"SELECT {_HERE} AS timeline, CAST(pg_current_wal_insert_lsn() AS text) AS lsn")

_REACHED = sa.text(
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= CAST(:lsn AS pg_lsn) "
    f"ELSE {_HERE} = :timeline AND pg_current_wal_insert_lsn() >= CAST(:lsn AS pg_lsn) END"
)

_ANSWER = sa.text("SELECT 1")


class Position(NamedTuple):
    """A place in a primary's log."""

    timeline: str
    lsn: str


class Standbys:
    """What a store asks of the standbys of its primary."""

    within = staticmethod(within)

    def options(self, url: URL, usual: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of ``create_engine`` for a standby, from those for its primary.

        Raises ConfigurationError for a driver that cannot be interrupted.
        """
        if url.get_driver_name() not in DRIVERS:
            raise ConfigurationError("read_url= works with psycopg: write postgresql+psycopg://...")
        arguments = dict(usual["connect_args"])
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = CONNECT_TIMEOUT
        options = dict(usual)
        if "pool_size" in usual:
            options["pool_timeout"] = CONNECT_TIMEOUT
        # With REPEATABLE READ what is read would be older than the look before it; and a standby that was
        # promoted would take writes.
        reads = {"isolation_level": "READ COMMITTED", "execution_options": {"postgresql_readonly": True}}
        return {**options, **reads, "connect_args": arguments}

    def position(self, connection: Connection) -> Position:
        """Return where the log of a primary ends: behind every commit that it has acknowledged."""
        return Position(*connection.execute(_POSITION).one())

    def has_reached(self, connection: Connection, wanted: Position | None) -> bool:
        """Whether a standby shows what the primary had at that position; None only asks for an answer."""
        if wanted is None:
            return connection.execute(_ANSWER).scalar() == 1
        return connection.execute(_REACHED, wanted._asdict()).scalar() is True
