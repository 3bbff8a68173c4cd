"""Copies are what they are copies of, share nothing with it, and are only made where both is certain."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import threading
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from pydantic import BaseModel, ConfigDict, PrivateAttr

from agno_store.copies import Recipe, made, recipe
from tests.contract.values import anything
from tests.outlines import changeable, outline, share_nothing, spoil


@dataclasses.dataclass
class Held:
    value: Any = None
    other: Any = "other"


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: Any


@dataclasses.dataclass
class Heir(Held):
    more: Any = None

    @functools.cached_property
    def long(self) -> list[Any]:
        return [len(self.more)]


class Color(enum.Enum):
    RED = "red"


class Model(BaseModel):
    name: str = "tea"
    value: Any = None


class FrozenModel(Model):
    model_config = ConfigDict(frozen=True)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: Any = None


class Private(BaseModel):
    _notes: list[Any] = PrivateAttr(default_factory=lambda: [[1], {"a": {2}}])


def held_and_more() -> Held:
    value = Held(1)
    vars(value)["more"] = [1]
    return value


def opened(**more: Any) -> Open:
    return Open(**more)


def heir() -> Heir:
    """One that has worked something out and kept it."""
    found = Heir(more=[1])
    assert found.long
    return found


COPIED: dict[str, Any] = {
    "nothing": None,
    "plain": {"a": [1, 2.5, True, None, "b", {"c": {}}], "d": [], "e": [[[]], [{}]]},
    "atoms": [b"", 1j, Decimal("1.10"), Decimal("NaN"), UUID(int=5), datetime(2026, 1, 2, tzinfo=timezone.utc)],
    "keys": {1: "a", (1, (2,)): "b", None: "c", Color.RED: [], 2.5: {}},
    "sets": [{1, (2, "a")}, frozenset({1, frozenset({2})}), set()],
    "tuples": [(), (1, (2, Color.RED))],
    "bytes that can be changed": [bytearray(b"ab")],
    "an enum": [Color.RED],
    "a class": [int, Held],
    "a dataclass": Held([Held(), Held({})], [{"a": Held(1)}]),
    "a frozen one": [Frozen([Frozen([1])])],
    "an heir": heir(),
    "one with more than its fields": held_and_more(),
    "a model": Model(value=[Model(name="a"), Model.model_construct(name=[5])]),
    "a frozen model": FrozenModel(value={"a": [1]}),
    "a model of which no field was given": Model(),
    "a model with more than its fields": [opened(a=[1], b={"c": Held([1])}), opened(a=1), opened()],
    "a model with something of its own": Private(),
    "a model that holds a dataclass": Model(value=Held(Model(value={1}))),
}


def copied(value: Any) -> Recipe:
    found = recipe(Held(value), "")
    assert found is not None
    return found


@pytest.mark.parametrize("value", COPIED.values(), ids=COPIED.keys())
def test_a_copy_is_the_same_and_shares_nothing(value: Any) -> None:
    whole, expected = Held(value), outline(Held(value))
    found = recipe(whole, "")
    assert found is not None
    first, second = made(found.node), made(found.node)

    assert outline(first) == outline(second) == expected
    assert share_nothing(whole, first, second)


@given(anything)
def test_a_copy_of_anything_that_is_stored_is_the_same(value: Any) -> None:
    found = recipe(Held(value), "")
    if found is None:  # a tuple, or a key, with something in it that can be changed
        assert any(isinstance(each, (tuple, dict)) for each in _all(value))
        return
    whole, expected = Held(value), outline(Held(value))
    copy = made(found.node)
    assert outline(copy) == expected
    assert share_nothing(whole, copy)
    spoil(whole)
    spoil(copy)
    assert outline(made(found.node)) == expected


def _all(value: Any) -> list[Any]:
    inner = [*value.values()] if isinstance(value, dict) else [*value] if isinstance(value, (list, tuple)) else []
    return [value, *(each for item in inner for each in _all(item))]


def test_whatever_is_done_to_one_is_not_seen_in_another() -> None:
    whole = Held([Model(value={"a": [Held({1})]}), opened(a=[1], b={"c": 1}), Private(), {"d": [bytearray(b"a")]}])
    expected, found = outline(whole), copied(whole.value)
    kept = made(found.node)
    spoil(whole)
    spoil(made(found.node))

    assert outline(kept) == outline(made(found.node)) == expected


# -- what is not copied --------------------------------------------------------------------------------


def twice(kind: type) -> Any:
    value = kind()
    return [value, [value]]


def circle() -> list[Any]:
    value: list[Any] = [1]
    value.append([{"a": value}])
    return value


def circle_of_objects() -> Held:
    value = Held(Model())
    value.value.value = value
    return value


def of_one_set() -> list[Model]:
    first, second = Model(name="a"), Model(name="b")
    object.__setattr__(second, "__pydantic_fields_set__", first.__pydantic_fields_set__)
    return [first, second]


def without_its_set() -> Model:
    value = Model()
    object.__delattr__(value, "__pydantic_fields_set__")
    return value


@dataclasses.dataclass
class Slots:
    __slots__ = ("value",)
    value: Any


@dataclasses.dataclass
class BesideSlots(Slots):
    """It has a dictionary, and one value that is not in it."""

    other: Any = None


@dataclasses.dataclass
class Text(str):
    value: Any = None


@dataclasses.dataclass
class Entries(dict[Any, Any]):
    value: Any = None


@dataclasses.dataclass
class Computed:
    value: Any = None

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return {"value": 1}


class SlotModel(Model):
    __slots__ = ("hidden",)


def method(name: str, of: type) -> Any:
    own: Any = type("Own", (of,), {name: lambda *_: NotImplemented})
    return own()


class OwnModel(Model):
    def __deepcopy__(self, memo: Any = None) -> Any:
        return self


class New(Held):
    def __new__(cls) -> New:
        return object.__new__(cls)


class Pair(NamedTuple):
    first: Any


class Plain:
    """It might be anything."""


NOT_COPIED: dict[str, Any] = {
    "a list twice": twice(list),
    "a set twice": twice(set),
    "an object twice": twice(Held),
    "a model twice": twice(Model),
    "a set of given fields twice": of_one_set(),
    "a circle": circle(),
    "a circle of objects": circle_of_objects(),
    "a model without all of it": without_its_set(),
    "a class that nobody knows": Plain(),
    "a lock": threading.Lock(),
    "a function": print,
    "a class of another kind": Color,
    "a list in a tuple": ([],),
    "an object in a tuple": (Held(),),
    "a key that can be changed": {Frozen(1): 1},
    "a frozen one in a set": {Frozen(1)},
    "an heir of dict": collections.OrderedDict(),
    "another heir of dict": collections.defaultdict(list),
    "an heir of list": type("Items", (list,), {})(),
    "an heir of str": type("Text", (str,), {})("a"),
    "an heir of int": type("Number", (int,), {})(1),
    "a named tuple": Pair(1),
    "a deque": collections.deque(),
    "slots": Slots(1),
    "slots beside a dictionary": BesideSlots(1),
    "a model with slots": SlotModel(),
    "a dataclass that is a text": Text(),
    "a dataclass that is a dictionary": Entries(),
    "a dictionary that is none": Computed(),
    "a model with a way of its own": OwnModel(),
    **{f"{name} of its own": method(name, Held) for name in ("__reduce__", "__copy__", "__setstate__", "__del__")},
    "a new of its own": New(),
    "more levels than Python takes": functools.reduce(lambda inner, _: [inner], range(5_000), list[Any]()),
}


@pytest.mark.parametrize("value", NOT_COPIED.values(), ids=NOT_COPIED.keys())
def test_what_might_not_come_out_as_it_was_is_not_copied(value: Any) -> None:
    assert recipe(Held([value]), "") is None
    assert recipe(Model(value={"a": value}), "") is None


def test_an_empty_dictionary_in_two_places_is_not_copied() -> None:
    first, second = opened(), opened()
    object.__setattr__(second, "__pydantic_extra__", first.__pydantic_extra__)
    assert recipe(Held([first, second]), "") is None
    assert recipe(Held([first, first.__pydantic_extra__]), "") is None


def test_what_is_no_object_is_not_copied() -> None:
    values: list[Any] = [None, "a", [], Color.RED, {1}]
    assert [recipe(value, "") for value in values] == [None] * 5


def test_a_recipe_holds_nothing_of_what_it_is_of() -> None:
    whole = Held([Model(value={"a": [Held({1})]}), opened(a=[1], b={"c": 1}), Private()])
    of_it = {id(each) for each in changeable(whole)}
    found: set[int] = set()
    rest: list[Any] = [copied(whole.value).node]
    while rest:
        each = rest.pop()
        found.add(id(each))
        rest += [each.__self__] if callable(each) and isinstance(getattr(each, "__self__", None), (dict, list)) else []
        rest += each.args if isinstance(each, functools.partial) else []
        rest += each.values() if isinstance(each, dict) else each if isinstance(each, (list, tuple)) else []
    assert not of_it & found
    assert len(found) > 20


def test_models_that_were_given_the_same_share_what_says_so_until_it_is_copied() -> None:
    node = copied([Model(name="a"), Model(name="b")]).node
    first, second = made(node).value
    first.value = 1
    assert (first.model_fields_set, second.model_fields_set) == ({"name", "value"}, {"name"})
    assert [each.model_fields_set for each in made(node).value] == [{"name"}, {"name"}]
