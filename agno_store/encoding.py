"""How values become text in a column, and how they come back.

Payloads are JSON text, the same on every database. Two things are added, both reversible:

*   What JSON cannot say (a set, a Decimal, a datetime, NaN, a key that is no string ...) is written as
    ``{"$agno_store": "<kind>", "value": ...}`` and comes back as what it was. ``docs/encoding.md`` has the table.
    What nothing says how to store is refused, or has a mark of that form in its place.
*   NUL and lone surrogates, which PostgreSQL and UTF-8 refuse, are written as ``escapes`` says.

So every stored payload is valid JSON to the database too: ``run_data ->> 'content'`` and casts to jsonb work.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections import deque
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any
from uuid import UUID

from agno_store import apart, escapes
from agno_store.errors import EncodingError
from agno_store.plain import LONG, TAG, by_json, writer

_TAGGED = f'"{TAG}"'
_raw_decode = json.JSONDecoder().raw_decode

UNSTORABLE, CORRUPT = "unstorable", "corrupt"
"""Kinds that stand for what was not stored, and for what cannot be read."""

DEEPEST = 250
"""Levels of nesting; json's own encoder and decoder need Python's stack."""

LEFT = "It was left as it is."
"""How a message about what cannot be read ends, and a mark of it is told from whatever else looks like one."""

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What ``decode`` raises for what ``encode`` did not write."""

_SHOWN = 200
"""Characters of a path in a message."""


def encode(value: Any, path: str, marks: list[str] | None = None) -> str:
    """Return ``value`` as JSON text that every database stores unchanged.

    Raises EncodingError, naming the place inside ``path``, for a value that has no documented encoding. With
    ``marks`` a mark is written in its place instead, and the place and the reason are added to the list.
    """
    try:
        write = writer(value, DEEPEST)
        if write is not None:
            return escapes.protect(write(value))
    except (RuntimeError, TypeError, ValueError):
        # Deeper than the stack, or changed by another thread while it was looked at: what follows takes a copy.
        pass
    try:
        [plain] = _Plain(marks).each([(path, value)], DEEPEST + 1)
        return escapes.protect(by_json(plain))
    except RecursionError as error:
        raise EncodingError(f"{path} is nested too deeply for what is left of Python's stack.", path=path) from error


def decode(text: str) -> Any:
    """Return the value that ``encode`` was given.

    Raises ValueError for text that is no JSON.
    """
    text, given = escapes.unprotect(text), text
    if _TAGGED in text:
        parts = apart.parts_of(given)
        return json.loads(text, object_hook=partial(_joined, parts) if parts else _restored)
    try:
        # What json.loads() comes to, without what it does for other texts than those that are written here.
        value, end = _raw_decode(text)
    except ValueError:
        end = -1
    return value if end == len(text) else json.loads(text)


# -- values that JSON cannot say -----------------------------------------------------------------------


class _Unstorable(Exception):
    """Why a value cannot be stored, as the end of a sentence about it."""


