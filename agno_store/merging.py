"""Two changes of one payload made one: a three-way merge of JSON, with no clock in it.

``base`` is what a caller read, ``mine`` what it saves, ``theirs`` what is stored by then. Key by key, whatever
only one of the two has changed, added or taken away is so in the result; where both have changed one value
to different ones, mine, the later save, counts. Only objects are merged; a list is one value, and so is whatever
stands behind one of our tags, such as a set.
"""

from __future__ import annotations

import json
from typing import Any

from agno_store.encoding import TAG

_ABSENT = object()


def merged(base: str | None, mine: str | None, theirs: str | None) -> str | None:
    """Return the text of a payload that holds both changes; None, SQL's NULL, counts as empty.

    Raises ValueError where one of the texts is no JSON.
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
    if not (_is_object(mine) and _is_object(theirs)):
        return mine
    before = base if _is_object(base) else {}
    result = {}
    for key in [*theirs, *(key for key in mine if key not in theirs)]:
        value = merge(*(side.get(key, _ABSENT) for side in (before, mine, theirs)))
        if value is not _ABSENT:
            result[key] = value
    return result


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one; 1, 1.0 and true are three."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)  # 0.0 is not -0.0
    return bool(one == other)


def _loaded(text: str | None) -> Any:
    return {} if text is None else json.loads(text)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and TAG not in value
