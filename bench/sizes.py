"""How much is done: enough for figures, or just enough to see that all of it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    rounds: int = 15
    times: int = 10
    """How often each system does a work in a round."""
    pause: float = 0.02
    """Seconds before each turn in which nothing happens, as while a model answers."""
    visits: int = 5
    """Turns in a row on one short session, as a conversation has them."""
    short: int = 10
    long: int = 1_000
    """Runs that a session has already."""
    longest: int = 10_000
    sessions: int = 100_000
    """Sessions in the store of the listings, of ten users."""
    page: int = 500
    threads: int = 16
    turns: int = 25
    """Turns of each thread."""
    starts: int = 9
    """Fresh processes."""
    stored: int = 1_000
    """Sessions of 20 turns whose bytes on the disk are weighed."""


FULL = Size()
QUICK = Size(3, 5, 0.001, 5, 10, 100, 500, 5_000, 25, 16, 5, 3, 50)