class _Plain:
    """One payload on its way to JSON: a copy that json can write, with tags where it could not write the value."""

    def __init__(self, marks: list[str] | None) -> None:
        self.marks = marks
        self.inside: set[int] = set()

    def each(self, places: Iterable[tuple[str, Any]], levels: int) -> list[Any]:
        """Return the values at these places as json can write them, or with marks, where that is asked for."""
        plain = []
        for path, value in places:
            try:
                plain.append(self.of(value, path, levels - 1))
            except Exception as error:  # noqa: BLE001 - a value's own code, which may raise anything
                plain.append(self.instead(value, path, error))
        return plain

    def of(self, value: Any, path: str, levels: int) -> Any:
        """Return one value, whose parts are marked and which itself raises."""
        if isinstance(value, Enum):
            return self.of(value.value, path, levels)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value) if value.bit_length() < LONG else _tagged("int", hex(value))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else _tagged("float", repr(float(value)))
        for kind, name, rewrite in _SCALARS:
            if isinstance(value, kind):
                return _tagged(name, rewrite(value))
        if _is_mark(value):
            return {TAG: UNSTORABLE, "value": dict(value["value"])}
        if id(value) in self.inside:
            raise _Unstorable("it contains itself")
        if levels <= 0:
            raise _Unstorable(f"it is nested deeper than {DEEPEST} levels")
        self.inside.add(id(value))
        try:
            if isinstance(value, Mapping):
                entries = list(value.items())
                keys, paths = self.keys([key for key, _ in entries], path, levels)
                items = self.each(zip(paths, (item for _, item in entries), strict=True), levels)
                return _mapping(keys, items)
            sequence = next((name for kind, name in _SEQUENCES if isinstance(value, kind)), None)
            if sequence is None:
                return self.of(_stands_for(value), path, levels - 1)
            return _sequence(sequence, self.each(((f"{path}[{n}]", item) for n, item in enumerate(value)), levels))
        finally:
            self.inside.discard(id(value))

    def keys(self, keys: list[Any], path: str, levels: int) -> tuple[list[Any], list[str]]:
        """Return the keys of a dict as json can write them, and the paths of what stands behind them."""
        names = [key.value if isinstance(key, Enum) else key for key in keys]
        if _can_be_names(names):
            return [str.__str__(name) for name in names], [f"{path}.{name}" for name in names]
        places = [(f"{path}[key {n}]", key) for n, key in enumerate(keys)]
        plain = self.each(places, levels)
        for n in _doubles(keys, plain):
            plain[n] = self.instead(keys[n], places[n][0], _Unstorable("it would become the same key as another one"))
        return plain, [f"{path}[{key!r}]" for key in plain]

    def instead(self, value: Any, path: str, error: Exception) -> dict[str, Any]:
        """Return the mark of what cannot be stored, or raise where nothing is to be marked."""
        if isinstance(error, EncodingError) or (self.marks is None and isinstance(error, RecursionError)):
            raise error
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        reason = str(error) if isinstance(error, _Unstorable) else f"it raised {type(error).__name__}"
        if self.marks is None:
            raise EncodingError(
                f"{path} is a {kind}, which cannot be stored: {reason}. Nothing was written. Keep it outside the "
                "session, or give it a to_dict() method.",
                path=path,
            ) from error
        # Neither its text nor its repr: they may hold a secret.
        self.marks.append(f"{path if len(path) <= _SHOWN else path[:_SHOWN] + '...'} ({kind}: {reason})")
        return _tagged(UNSTORABLE, {"type": kind, "reason": reason})


def _mapping(keys: list[Any], items: list[Any]) -> dict[str, Any]:
    if _can_be_names(keys):
        return dict(zip(keys, items, strict=True))
    return _tagged("dict", [list(pair) for pair in zip(keys, items, strict=True)])


def _sequence(name: str, items: list[Any]) -> Any:
    if name == "list":
        return items
    # A set in one order, so that one that was not changed has the text it had.
    return _tagged(name, items if name == "tuple" else sorted(items, key=by_json))


def _can_be_names(keys: list[Any]) -> bool:
    """Whether keys can be those of a JSON object, without meaning a tag, or another entry."""
    return all(isinstance(key, str) and key != TAG for key in keys) and len(set(keys)) == len(keys)


def _doubles(keys: list[Any], plain: list[Any]) -> Iterator[int]:
    """Tell which keys would be read as one that stands before them."""
    seen = set()
    for n, (key, written) in enumerate(zip(keys, plain, strict=True)):
        read = key if written is key else json.loads(json.dumps(written), object_hook=_restored)
        try:
            if read in seen:
                yield n
            seen.add(read)
        except TypeError:
            return  # one that cannot be hashed: they come back as a list of pairs, and may be alike


def _tagged(name: str, value: Any) -> dict[str, Any]:
    return {TAG: name, "value": value}


def _is_mark(value: Any) -> bool:
    """Whether a value is a mark as it was read, which is written as it stands."""
    if not isinstance(value, dict) or [*value] != [TAG, "value"] or value[TAG] != UNSTORABLE:
        return False
    why = value["value"]
    return isinstance(why, dict) and [*why] == ["type", "reason"] and all(type(part) is str for part in why.values())


