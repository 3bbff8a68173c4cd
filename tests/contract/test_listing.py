"""Listings: every filter, every order, and pages that neither repeat nor skip."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from agno_store import InvalidArgument
from agno_store.paging import RUN_SORTS, SESSION_SORTS
from tests.contract.database import dump, stored
from tests.contract.samples import append, listed, run, session
from tests.ids import stable


class Order(str, Enum):
    """Like agno's own."""

    ASC = "asc"
    DESC = "desc"


SHELF = [
    session("a1", agent_id="x", user_id="alice", created_at=100),
    session("a2", agent_id="y", user_id="bob", created_at=200),
    session("a3", agent_id="x", user_id="bob", created_at=200),
    session("t1", session_type="team", team_id="x", user_id="alice", created_at=300),
    session("w1", session_type="workflow", workflow_id="x", created_at=400),
    session("w2", session_type="workflow", workflow_id="y", agent_id="x", created_at=0),
]


@pytest.fixture
def shelf(db: Any) -> Any:
    db.upsert_sessions(SHELF)
    return db


def named(db: Any, *names: str) -> None:
    """Store a session for each name, with the name as its id's text."""
    db.upsert_sessions([session(f"{n}", session_data={"session_name": name}) for n, name in enumerate(names)])


def found_names(db: Any, text: str) -> set[str]:
    return {entry.session_name for entry in db.get_sessions(session_name=text)}


# -- filters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"a1", "a2", "a3", "t1", "w1", "w2"}),
        ({"session_type": "agent"}, {"a1", "a2", "a3"}),
        ({"session_type": "team"}, {"t1"}),
        ({"session_type": "workflow"}, {"w1", "w2"}),
        ({"user_id": "alice"}, {"a1", "t1"}),
        ({"user_id": "nobody"}, set()),
        ({"user_id": ""}, set()),
        ({"session_type": "agent", "component_id": "x"}, {"a1", "a3"}),
        ({"session_type": "team", "component_id": "x"}, {"t1"}),
        ({"session_type": "workflow", "component_id": "x"}, {"w1"}),
        ({"component_id": "x"}, {"a1", "a3", "t1", "w1", "w2"}),
        ({"component_id": "y"}, {"a2", "w2"}),
        ({"component_id": "nothing"}, set()),
        ({"start_timestamp": 200}, {"a2", "a3", "t1", "w1"}),
        ({"end_timestamp": 200}, {"a1", "a2", "a3", "w2"}),
        ({"start_timestamp": 100, "end_timestamp": 300}, {"a1", "a2", "a3", "t1"}),
        ({"start_timestamp": 201, "end_timestamp": 299}, set()),
        ({"start_timestamp": 0, "end_timestamp": 0}, {"w2"}),
        ({"user_id": "bob", "component_id": "x", "session_type": "agent", "start_timestamp": 200}, {"a3"}),
    ],
    ids=stable,
)
def test_a_filter_finds_what_fits(shelf: Any, filters: dict[str, Any], expected: set[str]) -> None:
    entries, total = shelf.get_sessions(deserialize=False, **filters)

    assert {entry["session_id"] for entry in entries} == expected
    assert total == len(expected)
    assert {found.session_id for found in shelf.get_sessions(**filters)} == expected


def test_the_last_second_of_a_period_belongs_to_it(db: Any) -> None:
    db.upsert_sessions([session("early", created_at=99.999), session("s", created_at=100.999)])

    assert listed(db, start_timestamp=100, end_timestamp=100) == ["s"]
    assert listed(db, end_timestamp=99) == ["early"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("100% sure", "0% s"),
        ("100% sure", "%"),
        ("snake_case", "e_c"),
        ("back\\slash", "k\\s"),
        ("a/b", "/"),
        ('it\'s "quoted"', "'s \""),
        ("Trip to ZÜRICH", "zürich"),
        ("trip to zürich", "ZÜRICH"),
        ("Große Straße", "STRASSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Café", "cafe\u0301"),
        ("Cafe\u0301", "café"),
        ("party 🎉 time", "🎉"),
        ("nul \x00 inside", "l \x00 i"),
        ("half \ud83d of a pair", "\ud83d o"),
        ("substitute \x1a", "\x1a"),
        ("тест", "ТЕСТ"),
        ("anything", ""),
    ],
)
def test_a_name_is_found_by_any_part_of_it(db: Any, name: str, text: str) -> None:
    named(db, name)

    assert found_names(db, text) == {name}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("100 percent", "100%"),
        ("anything", "%"),
        ("anything", "a%g"),
        ("snakeXcase", "snake_case"),
        ("anything", "_"),
        ("slash", "\\"),
        ("back\\slash", "back\\\\slash"),
        ("zurich", "zürich"),
        ("nul \x00 inside", "0"),
        ("half \ud83d of a pair", "d8"),
        ("substitute \x1a", "\x1a\x1a"),
    ],
)
def test_a_name_is_searched_letter_by_letter(db: Any, name: str, text: str) -> None:
    named(db, name)

    assert found_names(db, text) == set()


