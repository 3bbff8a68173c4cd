"""A standby as far behind as a test wants it, and what is read from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from tests.contract.database import statements
from tests.servers.sql import caught_up, run, wait_for

STATE = "SELECT pg_get_wal_replay_pause_state()"


@contextmanager
def paused(primary: str, standby: str) -> Iterator[None]:
    """A standby that has all there is now, and nothing of what comes."""
    caught_up(primary, standby)
    run(standby, "SELECT pg_wal_replay_pause()")
    try:
        wait_for(lambda: run(standby, STATE) == "paused")
        yield
    finally:
        run(standby, "SELECT pg_wal_replay_resume()")


@contextmanager
def reads(db: Any) -> Iterator[list[str]]:
    """Collect what the store reads of its tables at the standby."""
    found: list[str] = []
    with statements(db.read_engine) as sent:
        yield found
    found += [statement for statement in sent if db.names.sessions in statement]


def write(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM agent_sessions"))