def _stands_for(value: Any) -> Any:
    """Return an object as the plain value that stands for it."""
    if isinstance(value, (type, PurePath)):
        return str(value)
    failed = None
    for name in ("to_dict", "model_dump", "tolist"):  # agno, pydantic, numpy
        method = getattr(value, name, None)
        if callable(method):
            try:
                return method()
            except Exception as error:  # noqa: BLE001 - a value's own code, which may raise anything
                failed = failed or f"its {name}() raised {type(error).__name__}"
    if dataclasses.is_dataclass(value):
        entries = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        # As to_dict() of agno's would leave them out: a key that is there tells it what a run is.
        return {name: item for name, item in entries.items() if item is not None} if failed else entries
    raise _Unstorable(failed or "nothing says how")


def corrupt(what: str) -> dict[str, Any]:
    """Return what is given in the place of something that cannot be read; ``what`` says so, and ends with LEFT."""
    return _tagged(CORRUPT, what)


def is_corrupt(value: Any) -> bool:
    """Whether a value is what ``corrupt`` made, whatever was put into it since, and not just looks like a tag."""
    return type(value) is dict and TAG in value and _says_corrupt(value[TAG], value.get("value"))


def _says_corrupt(kind: Any, what: Any) -> bool:
    return type(kind) is str and kind == CORRUPT and type(what) is str and what.endswith(LEFT)


def _moment(value: datetime | time, text: str) -> Any:
    """Return a time with what ISO 8601 has no place for: that it is the second one of an hour that there is twice."""
    return [text, value.fold] if value.fold else text


def _of_moment(kind: Any, value: Any) -> Any:
    return kind.fromisoformat(value) if isinstance(value, str) else kind.fromisoformat(value[0]).replace(fold=value[1])


_SCALARS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "datetime", lambda value: _moment(value, datetime.isoformat(value))),
    (date, "date", date.isoformat),
    (time, "time", lambda value: _moment(value, time.isoformat(value))),
    (timedelta, "timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    (Decimal, "decimal", str),
    (UUID, "uuid", str),
    (bytes, "bytes", lambda value: base64.b64encode(value).decode()),
    (bytearray, "bytearray", lambda value: base64.b64encode(value).decode()),
    (memoryview, "bytes", lambda value: base64.b64encode(value).decode()),
    (complex, "complex", lambda value: [repr(value.real), repr(value.imag)]),
)
_SEQUENCES: tuple[tuple[type[Iterable[Any]], str], ...] = (
    (list, "list"),
    (tuple, "tuple"),
    (set, "set"),
    (frozenset, "frozenset"),
    (deque, "list"),
    (range, "list"),
    (KeysView, "list"),
    (ValuesView, "list"),
    (ItemsView, "list"),
)


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
    "datetime": lambda value: _of_moment(datetime, value),
    "date": date.fromisoformat,
    "time": lambda value: _of_moment(time, value),
    "timedelta": lambda value: timedelta(*value),
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": lambda value: _not_there(value) if isinstance(value, dict) else base64.b64decode(value),
    "bytearray": lambda value: bytearray(base64.b64decode(value)),
    "complex": lambda value: complex(float(value[0]), float(value[1])),
}


def _restored(value: dict[str, Any]) -> Any:
    """Undo one tag; leave one that a later release writes as it stands."""
    restore = _RESTORE.get(value[TAG]) if TAG in value and len(value) == 2 else None
    return restore(value["value"]) if restore else value


def _joined(parts: Mapping[str, str], value: dict[str, Any]) -> Any:
    """Undo one tag, and put what stands beside the payload in the place of its mark."""
    mark = value["value"] if value.get(TAG) == "bytes" and len(value) == 2 else None
    letters = parts.get(mark.get(apart.DIGEST, "")) if isinstance(mark, dict) else None
    if letters is None:
        return _restored(value)
    # The very text, for all runs that hold it, where nothing in it is escaped.
    return decode(f'"{letters}"') if "\\" in letters else letters


def _not_there(mark: dict[str, Any]) -> None:
    raise ValueError(
        f"a text of {mark.get(apart.SIZE)} bytes, with the SHA-256 {mark.get(apart.DIGEST)}, is kept beside it and is "
        "not there, or is another one; one in a store of objects is read with media_store="
    )
