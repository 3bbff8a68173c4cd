"""A session that is saved again and again holds what it was made to hold, also where a copy of it is what is saved.

agno's Team saves a shallow copy of its session, and goes on with the session itself.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections import deque
from typing import Any

import pytest
from agno.agent import Agent
from agno.run import RunContext
from agno.session import TeamSession
from agno.team import Team

from agno_store import StaleSession, open_async_db
from agno_store.bridge import carried
from tests.agno.scripted import Call, scripted
from tests.contract.stores import plain


def put(run_context: RunContext, n: int) -> str:
    """Set n."""
    run_context.session_state["n"] = n
    return str(n)


def drop(run_context: RunContext) -> str:
    """Drop k."""
    run_context.session_state.pop("k", None)
    return "dropped"


def component(kind: type[Any], db: Any, *replies: Any, **options: Any) -> Any:
    members = {"members": [Agent(id="m", name="M", model=scripted())]} if kind is Team else {}
    state = {"session_state": {"n": 0, "k": 1}, "tools": [put, drop]}
    return kind(id="x", name="X", model=scripted(*replies), db=db, **members, **state, **options)


def state(db: Any, kind: type[Any]) -> Any:
    stored = db.get_session("s", kind.__name__.lower(), deserialize=False)
    return stored["session_data"]["session_state"]


KINDS = pytest.mark.parametrize("kind", [Agent, Team])


@KINDS
def test_what_is_set_back_within_a_run_stays_so(db, reopen, kind):
    component(kind, db, "hi").run("first", session_id="s")
    later = component(kind, reopen(), Call("put", n=1), Call("put", n=0), "ok", checkpoint="tool-batch")
    later.run("second", session_id="s")
    assert state(db, kind) == {"n": 0, "k": 1}


@KINDS
def test_what_is_set_back_by_the_next_run_stays_so(db, reopen, kind):
    component(kind, db, "hi").run("first", session_id="s")
    later = component(kind, reopen(), Call("put", n=1), "ok", Call("put", n=0), "ok", cache_session=True)
    for question in ("second", "third"):
        later.run(question, session_id="s")
    assert state(db, kind) == {"n": 0, "k": 1}


@KINDS
def test_a_key_of_a_new_session_that_is_dropped_stays_away(db, kind):
    cached = component(kind, db, "hi", Call("drop"), "ok", cache_session=True)
    for question in ("first", "second"):
        cached.run(question, session_id="s")
    assert state(db, kind) == {"n": 0}


@KINDS
def test_a_key_that_is_dropped_behind_an_introduction_stays_away(db, kind):
    component(kind, db, Call("drop"), "ok", introduction="Hello.").run("first", session_id="s")
    assert state(db, kind) == {"n": 0}


@KINDS
def test_each_runs_state_takes_the_place_of_what_is_stored(db, reopen, kind):
    component(kind, db, "hi").run("first", session_id="s")
    how = {"cache_session": True, "overwrite_db_session_state": True}
    later = component(kind, reopen(), "1", "2", **how)
    for name in ("a", "b"):
        later.run(name, session_id="s", session_state={name: 1})
    assert state(db, kind) == {"b": 1}


@KINDS
def test_what_a_program_adds_and_takes_away_again_is_gone(db, reopen, kind):
    component(kind, db, "hi").run("first", session_id="s")
    later = component(kind, reopen())
    session = later.get_session("s")
    for change in (lambda state: state.update(locked=True), lambda state: state.pop("locked")):
        change(session.session_data["session_state"])
        later.save_session(session)
    assert state(db, kind) == {"n": 0, "k": 1}


@KINDS
def test_the_own_last_save_is_no_conflict(reopen, kind):
    db = reopen()
    db.on_conflict = "error"
    cached = component(kind, db, Call("put", n=1), "ok", Call("put", n=2), "ok", cache_session=True)
    for question in ("first", "second"):
        cached.run(question, session_id="s")
    assert state(db, kind) == {"n": 2, "k": 1}


@KINDS
def test_so_it_is_in_an_event_loop(db, fresh_url, kind):
    async def main() -> None:
        async with open_async_db(plain(fresh_url)) as asynchronous:
            cached = component(kind, asynchronous, "hi", Call("drop"), "ok", cache_session=True)
            for question in ("first", "second"):
                await cached.arun(question, session_id="s")

    asyncio.run(main())
    assert state(db, kind) == {"n": 0}


# -- objects and copies of them ----------------------------------------------------------------------


def new(session_id: str = "s", **state: Any) -> TeamSession:
    return TeamSession(session_id=session_id, team_id="x", session_data={"session_state": state})


def states(session: Any) -> Any:
    return session.session_data["session_state"]


def test_a_copy_with_data_of_its_own_is_merged_with_its_original(db):
    db.upsert_session(new(a=1))
    original = db.get_session("s", "team")
    other = copy.copy(original)
    other.session_data = {"session_state": {"a": 1, "b": 2}}
    db.upsert_session(other)
    states(original)["c"] = 3
    db.upsert_session(original)
    assert state(db, Team) == {"a": 1, "b": 2, "c": 3}


def test_a_copy_that_is_another_session_takes_nothing_from_its_original(db):
    db.upsert_session(new(a=1))
    original = db.get_session("s", "team")
    fork = copy.copy(original)
    fork.session_id = "fork"
    db.upsert_session(fork)
    del states(original)["a"]
    db.upsert_session(original)
    db.upsert_session(fork)
    assert state(db, Team) == {}
    assert states(db.get_session("fork", "team")) == {}


def test_new_sessions_with_the_same_data_are_two(db):
    first, second = new("s", a=1), new("t")
    second.session_data = first.session_data
    for session in (first, second):
        db.upsert_session(copy.copy(session))
    del states(first)["a"]
    for session in (first, second):
        db.upsert_session(copy.copy(session))
    assert [states(db.get_session(key, "team")) for key in ("s", "t")] == [{}, {}]


def test_data_that_is_replaced_at_each_save_is_compared_with_the_last(db):
    db.upsert_session(new(n=0))
    session = db.get_session("s", "team")
    for n in (1, 2, 0):
        session.session_data = {"session_state": {"n": n}}
        db.upsert_session(session)
    assert state(db, Team) == {"n": 0}


def with_data(session: Any, **own: Any) -> Any:
    copied = copy.copy(session)
    copied.session_data = {"session_state": own}
    return copied


def test_copies_with_data_of_their_own_are_merged_with_each_other(db):
    db.upsert_session(new(a=1))
    original = db.get_session("s", "team")
    copies = [with_data(original, a=1, **{name: 2}) for name in "bcd"]
    for session in copies:
        db.upsert_session(session)
    states(original)["e"] = 3
    db.upsert_session(original)
    assert state(db, Team) == {"a": 1, "b": 2, "c": 2, "d": 2, "e": 3}


def test_the_save_of_a_copy_with_data_of_its_own_is_a_conflict(reopen):
    db = reopen()
    db.upsert_session(new(a=1))
    original = db.get_session("s", "team")
    first, second = with_data(original, a=2), with_data(original, a=3)
    db.upsert_session(first, on_conflict="error")
    for late in (second, original):
        with pytest.raises(StaleSession):
            db.upsert_session(late, on_conflict="error")
    assert state(db, Team) == {"a": 2}


def test_sessions_that_are_copied_from_one_carry_nothing_of_each_other(db):
    db.upsert_session(new(a=1))
    template = db.get_session("s", "team")
    copies = []
    for name in ("ada", "bob", "eve"):
        own = with_data(template, secret=f"of {name}")
        own.session_id = name
        db.upsert_session(own)
        copies.append(own)
    for session, name in zip((template, *copies), ("", "ada", "bob", "eve"), strict=True):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            told = pickle.dumps(session, protocol)
            assert [other for other in ("ada", "bob", "eve") if other != name and f"of {other}".encode() in told] == []
    del states(copies[0])["secret"]
    db.upsert_session(copies[0])
    assert states(db.get_session("ada", "team")) == {}


def test_a_deep_copy_and_its_original_are_merged(db):
    db.upsert_session(new(a=1))
    original = db.get_session("s", "team")
    other = copy.deepcopy(original)
    states(other)["b"] = 2
    db.upsert_session(other)
    states(original)["c"] = 3
    db.upsert_session(original)
    assert state(db, Team) == {"a": 1, "b": 2, "c": 3}


def test_so_many_new_sessions_are_known_at_once_and_no_more(db, monkeypatch):
    monkeypatch.setattr(carried, "_saved_by_a_copy", deque(maxlen=2))
    sessions = [new(f"s{n}", a=1) for n in range(3)]
    for session in sessions:
        db.upsert_session(copy.copy(session))
    for session in reversed(sessions):
        del states(session)["a"]
        db.upsert_session(copy.copy(session))
    assert [states(db.get_session(session.session_id, "team")) for session in sessions] == [{"a": 1}, {}, {}]
