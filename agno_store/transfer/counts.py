"""What a transfer has done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agno_store.transfer.conversation import Problem


@dataclass
class Counts:
    """How many were new, how many were replaced by a newer one, and how many were left as they are."""

    inserted: int = 0
    updated: int = 0
    kept: int = 0

    def add(self, other: Counts) -> None:
        """Count these, too."""
        self.inserted += other.inserted
        self.updated += other.updated
        self.kept += other.kept

    @property
    def changed(self) -> int:
        return self.inserted + self.updated


@dataclass
class Done:
    """What became of sessions, runs and summaries. A session in which anything was written is an updated one."""

    sessions: Counts = field(default_factory=Counts)
    runs: Counts = field(default_factory=Counts)
    summaries: Counts = field(default_factory=Counts)

    def add(self, other: Done) -> None:
        """Count what another one did, too."""
        self.sessions.add(other.sessions)
        self.runs.add(other.runs)
        self.summaries.add(other.summaries)


@dataclass
class Transferred(Done):
    """What a transfer has done, or, as a plan, would do.

    ``problems`` are the sessions and lines that were passed over, each with the reason. ``verified`` is how many
    sessions were compared afterwards, and None where that was not asked for; those that differ are problems, too.
    """

    problems: list[Problem] = field(default_factory=list)
    planned: bool = False
    verified: int | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing was passed over."""
        return not self.problems

    @property
    def rows(self) -> int:
        return self.sessions.changed + self.runs.changed + self.summaries.changed

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        counts = {name: dict(vars(getattr(self, name))) for name in ("sessions", "runs", "summaries")}
        problems = [problem._asdict() for problem in self.problems]
        return {**counts, "problems": problems, "planned": self.planned, "verified": self.verified}


@dataclass
class Exported:
    """How many sessions, runs and summaries a file holds, and which sessions could not be written into it."""

    sessions: int = 0
    runs: int = 0
    summaries: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing was passed over."""
        return not self.problems

    @property
    def rows(self) -> int:
        return self.sessions + self.runs + self.summaries

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {**vars(self), "problems": [problem._asdict() for problem in self.problems]}
