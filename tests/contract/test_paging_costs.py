"""What a page costs, in the databases' own counts: one far behind no more than the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.contract.samples import append, session

COLOURS = ("sync",)

SESSIONS, RUNS, ON_A_PAGE = 600, 160, 20

LISTINGS: dict[str, Callable[..., Any]] = {
    "sessions": lambda db, **page: db.get_sessions(include_runs=False, **page),
    "oldest sessions": lambda db, **page: db.get_sessions(include_runs=False, sort_order="asc", **page),
    "sessions of a user": lambda db, **page: db.get_sessions(include_runs=False, user_id="u1", **page),
    "oldest sessions of a user": lambda db, **page: db.get_sessions(
        include_runs=False, user_id="u1", sort_order="asc", **page
    ),
    "runs of a session": lambda db, **page: db.get_runs(session_id="s000", **page),
    "last runs of a session": lambda db, **page: db.get_runs(session_id="s000", sort_order="desc", **page),
}

NO_RANGE = re.compile(
    r"SCAN agent|TEMP B-TREE|MULTI-INDEX|Seq Scan on agent_sessions(_runs)?\b|Sort|filesort|\bALL\b|index_merge"
)
"""What the plan of a page never has in it: in the words of each database, reading a whole table, and sorting."""


@pytest.fixture(params=["all at different times", "a tenant's, all at one time"])
def furnished(request: pytest.FixtureRequest, opened: Callable[..., Any]) -> Any:
    """A store with many sessions of two users, and one long session; the database has looked at its tables.

    Nothing was ever deleted there: where others were, the rows of one page lie wherever there was room.
    """
    tied = "one time" in request.param
    store = opened(tenant_id="acme" if tied else None)
    # Long rows, or a small table is read as a whole.
    more = {"session_data": {"text": "x" * 1000}, "summary": {"summary": "text"}}
    store.upsert_sessions(
        [session(f"s{n:03}", user_id=f"u{n % 2}", created_at=100 + n * (not tied), **more) for n in range(SESSIONS)]
    )
    append(store, "s000", *(f"r{n}" for n in range(RUNS)), content="x" * 1000)
    with store.db_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in store.names.tables:
            word = "ANALYZE TABLE" if store.dialect.title == "MySQL/MariaDB" else "ANALYZE"
            connection.exec_driver_sql(f"{word} {table}")
    return store


def test_a_page_is_one_range_of_an_index_and_costs_the_same_everywhere(furnished: Any, backend: str) -> None:
    for name, get in LISTINGS.items():
        far = (RUNS if "runs" in name else SESSIONS) // 2 - 2 * ON_A_PAGE
        pages = [{}, *({"after": get(furnished, limit=before).next} for before in (ON_A_PAGE, far))]
        statements = []
        for page in pages:
            with the_statement(furnished) as sent:
                assert len(get(furnished, limit=ON_A_PAGE, **page)) == ON_A_PAGE
            statements += sent

        plans = ["\n".join(explained(furnished, backend, *sent)) for sent in statements]
        assert [plan for plan in plans if NO_RANGE.search(plan)] == [], name
        first, second, last = (effort(furnished, backend, *sent) for sent in statements)
        # Each row is compared with the place, and PostgreSQL's pages are not all equally full.
        assert last <= 1.3 * second, (name, plans)
        assert last <= 1.5 * first, (name, plans)


@contextmanager
def the_statement(db: Any) -> Iterator[list[tuple[str, Any]]]:
    """The one statement that is sent, with its values."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, values))

    event.listen(db.db_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.db_engine, "before_cursor_execute", note)
    assert len(sent) == 1, sent


def explained(db: Any, backend: str, statement: str, values: Any) -> list[str]:
    """How the database does it, in its own words."""
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN (ANALYZE, BUFFERS)", "mysql": "EXPLAIN"}[backend]
    with db.db_engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(f"{explain} {statement}", values)
        return [" ".join(map(str, row)) for row in cursor.fetchall()]


def effort(db: Any, backend: str, statement: str, values: Any) -> int:
    """Steps of SQLite's machine, pages that PostgreSQL has looked into, or rows that MySQL has read."""
    if backend == "postgresql":
        (first, *_) = re.findall(r"shared hit=(\d+)", "\n".join(explained(db, backend, statement, values)))
        return int(first)
    with db.db_engine.connect() as connection:
        cursor = connection.connection.cursor()
        if backend == "sqlite":
            return _steps(connection, statement, values)
        cursor.execute("FLUSH STATUS")
        cursor.execute(statement, values)
        cursor.fetchall()
        cursor.execute("SHOW STATUS LIKE 'Handler_%'")
        counts = {name: int(count) for name, count in cursor.fetchall()}
        # What it passes over in an index by itself MariaDB does not count as read.
        read = sum(counts[f"Handler_read_{how}"] for how in ("next", "prev", "rnd", "rnd_next"))
        return max(read, counts.get("Handler_icp_attempts", 0))


def _steps(connection: sa.Connection, statement: str, values: Any) -> int:
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(count, 1)
    try:
        driver.execute(statement, values).fetchall()
    finally:
        driver.set_progress_handler(None, 0)
    return steps[0]
