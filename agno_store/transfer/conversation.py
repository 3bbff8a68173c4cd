"""What travels from one store to another: a session whole, as rows whose payloads are still text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agno_store import types

Row = Mapping[str, Any]
"""Columns of a table by their names: ids as they are, payloads and texts as they are stored, times in microseconds."""


class Malformed(Exception):
    """Why something is no conversation that can be stored. It is reported, and never leaves this package."""


class Problem(NamedTuple):
    """What was passed over, and why: ``place`` is a line of a file, or a session."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


NEVER = -types.LARGEST
"""When a summary was written that is not there."""


class Stamp(NamedTuple):
    """What tells, without its payloads, whether a session has changed since."""

    created_at: int
    updated_at: int
    version: int
    summary_at: int = NEVER
    runs: int = 0
    run_versions: int = 0
    last_run_at: int = 0

    def adds_nothing_to(self, stored: Stamp) -> bool:
        """Whether a session stored like that has all that one with this stamp holds, or what is newer."""
        if not all(isinstance(part, int) for part in (*self, *stored)):  # SQLite stores a text in any column
            return False
        same = self.created_at == stored.created_at and self[4:] == stored[4:]
        older = (self.updated_at, self.version) <= (stored.updated_at, stored.version)
        return same and older and self.summary_at <= stored.summary_at


@dataclass(frozen=True)
class Content:
    """A session's row, its summary's and those of its runs in their order.

    The runs come in pieces, so that a long session never is in memory as a whole. They may be asked for again,
    because a transaction may have to be. A run without ``run_index`` comes behind those before it. ``tenant_id`` and
    ``name_folded`` are the target's to make, as are the ``session_id`` of runs and summary.
    """

    session: Row
    summary: Row | None = None
    runs: Iterable[Sequence[Row]] = ()
    problems: Sequence[str] = ()
    """What is missing of it, because it could not be read."""


@dataclass(frozen=True)
class Conversation:
    """One session on its way. ``read`` gives what is in it, or raises Malformed; it may be called again.

    It gives None where the session has been deleted since.

    With a ``stamp`` a session that the target has already is passed over without being read.
    """

    session_id: str
    place: str
    read: Callable[[], Content | None]
    stamp: Stamp | None = None
    size: int = 0
    """How much memory it takes as long as it is held, in bytes; none where it is read when its turn has come."""
