"""Trying again until a moment has come."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def attempts(timeout: float) -> Iterator[int]:
    """Count the attempts that fit into ``timeout`` seconds, at least one, with a pause between two."""
    until = time.monotonic() + timeout
    attempt = 0
    while True:
        yield attempt
        left = until - time.monotonic()
        if left <= 0:
            return
        attempt += 1
        pause(min(left, 0.05 + random.random() * 0.1))


def pause(seconds: float) -> None:
    """Do nothing for some seconds."""
    time.sleep(seconds)
