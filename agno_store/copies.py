"""Copies of a value that share nothing which can be changed, in a fraction of the time that decoding it takes.

What a value consists of is found out once and kept as a recipe, which holds none of its parts that can be changed;
each copy is made along it. Only what is certain to come out as it was is copied: plain containers, dataclasses, and
models of pydantic's, which is told by its attributes and not imported.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, NamedTuple
from uuid import UUID

_ATOMS = frozenset(
    {str, int, float, bool, type(None), bytes, complex, Decimal, UUID, datetime, date, time, timedelta, timezone, type}
)
"""What cannot be changed, and is in every copy as it is. These very classes: an heir may have anything in it."""

_OF_MODELS = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
"""What a model holds beside its dictionary."""

_SPECIAL = frozenset(
    {
        *("__new__", "__del__", "__getattribute__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"),
        *("__copy__", "__deepcopy__", "__getnewargs__", "__getnewargs_ex__"),
    }
)
"""Methods of a class that has ideas of its own about what its objects consist of."""

_BESIDE, _ATOM = 200, 30
"""Bytes that a recipe takes for each container, and for each key and value in it, about, beside those and the text."""

_new, _put, _sizeof = object.__new__, object.__setattr__, sys.getsizeof

Leaf = Callable[[], Any]
"""Makes a copy by itself: the ``copy`` of a container without others in it."""

Node = tuple[Leaf, Iterable[tuple[Any, Leaf]], Iterable[tuple[Any, Any]], Any, Iterable[tuple[str, Leaf]]]
"""A container with None in the places of others, those others as leaves and nodes, the class of which it is the
dictionary, if it is one, and what its objects hold beside that."""


class Recipe(NamedTuple):
    """How copies are made, and how many bytes that takes, about."""

    node: Node
    size: int


def recipe(value: Any, text: str) -> Recipe | None:
    """Return how to copy an object that was made of ``text``; None where that is not certain to be another of the same.

    So it is where one thing stands in two places, which a copy would have to tell from two things that are equal.
    """
    seen: dict[int, int] = {}
    try:
        node = _recipe(value, seen)
    except (_Foreign, RecursionError):
        return None
    return Recipe(node, _sizeof(text) + sum(seen.values())) if isinstance(node, tuple) else None


def made(node: Node) -> Any:
    """Return another copy."""
    copy, leaves, nodes, cls, beside = node
    entries = copy()
    for place, leaf in leaves:
        entries[place] = leaf()
    for place, inner in nodes:
        entries[place] = made(inner)
    if cls is None:
        return entries
    value = _new(cls)
    _put(value, "__dict__", entries)
    for name, leaf in beside:
        _put(value, name, leaf())
    return value


class _Foreign(Exception):
    """That there is something which nobody knows how to copy."""


def _recipe(value: Any, seen: dict[int, int]) -> Node | Leaf | None:
    """Return how to copy a value; None for one that cannot be changed.

    ``seen`` are the sizes of those that can be, by their identity.
    """
    cls: Any = type(value)
    beside: Iterable[tuple[str, Leaf]] = ()
    entries, more = value, 0
    if cls is list:
        items, more, cls = enumerate(value), _ATOM * len(value), None
    elif cls is dict and _are_atoms(value):
        items, more, cls = value.items(), 2 * _ATOM * len(value), None
    else:
        base = _base(cls)
        if base is None:
            return _without_others(value, seen)
        entries = vars(value)
        items = entries.items()
        if base is not object:
            beside = _beside_dictionary(value, seen)
    _note(entries, more, seen)
    template = entries.copy()
    leaves: list[tuple[Any, Leaf]] = []
    nodes: list[tuple[Any, Node]] = []
    for place, item in items:
        if item is None or type(item) in _ATOMS:
            continue
        part = _recipe(item, seen)
        if part is None:
            continue
        template[place] = None
        if isinstance(part, tuple):
            nodes.append((place, part))
        else:
            leaves.append((place, part))
    return (template.copy, leaves or (), nodes or (), cls, beside) if leaves or nodes or cls else template.copy


def _note(value: Any, more: int, seen: dict[int, int]) -> None:
    if id(value) in seen:
        raise _Foreign
    seen[id(value)] = _sizeof(value) + _BESIDE + more


def _without_others(value: Any, seen: dict[int, int]) -> Leaf | None:
    """Return how to copy what has nothing in it that can be changed. Raises _Foreign for anything else."""
    if _is_atom(value):
        return None
    if type(value) not in (set, bytearray) or not _are_atoms(value):
        raise _Foreign
    _note(value, _ATOM * len(value), seen)
    leaf: Leaf = value.copy().copy
    return leaf


def _beside_dictionary(value: Any, seen: dict[int, int]) -> Iterable[tuple[str, Leaf]]:
    """Return how to copy what a model of pydantic's holds beside its dictionary."""
    names, extra, private = [getattr(value, name, ...) for name in _OF_MODELS]
    if type(names) is not set or id(names) in seen:
        raise _Foreign
    seen[id(names)] = 0
    if private is None and not extra:
        return _of_most(frozenset(names), _by_class(extra, seen))
    return tuple(zip(_OF_MODELS, (names.copy().copy, _leaf(extra, seen), _leaf(private, seen)), strict=True))


@lru_cache(maxsize=1024)
def _of_most(names: frozenset[str], extra: Leaf) -> Iterable[tuple[str, Leaf]]:
    """Return the same for all models that were given the same, and hold nothing else."""
    return tuple(zip(_OF_MODELS, (set(names).copy, extra, type(None)), strict=True))


def _leaf(value: Any, seen: dict[int, int]) -> Leaf:
    if not value:
        return _by_class(value, seen)
    part = _recipe(value, seen) if type(value) is dict else None
    if part is None:
        raise _Foreign
    return partial(made, part) if isinstance(part, tuple) else part


def _by_class(value: Any, seen: dict[int, int]) -> Leaf:
    """Return what makes another None, or another empty dictionary."""
    if value is not None:
        if type(value) is not dict:
            raise _Foreign
        _note(value, -_BESIDE, seen)
    return type(value)


def _is_atom(value: Any) -> bool:
    kind = type(value)
    return kind in _ATOMS or ((kind is tuple or kind is frozenset) and _are_atoms(value)) or issubclass(kind, Enum)


def _are_atoms(values: Iterable[Any]) -> bool:
    return _ATOMS.issuperset(map(type, values)) or all(map(_is_atom, values))


@lru_cache(maxsize=256)
def _base(cls: type) -> type | None:
    """Return from whom a class has it what its objects consist of: ``object``, or pydantic's; None where it has not."""
    members = [(base, *member) for base in cls.__mro__ for member in vars(base).items()]
    slots = {name: base for base, name, member in members if type(member) is MemberDescriptorType}
    base = slots.get(_OF_MODELS[0], object)
    is_known = base is not object or dataclasses.is_dataclass(cls)
    has_dictionary = {type(member) for _, name, member in members if name == "__dict__"} == {GetSetDescriptorType}
    if not is_known or not has_dictionary or not slots.keys() <= set(_OF_MODELS):
        return None
    own = {name for each, name, _ in members if each is not base and each is not object}
    return base if own.isdisjoint(_SPECIAL) else None
