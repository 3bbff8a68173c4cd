"""The options that say which sessions or runs a command is about, and what a store is asked for in their place."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agno_store.cli.ages import moment
from agno_store.cli.options import among
from agno_store.errors import InvalidArgument


def _option(name: str, says: str, metavar: str = "ID", **more: Any) -> Any:
    return typer.Option(name, help=says, metavar=metavar, rich_help_panel="Which", **more)


KINDS = among("agent", "team", "workflow")

User = Annotated[str | None, _option("--user", "Of this user.")]
Agent = Annotated[str | None, _option("--agent", "Of this agent.")]
Team = Annotated[str | None, _option("--team", "Of this team.")]
Workflow = Annotated[str | None, _option("--workflow", "Of this workflow.")]
Component = Annotated[str | None, _option("--component", "Of this agent, team or workflow.")]
Type = Annotated[str | None, _option("--type", "agent, team or workflow.", "TYPE", autocompletion=KINDS)]
Sessions = Annotated[list[str] | None, _option("--session", "This one; may be given several times.")]
InSession = Annotated[str | None, _option("--session", "Of this session, in their order.")]
Status = Annotated[str | None, _option("--status", "COMPLETED, ERROR, ...", "STATUS")]
Name = Annotated[str | None, _option("--name", "With this in its name, in either case.", "TEXT")]
HoldsText = Annotated[str | None, _option("--text", "In which this was said; reads all of them.", "TEXT")]
MadeSince = Annotated[str | None, _option("--newer-than", "Made since then: 36h, 90d, 2026-01-31.", "AGE")]
MadeBefore = Annotated[str | None, _option("--older-than", "Made before: 36h, 90d, 2026-01-31.", "AGE")]
WrittenSince = Annotated[str | None, _option("--newer-than", "Written to since: 36h, 90d, 2026-01-31.", "AGE")]
WrittenBefore = Annotated[str | None, _option("--older-than", "Not written to since: 36h, 90d, 2026-01-31.", "AGE")]


def to_list(
    user: User = None,
    agent: Agent = None,
    team: Team = None,
    workflow: Workflow = None,
    kind: Type = None,
    newer_than: MadeSince = None,
    older_than: MadeBefore = None,
) -> dict[str, Any]:
    """Return what ``get_sessions`` and ``search`` are to look for.

    Raises InvalidArgument where two components are named, or one of another type.
    """
    components = {"agent": agent, "team": team, "workflow": workflow}
    named = {each: value for each, value in components.items() if value is not None}
    if len(named) > 1:
        raise InvalidArgument(f"--{' and --'.join(named)}: a session is of one of them. Name one.")
    of = next(iter(named), None)
    if of is not None and kind not in (None, of):
        raise InvalidArgument(f"--{of} is of sessions of that type, not of --type {kind}.")
    since, before = moment(newer_than, "--newer-than"), moment(older_than, "--older-than")
    return {
        "session_type": of or kind,
        "user_id": user,
        "component_id": next(iter(named.values()), None),
        "start_timestamp": None if since is None else int(since),
        "end_timestamp": None if before is None else int(before) - 1,
    }


def to_bring(
    user: User = None,
    kind: Type = None,
    component: Component = None,
    sessions: Sessions = None,
    newer_than: WrittenSince = None,
    older_than: WrittenBefore = None,
) -> dict[str, Any]:
    """Return what ``export`` and ``import_from`` are given for these options; nothing for those that were not."""
    named = {
        "user_id": user,
        "session_type": kind,
        "component_id": component,
        "session_ids": sessions or None,
        "written_since": moment(newer_than, "--newer-than"),
        "written_before": moment(older_than, "--older-than"),
    }
    return {name: value for name, value in named.items() if value is not None}
