"""What a call may cost: counted statements, and none that asks the database about itself."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import Pool

from tests.contract.database import statements
from tests.contract.samples import append, run, session
from tests.contract.stores import open_db

CATALOG = re.compile(
    r"pg_catalog|pg_class|information_schema|sqlite_master|sqlite_schema|PRAGMA|\bSHOW\b|DESCRIBE", re.I
)

COSTS: dict[str, tuple[int, Callable[[Any], object]]] = {
    "get_session": (2, lambda db: db.get_session("s0")),
    "get_session of a user with a limit": (2, lambda db: db.get_session("s0", user_id="u", runs_limit=3)),
    "get_session of nobody's": (1, lambda db: db.get_session("nothing")),
    "get_sessions without runs": (1, lambda db: db.get_sessions(include_runs=False, limit=20)),
    "get_sessions without runs, with a total": (
        2,
        lambda db: db.get_sessions(include_runs=False, limit=20, deserialize=False),
    ),
    "get_sessions": (2, lambda db: db.get_sessions(limit=20)),
    "get_sessions with a total": (3, lambda db: db.get_sessions(limit=20, page=1, deserialize=False)),
    "get_run": (1, lambda db: db.get_run("r", session_id="s0")),
    "get_runs": (1, lambda db: db.get_runs(session_id="s0", user_id="u")),
    "get_runs with a total": (2, lambda db: db.get_runs(limit=5, deserialize=False)),
    "get_summary": (1, lambda db: db.get_summary("s0")),
    "upsert_run of a new run": (2, lambda db: db.upsert_run(run(fresh()), "s0")),
    "upsert_run of a stored run": (3, lambda db: db.upsert_run(run("r", content="x"), "s0")),
    "upsert_run of a new session": (3, lambda db: db.upsert_run(run(fresh()), fresh())),
    "append_run_to_session_if_absent": (2, lambda db: db.append_run_to_session_if_absent("s0", run(fresh()))),
    "upsert_session of a new session": (3, lambda db: db.upsert_session(session(fresh()))),
    "upsert_session of a stored session": (3, lambda db: db.upsert_session(session("s0", user_id="u"))),
    "get_session and upsert_session": (3, lambda db: db.upsert_session(changed(db))),
    "a turn": (4, lambda db: db.upsert_session(changed(db), run=run(fresh()))),
    "a turn of a stored run": (6, lambda db: db.upsert_session(changed(db), run=run("r", content="x"))),
    "a turn of a new session": (5, lambda db: db.upsert_session(session(fresh()), run=run(fresh()))),
    "update_session_state": (3, lambda db: db.update_session_state("s0", lambda state: {"n": 1})),
    "rename_session": (5, lambda db: db.rename_session("s0", "agent", "new")),
    "update_run_in_session": (4, lambda db: db.update_run_in_session("s0", "r", {"content": "x"})),
    "cancel_pending_run": (2, lambda db: db.cancel_pending_run("r", session_id="s0", reason="no")),
    "upsert_summary": (3, lambda db: db.upsert_summary("s0", {"summary": "text"})),
    "delete_run": (4, lambda db: db.delete_run("r", session_id="s0")),
    "delete_session": (4, lambda db: db.delete_session("s0")),
}


AT_ONCE = {"postgresql": 1, "mysql": 2, "sqlite": 2}
"""Statements that write a run, alone or with its session."""


def fresh() -> str:
    """An id that no store has seen."""
    return str(uuid.uuid4())


def changed(db: Any) -> Any:
    """A session as it was read, and changed since."""
    found = db.get_session("s0")
    return replace(found, session_data={**found.session_data, "session_state": {"n": 1}})


@pytest.fixture
def furnished(db: Any) -> Any:
    """A store with 20 sessions and a run in each, used before."""
    data, summary = {"session_name": "name"}, {"summary": "text"}
    db.upsert_sessions([session(f"s{n}", user_id="u", session_data=data, summary=summary) for n in range(20)])
    for n in range(20):
        append(db, f"s{n}", "r")
    db.get_session("s0")
    return db


@pytest.mark.parametrize(("most", "call"), COSTS.values(), ids=COSTS.keys())
def test_a_call_sends_no_more_than(furnished: Any, most: int, call: Callable[[Any], object]) -> None:
    with statements(furnished.db_engine) as sent:
        call(furnished)

    assert len(sent) <= most, sent


def test_what_was_read_is_written_in_as_few_statements_as_the_database_allows(furnished: Any, backend: str) -> None:
    found = changed(furnished)
    with statements(furnished.db_engine) as saved:
        found = furnished.upsert_session(found)
    with statements(furnished.db_engine) as both:
        furnished.upsert_session(replace(found, session_data={}), run=run("first"))
    with statements(furnished.db_engine) as alone:
        furnished.upsert_run(run("second"), "s0", user_id="u")

    assert (len(saved), len(both), len(alone)) == (1, AT_ONCE[backend], AT_ONCE[backend])


def test_who_has_read_a_session_adds_to_it_without_a_look(opened: Callable[..., Any], backend: str) -> None:
    append(opened(), "s0", "r")
    for options, limit in (({}, None), ({}, 1), ({"history_runs": 1}, None)):
        other = opened(**options)
        other.get_session("s0", runs_limit=limit)
        with statements(other.db_engine) as sent:
            other.upsert_run(run(fresh()), "s0")

        assert len(sent) == AT_ONCE[backend], sent


def test_a_process_that_knows_nothing_of_a_stored_run_needs_one_statement_more(
    opened: Callable[..., Any],
) -> None:
    append(opened(), "s0", "r")
    other = opened()
    other.get_session("s0", runs_limit=0)
    with statements(other.db_engine) as sent:
        other.upsert_run(run("r", content="x"), "s0")

    assert len(sent) <= 4, sent


def test_no_call_asks_the_database_about_itself(furnished: Any) -> None:
    with statements(furnished.db_engine) as sent:
        for _, call in COSTS.values():
            call(furnished)

    assert [statement for statement in sent if CATALOG.search(statement)] == []
    assert [statement for statement in sent if furnished.names.version in statement] == []


@pytest.mark.parametrize("deserialize", [True, False])
def test_a_listing_without_runs_does_not_read_the_table_of_runs(furnished: Any, deserialize: bool) -> None:
    with statements(furnished.db_engine) as sent:
        found = furnished.get_sessions(include_runs=False, user_id="u", session_name="name", deserialize=deserialize)

    assert len(found if deserialize else found[0]) == 20
    assert [statement for statement in sent if furnished.names.runs in statement] == []


def test_what_a_listing_costs_does_not_depend_on_how_long_it_is(furnished: Any) -> None:
    with statements(furnished.db_engine) as short:
        furnished.get_sessions(limit=1)
    with statements(furnished.db_engine) as long:
        furnished.get_sessions()

    assert len(short) == len(long) == 2


def test_building_stores_sends_nothing_and_opens_no_connection(fresh_url: str) -> None:
    connected: list[object] = []

    def note(*_: object) -> None:
        connected.append(object())

    event.listen(Pool, "connect", note)
    try:
        with statements(sa.Engine) as sent:
            stores = [open_db(fresh_url, table_name=f"store_{n}") for n in range(100)]
    finally:
        event.remove(Pool, "connect", note)

    assert (sent, connected) == ([], [])
    assert len({id(store.db_engine) for store in stores}) == 1
    for store in stores:
        store.close()


def test_the_version_is_looked_at_once(opened: Callable[..., Any]) -> None:
    opened().upsert_session(session("s"))
    db = opened()
    with statements(db.db_engine) as sent:
        db.get_session("s")
        db.get_session("s")

    assert len([statement for statement in sent if db.names.version in statement]) == 1
    # At the first use, and on SQLite alone, the name is compared with its capitals.
    looks = [statement for statement in sent if CATALOG.search(statement)]
    assert looks == sent[: len(looks)]
    assert len(looks) == (1 if db.dialect.title == "SQLite" else 0)
    assert len(sent) == 5 + len(looks)
