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
DEEPEST = 500
"""Levels of nesting; json's own encoder and decoder need Python's stack."""

_ESCAPE = "\x1a"


def encode(value: Any, path: str) -> str:
    """Return ``value`` as JSON text that every database stores unchanged.

    Raises EncodingError, naming the place inside ``path``, for a value that has no documented encoding.
    """
    if not _is_plain(value, DEEPEST):
        value = _Plain().of(value, path, 0)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:  # an integer of more digits than Python agrees to print
        raise EncodingError(f"{path} cannot be stored: {error}.", path=path) from error
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


def _is_plain(value: Any, levels: int) -> bool:
    """Whether json writes ``value`` in a way that reads back equal."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return math.isfinite(value)
    if levels == 0:
        return False
    if kind is dict:
        return TAG not in value and all(type(key) is str and _is_plain(item, levels - 1) for key, item in value.items())
    return kind is list and all(_is_plain(item, levels - 1) for item in value)


class _Plain:
    """Rewrites a value into one that json can write, tagging what it could not."""

    def of(self, value: Any, path: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise EncodingError(f"{path} is nested deeper than {DEEPEST} levels, or contains itself.", path=path)
        if isinstance(value, Enum):
            return self.of(value.value, path, depth + 1)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else _tagged("float", repr(float(value)))
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, list):
            return self._items(value, path, depth)
        for kind, name, rewrite in _SCALARS:
            if isinstance(value, kind):
                return _tagged(name, rewrite(value))
        for sequence, name in _SEQUENCES:
            if isinstance(value, sequence):
                return _tagged(name, self._items(value, path, depth))
        return self.of(_fields(value, path), path, depth + 1)

    def _items(self, values: Iterable[Any], path: str, depth: int) -> list[Any]:
        return [self.of(item, f"{path}[{n}]", depth + 1) for n, item in enumerate(values)]

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> Any:
        keys = [key.value if isinstance(key, Enum) else key for key in value]
        if TAG not in value and all(isinstance(key, str) for key in keys):
            pairs = zip(keys, value.values(), strict=True)
            return {str.__str__(key): self.of(item, f"{path}.{key}", depth + 1) for key, item in pairs}
        return _tagged(
            "dict",
            [
                [self.of(key, f"{path}[key {n}]", depth + 1), self.of(item, f"{path}[{key!r}]", depth + 1)]
                for n, (key, item) in enumerate(value.items())
            ],
        )


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

_RESTORE: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
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
