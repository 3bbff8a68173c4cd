"""One transaction at a server, for the tests of the servers."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import create_engine

POSITION = "SELECT pg_current_wal_insert_lsn()::text"
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn"


def run(url: str, *statements: str) -> object:
    """Run the statements in one transaction and return the last one's first value."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            return results[-1].scalar() if results[-1].returns_rows else None
    finally:
        engine.dispose()


def caught_up(primary: str, standby: str) -> None:
    """Return when a PostgreSQL standby has all that its primary has now."""
    position = run(primary, POSITION)
    wait_for(lambda: run(standby, REPLAYED.format(position)))


def wait_for(condition: Callable[[], object]) -> None:
    """Return when the condition holds."""
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
