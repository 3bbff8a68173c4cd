"""What nothing says how to store: marked where that is asked for, refused where it is not, with its path."""

from __future__ import annotations

import dataclasses
import enum
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_store import ConfigurationError, EncodingError, SqliteDb
from agno_store.encoding import DEEPEST
from tests.contract.database import stored
from tests.contract.samples import run, session
from tests.contract.values import exact, nested

SECRET = "hunter2"


class Client:
    """Something that holds a connection, and a secret."""

    def __repr__(self) -> str:
        return f"Client(password={SECRET!r})"

    __str__ = __repr__


class Wants(Client):
    def to_dict(self, registry: Any) -> dict[str, Any]:
        return {"registry": registry}


class Fails(Client):
    def to_dict(self) -> dict[str, Any]:
        raise RuntimeError(SECRET)


class Proxy:
    """As those of web frameworks, which raise for every question outside of a request."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(SECRET)


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Cart:
    owner: str
    client: Any
    empty: Any = None


@dataclasses.dataclass
class FailingCart(Cart):
    def to_dict(self) -> dict[str, Any]:
        return {"client": self.client.as_dict()}


def circle() -> dict[str, Any]:
    """A value that contains itself twice on each level: no walk through it may follow it."""
    value: dict[str, Any] = {"n": 1}
    value["here"] = value["there"] = [value, value]
    return value


def mark(kind: str, reason: str) -> dict[str, Any]:
    return {"$agno_store": "unstorable", "value": {"type": kind, "reason": reason}}


HERE = __name__
UNKNOWN = "nothing says how"
CLIENT = mark(f"{HERE}.Client", UNKNOWN)
CIRCLE = mark("builtins.dict", "it contains itself")
DEEP = mark("builtins.list", f"it is nested deeper than {DEEPEST} levels")

MARKED: dict[str, tuple[Any, Any]] = {
    "object": (Client(), CLIENT),
    "lock": (threading.Lock(), mark("_thread.lock", UNKNOWN)),
    "function": (len, mark("builtins.builtin_function_or_method", UNKNOWN)),
    "generator": ((n for n in range(3)), mark("builtins.generator", UNKNOWN)),
    "a to_dict() that wants an argument": (Wants(), mark(f"{HERE}.Wants", "its to_dict() raised TypeError")),
    "a to_dict() that fails": (Fails(), mark(f"{HERE}.Fails", "its to_dict() raised RuntimeError")),
    "what raises when it is looked at": (Proxy(), mark(f"{HERE}.Proxy", "it raised RuntimeError")),
    "in a list": ([1, [2, Client()], 3], [1, [2, CLIENT], 3]),
    "in a tuple": ((1, Client()), (1, CLIENT)),
    "in a set": ({Client()}, [CLIENT]),
    "in a dict": ({"a": Client(), "b": {1: Client()}}, {"a": CLIENT, "b": {1: CLIENT}}),
    "as a key": ({Client(): 1, "k": 2}, [[CLIENT, 1], ["k", 2]]),
    "in a dataclass": (Cart("ada", Client()), {"owner": "ada", "client": CLIENT, "empty": None}),
    "in a dataclass whose to_dict() fails": (FailingCart("ada", Client()), {"owner": "ada", "client": CLIENT}),
    "a circle": (circle(), {"n": 1, "here": [CIRCLE, CIRCLE], "there": [CIRCLE, CIRCLE]}),
    "keys that would become one": (
        {Color.RED: 1, "red": 2},
        [["red", 1], [mark("builtins.str", "it would become the same key as another one"), 2]],
    ),
    "a value beside its like": ([Client()] * 2, [CLIENT, CLIENT]),
}


@pytest.fixture
def marking(db: Any) -> Iterator[Any]:
    """The store of the test, with unstorable="mark"."""
    with type(db)(db_engine=db.db_engine, unstorable="mark") as store:
        yield store


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of agno_store since the last question."""

    def take() -> list[str]:
        found = [r.getMessage() for r in caplog.records if r.name == "agno_store" and r.levelno == logging.WARNING]
        caplog.clear()
        return found

    return take


