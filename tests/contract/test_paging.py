"""Pages behind one another: together they are the whole, whatever is written between them."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_store import InvalidArgument, Listing
from agno_store.paging import RUN_SORTS, SESSION_SORTS
from tests.contract.database import empty, overwrite, statements
from tests.contract.samples import append, listed, run, session
from tests.contract.values import NASTY_TEXTS

on_a_database = settings(
    max_examples=400 if os.environ.get("TEST_ALL") else 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ORDERS = (None, "asc", "desc")

SHELF = [
    session("a1", agent_id="x", user_id="alice", created_at=100),
    session("a2", agent_id="y", user_id="bob", created_at=200),
    session("a3", agent_id="x", user_id="bob", created_at=200),
    session("t1", session_type="team", team_id="x", user_id="alice", created_at=200.000001),
    session("w1", session_type="workflow", workflow_id="x", created_at=200.999999),
    session("w2", session_type="workflow", workflow_id="y", agent_id="x", created_at=0),
]


@pytest.fixture
def shelf(db: Any) -> Any:
    db.upsert_sessions(SHELF)
    return db


def walk(get: Callable[..., Any], between: Callable[[], object] = lambda: None, **options: Any) -> Iterator[Any]:
    """Every row of a listing, page by page; ``between`` is called before each page but the first."""
    page = get(**options)
    yield from page
    while page.next is not None:
        between()
        page = get(**options, after=page.next)
        yield from page


def ids(sessions: Any) -> list[str]:
    return [found.session_id for found in sessions]


def places(runs: Any) -> list[tuple[str, int]]:
    return [(found.session_id, found.run_index) for found in runs]


# -- the whole ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [None, *SESSION_SORTS])
def test_pages_of_sessions_are_the_whole(shelf: Any, column: str | None) -> None:
    for order in ORDERS:
        options: dict[str, Any] = {"sort_by": column, "sort_order": order}
        for limit in (1, 4, 6):
            assert ids(walk(shelf.get_sessions, limit=limit, **options)) == listed(shelf, **options)


@pytest.mark.parametrize("column", [None, *RUN_SORTS])
def test_pages_of_runs_are_the_whole(db: Any, column: str | None) -> None:
    for n, session_id in enumerate(["s1", "s2", "s1", "s2", "s1"]):
        more = {"team_id": f"t{n % 2}", "status": None} if n % 2 else {"user_id": "alice", "workflow_id": "w"}
        db.upsert_run(run(f"r{n}", created_at=100 + n // 2, **more), session_id)
    for order in ORDERS:
        for of in ({}, {"session_id": "s1"}, {"user_id": "alice"}):
            options: dict[str, Any] = {"sort_by": column, "sort_order": order, **of}
            assert places(walk(db.get_runs, limit=2, **options)) == places(db.get_runs(**options))


def test_a_filter_holds_on_every_page(shelf: Any) -> None:
    for which in ({"user_id": "bob"}, {"component_id": "x"}, {"session_type": "agent"}, {"start_timestamp": 200}):
        assert ids(walk(shelf.get_sessions, limit=1, **which)) == listed(shelf, **which)


def test_dicts_are_paged_as_objects_are(shelf: Any) -> None:
    page = shelf.get_sessions(limit=2)
    entries, total = shelf.get_sessions(limit=2, deserialize=False)
    assert (entries.next, total) == (page.next, 6)

    entries, _ = shelf.get_sessions(limit=2, after=entries.next, deserialize=False)
    assert entries.next == shelf.get_sessions(limit=2, after=page.next).next


def test_behind_a_page_nothing_is_counted(shelf: Any) -> None:
    append(shelf, "a1", "r0", "r1")
    sessions, runs = shelf.get_sessions(limit=1).next, shelf.get_runs(limit=1).next
    with statements(shelf.db_engine) as sent:
        assert shelf.get_sessions(after=sessions, include_runs=False, deserialize=False)[1] is None
        assert shelf.get_runs(after=runs, deserialize=False)[1] is None

    assert len(sent) == 2


def test_all_the_rest_comes_without_a_limit(shelf: Any) -> None:
    rest = shelf.get_sessions(after=shelf.get_sessions(limit=2).next)

    assert (ids(rest), rest.next) == (listed(shelf)[2:], None)


def test_the_end_is_told_by_a_page_that_is_not_full(shelf: Any) -> None:
    assert shelf.get_sessions().next is shelf.get_sessions(limit=7).next is None
    full = shelf.get_sessions(limit=6)
    assert full.next is not None
    assert (shelf.get_sessions(limit=6, after=full.next), shelf.get_sessions(limit=1, user_id="").next) == ([], None)


def test_a_page_is_a_list_that_can_be_sent_and_kept(shelf: Any) -> None:
    page: Any = shelf.get_sessions(limit=2, include_runs=False, deserialize=False)[0]

    assert issubclass(type(page), list)
    assert page == list(page)
    assert json.loads(json.dumps(page)) == page
    for again in (pickle.loads(pickle.dumps(page)), copy.copy(page), copy.deepcopy(page)):
        assert (type(again), again, again.next) == (Listing, page, page.next)
    assert page.next.isascii()
    assert page.next.replace("-", "").replace("_", "").isalnum()


def test_a_page_may_end_at_any_id(db: Any) -> None:
    texts = [text or "-" for text in NASTY_TEXTS.values()]
    db.upsert_sessions([session(text, user_id=text, created_at=n // 5) for n, text in enumerate(texts)])
    append(db, "s", *texts)
    for column in ("created_at", "session_id", "user_id"):
        for order in ORDERS:
            options: dict[str, Any] = {"sort_by": column, "sort_order": order, "include_runs": False}
            whole = ids(db.get_sessions(**options))
            assert len(whole) == len(texts) + 1
            assert ids(walk(db.get_sessions, limit=1, **options)) == whole
    found = [found.run_id for found in walk(db.get_runs, limit=1, sort_by="run_id")]
    assert sorted(found) == sorted(texts)


# -- what is written between pages -------------------------------------------------------------------

unchanging = st.sampled_from(["created_at", "session_id", "session_type", "agent_id", "user_id"])
kinds = st.sampled_from(["agent", "team", "workflow"])
changes = st.lists(
    st.tuples(st.sampled_from(["insert", "rename", "save", "delete"]), st.integers(0, 99), st.integers(0, 3), kinds),
    max_size=4,
)


def made(session_id: str, moment: int, kind: str) -> dict[str, Any]:
    owner = {"user_id": f"u{moment}"} if moment else {}
    return (
        session(session_id, session_type=kind, created_at=moment, agent_id=f"a{moment}" if moment % 2 else None) | owner
    )


@on_a_database
@given(
    st.lists(st.tuples(st.integers(0, 3), kinds), min_size=2, max_size=9),
    st.lists(changes, min_size=1, max_size=4),
    unchanging,
    st.sampled_from(["asc", "desc"]),
    st.integers(1, 3),
)
def test_whatever_is_written_between_pages_what_stays_is_seen_once(
    db: Any, first: list[Any], rounds: list[Any], column: str, order: str, limit: int
) -> None:
    empty(db)
    there = {f"s{n:02}": entry for n, entry in enumerate(first)}
    db.upsert_sessions([made(session_id, *entry) for session_id, entry in there.items()])
    gone: set[str] = set()
    written = 0

    def write() -> None:
        nonlocal written
        for what, number, moment, kind in rounds[written % len(rounds)]:
            left = sorted(there.keys() - gone) or ["new"]
            one = left[number % len(left)]
            if what == "insert":
                db.upsert_session(made(f"s{number:02}.{written}.{moment}", moment, kind))
            elif what == "rename":
                db.rename_session(one, None, "other")
            elif what == "save":
                db.update_session_state(one, lambda _, number=number: {"n": number})
            elif what == "delete":
                db.delete_session(one)
                gone.add(one)
        written += 1
        rounds[(written - 1) % len(rounds)] = []  # so that it ends, however much is inserted

    seen = Counter(ids(walk(db.get_sessions, write, sort_by=column, sort_order=order, limit=limit)))

    assert [session_id for session_id, times in seen.items() if times > 1] == []
    assert sorted(there.keys() - gone - seen.keys()) == []


def test_a_page_begins_where_the_last_ended_even_if_its_last_row_is_gone(shelf: Any) -> None:
    whole, page = listed(shelf), shelf.get_sessions(limit=3)
    shelf.delete_session(page[-1].session_id)
    assert ids(shelf.get_sessions(after=page.next)) == whole[3:]

    append(shelf, "a1", "r0", "r1", "r2")
    runs = shelf.get_runs(session_id="a1", limit=2)
    shelf.delete_run("r1")
    assert places(shelf.get_runs(session_id="a1", after=runs.next)) == [("a1", 2)]


def test_a_page_begins_where_the_last_ended_even_if_its_last_row_has_moved(shelf: Any) -> None:
    options = {"sort_by": "updated_at", "sort_order": "asc"}
    whole, page = listed(shelf, **options), shelf.get_sessions(limit=3, **options)
    moved = page[-1].session_id
    shelf.rename_session(moved, None, "moved")

    assert ids(shelf.get_sessions(after=page.next, **options)) == [*whole[3:], moved]


def test_what_was_inserted_behind_a_page_is_on_the_next(shelf: Any) -> None:
    page = shelf.get_sessions(limit=3)
    shelf.upsert_sessions([session("new", created_at=150), session("newest", created_at=999)])

    assert ids(shelf.get_sessions(after=page.next)) == ["a2", "new", "a1", "w2"]


def test_runs_appended_between_pages_are_on_the_next(db: Any) -> None:
    append(db, "s", "r0", "r1")
    page = db.get_runs(session_id="s", limit=2)
    append(db, "s", "r2")

    assert places(db.get_runs(session_id="s", limit=2, after=page.next)) == [("s", 2)]


@pytest.mark.backends("sqlite")
def test_a_page_that_ends_at_a_damaged_time_passes_over_nothing_that_can_be_read(shelf: Any) -> None:
    overwrite(shelf, "sessions", "created_at", "yesterday", session_id="a1")
    for order, expected in (
        ("desc", ["a1", "w1", "t1", "a3", "a2", "w2"]),
        ("asc", ["w2", "a2", "a3", "t1", "w1", "a1"]),
    ):
        for limit in (1, 2):
            assert ids(walk(shelf.get_sessions, limit=limit, sort_order=order)) == expected


# -- whose it is -------------------------------------------------------------------------------------


def test_a_place_shows_nobody_what_is_not_his(db: Any, shared: Any) -> None:
    tenants = [type(shared)(db_engine=shared.db_engine, tenant_id=name) for name in ("acme", "globex")]
    for tenant in tenants:
        tenant.upsert_sessions([session(f"s{n}", user_id=f"u{n % 2}", created_at=n) for n in range(4)])
    acme, globex = tenants
    page = acme.get_sessions(limit=2, user_id="u0")

    assert ids(page) == ["s2", "s0"]
    assert ids(acme.get_sessions(user_id="u1", after=acme.get_sessions(limit=1).next)) == ["s1"]
    globex.delete_session("s1")
    assert ids(walk(acme.get_sessions, limit=1)) == ["s3", "s2", "s1", "s0"]
    assert ids(globex.get_sessions(after=acme.get_sessions(limit=1).next)) == ["s2", "s0"]
    assert db.get_sessions(after=page.next) == []
    for tenant in tenants:
        tenant.close()


# -- what is no place --------------------------------------------------------------------------------


def refused(call: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(InvalidArgument) as error:
        call(**options)
    return str(error.value)


def test_a_page_begins_in_one_way(shelf: Any) -> None:
    place = shelf.get_sessions(limit=2).next
    for get in (shelf.get_sessions, shelf.get_runs):
        assert "page= and after=" in refused(get, limit=2, page=2, after=place)


def test_a_place_belongs_to_an_order(shelf: Any) -> None:
    append(shelf, "a1", "r0", "r1")
    newest, runs = shelf.get_sessions(limit=1).next, shelf.get_runs(limit=1).next
    of_one = shelf.get_runs(session_id="a1", limit=1).next
    with statements(shelf.db_engine) as sent:
        for options in ({"sort_order": "asc"}, {"sort_by": "updated_at"}, {"sort_by": "session_id"}):
            assert "by " in refused(shelf.get_sessions, after=newest, **options)
        for place in (runs, of_one):
            assert "the next of a listing" in refused(shelf.get_sessions, after=place)
        for place in (newest, of_one):
            refused(shelf.get_runs, after=place)
        for place in (newest, runs):
            refused(shelf.get_runs, session_id="a1", after=place)
        told = base64.urlsafe_b64encode(json.dumps(["desc", "session_id", None]).encode()).decode()
        refused(shelf.get_sessions, sort_by="session_id", after=told)  # of what is never NULL
    assert sent == []


ORDER = ["desc", "created_at", "session_id"]
NO_PLACES: list[Any] = [
    *([], {}, 5, "desc", [["desc"]], ORDER, [*ORDER, 1], [*ORDER, 1, "a", 1], [*ORDER, 1, 2], [*ORDER, 1, None]),
    *([*ORDER, value, "a"] for value in ("1", True, None, 2**64, -(2**64), float("nan"), float("inf"), [1])),
]
DEEP = base64.urlsafe_b64encode(b"[" * 100_000).decode()
ENCODED = [base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=") for said in NO_PLACES]


def test_the_text_of_a_place_is_known(shelf: Any) -> None:
    """Else what follows would be refused for another reason."""
    said = json.dumps([*ORDER, 100_000_000, "a1"]).encode()

    place = base64.urlsafe_b64encode(said).decode()
    assert ids(shelf.get_sessions(after=place)) == ["w2"]
    refused(shelf.get_sessions, after=f"{place[:8]}****{place[8:]}")  # which decoders that are not strict pass over


@pytest.mark.parametrize(
    "after", ["", "x", "é", "a1", 7, b"W10", ["a1"], "bm9uZQ", DEEP, *ENCODED], ids=lambda after: str(after)[:50]
)
def test_what_is_no_place_is_refused(shelf: Any, after: Any) -> None:
    said = refused(shelf.get_sessions, after=after)

    assert said.startswith("after=")
    assert len(said) < 300
