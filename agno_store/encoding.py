"""How values become text in a column, and how they come back.

Payloads are JSON text, the same on every database. Two things are added, both reversible:

*   What JSON cannot say (a set, a Decimal, a datetime, NaN, a key that is no string ...) is written as
    ``{"$agno_store": "<kind>", "value": ...}`` and comes back as what it was. ``docs/encoding.md`` has the table.
*   NUL and lone surrogates, which PostgreSQL and UTF-8 refuse, are written behind U+001A (SUBSTITUTE):
    NUL as U+001A ``0``, a surrogate as U+001A and its four hexadecimal digits, U+001A itself twice.

So every stored payload is valid JSON to the database too: ``run_data ->> 'content'`` and casts to jsonb work.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from agno_store.errors import EncodingError

TAG = "$agno_store"
DEEPEST = 250
"""Levels of nesting; json's own encoder and decoder need Python's stack."""

_LONG = 2_000
"""Bits of an integer, fewer than the 640 digits that Python agrees to print however it is set up.
https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation"""

_ESCAPE = "\x1a"


def encode(value: Any, path: str) -> str:
    """Return ``value`` as JSON text that every database stores unchanged.

    Raises EncodingError, naming the place inside ``path``, for a value that has no documented encoding.
    """
    try:
        if not _is_plain(value, path, DEEPEST):
            value = _plain(value, path, DEEPEST)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise EncodingError(f"{path} is nested too deeply for what is left of Python's stack.", path=path) from error
    return _protect(text)


def decode(text: str) -> Any:
    """Return the value that ``encode`` was given.

    Raises ValueError for text that is no JSON.
    """
    if "\\u001a" in text:
        text = _PROTECTED.sub(_unprotected, text)
    if f'"{TAG}"' in text:
        return json.loads(text, object_hook=_restored)
    return json.loads(text)


def escape(text: str) -> str:
    """Return an id as text that every database stores unchanged."""
    if text.isascii() and "\x00" not in text and _ESCAPE not in text:
        return text
    return _UNSTORABLE.sub(_escaped, text)


def unescape(text: str) -> str:
    """Return the id that ``escape`` was given."""
    return _ESCAPED.sub(_unescaped, text) if _ESCAPE in text else text


# -- characters that databases refuse ------------------------------------------------------------------

_UNSTORABLE = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPED = re.compile("\x1a(?:(0)|(\x1a)|(d[89a-f][0-9a-f]{2}))")
# In JSON text: `\\.` takes every other escape whole, so that the `u0000` of `\\u0000` is not one.
_REFUSED = re.compile("\\\\u0000|\\\\u001a|\\\\.|[\ud800-\udfff]")
_PROTECTED = re.compile(r"\\u001a(?:(0)|(\\u001a)|(d[89a-f][0-9a-f]{2}))|\\.")


def _protect(text: str) -> str:
    if "\\u0000" not in text and "\\u001a" not in text and _is_utf8(text):
        return text
    return _REFUSED.sub(_protected, text)


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _protected(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\\u0000":
        return "\\u001a0"
    if found == "\\u001a":
        return "\\u001a\\u001a"
    return found if found[0] == "\\" else f"\\u001a{ord(found):04x}"


def _unprotected(match: re.Match[str]) -> str:
    nul, escape_itself, surrogate = match.groups()
    if surrogate:
        # The character itself, not its \u escape: json would join two neighbours into one character.
        return chr(int(surrogate, 16))
    return "\\u0000" if nul else "\\u001a" if escape_itself else match[0]


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\x00":
        return f"{_ESCAPE}0"
    return _ESCAPE * 2 if found == _ESCAPE else f"{_ESCAPE}{ord(found):04x}"


def _unescaped(match: re.Match[str]) -> str:
    nul, _, surrogate = match.groups()
    return chr(int(surrogate, 16)) if surrogate else "\x00" if nul else _ESCAPE


# -- values that JSON cannot say -----------------------------------------------------------------------


def _is_plain(value: Any, path: str, levels: int) -> bool:
    """Whether json writes ``value`` in a way that reads back equal."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(value.bit_length() < _LONG)
    if kind is float:
        return math.isfinite(value)
    if kind is not dict and kind is not list:
        return False
    _refuse_depth(path, levels)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        if TAG in value:
            return False
        value = value.values()
    # A loop and not all(...): half as many frames, and so twice as deep a value.
    for item in value:  # noqa: SIM110
        if not _is_plain(item, path, levels - 1):
            return False
    return True


