"""Payloads and ids: what comes back is what went in, to the last bit and on every backend."""

from __future__ import annotations

import enum
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings

from agno_store import AgnoStoreError, EncodingError, Run
from tests.contract.database import ask, dump, quoted
from tests.contract.samples import listed, run, run_ids, session
from tests.contract.values import EMOJI, NASTY_TEXTS, ODD_NUMBERS, exact, nested, objects

# One database serves all examples of a test; each overwrites the row of the last.
on_a_database = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
all_nasty_texts = pytest.mark.parametrize("text", NASTY_TEXTS.values(), ids=NASTY_TEXTS.keys())

PAYLOADS = ("session_data", "agent_data", "team_data", "workflow_data", "metadata")


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


@dataclass(frozen=True)
class Point:
    x: int
    y: Any


Pair = namedtuple("Pair", "left right")


# -- JSON --------------------------------------------------------------------------------------------


@on_a_database
@given(objects)
@example({"pair": "\ud83d\ude00", "\ud83d\ude00": "😀", "\\u0000": "\x00", "\x00": "\\u0000"})
def test_whatever_a_run_holds_comes_back(db: Any, value: dict[str, Any]) -> None:
    db.upsert_run({"run_id": "r", "agent_id": "a", "content": value, "messages": [value]}, "s")
    found = db.get_run("r")

    assert exact(found.content) == exact(value)
    assert exact(db.get_session("s", deserialize=False)["runs"][0]["messages"]) == exact([value])
    assert is_json_to_the_database(db, "runs", "run_data")


@on_a_database
@given(objects)
def test_whatever_a_session_holds_comes_back(db: Any, value: dict[str, Any]) -> None:
    saved = db.upsert_session(session("s", **dict.fromkeys(PAYLOADS, value)), deserialize=False)
    found = db.get_session("s", deserialize=False)

    for name in PAYLOADS:
        assert exact(found[name]) == exact(saved[name]) == exact(value)
    assert is_json_to_the_database(db, "sessions", "session_data")


@on_a_database
@given(objects)
def test_whatever_a_state_holds_comes_back(db: Any, value: dict[str, Any]) -> None:
    db.upsert_session({"session_id": "s"})

    assert exact(db.update_session_state("s", lambda _: value)) == exact(value)
    assert exact(db.get_session("s").session_data["session_state"]) == exact(value)


@all_nasty_texts
def test_a_text_comes_back_wherever_it_stands(db: Any, text: str) -> None:
    given = run("r", content=text, messages=[{text: text, f"{text}{text}": [text]}])
    data = {"session_name": text, "session_state": {text: text}}
    db.upsert_session(session("s", session_data=data, workflow_name=text, summary={"summary": text, "topics": [text]}))
    db.upsert_run(given, "s")
    found = db.get_session("s")

    assert exact(found.session_data) == exact(data)
    assert exact(found.runs[0].run_data) == exact(given)
    assert (found.workflow_name, found.summary.summary, found.summary.topics) == (text, text, [text])
    assert is_json_to_the_database(db, "runs", "run_data")
    assert is_json_to_the_database(db, "sessions", "session_data")


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=repr)
def test_a_number_comes_back_to_the_last_bit(db: Any, number: float) -> None:
    db.upsert_run(run("r", content={"n": number, "all": [number, -number]}), "s")

    assert exact(db.get_run("r").content) == exact({"n": number, "all": [number, -number]})
    assert is_json_to_the_database(db, "runs", "run_data")


def test_the_order_of_keys_is_kept(db: Any) -> None:
    value = {"z": 1, "a": 2, "": 3, "10": 4, "9": 5, "Z": {"b": 1, "a": 2}}
    db.upsert_session(session("s", metadata=value))

    assert exact(db.get_session("s").metadata) == exact(value)


