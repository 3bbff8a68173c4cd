"""What a program lets be stored, and what it is told: every way to store something passes by."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agno_store import ConfigurationError, EncodingError, InvalidArgument, Receipt, Session
from agno_store.hooks import Appended, Write
from tests.contract import stores
from tests.contract.database import dump
from tests.contract.samples import append, run, run_ids, session
from tests.contract.sealing import places

SECRET, GONE = "4111-1111", "[removed]"

Open = Callable[..., Any]


def without_secrets(value: Any) -> Any:
    """Return a value without the secret, wherever it stands."""
    if isinstance(value, str):
        return value.replace(SECRET, GONE)
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


class Redacting:
    """A hook that removes the secret, and notes what it was asked about."""

    def __init__(self) -> None:
        self.asked: list[Write] = []

    def __call__(self, write: Write) -> Any:
        self.asked.append(write)
        return without_secrets(write.payload)


# -- what is stored ------------------------------------------------------------------------------------

NOTE = {"note": SECRET, "deep": [{"note": SECRET}], "kept": 1}
SUMMARY = {"summary": f"paid with {SECRET}", "topics": [SECRET], "more": SECRET}

WAYS: dict[str, Callable[[Any], object]] = {
    "upsert_session": lambda db: db.upsert_session(session("new", metadata=NOTE, session_data=NOTE)),
    "upsert_session with a name": lambda db: db.upsert_session(session("s", session_data={"session_name": SECRET})),
    "upsert_session with a summary": lambda db: db.upsert_session(session("s", summary=SUMMARY)),
    "upsert_session with a run": lambda db: db.upsert_session(session("s"), run=run("new", SECRET)),
    "upsert_session of a record": lambda db: db.upsert_session(Session("s", workflow_data=NOTE)),
    "upsert_sessions": lambda db: db.upsert_sessions([session("s", metadata=NOTE), session("new", agent_data=NOTE)]),
    "insert_session_if_absent": lambda db: db.insert_session_if_absent(session("new", team_data=NOTE)),
    "rename_session": lambda db: db.rename_session("s", "agent", f"Card {SECRET}"),
    "update_session_state": lambda db: db.update_session_state("s", lambda state: {**state, **NOTE}),
    "upsert_run": lambda db: db.upsert_run(run("new", SECRET, messages=[NOTE]), "s"),
    "upsert_run of a stored run": lambda db: db.upsert_run(run("r", SECRET), "s"),
    "append_run_to_session_if_absent": lambda db: db.append_run_to_session_if_absent("s", run("new", SECRET)),
    "cancel_pending_run": lambda db: db.cancel_pending_run("waits", session_id="s", reason=SECRET),
    "update_run_in_session": lambda db: db.update_run_in_session(
        "s", "waits", {"note": SECRET}, session_data=NOTE, content_if_absent=SECRET
    ),
    "upsert_summary": lambda db: db.upsert_summary("s", SUMMARY),
}

STORE_NO_PAYLOAD = {"delete_run", "delete_runs", "delete_session", "delete_sessions", "delete_user", "prune"}
STORE_NO_PAYLOAD |= {"reassign_session_owner", "rekey", "import_from"}


def furnish(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": {"kept": 1}}))
    append(db, "s", "r")
    db.upsert_run({"run_id": "waits", "status": "PENDING"}, "s")


@pytest.mark.backends("sqlite")
@pytest.mark.variant
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_nothing_is_stored_but_what_the_hook_returns(db: Any, beside: Open, way: Callable[[Any], object]) -> None:
    furnish(db)
    hook = Redacting()
    way(beside(before_write=hook))
    assert hook.asked
    assert places(db, SECRET) == []
    assert places(db, GONE) != []
    db.delete_sessions(["s", "new"])
    furnish(db)
    way(db)  # without, it would be there
    assert places(db, SECRET) != []


def test_every_call_that_stores_a_payload_is_tried() -> None:
    from tests.faults.methods import WRITES

    assert {way.split()[0] for way in WAYS} == WRITES.keys() - STORE_NO_PAYLOAD


@pytest.mark.backends("sqlite")
def test_the_hook_is_told_what_it_is_asked_about(db: Any, beside: Open) -> None:
    hook = Redacting()
    store = beside(before_write=hook)
    store.upsert_session(session("s", user_id="ada", metadata={"a": 1}, summary={"summary": "x"}), run=run("r"))
    store.update_session_state("s", lambda state: {"n": 1}, user_id="ada")
    store.update_run_in_session("s", "r", {"content": "new"})
    assert hook.asked == [
        Write("session", {"metadata": {"a": 1}}, "s", "ada"),
        Write("summary", {"summary": "x", "topics": None}, "s", "ada"),
        Write("run", run("r"), "s", "ada", "r"),
        Write("session", {"session_data": {"session_state": {"n": 1}}}, "s", "ada", is_part=True),
        Write("run", {"content": "new"}, "s", None, "r", is_part=True),
    ]


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_what_the_caller_holds_stays_and_what_he_gets_is_what_is_stored(beside: Open) -> None:
    def spoil(write: Write) -> Any:
        for value in write.payload.values():
            if isinstance(value, dict):
                value.clear()
        write.payload["content"] = GONE
        return {name: write.payload[name] for name in write.payload if name != "content" or write.kind == "run"}

    store, given, made = beside(before_write=spoil), session("s", metadata=copy.deepcopy(NOTE)), run("r", more={"a": 1})
    before = copy.deepcopy((given, made))
    returned = store.upsert_session(given, run=made)
    assert (given, made) == before
    assert returned.metadata == {}
    assert (store.get_run("r").content, store.get_run("r").run_data["more"]) == (GONE, {})


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_a_payload_that_the_answer_leaves_out_stays_as_it_is_stored(db: Any, beside: Open) -> None:
    store = beside(before_write=lambda write: {k: v for k, v in write.payload.items() if k != "metadata"})
    db.upsert_session(session("s", metadata={"a": 1}))
    store.upsert_session(session("s", metadata={"b": 1}, session_data={"c": 1}))
    assert (db.get_session("s").metadata, db.get_session("s").session_data) == ({"a": 1}, {"c": 1})


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_what_was_removed_is_no_change_of_its_reader(db: Any, beside: Open) -> None:
    store = beside(before_write=Redacting())
    held = store.upsert_session(Session("s", metadata={"card": SECRET}, session_data={"n": 1}))
    mine = replace(held, metadata={"card": SECRET})  # as an agent holds it still
    store.upsert_session(replace(store.get_session("s"), metadata={"card": "none"}))
    store.upsert_session(replace(mine, session_data={"n": 2}))
    assert db.get_session("s").session_data == {"n": 2}
    assert db.get_session("s").metadata == {"card": "none"}


@pytest.mark.backends("sqlite")
def test_a_run_may_be_left_out(db: Any, beside: Open) -> None:
    def without_members(write: Write) -> Any:
        return None if write.kind == "run" and write.payload.get("content") == "drop" else write.payload

    store = beside(before_write=without_members)
    receipt = store.upsert_run(run("a", "drop"), "s")
    assert (receipt.run_id, receipt.version, receipt.run_index, receipt.is_new) == ("a", 0, None, None)
    assert store.get_session("s") is None
    store.upsert_session(session("s", metadata={"a": 1}), run=run("b", "drop"))
    assert store.append_run_to_session_if_absent("s", run("c", "drop")) is False
    assert store.upsert_run(run("d"), "s") == Receipt("s", 1, store.get_run("d").updated_at, "d", 0, True)
    store.upsert_run(run("d", "drop"), "s")
    assert run_ids(db, "s") == ["d"]
    assert db.get_run("d").content == "hello"


class Refused(Exception):
    """What the program raises."""


def refuse(_write: Write) -> Any:
    raise Refused


WRONG: dict[str, tuple[Callable[[Write], Any], type[Exception]]] = {
    "raises": (refuse, Refused),
    "returns a text": (lambda write: "text", InvalidArgument),
    "returns what cannot be stored": (lambda write: {name: {"x": object()} for name in write.payload}, EncodingError),
}


@pytest.mark.backends("sqlite")
@pytest.mark.variant
@pytest.mark.parametrize(("hook", "error"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("way", ["upsert_session", "upsert_run", "upsert_summary", "update_session_state"])
def test_nothing_is_written_where_the_hook_fails(
    db: Any, beside: Open, way: str, hook: Callable[[Write], Any], error: type[Exception]
) -> None:
    furnish(db)
    before = dump(db)
    with pytest.raises((error, InvalidArgument) if way == "upsert_summary" else error):
        WAYS[way](beside(before_write=hook))
    assert dump(db) == before


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_only_a_whole_run_can_be_left_out(db: Any, beside: Open) -> None:
    furnish(db)
    before, store = dump(db), beside(before_write=lambda write: None)
    for way in ("upsert_session", "upsert_summary", "rename_session", "update_session_state", "cancel_pending_run"):
        with pytest.raises(InvalidArgument, match="only a whole run can be left out"):
            WAYS[way](store)
    for answer, said in (({"more": {}}, "returned more"), ({"metadata": "text"}, "metadata as a str")):
        with pytest.raises(InvalidArgument, match=said):
            beside(before_write=lambda write, answer=answer: answer).upsert_session(session("s", metadata={}))
    assert dump(db) == before


@pytest.mark.backends("sqlite")
@pytest.mark.variant
@pytest.mark.parametrize("way", ["upsert_session", "rename_session", "update_session_state", "update_run_in_session"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [({1: {}, "more": {}}, "returned 1, more for a session"), ({"session_data": "text"}, "session_data as a str")],
    ids=["names that are none", "a text"],
)
def test_what_is_no_payload_of_a_session_is_refused(
    db: Any, beside: Open, way: str, answer: dict[Any, Any], said: str
) -> None:
    furnish(db)
    before, store = dump(db), beside(before_write=lambda w: answer if w.kind == "session" else w.payload)
    with pytest.raises(InvalidArgument, match=said):
        WAYS[way](store)
    assert dump(db) == before


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_a_run_stays_the_one_it_is_whatever_is_removed(db: Any, beside: Open) -> None:
    def without_digits(write: Write) -> Any:
        kept = {key: re.sub(r"\d", "#", value) for key, value in write.payload.items() if key != "session_id"}
        return {**kept, "team_id": "another"}

    store, ids = beside(before_write=without_digits), {"run_id": "r1", "session_id": "s1", "agent_id": "a1"}
    store.upsert_run({**ids, "status": "PENDING", "content": "12"}, "s1", user_id="u1")
    assert db.get_run("r1").run_data == {**ids, "status": "PENDING", "content": "##"}
    store.update_run_in_session("s1", "r1", {"run_id": "r1", "content": "34", "status": "STEP2"})
    found = db.get_run("r1")
    assert (found.run_data, found.status) == ({**ids, "status": "STEP2", "content": "##"}, "STEP2")


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_the_hook_cannot_call_the_store_in_the_middle_of_a_transaction(db: Any, beside: Open) -> None:
    furnish(db)
    store: Any = None

    def ask(write: Write) -> Any:
        store.get_session("s")
        return write.payload

    store = beside(before_write=ask)
    with pytest.raises(InvalidArgument, match="wait for itself"):
        store.update_session_state("s", lambda state: {"n": 1})
    store.upsert_run(run("new"), "s")


# -- what is told --------------------------------------------------------------------------------------


def test_a_new_run_is_told_of_when_it_is_stored(db: Any, beside: Open) -> None:
    told: list[Any] = []
    store = beside(on_append=lambda new: told.append((new, db.get_run(new.run_id, session_id="s").content)))
    store.upsert_run(run("a", user_id="ada"), "s")
    store.upsert_run(run("a", "changed"), "s")
    store.upsert_session(session("s", user_id="ada", metadata={"n": 1}), run=run("b"))
    store.upsert_session(replace(store.get_session("s"), metadata={"n": 2}), run=run("c"))
    assert store.append_run_to_session_if_absent("s", run("d"), "ada") is True
    assert store.append_run_to_session_if_absent("s", run("d"), "ada") is False
    store.update_run_in_session("s", "d", {"content": "x"})
    assert told == [(Appended("s", name, n, "agent", "ada"), "hello") for n, name in enumerate("abcd")]


def test_a_tenants_run_is_told_of_as_his(beside: Open) -> None:
    told: list[Appended] = []
    beside(on_append=told.append, tenant_id="acme").upsert_run(run("a"), "s")
    assert told == [Appended("s", "a", 0, "agent", None, "acme")]


def test_a_run_is_stored_whatever_the_hook_does(db: Any, beside: Open, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Appended) -> None:
        raise Refused("no queue")

    with caplog.at_level(logging.ERROR, "agno_store"):
        receipt = beside(on_append=fail).upsert_run(run("a"), "s")
    assert receipt.is_new
    assert run_ids(db, "s") == ["a"]
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "ERROR",
        "on_append raised for run 'a' of session 's', which is stored",
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Refused)


def test_nobody_is_told_of_what_was_not_stored(db: Any, beside: Open) -> None:
    told: list[Appended] = []
    store = beside(on_append=told.append)
    db.upsert_session(session("s", user_id="ada"))
    with pytest.raises(PermissionError):
        store.upsert_run(run("a"), "s", user_id="bob")
    with pytest.raises(PermissionError):
        store.upsert_sessions([session("t"), session("s", user_id="bob")])
    assert told == []


def test_each_run_is_told_of_once_whoever_else_stores_it(db: Any, beside: Open) -> None:
    told: list[Appended] = []
    writers, runs = [beside(on_append=told.append) for _ in range(4)], [f"r{n}" for n in range(12)]

    def write(store: Any) -> None:
        for run_id in runs:
            store.upsert_run(run(run_id), "s")

    if stores.is_async():
        stores.together(*(lambda store=store: write(store) for store in writers))
    else:
        threads = [threading.Thread(target=write, args=(store,)) for store in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(each.run_id for each in told) == Counter(runs)
    assert {each.run_id: each.run_index for each in told} == {
        row["run_id"]: row["run_index"] for row in dump(db)["runs"]
    }


async def _awaits(_: Appended) -> None: ...


class Telling:
    """An object that is called as a coroutine function is."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    async def __call__(self, new: Appended) -> None:
        await asyncio.sleep(0)
        self._told.append(new.run_id)


def test_a_coroutine_function_is_awaited_by_an_asynchronous_store_alone(beside: Open) -> None:
    told: list[str] = []

    async def tell(new: Appended) -> None:
        await asyncio.sleep(0)
        told.append(new.run_id)

    if not stores.is_async():
        for hook in (tell, Telling(told)):
            with pytest.raises(ConfigurationError, match="no coroutine function"):
                beside(on_append=hook)
        return
    beside(on_append=tell).upsert_run(run("a"), "s")
    beside(on_append=Telling(told)).upsert_run(run("b"), "s")
    beside(on_append=lambda new: tell(new)).upsert_run(run("c"), "s")
    assert told == ["a", "b", "c"]


@pytest.mark.variant
@pytest.mark.parametrize(
    "wrong",
    [{"before_write": 5}, {"on_append": "f"}, {"before_write": _awaits}],
    ids=["a number", "a text", "a coroutine function"],
)
def test_what_cannot_be_called_is_refused(beside: Open, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        beside(**wrong)
