"""What the benchmark says: lines that have a goal, and the figures they come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bench.clock import Times
from bench.gauges import Cost


@dataclass(frozen=True)
class Line:
    """One promise of docs/performance.md, and how it stands on one database."""

    work: str
    what: str
    database: str
    goal: float | None = None
    measured: float | None = None
    unit: str = "×"
    at_least: bool = False
    """Whether more is better."""
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None where it cannot be told yet."""
        if self.goal is None or self.measured is None:
            return None
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    def words(self) -> tuple[str, str, str]:
        """Goal, what was measured, and whether it holds."""
        sign = "≥" if self.at_least else "≤"
        goal = "" if self.goal is None else f"{sign} {self.goal:g} {self.unit}"
        measured = "not yet" if self.measured is None else f"{self.measured:.3g} {self.unit}"
        return goal, measured, {True: "yes", False: "no", None: ""}[self.holds]


@dataclass(frozen=True)
class Detail:
    """What one system took for one kind of work."""

    work: str
    what: str
    database: str
    system: str
    times: Times | None = None
    cost: Cost | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        found = {"work": self.work, "what": self.what, "database": self.database, "system": self.system}
        found |= self.times.to_dict() if self.times else {}
        return found | (asdict(self.cost) if self.cost else {}) | self.more


@dataclass
class Result:
    """All of it, as JSON has it."""

    lines: list[Line] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        self.lines += other.lines
        self.details += other.details

    def to_dict(self) -> dict[str, Any]:
        lines = [{**asdict(line), "holds": line.holds} for line in self.lines]
        return {**self.about, "lines": lines, "details": [detail.to_dict() for detail in self.details]}
