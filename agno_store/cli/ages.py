"""Moments as they are said on a command line."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from agno_store.clock import SECOND
from agno_store.errors import InvalidArgument
from agno_store.removed import microseconds_of


def age(said: str, option: str) -> str:
    """Return an age as it was said. Raises InvalidArgument for what is none."""
    try:
        microseconds_of(said)
    except InvalidArgument:
        raise InvalidArgument(f"{option}: {said!r} is no age, such as 36h, 90d or 12w.") from None
    return said


def moment(said: str | None, option: str) -> float | None:
    """Return an age, such as 90d, or a date or time, such as 2026-01-31, in seconds since 1970; None for none.

    Without a zone a date or time is that of UTC. Raises InvalidArgument for anything else.
    """
    if said is None:
        return None
    try:
        seconds = time.time() - microseconds_of(said.strip()) / SECOND
    except InvalidArgument:
        seconds = _written_out(said.strip())
    if seconds < 0:
        raise InvalidArgument(
            f"{option}: {said!r} is neither an age, such as 36h, 90d or 12w, nor a date since 1970 (UTC), such as "
            "2026-01-31."
        )
    return seconds


def _written_out(text: str) -> float:
    """Return a date or time in seconds since 1970, less than 0 for what is none."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return -1
