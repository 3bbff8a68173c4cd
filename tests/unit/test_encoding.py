"""The encoding by itself: what the text looks like, and that it can always be undone."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timezone
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings

from agno_store import EncodingError, encoding, escapes, plain
from agno_store.encoding import DEEPEST, decode, encode
from agno_store.escapes import escape, unescape
from agno_store.plain import TAG
from tests.contract.values import NASTY_TEXTS, ODD_NUMBERS, exact, nested, texts, values

quickly = settings(max_examples=300)
all_nasty_texts = pytest.mark.parametrize("text", NASTY_TEXTS.values(), ids=NASTY_TEXTS.keys())


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes a text: no NUL, no surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


# -- ids ---------------------------------------------------------------------------------------------


@quickly
@given(texts)
def test_any_text_can_be_an_id(text: str) -> None:
    assert unescape(escape(text)) == text
    assert is_storable(escape(text))


@all_nasty_texts
def test_nasty_texts_can_be_ids(text: str) -> None:
    assert unescape(escape(text)) == text
    assert is_storable(escape(text))


@quickly
@given(texts, texts)
def test_two_ids_never_become_one(one: str, two: str) -> None:
    assert (escape(one) == escape(two)) == (one == two)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("äöü 🎉", "äöü 🎉"),
        ("\\u0000", "\\u0000"),
        ("a\x00b", "a\x1a0b"),
        ("\ud83d", "\x1ad83d"),
        ("\udfff", "\x1adfff"),
        ("\x1a", "\x1a\x1a"),
        ("\x1a0", "\x1a\x1a0"),
        ("\x1a\x00", "\x1a\x1a\x1a0"),
    ],
)
def test_only_what_databases_refuse_is_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped
    assert unescape(escaped) == text


# -- payloads ----------------------------------------------------------------------------------------


@quickly
@given(values)
def test_any_json_comes_back_to_the_last_bit(value: Any) -> None:
    text = encode(value, "v")

    assert exact(decode(text)) == exact(value)
    assert is_storable(text)
    assert "\\u0000" not in text.replace("\\\\", "")
    json.loads(text)


@all_nasty_texts
@pytest.mark.parametrize("shape", [lambda t: t, lambda t: [t, t], lambda t: {t: t}, lambda t: {t + t: [{t: (t,)}]}])
def test_nasty_texts_come_back_from_every_place(text: str, shape: Any) -> None:
    assert exact(decode(encode(shape(text), "v"))) == exact(shape(text))


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=repr)
def test_numbers_come_back_to_the_last_bit(number: float) -> None:
    assert exact(decode(encode([number, {"n": number}], "v"))) == exact([number, {"n": number}])


def near(number: float) -> list[float]:
    return [sign * beside for beside in (math.nextafter(number, 0), number, number * 1.5) for sign in (1, -1)]


WRITTEN_ALIKE = [
    *([number] for number in ODD_NUMBERS),
    *([power] for exponent in range(-25, 25) for power in near(10.0**exponent)),
    *(json.loads(f"[{number}]") for number in (2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1)),
    *({text: [text]} for text in NASTY_TEXTS.values() if text != TAG),
    [0.0, -0.0, 1.0, 1e-4, 123456.789e3],
]


@quickly
@given(values)
def test_orjson_writes_what_json_writes(value: Any) -> None:
    with_orjson = encode(value, "v")
    with mock.patch.object(plain, "fastest", return_value=plain.by_json):
        assert with_orjson == encode(value, "v")


@pytest.mark.parametrize("value", WRITTEN_ALIKE, ids=repr)
def test_orjson_writes_what_json_writes_at_the_borders(value: Any) -> None:
    assert plain.fastest() is not plain.by_json, "orjson is not installed"
    assert encode(value, "v") == escapes.protect(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


@dataclasses.dataclass
class Odd:
    one: int = 1


class Letters(str): ...


class Items(list[Any]): ...


class Entries(dict[str, Any]): ...


ODD: list[Any] = [
    datetime(2026, 1, 2, tzinfo=timezone.utc), date(2026, 1, 2), time(1, 2), Odd(), Letters("a"), Items([1]),
    Entries(a=1), {1}, b"a", {1: 1}, (1,), 2**64, -(2**63) - 1, "\ud83d", "\ud83d\ude00", {"\ude00": 1},
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_what_was_put_in_after_the_look_at_it_is_written_as_json_does(value: Any) -> None:
    def written(by: Callable[[Any], str]) -> Any:
        try:
            return by([value, 1.5])
        except TypeError as error:
            return str(error)

    assert written(plain.fastest()) == written(plain.by_json)


@pytest.mark.parametrize("value", [2**64, "\ud83d"], ids=repr)
def test_what_orjson_refuses_is_not_copied(value: Any) -> None:
    with mock.patch.object(encoding, "_Plain", None):
        assert decode(encode({"v": [value]}, "v")) == {"v": [value]}


@pytest.mark.parametrize(("depth", "writes"), [(1, plain.fastest()), (32, plain.fastest()), (33, plain.by_json)])
def test_orjson_is_given_nothing_deep(depth: int, writes: Any) -> None:
    """Releases of it up to 3.11 write beyond their buffer there, and the process ends."""
    beside = [1.5] * 50
    for value in (nested(depth), [nested(depth - 1), beside], [beside, nested(depth - 1)]):
        assert plain.writer(value, DEEPEST) is writes


@pytest.mark.parametrize("there", ["sys.modules['orjson'] = None", "import orjson; orjson.__version__ = '3.11.9'"])
def test_orjson_may_be_missing_or_too_old(there: str) -> None:
    code = f"import sys; {there}; from agno_store import plain; print(plain.writer([1.5], 9) is plain.by_json)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"b":1,"a":[true,null]}'),
        ("äöü 🎉", '"äöü 🎉"'),
        ("\x00", '"\\u001a0"'),
        ("\ud83d", '"\\u001ad83d"'),
        ("\x1a", '"\\u001a\\u001a"'),
        ("\\u0000", '"\\\\u0000"'),
        ({1}, f'{{"{TAG}":"set","value":[1]}}'),
        ({1: 2}, f'{{"{TAG}":"dict","value":[[1,2]]}}'),
        (float("nan"), f'{{"{TAG}":"float","value":"nan"}}'),
    ],
)
def test_the_stored_text_is_the_documented_one(value: Any, text: str) -> None:
    assert encode(value, "v") == text


@pytest.mark.parametrize("text", ['{"a": 1}', ' [1, "\\u00e9"] ', '"\\ud83d\\ude00"', "1E2", '{"$agno_store": "new"}'])
def test_json_that_somebody_else_wrote_is_read_too(text: str) -> None:
    assert decode(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", "nothing", "[1,]"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        decode(text)


def test_what_is_encoded_is_not_changed() -> None:
    inner = [{1, 2}, {"a": (1,)}]
    value = {"inner": inner, 1: inner}
    encode(value, "v")

    assert value == {"inner": [{1, 2}, {"a": (1,)}], 1: [{1, 2}, {"a": (1,)}]}


# -- depth -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", ["leaf", (1,)], ids=["plain", "with a tag"])
@pytest.mark.parametrize("depth", [1, 100, 200, DEEPEST - 1])
def test_deep_values_come_back_as_far_as_promised(depth: int, leaf: Any) -> None:
    assert decode(encode(nested(depth, leaf), "v")) == nested(depth, leaf)


@pytest.mark.parametrize("leaf", ["leaf", {1}], ids=["plain", "with a tag"])
@pytest.mark.parametrize("depth", [DEEPEST + 1, 2 * DEEPEST, 100_000])
def test_values_that_are_too_deep_are_refused(depth: int, leaf: Any) -> None:
    with pytest.raises(EncodingError, match=f"deeper than {DEEPEST}"):
        encode(nested(depth, leaf), "v")


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append({"loop": loop})
    with pytest.raises(EncodingError, match="contains itself"):
        encode(loop, "v")


def test_a_caller_deep_in_its_own_calls_gets_an_answer_too() -> None:
    """Agents call from the inside of frameworks: little of Python's stack may be left."""
    value = nested(200, {1})

    def from_below(levels: int) -> Any:
        return from_below(levels - 1) if levels else answer(value)

    assert from_below(sys.getrecursionlimit() // 2) in (value, EncodingError)


def answer(value: Any) -> Any:
    try:
        return decode(encode(value, "v"))
    except EncodingError:
        return EncodingError


# -- refusals ----------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"


@pytest.mark.parametrize("value", [{Color.RED: 1, "red": 2}, {"a": {"red": 1, Color.RED: 2}}], ids=repr)
def test_two_keys_never_become_one(value: Any) -> None:
    try:
        read = decode(encode(value, "v"))
    except EncodingError:
        return
    assert str(read).count("1") == str(read).count("2") == 1


@pytest.mark.parametrize("digits", [639, 641, 3010, 3011, 4300, 4301, 10_000])
@pytest.mark.parametrize(
    "shape", [lambda n: n, lambda n: {"n": [-n]}, lambda n: {n: n}], ids=["alone", "inside", "key"]
)
def test_integers_of_any_size_come_back(digits: int, shape: Any) -> None:
    assert exact(decode(encode(shape(10**digits + 1), "v"))) == exact(shape(10**digits + 1))


def test_integers_come_back_whatever_python_is_told_about_printing_them() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert decode(encode([10**2000], "v")) == [10**2000]
    finally:
        sys.set_int_max_str_digits(before)


class Counted:
    """Counts how often it is asked what it is."""

    asked = 0

    def to_dict(self) -> dict[str, Any]:
        Counted.asked += 1
        return {}


@pytest.mark.parametrize(
    "wrap",
    [lambda v: {"a": v, 1: 0}, lambda v: {"a": v, TAG: 0}, lambda v: [v, {1}], lambda v: (v,)],
    ids=["a key that is no text", "our own tag", "a list", "a tuple"],
)
def test_a_value_is_looked_at_once_however_deep_it_is(wrap: Any) -> None:
    Counted.asked = 0
    value: Any = Counted()
    for _ in range(8):
        value = wrap(value)
    encode(value, "v")

    assert Counted.asked == 1


class Endless:
    def to_dict(self) -> Any:
        return Endless()


def test_an_object_that_never_ends_is_refused_by_its_path() -> None:
    with pytest.raises(EncodingError) as refused:
        encode({"a": [Endless()]}, "v")

    assert refused.value.path.startswith("v.a[0]")
