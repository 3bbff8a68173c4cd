"""Single values of agno's tables: JSON in one layer or several, times in seconds or finer, ids that are missing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from agno_store.transfer.conversation import Malformed

LAYERS = 8
"""How often a text is read as JSON, at the most; agno 2.x wrote two layers on SQLite."""

_NAMESPACE = UUID("5c3b7b3a-7a52-4f0e-9d57-0a7f3f1f6f5e")
"""Ids that are made here are the same whenever the same session is read: never change it."""

_FINER = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on a time is in nanoseconds, microseconds and milliseconds; 1e11 seconds are the year 5138."""


def decoded(value: Any, column: str, kind: type) -> Any:
    """Return a payload as a value of that kind, or None where there is none. Raises Malformed."""
    for _ in range(LAYERS):
        if not isinstance(value, (str, bytes)):
            break
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"{column} is no whole JSON ({error})") from error
    if value is None or isinstance(value, kind):
        return value
    raise Malformed(f"{column} holds a {type(value).__name__} where a {kind.__name__} belongs")


def seconds(value: Any, column: str) -> int | float | None:
    """Return a time in seconds since 1970-01-01 UTC; None where there is none. Raises Malformed."""
    if isinstance(value, str):
        value = _of_text(value.strip(), column)
    if isinstance(value, datetime):
        try:
            return value.timestamp()
        except (OverflowError, ValueError, OSError) as error:
            raise Malformed(f"{column} holds {str(value)!r}, which is no time") from error
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Malformed(f"{column} holds {value!r}, which is no time")
    scale = next((scale for least, scale in _FINER if abs(value) >= least), None)
    return value if scale is None else value / scale


def _of_text(text: str, column: str) -> Any:
    for read in (int, float, datetime.fromisoformat):
        try:
            return read(text.removesuffix("Z") + "+00:00" if text.endswith("Z") else text) if text else None
        except ValueError:
            continue
    raise Malformed(f"{column} holds {text!r}, which is no time")


def text_id(value: Any) -> str | None:
    """Return an id as text; None where it is missing, empty or nothing that can be one."""
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        return None
    return str(value) or None


def made_id(*parts: Any) -> str:
    """Return an id for what has none: the same one for the same parts."""
    return str(uuid5(_NAMESPACE, json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)))


def without_none(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is there."""
    return {name: value for name, value in entries.items() if value is not None}
