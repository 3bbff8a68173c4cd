"""What a look over many sessions finds: how much there is, and where a text stands. No SQL, no clock.

Times are whole seconds since 1970-01-01 UTC, as everywhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agno_store.clock import SECOND


def whole_seconds(moment: Any) -> int | None:
    """Return a stored time as seconds; None for none, and for what SQLite may keep in its place."""
    return int(moment) // SECOND if isinstance(moment, (int, float)) else None


@dataclass(frozen=True)
class Share:
    """What of a store is one user's, or of one agent, team or workflow. ``id`` is None for what is nobody's."""

    id: str | None
    sessions: int
    runs: int
    bytes: int
    session_type: str | None = None
    """Of a component: whether it is an agent, a team or a workflow."""


@dataclass(frozen=True)
class Day:
    """What has been added on one day, in UTC: ``date`` is '2026-01-31'."""

    date: str
    sessions: int
    runs: int
    bytes: int


@dataclass(frozen=True)
class Sized:
    """A session and how much it holds."""

    session_id: str
    session_type: str
    user_id: str | None
    runs: int
    bytes: int
    created_at: int | None
    updated_at: int | None


@dataclass(frozen=True)
class Stats:
    """How much a store holds. ``bytes`` are those of the payloads and summaries, as they are stored."""

    sessions: int
    runs: int
    bytes: int
    users: int
    created_at: int | None
    """When its first session was made."""
    updated_at: int | None
    """When it was last written to."""
    by_user: tuple[Share, ...]
    """The users with the most bytes, those first."""
    by_component: tuple[Share, ...]
    """The agents, teams and workflows with the most."""
    days: tuple[Day, ...]
    """What was added on each of the last days, today last; runs count where they were made."""
    largest: tuple[Sized, ...]
    oldest: tuple[Sized, ...]
    """The sessions to which nothing was written for the longest time."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON can say them."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """Where a text stands: in a run, or, where ``run_id`` is None, in its session or the summary."""

    run_id: str | None
    run_index: int | None
    path: str
    """Where in it, such as ``run_data.messages[2].content``."""
    excerpt: str
    damaged: bool = False
    """Whether the payload cannot be read: then ``excerpt`` is of what is stored, and ``path`` names the column."""


@dataclass(frozen=True)
class Found:
    """A session in which a text was found, and the first places where it stands."""

    session_id: str
    session_type: str
    component_id: str | None
    user_id: str | None
    created_at: int | None
    updated_at: int | None
    places: tuple[Place, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as JSON can say it."""
        return asdict(self)
