"""Whatever a value does while it is looked at, the rest of the payload is encoded, and reads back as text for text."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_store import EncodingError
from agno_store.encoding import decode, encode
from tests.contract.values import anything, exact, nested, texts


class Forever:
    def to_dict(self) -> dict[str, Any]:
        return {"again": Forever()}


class Wants:
    def model_dump(self, mode: str) -> None: ...


def loop() -> list[Any]:
    items: list[Any] = []
    items += [items, {"items": items}]
    return items


Maker = Callable[[], Any]
makers: list[Maker] = [object, threading.Lock, Forever, Wants, lambda: print, loop, lambda: iter([])]


def made(make: Maker) -> Any:
    return make()


planted = st.recursive(
    anything | st.sampled_from(makers).map(made),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(planted)
def test_no_value_keeps_the_others_from_being_stored(value: Any) -> None:
    marks: list[str] = []
    kept = {"before": 1, "after": [1.5, (2,)]}
    text = encode({**kept, "v": value}, "p", marks)
    read = decode(text)

    assert exact({name: read[name] for name in kept}) == exact(kept)
    assert bool(marks) == ('"$agno_store":"unstorable"' in text)
    assert exact(decode(encode(read, "p"))) == exact(read)
    json.loads(text)


@settings(max_examples=300)
@given(anything)
def test_what_can_be_stored_is_written_alike_with_and_without_marks(value: Any) -> None:
    marks: list[str] = []

    assert encode(value, "p", marks) == encode(value, "p")
    assert marks == []


@pytest.mark.parametrize("frames", range(40, 700, 60))
@pytest.mark.parametrize("leaf", ["plain", {1}], ids=["plain", "with a tag"])
def test_what_little_is_left_of_the_stack_costs_no_value_at_the_top(frames: int, leaf: Any) -> None:
    """Agents call from the inside of frameworks: a deep value cannot be walked through there, and a shallow one can."""

    def from_below(levels: int) -> tuple[Any, Any]:
        if levels:
            return from_below(levels - 1)
        return decode(encode({"content": "kept", "deep": nested(200, leaf)}, "p", [])), refusal(nested(200, leaf))

    read, refused = from_below(sys.getrecursionlimit() - len(inspect.stack(0)) - frames)
    assert read["content"] == "kept"
    assert (refused is None) == (read["deep"] == nested(200, leaf))


def refusal(value: Any) -> EncodingError | None:
    try:
        encode(value, "p")
    except EncodingError as error:
        return error
    return None
