"""The layouts that agno's releases have given their session tables, told by their columns.

1.x has a table for each kind of storage, 2.x one with the runs inside the session, and 3.x one with the runs beside
it. A table that was migrated from 2.x to 3.x keeps the old column, so both places count.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """How one kind of table keeps its sessions."""

    name: str
    title: str
    payloads: tuple[str, ...]
    """The columns that hold JSON."""
    session_type: str | None = None
    """The type of every session in it; None where a column says it."""

    @property
    def is_first(self) -> bool:
        """Whether it is one of agno 1.x, whose runs are other than those of today."""
        return self.name.startswith("1.x")


_COMMON = ("memory", "session_data", "extra_data")
_DATA = ("session_data", "agent_data", "team_data", "workflow_data", "metadata", "summary")

AGENTS = Layout("1.x-agent", "the agno 1.x layout (agent storage)", (*_COMMON, "agent_data"), "agent")
TEAMS = Layout("1.x-team", "the agno 1.x layout (team storage)", (*_COMMON, "team_data"), "team")
WORKFLOWS = Layout("1.x-workflow", "the agno 1.x layout (workflow storage)", (*_COMMON, "workflow_data"), "workflow")
WORKFLOWS_V2 = Layout(
    "1.x-workflow_v2", "the agno 1.x layout (workflow_v2 storage)", (*_COMMON, "workflow_data", "runs"), "workflow"
)
INSIDE = Layout("2.x", "the agno 2.x layout (runs inside the session)", (*_DATA, "runs"))
BESIDE = Layout("3.x", "the agno 3.x layout", _DATA)

ALL = (AGENTS, TEAMS, WORKFLOWS, WORKFLOWS_V2, INSIDE, BESIDE)

RUNS = frozenset({"run_id", "session_id", "run_type", "run_data", "created_at"})
"""Columns by which a table of runs of agno 3.x is known."""

_OURS = "next_run_index"


def layout_of(columns: Set[str]) -> Layout | None:
    """Return the layout of agno's that a session table with these columns has; None for any other table."""
    if _OURS in columns or "session_id" not in columns:
        return None
    if {"session_type", "session_data", "metadata"} <= columns:
        return INSIDE if "runs" in columns else BESIDE
    if not {"session_data", "extra_data"} <= columns:
        return None
    if "workflow_data" in columns:
        return WORKFLOWS_V2 if "runs" in columns else WORKFLOWS
    return next((layout for layout in (AGENTS, TEAMS) if layout.payloads[-1] in columns), None)


def holds_runs(columns: Set[str]) -> bool:
    """Whether a table with these columns is one of agno 3.x's runs, and not of ours."""
    return columns >= RUNS and "version" not in columns
