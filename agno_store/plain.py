"""Values that JSON says by itself, and what writes them: orjson where it is there, and json.

Both write the same letters, so that a value is known as unchanged by its text whoever has written that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

TAG = "$agno_store"
"""The key of a dictionary that stands for a value which JSON cannot say."""

_SMALL, _LARGE = 1e-4, 1e16
"""Between these orjson writes a float as json does."""

_OLDEST = (3, 12)
"""The first orjson that is used: of what is nested deeply those before it write past their buffer, which kills the
process. https://github.com/advisories/GHSA-hx9q-6w63-j58v says that 3.11.6 does not; it does of lists."""

_SHALLOW = 32
"""Levels of nesting that orjson is given all the same: what json has no stack for it refuses before it is stored."""

LONG = 1_000
"""Bits of an integer: MySQL reads no number over 1.8e308, and Python may be set up to print 640 digits at the most.
https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation"""

# What contains itself is found before.
by_json: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


@cache
def fastest() -> Callable[[Any], str]:
    """Return what writes the same letters in a fraction of the time, where that is there."""
    try:
        import orjson
    except ImportError:  # the extra "fast"
        return by_json
    if tuple(map(int, orjson.__version__.split(".")[:2])) < _OLDEST:
        return by_json
    strictly = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

    def by_orjson(value: Any) -> str:
        try:
            return str(orjson.dumps(value, None, strictly), "utf-8")
        except TypeError:  # more than 64 bits, a lone surrogate, what another thread has put in after the look at it
            return by_json(value)

    return by_orjson


def writer(value: Any, levels: int) -> Callable[[Any], str] | None:
    """Return what writes ``value`` in a way that reads back equal, or None where json does not."""
    writes, deep = fastest(), levels - _SHALLOW
    rest = [(value, levels)]  # the last one first: what contains itself twice ends as soon as it is too deep
    while rest:
        value, levels = rest.pop()
        kind = type(value)
        if kind is dict or kind is list:
            if levels <= deep:
                writes = by_json
            if levels <= 0:
                return None
            if kind is dict:
                for key in value:
                    if type(key) is not str:
                        return None
                if TAG in value:
                    return None
                value = value.values()
            # What is most of a payload is passed over at once.
            for item in value:
                kind = type(item)
                if kind is str or kind is bool or item is None or (kind is int and item.bit_length() < LONG):
                    continue
                if kind is float and (_SMALL <= item < _LARGE or -_LARGE < item <= -_SMALL or item == 0):
                    continue
                rest.append((item, levels - 1))
        elif kind is float:
            if not math.isfinite(value):
                return None
            if value and not _SMALL <= abs(value) < _LARGE:
                writes = by_json
        elif kind is int:
            if value.bit_length() >= LONG:
                return None
        elif kind is not str and kind is not bool and value is not None:
            return None
    return writes
