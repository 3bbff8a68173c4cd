"""What each database plans for every documented way to ask for sessions and runs: an index, never a whole table.

The tables hold 20,000 rows. Where no index can serve, the list here says so, as ``docs/howto/listing.md`` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event

from agno_store.tables import metadata
from tests.contract import crowd
from tests.contract.stores import open_db
from tests.contract.test_paging_costs import explained
from tests.servers.plugin import fresh_database
from tests.servers.via import chosen

COLOURS = ("sync",)

Call = Callable[[Any], Any]

WHOLE = re.compile(r"SCAN agent\w*(?! USING)\b(?! USING)|Seq Scan on agent_sessions(_runs)?\b|\b(sessions|runs) ALL\b")
"""Reading a whole table, in the words of each database."""

SORTED = re.compile(r"TEMP B-TREE|filesort")
POSTGRES_SORTED = re.compile(r"Sort  \(.*?->[^\n]*actual time=\S+ rows=(\d+)", re.DOTALL)
FEW = 500
"""Rows that PostgreSQL may put in order if it likes that better than the order of an index."""

LONG = "the long session"

BY_AN_INDEX: Mapping[str, dict[str, Any]] = {
    "all": {},
    "a user's": {"user_id": "u7"},
    "an agent's": {"session_type": "agent", "component_id": "agent7"},
    "a team's": {"session_type": "team", "component_id": "team3"},
    "a workflow's": {"session_type": "workflow", "component_id": "workflow3"},
    "of a type": {"session_type": "agent"},
    "since": {"start_timestamp": 1_700_010_000},
    "until": {"end_timestamp": 1_700_010_000},
    "of a time": {"start_timestamp": 1_700_010_000, "end_timestamp": 1_700_012_000},
    "a user's of a time": {"user_id": "u7", "start_timestamp": 1_700_010_000, "end_timestamp": 1_700_012_000},
}
"""Filters of get_sessions whose page is read along one index, in the order of ``created_at``."""

FOUND_BY_INDEXES: Mapping[str, dict[str, Any]] = {
    "a component's of any type": {"component_id": "agent7"},
    "a user's with an agent": {"user_id": "u7", "session_type": "agent", "component_id": "agent7"},
    "a user's of a type": {"user_id": "u7", "session_type": "team"},
    "a user's of a name": {"user_id": "u7", "session_name": "about 77"},
    **{
        f"a user's by {by}": {"user_id": "u7", "sort_by": by}
        for by in ("updated_at", "session_id", "session_type", "agent_id", "team_id", "workflow_id")
    },
}
"""Those whose rows are found by indexes, and may have to be put in order."""

RUNS_IN_ORDER: Mapping[str, dict[str, Any]] = {
    "a session's": {"session_id": LONG},
    "a session's of a user": {"session_id": LONG, "user_id": "u0"},
    "a session's of a status": {"session_id": LONG, "status": "ERROR"},
    "all": {"sort_by": "created_at"},
    "an agent's": {"agent_id": "agent7", "sort_by": "created_at"},
    "of a status": {"status": "ERROR", "sort_by": "created_at"},
}

RUNS_FOUND: Mapping[str, dict[str, Any]] = {
    "a user's": {"user_id": "u7"},
    "a user's of a status": {"user_id": "u7", "status": "ERROR"},
    **{
        f"a session's by {by}": {"session_id": LONG, "sort_by": by}
        for by in ("created_at", "updated_at", "run_id", "status")
    },
}

ONES: Mapping[str, Call] = {
    "a session": lambda db: db.get_session(long(db)),
    "a user's session": lambda db: db.get_session(long(db), user_id="u0"),
    "the last runs of a session": lambda db: db.get_session(long(db), runs_limit=5),
    "a page of sessions with their runs": lambda db: db.get_sessions(user_id="u7", limit=20),
    "a run": lambda db: db.get_run("r25"),
    "a user's run": lambda db: db.get_run("r25", user_id="u0"),
    "a run of a session": lambda db: db.get_run("r25", session_id=long(db)),
    "a summary": lambda db: db.get_summary(long(db)),
}


NOT_FOR_PAGES: Mapping[str, set[str]] = {
    "sqlite": {"ix_agent_sessions_created_at", "ix_agent_sessions_runs_run_id"},
    "postgresql": {"ix_agent_sessions_runs_run_id"},
    "mysql": {"ix_agent_sessions_created_at", "ix_agent_sessions_runs_run_id"},
}
"""Indexes that no page is read by. That of run ids is for ``get_run``. PostgreSQL alone reads all sessions by that of
``created_at``: to the others "no tenant" is a value like any other, whose part of an index has an order."""

LISTINGS = (
    ("get_sessions", BY_AN_INDEX, True),
    ("get_sessions", FOUND_BY_INDEXES, False),
    ("get_runs", RUNS_IN_ORDER, True),
    ("get_runs", RUNS_FOUND, False),
)


@pytest.fixture(scope="module")
def stores(backend: str, colour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The store without tenants and a tenant's, over the same tables."""
    with (
        fresh_database(backend, tmp_path_factory.mktemp(backend)) as url,
        open_db(url) as plain,
        open_db(url, tenant_id=crowd.TENANT) as acme,
    ):
        plain.upgrade_schema()
        crowd.fill(plain)
        acme.get_session("s3")  # the version is looked at
        plain.get_session("s1")
        yield [plain, acme]