def test_only_the_name_is_searched(db: Any) -> None:
    db.upsert_session(
        session("s", session_data={"session_name": "hay", "needle": "needle", "x": {"session_name": "needle"}})
    )
    db.upsert_session(session("needle", agent_id="needle", metadata={"session_name": "needle"}))

    assert listed(db, session_name="needle") == []
    assert listed(db, session_name="session_name") == []


RENAMES: dict[str, Callable[[Any], object]] = {
    "rename_session": lambda db: db.rename_session("s", "agent", "new"),
    "upsert_session": lambda db: db.upsert_session(session("s", session_data={"session_name": "new"})),
    "update_run_in_session": lambda db: db.update_run_in_session("s", "r", {}, session_data={"session_name": "new"}),
}


@pytest.mark.parametrize("rename", RENAMES.values(), ids=RENAMES.keys())
def test_a_session_is_found_by_its_newest_name(db: Any, rename: Callable[[Any], object]) -> None:
    db.upsert_session(session("s", session_data={"session_name": "old"}))
    append(db, "s", "r")
    rename(db)

    assert listed(db, session_name="old") == []
    assert listed(db, session_name="new") == ["s"]
    db.upsert_session(session("s", metadata={}))
    assert listed(db, session_name="new") == ["s"]
    db.upsert_session(session("s", session_data={}))
    assert listed(db, session_name="new") == []


# -- order -------------------------------------------------------------------------------------------


def test_the_newest_session_comes_first(shelf: Any) -> None:
    assert listed(shelf) == ["w1", "t1", "a3", "a2", "a1", "w2"]
    assert listed(shelf, sort_order="asc") == ["w2", "a1", "a2", "a3", "t1", "w1"]


@pytest.mark.parametrize("order", ["asc", "desc", "DESC", Order.ASC, Order.DESC])
@pytest.mark.parametrize("column", SESSION_SORTS)
def test_ties_are_broken_by_the_id_and_nulls_are_last(shelf: Any, column: str, order: str) -> None:
    rows = {row["session_id"]: row[column] for row in dump(shelf)["sessions"]}
    backwards = str(getattr(order, "value", order)).lower() == "desc"
    there = sorted(((value, key) for key, value in rows.items() if value is not None), reverse=backwards)
    nulls = sorted((key for key, value in rows.items() if value is None), reverse=backwards)

    assert listed(shelf, sort_by=column, sort_order=order) == [*(key for _, key in there), *nulls]


def test_ids_are_ordered_by_their_code_points(db: Any) -> None:
    ids = ["B", "a", "Z", "ä", "z", "😀", "ﬁ", "_", "a ", "aa"]
    db.upsert_sessions([session(session_id) for session_id in ids])

    assert listed(db, sort_by="session_id", sort_order="asc") == sorted(ids)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", RUN_SORTS)
