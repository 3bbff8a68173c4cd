"""Streams: what a listing finds, one after the other, in memory that does not grow with it."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from agno_store import InvalidArgument
from tests.contract.database import statements, tables
from tests.contract.samples import append, run, session

EVERYWHERE = bool(os.environ.get("TEST_ALL"))

MEGABYTE = 1_000_000
SESSIONS, RUNS = (100_000, 10_000) if EVERYWHERE else (4_000, 800)
"""How long the streams are whose memory is measured."""

MOST = 50 * MEGABYTE if EVERYWHERE else 8 * MEGABYTE

Told = Callable[[str, object], None]


@pytest.fixture
def furnished(db: Any) -> Any:
    """Sessions of two users, some made in the same second, and a session with 23 runs."""
    db.upsert_sessions(
        [
            session(
                f"s{n:02}", user_id=f"u{n % 2}", created_at=100 + n // 3, session_data={"session_name": f"name {n}"}
            )
            for n in range(40)
        ]
    )
    append(db, "s00", *(f"r{n}" for n in range(23)))
    for n in range(1, 20, 2):
        db.upsert_run(run(f"x{n}", status="ERROR"), f"s{n:02}", user_id="u1")
    return db


SESSIONS_ASKED_FOR: tuple[dict[str, Any], ...] = (
    {},
    {"user_id": "u1"},
    {"session_type": "agent", "component_id": "nobody"},
    {"session_name": "NAME 1"},
    {"start_timestamp": 103, "end_timestamp": 109, "sort_order": "asc"},
    {"sort_by": "session_type", "sort_order": "asc"},
    {"sort_by": "agent_id"},
    {"include_runs": True, "user_id": "u0"},
)
RUNS_ASKED_FOR: tuple[dict[str, Any], ...] = (
    {"session_id": "s00"},
    {"session_id": "s00", "sort_order": "desc"},
    {"session_id": "s00", "sort_by": "created_at"},
    {},
    {"user_id": "u1"},
    {"status": "ERROR", "sort_by": "session_id"},
    {"agent_id": "nobody"},
)


def test_a_stream_gives_what_the_listing_gives(furnished: Any) -> None:
    for filters in SESSIONS_ASKED_FOR:
        asked = {"include_runs": False, **filters}
        listed, (dicts, _) = furnished.get_sessions(**asked), furnished.get_sessions(**asked, deserialize=False)
        for at_once in (1, 7, 40, 500):
            assert list(furnished.iter_sessions(**filters, at_once=at_once)) == listed
        assert list(furnished.iter_sessions(**filters, deserialize=False, at_once=9)) == dicts


def test_a_stream_of_runs_gives_what_the_listing_gives(furnished: Any) -> None:
    for filters in RUNS_ASKED_FOR:
        listed, (dicts, _) = furnished.get_runs(**filters), furnished.get_runs(**filters, deserialize=False)
        for at_once in (1, 5, 100):
            assert list(furnished.iter_runs(**filters, at_once=at_once)) == listed
        assert list(furnished.iter_runs(**filters, deserialize=False, at_once=9)) == dicts


def test_it_begins_behind_a_place(furnished: Any) -> None:
    page = furnished.get_runs(session_id="s00", limit=20)

    assert [found.run_id for found in furnished.iter_runs("s00", after=page.next)] == ["r20", "r21", "r22"]


def test_a_page_is_read_when_it_is_needed_and_no_connection_is_kept(furnished: Any) -> None:
    pool: Any = furnished.db_engine.pool
    with statements(furnished.db_engine) as sent:
        stream = furnished.iter_sessions(at_once=10, deserialize=False)
        assert len(sent) == 0
        for n, _ in enumerate(stream):
            assert len(sent) == n // 10 + 1
            if isinstance(pool, QueuePool):
                assert pool.checkedout() == 0

    assert len(sent) == 5  # what comes behind the fourth, full page is only known by asking


def test_the_caller_may_use_the_store_meanwhile(furnished: Any) -> None:
    seen = []
    for found in furnished.iter_sessions(at_once=3):
        seen.append(found.session_id)
        assert furnished.delete_session(found.session_id)
        furnished.upsert_session(session(f"new-{len(seen)}", created_at=10_000))

    assert seen == [f"s{n:02}" for n in reversed(range(40))]
    assert {found.session_id for found in furnished.iter_sessions()} == {f"new-{n}" for n in range(1, 41)}


def test_what_cannot_be_streamed_is_refused(db: Any) -> None:
    for wrong in ({"at_once": 0}, {"at_once": None}, {"sort_by": "name"}, {"after": "nowhere"}):
        for stream in (db.iter_sessions, db.iter_runs):
            with pytest.raises(InvalidArgument, match=next(iter(wrong))):
                list(stream(**wrong))


# -- memory ------------------------------------------------------------------------------------------


def test_the_memory_of_a_stream_of_sessions(db: Any, record_property: Told) -> None:
    _fill(db, "sessions", (_session_row(n) for n in range(SESSIONS)))

    count, most = _measured(db.iter_sessions())

    record_property("told", f"a stream of {count:,} sessions took {most / MEGABYTE:.1f} MB")
    assert (count, most < MOST) == (SESSIONS, True), most


def test_the_memory_of_a_stream_of_runs(db: Any, record_property: Told) -> None:
    _fill(db, "sessions", [_session_row(0)])
    _fill(db, "runs", (_run_row(n) for n in range(RUNS)))

    count, most = _measured(db.iter_runs("s000000"))

    record_property("told", f"a stream of {count:,} runs took {most / MEGABYTE:.1f} MB")
    assert (count, most < MOST) == (RUNS, True), most


def _measured(stream: Iterator[Any]) -> tuple[int, int]:
    """How many there were, and how many bytes more than at the beginning were in use at the most."""
    gc.collect()
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        count = sum(1 for _ in stream)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return count, most - start


def _fill(db: Any, table: str, rows: Any) -> None:
    found = iter(rows)
    with db.db_engine.begin() as connection:
        while some := list(islice(found, 2_000)):
            connection.execute(sa.insert(tables(db)[table]), some)


def _session_row(n: int) -> dict[str, Any]:
    data = '{"session_name": "name", "session_state": {"text": "' + "x" * 400 + '"}}'
    times = {"created_at": n, "updated_at": n}
    return {"session_id": f"s{n:06}", "session_type": "agent", "user_id": "u", "session_data": data, **times}


def _run_row(n: int) -> dict[str, Any]:
    data = f'{{"run_id": "r{n}", "messages": ["' + "x" * 2_400 + '"]}'
    key = {"session_id": "s000000", "run_index": n, "run_id": f"r{n}", "run_type": "agent"}
    return {**key, "run_data": data, "created_at": n, "updated_at": n}