def plans(db: Any, backend: str, call: Call) -> list[str]:
    """How the database does what a call sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, values))

    event.listen(db.db_engine, "before_cursor_execute", note)
    try:
        call(db)
    finally:
        event.remove(db.db_engine, "before_cursor_execute", note)
    assert sent
    return ["\n".join(explained(db, backend, *one)) for one in sent]


def long(db: Any) -> str:
    """The long session of a store."""
    return crowd.LONG[db.tenant_id]


def is_sorted(plan: str) -> bool:
    """Whether the database puts rows in order."""
    return bool(SORTED.search(plan)) or any(int(rows) > FEW for rows in POSTGRES_SORTED.findall(plan))


def paged(get: str, filters: Mapping[str, Any], order: str) -> tuple[Call, Call]:
    """A first page, and the one behind it."""
    more = {"include_runs": False} if get == "get_sessions" else {}

    def first(db: Any, **page: Any) -> Any:
        of_session = {"session_id": long(db)} if "session_id" in filters else {}
        return getattr(db, get)(**{**filters, **of_session, **more, **page}, limit=20, sort_order=order)

    def second(db: Any) -> Any:
        return first(db, after=first(db).next)

    return first, second


def test_a_page_is_read_by_an_index(stores: list[Any], backend: str) -> None:
    wrong, seen = [], []
    for get, listings, in_order in LISTINGS:
        for (name, filters), order, db in product(listings.items(), ("desc", "asc"), stores):
            for call in paged(get, filters, order):
                for plan in plans(db, backend, call):
                    seen.append(plan)
                    if WHOLE.search(plan) or (in_order and is_sorted(plan)):
                        wrong.append(f"{get}, {name} ({order}, tenant {db.tenant_id}):\n{plan}")

    assert not wrong, "\n\n".join(wrong)
    used = set(re.findall(r"\bix_\w+", "\n".join(seen)))
    names = {str(index.name) for t in metadata(stores[0].names).sorted_tables for index in t.indexes}
    if chosen()[0] == "partitions":  # whose indexes have names that PostgreSQL gives
        used |= {name for name in names if name.startswith("ix_agent_sessions_runs_")}
    assert used | NOT_FOR_PAGES[backend] == names


def test_what_is_named_is_found_by_an_index(stores: list[Any], backend: str) -> None:
    found = {
        f"{name} ({db.tenant_id})": plan
        for name, call in ONES.items()
        for db in stores
        for plan in plans(db, backend, call)
    }

    whole_sessions = ("a session", "a user's session")  # all of it is read: in which order is the database's business
    assert {name: plan for name, plan in found.items() if WHOLE.search(plan)} == {}
    assert {n: plan for n, plan in found.items() if is_sorted(plan) and not n.startswith(whole_sessions)} == {}
