"""A store with 20,000 sessions and as many runs, written past the store: what a database plans for a large table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import sqlalchemy as sa

from agno_store.escapes import SEPARATOR, AsStored
from agno_store.tables import metadata

SESSIONS = RUNS = 20_000
OF_A_SESSION, OF_A_LONG_ONE = 20, 2_000
"""Runs of each of the first sessions; two of them have more."""

USERS, AGENTS, TEAMS = 10, 20, 5
START = 1_700_000_000_000_000
TENANT = "acme"
"""Has every fourth session."""

LONG = {None: "s1", TENANT: "s3"}
"""The long session of either store."""


def fill(db: Any) -> None:
    """Write the rows, and let the database look at them."""
    tables = {table.name: table for table in metadata(db.names).sorted_tables}
    with db.db_engine.begin() as connection:
        for name, rows in ((db.names.sessions, _sessions()), (db.names.runs, _runs())):
            connection.execute(sa.insert(tables[name]), list(rows))
    with db.db_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in db.names.tables:
            word = "ANALYZE TABLE" if db.dialect.title == "MySQL/MariaDB" else "ANALYZE"
            connection.exec_driver_sql(f"{word} {table}")


def _sessions() -> Iterator[dict[str, Any]]:
    for n in range(SESSIONS):
        yield {
            **_row(n),
            "session_id": _key(n),
            "session_type": _kind(n),
            "user_id": _user(n),
            "name_folded": f"about {n}",
            "session_data": '{"text": "' + "x" * 300 + '"}',
            "next_run_index": OF_A_SESSION,
            "tenant_id": TENANT if n % 4 == 3 else None,
        }


def _runs() -> Iterator[dict[str, Any]]:
    for n in range(RUNS):
        yield _run(n, _key(n // OF_A_SESSION), n % OF_A_SESSION, n // OF_A_SESSION)
    for n, of in product(range(OF_A_LONG_ONE), (1, 3)):
        yield _run(RUNS + 2 * n + of, _key(of), OF_A_SESSION + n, of)


def _run(n: int, session_id: str, run_index: int, of: int) -> dict[str, Any]:
    return {
        **_row(n),
        "session_id": session_id,
        "run_index": run_index,
        "run_id": f"r{n}",
        "run_type": _kind(n),
        "user_id": _user(of),
        "status": "ERROR" if n % 5 == 0 else "COMPLETED",
        "run_data": '{"text": "' + "x" * 300 + '"}',
    }


def _row(n: int) -> dict[str, Any]:
    components = {
        "agent_id": f"agent{n % AGENTS}" if _kind(n) == "agent" else None,
        "team_id": f"team{n // 10 % TEAMS}" if _kind(n) == "team" else None,
        "workflow_id": f"workflow{n // 10 % TEAMS}" if _kind(n) == "workflow" else None,
    }
    # In an order of its own, which is not that of the keys.
    return {**components, "version": 1, "created_at": START + n * 7919 % SESSIONS * 1_000_000, "updated_at": START + n}


def _kind(n: int) -> str:
    return {8: "team", 9: "workflow"}.get(n % 10, "agent")


def _user(n: int) -> str | None:
    """Nearly everything has an owner."""
    return None if n % 1000 == 999 else f"u{n // 7 % USERS}"


def _key(n: int) -> str:
    return AsStored(f"{TENANT}{SEPARATOR}s{n}") if n % 4 == 3 else f"s{n}"