@pytest.mark.parametrize(("value", "read"), MARKED.values(), ids=MARKED.keys())
def test_what_cannot_be_stored_is_marked_and_all_around_it_is_kept(marking: Any, value: Any, read: Any) -> None:
    before, after = {"before": [1, "\x00"]}, {"after": {2, 3}}
    marking.upsert_run(run("r", content=[before, value, after]), "s")
    marking.upsert_session(session("s", metadata={"v": value, **after}, session_data={"session_state": [value]}))
    found = marking.get_session("s")

    assert exact(found.runs[0].content) == exact([before, read, after])
    assert exact(found.metadata) == exact({"v": read, **after})
    assert exact(found.session_data) == exact({"session_state": [read]})


def test_what_is_too_deep_is_cut_where_it_is_too_deep(marking: Any) -> None:
    marking.upsert_run(run("r", content=nested(DEEPEST + 50)), "s")
    found, levels = marking.get_run("r").content, 0
    while found != DEEP and found != mark("builtins.dict", DEEP["value"]["reason"]):
        found, levels = found[0] if isinstance(found, list) else found["in"], levels + 1

    assert levels == DEEPEST - 1


# Without those that come back as the list of what stands in a set, or of the pairs of a dict, and are stored as such.
@pytest.mark.parametrize("name", sorted(set(MARKED) - {"in a set", "as a key", "keys that would become one"}))
def test_a_mark_that_was_read_is_stored_as_it_stands(marking: Any, name: str) -> None:
    value, read = MARKED[name]
    marking.upsert_session(session("s", metadata={"v": value}))
    first = stored(marking, "sessions", "metadata", session_id="s")
    marking.upsert_session({"session_id": "s", "metadata": marking.get_session("s").metadata})

    assert '"$agno_store":"unstorable"' in first
    assert stored(marking, "sessions", "metadata", session_id="s") == first
    assert exact(marking.get_session("s").metadata) == exact({"v": read})


def test_a_mark_can_be_stored_where_nothing_is_marked(db: Any) -> None:
    db.upsert_run(run("r", content=[CLIENT, {**CLIENT, "more": 1}, {"$agno_store": "unstorable", "value": 1}]), "s")

    assert db.get_run("r").content == [CLIENT, {**CLIENT, "more": 1}, {"$agno_store": "unstorable", "value": 1}]


WRITES: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any], Any], str]] = {
    "upsert_session": (
        lambda db, v: db.upsert_session(session("s", metadata={"v": v})),
        lambda db: db.get_session("s").metadata["v"],
        "session 's' is stored with a mark in the place of what cannot be stored: metadata.v (",
    ),
    "upsert_sessions": (
        lambda db, v: db.upsert_sessions([session("s", agent_data={"v": v})]),
        lambda db: db.get_session("s").agent_data["v"],
        "agent_data.v (",
    ),
    "insert_session_if_absent": (
        lambda db, v: db.insert_session_if_absent(session("new", metadata={"v": v})),
        lambda db: db.get_session("new").metadata["v"],
        "session 'new' is",
    ),
    "summary of a session": (
        lambda db, v: db.upsert_session(session("s", summary={"summary": "text", "topics": [v]})),
        lambda db: db.get_session("s").summary.topics[0],
        "summary.topics[0] (",
    ),
    "upsert_summary": (
        lambda db, v: db.upsert_summary("s", {"summary": "text", "v": v}),
        lambda db: db.get_summary("s").data["v"],
        "summary of session 's' is",
    ),
    "update_session_state": (
        lambda db, v: db.update_session_state("s", lambda state: {"v": v}),
        lambda db: db.get_session("s").session_data["session_state"]["v"],
        "session_data.session_state.v (",
    ),
    "rename_session": (
        lambda db, v: db.rename_session("s", None, v),
        lambda db: db.get_session("s").session_data["session_name"],
        "session_data.session_name (",
    ),
    "upsert_run": (
        lambda db, v: db.upsert_run(run("r", content={"v": v}), "s"),
        lambda db: db.get_run("r").content["v"],
        "run 'r' of session 's' is stored with a mark in the place of what cannot be stored: run_data.content.v (",
    ),
    "append_run": (
        lambda db, v: db.append_run_to_session_if_absent("s", run("new", content=v)),
        lambda db: db.get_run("new").content,
        "run_data.content (",
    ),
    "update_run_in_session": (
        lambda db, v: db.update_run_in_session("s", "r", {"content": v}),
        lambda db: db.get_run("r").content,
        "run_data.content (",
    ),
    "session_data with a run": (
        lambda db, v: db.update_run_in_session("s", "r", {}, session_data={"v": v}),
        lambda db: db.get_session("s").session_data["v"],
        "session_data.v (",
    ),
}