def _plain(value: Any, path: str, levels: int) -> Any:
    """Return a value that json can write, with tags where it could not write the one given."""
    if isinstance(value, Enum):
        return _plain(value.value, path, levels)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() < _LONG else _tagged("int", hex(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _tagged("float", repr(float(value)))
    _refuse_depth(path, levels)
    if isinstance(value, Mapping):
        return _plain_mapping(value, path, levels)
    if isinstance(value, list):
        return _plain_items(value, path, levels)
    for kind, name, rewrite in _SCALARS:
        if isinstance(value, kind):
            return _tagged(name, rewrite(value))
    for sequence, name in _SEQUENCES:
        if isinstance(value, sequence):
            return _tagged(name, _plain_items(value, path, levels))
    return _plain(_fields(value, path), path, levels - 1)


def _plain_items(values: Iterable[Any], path: str, levels: int) -> list[Any]:
    items = []
    for n, item in enumerate(values):
        items.append(_plain(item, f"{path}[{n}]", levels - 1))
    return items


def _plain_mapping(value: Mapping[Any, Any], path: str, levels: int) -> Any:
    names = [key.value if isinstance(key, Enum) else key for key in value]
    if all(isinstance(name, str) and name != TAG for name in names) and len(set(names)) == len(names):
        entries = {}
        for name, item in zip(names, value.values(), strict=True):
            entries[str.__str__(name)] = _plain(item, f"{path}.{name}", levels - 1)
        return entries
    # A key that is no text, our own tag, or two keys that would become one.
    pairs = []
    for n, (key, item) in enumerate(value.items()):
        plain_key = _plain(key, f"{path}[key {n}]", levels - 1)
        pairs.append([plain_key, _plain(item, f"{path}[{plain_key!r}]", levels - 1)])
    if len({repr(key) for key, _ in pairs}) < len(pairs):
        raise EncodingError(f"{path} has keys that would become one: {list(value)!r}. Nothing was written.", path=path)
    return _tagged("dict", pairs)


def _refuse_depth(path: str, levels: int) -> None:
    if levels <= 0:
        raise EncodingError(f"{path} is nested deeper than {DEEPEST} levels, or contains itself.", path=path)


def _tagged(name: str, value: Any) -> dict[str, Any]:
    return {TAG: name, "value": value}


_SCALARS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (timedelta, "timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    (Decimal, "decimal", str),
    (UUID, "uuid", str),
    (bytes, "bytes", lambda value: base64.b64encode(value).decode()),
    (bytearray, "bytearray", lambda value: base64.b64encode(value).decode()),
    (complex, "complex", lambda value: [repr(value.real), repr(value.imag)]),
)
_SEQUENCES: tuple[tuple[type[Iterable[Any]], str], ...] = ((tuple, "tuple"), (set, "set"), (frozenset, "frozenset"))


def _hashing(kind: Callable[[Any], Any]) -> Callable[[list[Any]], Any]:
    """Return what makes a set or a dict of a list, or leaves the list where an item cannot be hashed.

    Only what stands for an object, such as a dataclass, can be in a set before it is stored and not after.
    """

    def restore(items: list[Any]) -> Any:
        try:
            return kind(items)
        except TypeError:
            if not isinstance(items, list):
                raise
            return items

    return restore


_RESTORE: dict[str, Callable[[Any], Any]] = {
    "dict": _hashing(dict),
    "tuple": tuple,
    "set": _hashing(set),
    "frozenset": _hashing(frozenset),
    "int": lambda value: int(value, 16),
    "float": float,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda value: timedelta(*value),
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": base64.b64decode,
    "bytearray": lambda value: bytearray(base64.b64decode(value)),
    "complex": lambda value: complex(float(value[0]), float(value[1])),
}


def _restored(value: dict[str, Any]) -> Any:
    """Undo one tag; leave one that a later release writes as it stands."""
    restore = _RESTORE.get(value[TAG]) if TAG in value and len(value) == 2 else None
    return restore(value["value"]) if restore else value


def _fields(value: Any, path: str) -> Any:
    """Return an object as the plain value that stands for it, or say where it is and what to do."""
    if isinstance(value, type):
        return str(value)
    if isinstance(value, PurePath):
        return str(value)
    for method in ("model_dump", "to_dict", "tolist"):  # pydantic, agno, numpy
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise EncodingError(
        f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be stored. Nothing was "
        "written. Keep it outside the session, or give it a to_dict() method.",
        path=path,
    )
