"""Trying again until a moment has come."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def attempts(timeout: float, *, every: float = 0.05) -> Iterator[int]:
    """Count the attempts that fit into ``timeout`` seconds, at least one, with a pause between two.

    A pause is up to three times as long, so that those who wait do not all try at once.
    """
    until = time.monotonic() + timeout
    attempt = 0
    while True:
        yield attempt
        left = until - time.monotonic()
        if left <= 0:
            return
        attempt += 1
        pause(min(left, every * (1 + 2 * random.random())))


def pause(seconds: float) -> None:
    """Do nothing for some seconds."""
    time.sleep(seconds)