def test_runs_are_ordered_the_same_way(db: Any, column: str, order: str) -> None:
    for n, session_id in enumerate(["s1", "s2", "s1", "s2", "s1"]):
        more = {"team_id": f"t{n % 2}", "status": None} if n % 2 else {"user_id": "alice", "workflow_id": "w"}
        db.upsert_run(run(f"r{n}", created_at=100 + n // 2, **more), session_id)
    rows = {(row["session_id"], row["run_index"]): row[column] for row in dump(db)["runs"]}
    backwards = order == "desc"
    there = sorted(((value, key) for key, value in rows.items() if value is not None), reverse=backwards)
    nulls = sorted((key for key, value in rows.items() if value is None), reverse=backwards)

    found, _ = db.get_runs(sort_by=column, sort_order=order, deserialize=False)
    assert [(row["session_id"], row["run_index"]) for row in found] == [*(key for _, key in there), *nulls]


# -- pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort_by", [None, "user_id", "agent_id", "session_id"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_together_are_the_whole(shelf: Any, sort_by: str | None, order: str) -> None:
    options = {"sort_by": sort_by, "sort_order": order}
    pages = [listed(shelf, limit=2, page=page, **options) for page in (1, 2, 3)]

    assert [len(page) for page in pages] == [2, 2, 2]
    assert [session_id for page in pages for session_id in page] == listed(shelf, **options)


@pytest.mark.parametrize(
    ("limit", "page", "length"),
    [(4, None, 4), (4, 1, 4), (4, 2, 2), (4, 3, 0), (100, 1, 6), (100, 9, 0), (1, 6, 1), (1, 7, 0)],
)
def test_the_total_is_right_on_every_page_and_past_the_last(
    shelf: Any, limit: int, page: int | None, length: int
) -> None:
    entries, total = shelf.get_sessions(limit=limit, page=page, deserialize=False)

    assert (len(entries), total) == (length, 6)
    assert len(shelf.get_sessions(limit=limit, page=page)) == length


def test_a_limit_may_be_as_large_as_can_be(shelf: Any) -> None:
    append(shelf, "a1", "r")

    assert len(shelf.get_sessions(limit=sys.maxsize)) == 6
    assert len(shelf.get_runs(limit=sys.maxsize, page=1)) == 1
    assert len(shelf.get_session("a1", runs_limit=sys.maxsize).runs) == 1
    with pytest.raises(InvalidArgument, match="runs_limit"):
        shelf.get_session("a1", runs_limit=sys.maxsize + 1)


def test_pages_stay_what_they_are_while_their_sessions_are_written(shelf: Any) -> None:
    whole = listed(shelf)
    seen = listed(shelf, limit=2, page=1)
    for session_id in ("a1", "t1", "w2"):
        shelf.rename_session(session_id, None, "changed")
        shelf.upsert_run(run("r"), session_id)
    seen += listed(shelf, limit=2, page=2) + listed(shelf, limit=2, page=3)

    assert seen == whole


def test_runs_are_counted_and_paged(db: Any) -> None:
    append(db, "s", *"abcde")
    append(db, "other", "x")
    pages = [db.get_runs(session_id="s", limit=2, page=page, deserialize=False) for page in (1, 2, 3, 4)]

    assert [[row["run_id"] for row in rows] for rows, _ in pages] == [["a", "b"], ["c", "d"], ["e"], []]
    assert [total for _, total in pages] == [5, 5, 5, 5]
    assert [found.run_id for found in db.get_runs(session_id="s", limit=1, page=2)] == ["b"]


INJECTION = "created_at; DROP TABLE agent_sessions; --"


@pytest.mark.parametrize("listing", ["get_sessions", "get_runs"])
@pytest.mark.parametrize("deserialize", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"page": 1},
        {"page": 0, "limit": 5},
        {"page": -1, "limit": 5},
        {"page": 1.5, "limit": 5},
        {"page": 2, "limit": sys.maxsize},
        {"limit": 0},
        {"limit": -1},
        {"limit": True},
        {"limit": "5"},
        {"sort_by": "session_data"},
        {"sort_by": "name_folded"},
        {"sort_by": ""},
        {"sort_by": INJECTION},
        {"sort_order": "upwards"},
        {"sort_by": "created_at", "sort_order": "asc; --"},
    ],
    ids=str,
)
def test_a_listing_that_makes_no_sense_is_a_value_error(
    db: Any, listing: str, options: dict[str, Any], deserialize: bool
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        getattr(db, listing)(**options, deserialize=deserialize)

    assert isinstance(refused.value, ValueError)
    assert any(name in str(refused.value) for name in options)


def test_an_unknown_type_is_refused(db: Any) -> None:
    with pytest.raises(InvalidArgument, match="agent, team, workflow"):
        db.get_sessions(session_type="crew")


# -- runs of listed sessions -------------------------------------------------------------------------


def test_sessions_are_listed_with_their_runs_in_order(db: Any) -> None:
    for session_id in ("s1", "s2", "empty"):
        db.upsert_session(session(session_id))
    for n in range(6):
        append(db, f"s{n % 2 + 1}", f"r{n}")
    expected = {"s1": ["r0", "r2", "r4"], "s2": ["r1", "r3", "r5"], "empty": []}

    assert {found.session_id: [r.run_id for r in found.runs] for found in db.get_sessions()} == expected
    entries, _ = db.get_sessions(deserialize=False)
    assert {entry["session_id"]: [r["run_id"] for r in entry["runs"]] for entry in entries} == expected


def test_runs_can_be_left_out(db: Any) -> None:
    append(db, "s", "r")

    assert [found.runs for found in db.get_sessions(include_runs=False)] == [None]
    assert [entry["runs"] for entry in db.get_sessions(include_runs=False, deserialize=False)[0]] == [None]


def test_a_long_list_has_the_runs_of_every_session(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_store.reads.SESSIONS_AT_ONCE", 3)
    ids = [f"s{n}" for n in range(8)]
    for session_id in ids:
        append(db, session_id, f"r of {session_id}")

    assert {s.session_id: [r.run_id for r in s.runs] for s in db.get_sessions()} == {i: [f"r of {i}"] for i in ids}


def test_a_listed_session_is_the_one_that_get_session_returns(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_name": "n"}, summary={"summary": "text"}, user_id="u"))
    append(db, "s", "r")

    assert db.get_sessions() == [db.get_session("s")]
    assert db.get_sessions(deserialize=False) == ([db.get_session("s", deserialize=False)], 1)
    assert stored(db, "sessions", "user_id", session_id="s") == "u"
