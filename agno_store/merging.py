"""Two changes of one payload made one: a three-way merge of JSON, with no clock in it.

``base`` is what a caller read, ``mine`` what it saves, ``theirs`` what is stored by then. Key by key, whatever
only one of the two has changed, added or taken away is so in the result; where both have changed one value
to different ones, mine, the later save, counts. Only objects are merged, those with keys that are no text as well;
a list is one value, and so is whatever else stands behind one of our tags, such as a set.
"""

from __future__ import annotations

import json
from typing import Any

from agno_store import envelope
from agno_store.plain import TAG

_ABSENT = object()


def merged(base: str | None, mine: str | None, theirs: str | None) -> str | None:
    """Return the text of a payload that holds both changes; None, SQL's NULL, counts as empty.

    Raises ValueError where one of the texts is no JSON, or sealed.
    """
    result = merge(_loaded(base), _loaded(mine), _loaded(theirs))
    if mine is None and not result:
        return None
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def merge(base: Any, mine: Any, theirs: Any) -> Any:
    """Return a JSON value that holds the change from ``base`` to ``mine`` and that from ``base`` to ``theirs``."""
    if same(base, theirs) or same(mine, theirs):
        return mine
    if same(base, mine):
        return theirs
    of_mine, of_theirs = _entries(mine), _entries(theirs)
    if of_mine is None or of_theirs is None:
        return mine
    before = _entries(base) or {}
    result = {}
    for key in [*of_theirs, *(key for key in of_mine if key not in of_theirs)]:
        value = merge(*(side.get(key, _ABSENT) for side in (before, of_mine, of_theirs)))
        if value is not _ABSENT:
            result[key] = value
    return _object(result)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one; 1, 1.0 and true are three."""
    pairs = [(one, other)]  # and no recursion: values may be nested as deep as there is stack
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            if one.keys() != other.keys():
                return False
            pairs.extend((value, other[key]) for key, value in one.items())
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pairs.extend(zip(one, other, strict=True))
        elif repr(one) != repr(other) if isinstance(one, float) else one != other:  # 0.0 is not -0.0
            return False
    return True


def _loaded(text: str | None) -> Any:
    if text is not None and envelope.is_closed(text):
        raise envelope.Sealed(text)  # which is JSON, too
    return {} if text is None else json.loads(text)


def _entries(value: Any) -> dict[Any, Any] | None:
    """Return what an object has, by key; None of what is no object. A key that is no text is a tuple of its JSON."""
    if not isinstance(value, dict) or TAG not in value:
        return value if isinstance(value, dict) else None
    pairs = value.get("value")
    if value[TAG] != "dict" or not isinstance(pairs, list):
        return None
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    entries = {key if isinstance(key, str) else (json.dumps(key),): item for key, item in pairs}
    return entries if len(entries) == len(pairs) else None


def _object(entries: dict[Any, Any]) -> dict[str, Any]:
    """Return the object that has these entries."""
    if TAG not in entries and all(isinstance(key, str) for key in entries):
        return entries
    pairs = [[key if isinstance(key, str) else json.loads(key[0]), item] for key, item in entries.items()]
    return {TAG: "dict", "value": pairs}
