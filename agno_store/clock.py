"""What a store marks its rows with: the time, and a number that no row had before."""

from __future__ import annotations

import os
import time

SECOND = 1_000_000
"""Microseconds, which all times of a store are in."""

DAY = 86_400 * SECOND


def now() -> int:
    """Return the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def unlike_any() -> int:
    """Return where ``runs_changed`` begins: at no number that a session of the same id had before it was deleted."""
    return int.from_bytes(os.urandom(6), "big")
