"""Waiting for a database, or for a store to be ready, no longer than was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from agno_store.cli.render import Output
from agno_store.errors import DatabaseUnreachable
from agno_store.schema import AHEAD

PAUSE = 0.5
"""Seconds between two looks."""


def reachable(output: Output, open_store: Callable[[], Any], seconds: float) -> Any:
    """Return the store once its database answers.

    Raises DatabaseUnreachable where it does not in time.
    """
    db = open_store()
    until, said = time.monotonic() + seconds, False
    while seconds:
        try:
            db.schema_status()
            break
        except DatabaseUnreachable as error:
            if time.monotonic() + PAUSE > until:
                raise
            if not said:
                output.note(f"waiting up to {seconds:g} seconds: {error}")
                said = True
            time.sleep(PAUSE)
    return db


def settled(look: Callable[[], Any], seconds: float) -> Any:
    """Return the store's status once it is usable, or as it is after ``seconds``, or ahead: no upgrade changes that."""
    until = time.monotonic() + seconds
    while True:
        try:
            status = look()
            if status.usable or status.state == AHEAD or time.monotonic() + PAUSE > until:
                return status
        except DatabaseUnreachable:
            if time.monotonic() + PAUSE > until:
                raise
        time.sleep(PAUSE)
