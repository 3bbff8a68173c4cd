"""What a value consists of, more strictly than ``==`` tells, and what of it can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

BESIDE = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def outline(value: Any) -> Any:
    """Return something that is equal for values alone of the same classes, with the same in them, in the same order."""
    kind = type(value)
    if isinstance(value, (list, tuple)):
        return kind, [outline(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return kind, sorted(repr(outline(item)) for item in value)
    if isinstance(value, dict):
        return kind, [(outline(key), outline(item)) for key, item in value.items()]
    if isinstance(value, (Enum, type)) or not hasattr(value, "__dict__"):
        return kind, repr(value)
    return kind, outline(vars(value)), [outline(getattr(value, name, "not there")) for name in BESIDE]


def changeable(value: Any) -> Iterator[Any]:
    """Give all that can be changed in a value."""
    if isinstance(value, (Enum, type)):
        return
    if isinstance(value, (list, set, dict, bytearray)) or hasattr(value, "__dict__"):
        yield value
    inner = [*value.values()] if isinstance(value, dict) else [*value] if isinstance(value, (list, tuple, set)) else []
    if hasattr(value, "__dict__"):
        inner += [vars(value), *(getattr(value, name, None) for name in BESIDE)]
    for item in inner:
        yield from changeable(item)


def share_nothing(*values: Any) -> bool:
    """Whether nothing that can be changed in one of these is in another one, or there twice."""
    found = [id(each) for value in values for each in changeable(value)]
    return len(found) == len(set(found))


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed."""
    for each in [*changeable(value)]:
        if isinstance(each, dict):
            for key in [*each]:
                each[key] = "spoilt"
            each["spoilt"] = "spoilt"
        elif isinstance(each, list):
            each[:] = ["spoilt"]
        elif isinstance(each, (set, bytearray)):
            each.clear()
