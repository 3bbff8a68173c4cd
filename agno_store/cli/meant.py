"""The options that say which sessions a transfer is about."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agno_store.cli.ages import moment

PANEL = "Which sessions"

User = Annotated[str | None, typer.Option("--user", help="Those of this user.", metavar="ID", rich_help_panel=PANEL)]
Kind = Annotated[
    str | None, typer.Option("--type", help="agent, team or workflow.", metavar="TYPE", rich_help_panel=PANEL)
]
Component = Annotated[
    str | None,
    typer.Option("--component", help="Those of this agent, team or workflow.", metavar="ID", rich_help_panel=PANEL),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--session", help="This one; may be given several times.", metavar="ID", rich_help_panel=PANEL),
]
Newer = Annotated[
    str | None,
    typer.Option(
        "--newer-than",
        help="Those written to since: 30d, 12h, 90m, or a date or time such as 2026-01-31.",
        metavar="AGE",
        rich_help_panel=PANEL,
    ),
]
Older = Annotated[
    str | None,
    typer.Option("--older-than", help="Those not written to since.", metavar="AGE", rich_help_panel=PANEL),
]


def meant(
    user: str | None,
    kind: str | None,
    component: str | None,
    ids: list[str] | None,
    newer: str | None,
    older: str | None,
) -> dict[str, Any]:
    """Return what ``export`` and ``import_from`` are given for these options; nothing for those that were not."""
    named = {
        "user_id": user,
        "session_type": kind,
        "component_id": component,
        "session_ids": ids or None,
        "written_since": moment(newer, "--newer-than"),
        "written_before": moment(older, "--older-than"),
    }
    return {name: value for name, value in named.items() if value is not None}