@pytest.mark.parametrize(("write", "read", "said"), WRITES.values(), ids=WRITES.keys())
def test_every_writer_marks_and_warns_of_the_place(
    marking: Any, warnings: Callable[[], list[str]], write: Any, read: Any, said: str
) -> None:
    marking.upsert_session(session("s", session_data={}))
    marking.upsert_run(run("r"), "s")
    warnings()
    write(marking, Client())
    [warning] = warnings()

    assert read(marking) == CLIENT
    assert said in warning
    assert f"{HERE}.Client: {UNKNOWN}" in warning
    assert "to_dict()" in warning
    assert "unstorable='raise'" in warning


def test_no_text_of_what_is_marked_is_stored_or_told(marking: Any, warnings: Callable[[], list[str]]) -> None:
    for value in (Client(), Wants(), Fails(), Proxy(), {Client(): Client()}, FailingCart("ada", Client())):
        marking.upsert_session(session("s", session_data={"session_name": value, "v": value}))
        marking.upsert_run(run("r", content=value), "s")

        assert SECRET not in stored(marking, "runs", "run_data", run_id="r")
        assert SECRET not in stored(marking, "sessions", "session_data", session_id="s")
        assert SECRET not in str(stored(marking, "sessions", "name_folded", session_id="s"))
    assert SECRET not in str(warnings())


def test_a_warning_names_some_of_many_places(marking: Any, warnings: Callable[[], list[str]]) -> None:
    marking.upsert_run(run("r", content=[{"k" * 5000: Client()}] + [Client()] * 1000), "s")
    [warning] = warnings()

    assert "run_data.content[4]" in warning
    assert "and 996 more" in warning
    assert len(warning) < 1200


def test_what_is_not_marked_is_not_warned_of(marking: Any, warnings: Callable[[], list[str]]) -> None:
    marking.upsert_run(run("r", content=[{1, 2}, {"v": CLIENT}]), "s")
    marking.upsert_session(session("s", metadata={"n": 1}))

    assert warnings() == []


@pytest.mark.parametrize("options", [{}, {"unstorable": None}, {"unstorable": "raise"}], ids=str)
def test_dicts_and_records_are_refused_unless_marks_are_asked_for(db: Any, options: dict[str, Any]) -> None:
    store = type(db)(db_engine=db.db_engine, **options)
    with pytest.raises(EncodingError) as refused:
        store.upsert_run(run("r", content=Fails()), "s")

    assert refused.value.path == "run_data.content"
    assert SECRET not in str(refused.value)
    assert store.get_session("s") is None


def test_an_unheard_of_choice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unstorable='drop': it must be 'mark' or 'raise'"):
        SqliteDb(db_url="sqlite://", unstorable="drop")


@pytest.mark.backends("sqlite")
def test_a_pickled_store_keeps_its_choice(opened: Callable[..., Any]) -> None:
    with pickle.loads(pickle.dumps(opened(unstorable="mark"))) as copied:
        copied.upsert_run(run("r", content=Client()), "s")
        assert copied.get_run("r").content == CLIENT


class Changes:
    """Changes what it stands in while it is looked at, as another thread may at any moment."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def to_dict(self) -> dict[str, Any]:
        self.state[f"new {len(self.state)}"] = 1
        return {}


def test_a_value_that_changes_while_it_is_stored_is_stored_as_it_was(db: Any) -> None:
    state: dict[str, Any] = {"first": 1}
    state["changes"] = Changes(state)
    state["last"] = 2
    db.upsert_run(run("r", content=state), "s")

    assert db.get_run("r").content == {"first": 1, "changes": {}, "last": 2}
    assert len(state) == 4