def test_deep_values_come_back(db: Any) -> None:
    db.upsert_session(session("s", metadata={"deep": nested(200)}))
    db.upsert_run(run("r", content=nested(200, Decimal("1.50"))), "s")

    assert exact(db.get_session("s").metadata["deep"]) == exact(nested(200))
    assert exact(db.get_run("r").content) == exact(nested(200, Decimal("1.50")))


def is_json_to_the_database(db: Any, table: str, column: str) -> bool:
    """Whether every stored payload is JSON to the server's own functions."""
    source = quoted(db, {"runs": db.names.runs, "sessions": db.names.sessions}[table])
    if db.dialect.title == "PostgreSQL":
        ask(db, f"SELECT {column} ->> 'content' FROM {source}")
        return all(ask(db, f"SELECT {column}::jsonb IS NOT NULL FROM {source}"))
    return all(ask(db, f"SELECT json_valid({column}) FROM {source}"))


def test_a_payload_can_be_searched_by_the_database(db: Any) -> None:
    db.upsert_run(run("r", content="found"), "s")
    column = "run_data ->> 'content'" if db.dialect.title != "MySQL/MariaDB" else "JSON_VALUE(run_data, '$.content')"

    assert ask(db, f"SELECT {column} FROM {quoted(db, db.names.runs)}") == ["found"]


# -- what JSON cannot say ----------------------------------------------------------------------------

KEPT = {
    "set": {1, "two", (3,)},
    "frozenset": frozenset({1, 2}),
    "tuple": (1, ("two", [3])),
    "empty ones": [(), set(), frozenset(), b""],
    "decimal": [Decimal("1.10"), Decimal("-0"), Decimal("1E+400"), Decimal("Infinity")],
    "bytes": [b"\x00\xff", bytearray(b"ab")],
    "datetime": [
        datetime(2026, 1, 2, 3, 4, 5, 6),
        datetime(2026, 1, 2, tzinfo=timezone.utc),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30, seconds=-7))),
    ],
    "date": [date(2026, 1, 2), date.min, date.max],
    "time": [time(1, 2, 3, 4), time(1, tzinfo=timezone.utc)],
    "timedelta": [timedelta(days=-1, microseconds=7), timedelta.max, timedelta.min],
    "uuid": UUID(int=2**127 + 1),
    "complex": [1 + 2j, complex(-0.0, 0.1)],
    "infinity": [float("inf"), float("-inf")],
    "keys that are no strings": {1: "a", None: "b", False: "f", 1.5: "c", (1, 2): "d", date(2026, 1, 2): "e"},
    "keys that look alike": {1: "number", "1": "text", None: "none", "None": "text", "null": "text"},
    "our own tag": {"$agno_store": "uuid", "value": "no uuid"},
    "our own tag alone": {"$agno_store": 1},
    "our own tag as text": ["$agno_store", {"x": '{"$agno_store":"set","value":[]}'}],
    "integers of thousands of digits": [10**4300, -(10**5000), {"n": 2**20_000}],
    "integers of thousands of digits as keys": {10**5000: "n"},
    "inside each other": {(1, frozenset({2})): {"x": [{Decimal(1)}, {b"k": (date.min,)}]}},
}

