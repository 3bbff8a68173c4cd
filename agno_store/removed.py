"""What is to be removed from a store, and how much of it at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from agno_store import types
from agno_store.clock import DAY
from agno_store.counts import Removed
from agno_store.errors import InvalidArgument

ABANDONED = 30 * DAY
"""How long after its session's last activity a run that is not over keeps the session from being pruned."""

HOLD = 0.1
"""Seconds that one transaction should take: on SQLite every writer waits for it."""

FIRST, MOST = 50, 5000
"""Rows that the first transaction deletes, and any."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d{1,9})([smhdw])")


Progress = Callable[[Removed], None]
"""Called after each transaction with what has been removed so far."""


class Place(NamedTuple):
    """Where a walk through the sessions is: the time and the id of the last one seen."""

    created_at: int
    session_id: str


class Found(NamedTuple):
    """A session that was chosen, as it was then, and how much of it there is."""

    session_id: str
    created_at: int
    updated_at: int
    user_id: str | None
    runs: int = 0
    summaries: int = 0

    @property
    def rows(self) -> int:
        return 1 + self.runs + self.summaries


@dataclass(frozen=True)
class Which:
    """Which sessions go; times in microseconds. Without ``before`` all of ``user_id``'s, also if written to."""

    user_id: str | None = None
    before: int | None = None
    abandoned: int | None = None
    keep_last: int | None = None

    @classmethod
    def older(cls, than: Any, moment: int, *, keep_last: Any, user_id: str | None) -> Which:
        """Return the sessions without activity for so long at a moment.

        Raises InvalidArgument for an age or a number that is none.
        """
        if keep_last is not None and not (type(keep_last) is int and 0 <= keep_last <= types.LARGEST):
            raise InvalidArgument(f"keep_last={keep_last!r}: it must be a whole number from 0 on.")
        before = max(0, moment - microseconds_of(than))
        return cls(user_id, before, min(before, moment - ABANDONED), keep_last)

    @property
    def looks_for_runs(self) -> bool:
        """Whether a run that is not over keeps a session."""
        return self.abandoned is not None and self.before != self.abandoned


def microseconds_of(age: Any) -> int:
    """Return an age, a timedelta or a text such as ``90d``, ``12h``, ``30m``, ``45s`` or ``2w``, in microseconds.

    Raises InvalidArgument for anything else: of a number nobody would know whether it means days or seconds.
    """
    found = _AGE.fullmatch(age) if isinstance(age, str) else None
    if found:
        try:
            age = timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            age = timedelta.max
    if not isinstance(age, timedelta) or age < timedelta():
        raise InvalidArgument(f"older_than={age!r}: it must be a timedelta, or a text such as '90d', '12h' or '2w'.")
    return age // timedelta(microseconds=1)


class Pace:
    """How many rows the next transaction deletes, by how long the last ones took."""

    def __init__(self) -> None:
        self.rows = FIRST

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a transaction."""
        if seconds > HOLD:
            self.rows = max(1, min(rows, self.rows) // 2)
        elif seconds < HOLD / 2 and rows > self.rows // 2:
            self.rows = min(MOST, self.rows * 2)
