"""Sessions in which nothing has happened for some time."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from agno_store.clock import DAY
from agno_store.escapes import AsStored
from agno_store.tenants import prefix
from tests.contract import stores
from tests.contract.database import tables
from tests.contract.samples import append, session


def aged(db: Any, session_id: str, days: float, *run_ids: str, status: str = "COMPLETED", **more: Any) -> None:
    """Store a session with runs, and let the last that happened in it be so many days ago."""
    db.upsert_session(session(session_id, **more))
    append(db, session_id, *run_ids, status=status)
    stores.run(set_back, db, session_id, days)


def set_back(db: Any, session_id: str, days: float) -> None:
    """Let a session be as old as that."""
    source, moment = tables(db)["sessions"], time.time_ns() // 1000 - round(days * DAY)
    key = source.c.session_id == AsStored(prefix(db.tenant_id) + session_id)
    with db.db_engine.begin() as connection:
        connection.execute(sa.update(source).where(key).values(created_at=moment, updated_at=moment))


def long(db: Any, session_id: str, runs: int, days: float, **more: Any) -> None:
    """Store a session of so many runs, all but the first past the store's own writing."""
    aged(db, session_id, days, "r0", **more)
    stores.run(_lengthened, db, session_id, runs)


def _lengthened(db: Any, session_id: str, runs: int) -> None:
    found = tables(db)
    sessions, table, key = found["sessions"], found["runs"], AsStored(prefix(db.tenant_id) + session_id)
    with db.db_engine.begin() as connection:
        row = dict(connection.execute(table.select().where(table.c.session_id == key)).mappings().one())
        connection.execute(table.insert(), [{**row, "run_index": n, "run_id": f"r{n}"} for n in range(1, runs)])
        connection.execute(sessions.update().where(sessions.c.session_id == key).values(next_run_index=runs))


def many(db: Any, count: int, runs: int, days: float, content: str = "{}", user_id: str | None = None) -> None:
    """Store many sessions of that age, past the store's own writing."""
    found, moment = tables(db), time.time_ns() // 1000 - round(days * DAY)
    times = {"created_at": moment, "updated_at": moment}
    kinds = {"session_type": "agent", "user_id": user_id, "next_run_index": runs, **times}
    for start in range(0, count, 1000):
        some = [f"old-{n}" for n in range(start, min(count, start + 1000))]
        with db.db_engine.begin() as connection:
            connection.execute(found["sessions"].insert(), [{"session_id": each, **kinds} for each in some])
            told = [
                {"session_id": each, "run_index": n, "run_id": f"{each}-{n}", "run_type": "agent", "run_data": content}
                for each in some
                for n in range(runs)
            ]
            if told:
                connection.execute(found["runs"].insert(), [{**each, **times} for each in told])