BECOMES = {
    "enum": ([Color.RED, Level.HIGH], ["red", 3]),
    "enum of a tuple": (Color.PAIR, (1, 2)),
    "enum as a key": ({Color.RED: 1}, {"red": 1}),
    "dataclass": (Point(1, {2}), {"x": 1, "y": {2}}),
    "set of dataclasses": ({Point(1, 2)}, [{"x": 1, "y": 2}]),
    "frozenset of dataclasses": (frozenset({Point(1, 2)}), [{"x": 1, "y": 2}]),
    "dataclass as a key": ({Point(1, 2): "v"}, [[{"x": 1, "y": 2}, "v"]]),
    "named tuple": (Pair(1, 2), (1, 2)),
    "subclass of str": ({Text("k"): Text("v")}, {"k": "v"}),
    "ordered dict": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "path": (PurePosixPath("/tmp/x"), "/tmp/x"),
    "class": (Point, str(Point)),
    "object with to_dict": (Run("r", {"n": 1}), {"n": 1}),
}


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT.keys())
def test_what_json_cannot_say_comes_back_as_it_was(db: Any, value: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": value}, metadata={"v": value}))
    db.upsert_run(run("r", content=value), "s")
    found = db.get_session("s")

    for read in (found.metadata["v"], found.session_data["session_state"], found.runs[0].content):
        assert exact(read) == exact(value)
    assert is_json_to_the_database(db, "runs", "run_data")


@pytest.mark.parametrize(("value", "read"), BECOMES.values(), ids=BECOMES.keys())
def test_what_is_not_kept_becomes_what_stands_for_it(db: Any, value: Any, read: Any) -> None:
    db.upsert_run(run("r", content=value), "s")

    assert exact(db.get_run("r").content) == exact(read)


def test_not_a_number_comes_back(db: Any) -> None:
    db.upsert_run(run("r", content=[float("nan"), Decimal("NaN"), complex("nan+1j")]), "s")

    assert [str(value) for value in db.get_run("r").content] == ["nan", "NaN", "(nan+1j)"]


class Stranger:
    """Something nobody knows how to store."""


UNSTORABLE = {
    "object": (Stranger(), ""),
    "in a list": ([1, [2, Stranger()]], "[1][1]"),
    "in a dict": ({"a": {"b c": Stranger()}}, ".a.b c"),
    "in a set": ({Stranger()}, "[0]"),
    "under a key that is no string": ({7: [Stranger()]}, "[7][0]"),
    "in a dataclass": (Point(1, [Stranger()]), ".y[0]"),
    "function": (len, ""),
    "generator": ((n for n in range(3)), ""),
    "fraction": ([Fraction(1, 3)], "[0]"),
    "exception": ({"error": ValueError("x")}, ".error"),
}
WRITERS = {
    "upsert_session": ("metadata.v", lambda db, v: db.upsert_session(session("s", metadata={"v": v}))),
    "upsert_sessions": (
        "agent_data.v",
        lambda db, v: db.upsert_sessions([session("new"), session("s", agent_data={"v": v})]),
    ),
    "insert_session_if_absent": (
        "metadata.v",
        lambda db, v: db.insert_session_if_absent(session("new", metadata={"v": v})),
    ),
    "update_session_state": (
        "session_data.session_state.v",
        lambda db, v: db.update_session_state("s", lambda state: {"v": v}),
    ),
    "rename_session": ("session_data.session_name", lambda db, v: db.rename_session("s", None, v)),
    "upsert_run": ("run_data.content", lambda db, v: db.upsert_run(run("r", content=v), "s")),
    "upsert_run of a new session": ("run_data.content", lambda db, v: db.upsert_run(run("r", content=v), "new")),
    "append_run": ("run_data.content", lambda db, v: db.append_run_to_session_if_absent("s", run("new", content=v))),
    "update_run_in_session": ("run_data.v", lambda db, v: db.update_run_in_session("s", "r", {"v": v})),
    "upsert_summary": ("summary.v", lambda db, v: db.upsert_summary("s", {"summary": "x", "v": v})),
    "topics of a summary": (
        "summary.topics[0]",
        lambda db, v: db.upsert_summary("s", {"summary": "x", "topics": [v]}),
    ),
}


@pytest.mark.parametrize(("value", "path"), UNSTORABLE.values(), ids=UNSTORABLE.keys())
def test_a_value_that_cannot_be_stored_is_named_by_its_path(db: Any, value: Any, path: str) -> None:
    before = dump(db)
    with pytest.raises(EncodingError) as raised:
        db.upsert_run(run("r", content=value), "s")

    assert raised.value.path == f"run_data.content{path}"
    assert raised.value.path in str(raised.value)
    assert isinstance(raised.value, TypeError)
    assert isinstance(raised.value, ValueError)
    assert dump(db) == before


@pytest.mark.parametrize(("path", "write"), WRITERS.values(), ids=WRITERS.keys())
def test_a_value_that_cannot_be_stored_is_refused_by_every_writer(db: Any, path: str, write: Any) -> None:
    db.upsert_session(session("s", session_data={"session_name": "n"}, summary={"summary": "text"}))
    db.upsert_run(run("r"), "s")
    before = dump(db)
    with pytest.raises(EncodingError) as raised:
        write(db, Stranger())

    assert raised.value.path == path
    assert dump(db) == before


def test_a_value_that_contains_itself_is_refused(db: Any) -> None:
    loop: dict[str, Any] = {}
    loop["in"] = [loop]
    with pytest.raises(EncodingError, match="contains itself"):
        db.upsert_run(run("r", content=loop), "s")

    assert dump(db)["sessions"] == []


# -- ids ---------------------------------------------------------------------------------------------

DIFFERENT = (
    *("ABC", "abc", "Abc", "äbc", "a\u0308bc", "abc ", " abc", "abc  ", "abc\t", "abc\x00", "abc\\u0000", "ａｂｃ"),
    *("straße", "strasse", "ß", "ss", "ı", "i", "I", "😀", "😁", "\ud83d\ude00", "\ud83d", EMOJI, "%", "_", "'", "\\"),
    *("0", "00", "\x1a", "\x1a0", "\x1a\x1a", "x" * 255, "x" * 254, "😀" * 255, "é" * 255, "null", "None"),
)


def test_ids_are_compared_by_their_characters(db: Any) -> None:
    for n, name in enumerate(DIFFERENT):
        db.upsert_session(session(name, user_id=name, agent_id=name, metadata={"n": n}))
        db.upsert_run(run(name, content=n, agent_id=name), name)
        db.upsert_run(run(name, content=n, agent_id=name), "all together")

    assert run_ids(db, "all together") == list(DIFFERENT)
    assert set(listed(db)) == {*DIFFERENT, "all together"}
    for n, name in enumerate(DIFFERENT):
        found = db.get_session(name)
        assert (found.session_id, found.user_id, found.metadata) == (name, name, {"n": n})
        assert listed(db, user_id=name) == listed(db, component_id=name)[-1:] == [name]
        assert db.get_run(name, session_id="all together").content == n
        assert [other.content for other in db.get_runs(session_id="all together", agent_id=name)] == [n]


def test_only_the_very_id_is_deleted(db: Any) -> None:
    for name in DIFFERENT:
        db.upsert_run(run(name), "s")
        db.upsert_session(session(name, user_id=name))
    left = set(DIFFERENT)
    for name in ("abc", "straße", "\ud83d", "😀", "%", "\x1a"):
        assert db.delete_session(name, user_id=f"{name} ") is False
        assert db.delete_session(name, user_id=name) is True
        assert db.delete_run(name, session_id="s") is True
        left.discard(name)

    assert set(listed(db)) == {*left, "s"}
    assert set(run_ids(db, "s")) == left


# -- size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["x", "é", "😀", "\x00"], ids=["ascii", "two bytes", "four bytes", "nul"])
def test_two_million_characters_come_back(db: Any, text: str) -> None:
    content = text * 2_000_000
    db.upsert_run(run("r", content=content), "s")

    assert db.get_run("r").content == content


def test_a_run_of_20_megabytes_comes_back_or_is_refused_and_harms_nothing(db: Any) -> None:
    content = "0123456789" * 2_000_000
    db.upsert_run(run("small"), "s")
    before = dump(db)
    limit = ask(db, "SELECT @@max_allowed_packet")[0] if db.dialect.title == "MySQL/MariaDB" else float("inf")
    if limit > 2 * len(content):
        db.upsert_run(run("r", content=content), "s")
        assert db.get_run("r").content == content
        return
    with pytest.raises(AgnoStoreError):
        db.upsert_run(run("r", content=content), "s")

    assert dump(db) == before
    db.upsert_run(run("after"), "s")
    assert run_ids(db, "s") == ["small", "after"]
