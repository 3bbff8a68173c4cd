"""``agno-store search`` and ``agno-store stats``: looks over all sessions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agno_store.cli.app import app
from agno_store.cli.reading import (
    After,
    Agent,
    Limit,
    Lines,
    Look,
    NewerThan,
    OlderThan,
    Team,
    Type,
    User,
    Workflow,
    command,
    filters,
    size,
    told,
)
from agno_store.cli.render import Output
from agno_store.paging import Listing

BAR = 40
"""Columns of the longest bar of a plot."""


@command(app, "search", "agno-store search 'refund' --user ada --newer-than 30d")
def search(
    look: Look,
    text: Annotated[str, typer.Argument(help="What was said; letters from A to Z in either case.", metavar="TEXT")],
    user: User = None,
    agent: Agent = None,
    team: Team = None,
    workflow: Workflow = None,
    kind: Type = None,
    newer_than: NewerThan = None,
    older_than: OlderThan = None,
    limit: Limit = None,
    after: After = None,
    lines: Lines = False,
) -> None:
    """Find a text in runs, session data and summaries, newest sessions first. Reads all of them; writes nothing."""
    which = filters(user, agent, team, workflow, kind, newer_than, older_than)

    def fetch(*, limit: int, after: str | None) -> Listing[Any]:
        return Listing(found := look.db.search(text, **which, limit=limit, after=after), found.next)

    columns = ("session", "user", "last written to (UTC)", "run", "where", "what")
    for page in look.pages(fetch, limit, after):
        documents = Listing([found.to_dict() for found in page], page.next)
        look.output.listing("sessions", columns, documents, [row for found in page for row in _places(found)])


def _places(found: Any) -> list[list[str]]:
    head = [found.session_id, found.user_id or "", told(found.updated_at)]
    return [
        [*(head if n == 0 else ["", "", ""]), place.run_id or "", place.path, _told_damaged(place)]
        for n, place in enumerate(found.places)
    ]


def _told_damaged(place: Any) -> str:
    return f"(cannot be read) {place.excerpt}" if place.damaged else str(place.excerpt)


@command(app, "stats", "agno-store stats --days 14 --json")
def stats(
    look: Look,
    days: Annotated[int, typer.Option("--days", min=1, max=10_000, help="Days of growth to show.")] = 30,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="Users, agents and sessions to list.")] = 10,
) -> None:
    """Show how much a store holds, whose it is, and how it grows. Measures every payload; writes nothing."""
    found, output = look.db.stats(days=days, most=most), look.output
    output.document({"store": str(look.db.names), "url": look.db.db_url, **found.to_dict()})
    if output.as_json:
        return
    with output.paged():
        output.line(f"{look.db.names} at {look.db.db_url}", "bold")
        output.line(f"{found.sessions} sessions of {found.users} users, {found.runs} runs, {size(found.bytes)}")
        if found.created_at is not None:
            output.line(f"first made {told(found.created_at)}, last written to {told(found.updated_at)} (UTC)")
        _say_days(output, found.days)
        _say_shares(output, "Users", "user", found.by_user)
        _say_shares(output, "Agents, teams and workflows", "of", found.by_component)
        _say_sessions(output, "Largest sessions", found.largest)
        _say_sessions(output, "Sessions at rest for the longest time", found.oldest)


def _say_days(output: Output, days: Sequence[Any]) -> None:
    """Plot the runs of each day, from the first on that has any or has a session."""
    first = next((n for n, day in enumerate(days) if day.runs or day.sessions), None)
    if first is None:
        output.line(f"Nothing was added in the last {len(days)} days.")
        return
    most = max(day.runs for day in days) or 1
    rows = [
        [day.date, output.bar(day.runs, most, BAR), str(day.runs), str(day.sessions), size(day.bytes)]
        for day in days[first:]
    ]
    output.line("")
    output.table("Growth by day (UTC)", ("day", "", "runs", "sessions", "bytes"), rows)


def _say_shares(output: Output, title: str, column: str, shares: Sequence[Any]) -> None:
    output.line("")
    kinds = [f"{share.session_type} " if share.session_type else "" for share in shares]
    rows = [
        [f"{kind}{'(nobody)' if share.id is None else share.id}", *_amounts(share)]
        for kind, share in zip(kinds, shares, strict=True)
    ]
    output.table(title, (column, "sessions", "runs", "bytes"), rows)


def _amounts(share: Any) -> list[str]:
    return [str(share.sessions), str(share.runs), size(share.bytes)]


def _say_sessions(output: Output, title: str, sessions: Sequence[Any]) -> None:
    output.line("")
    rows = [
        [one.session_id, one.user_id or "", str(one.runs), size(one.bytes), told(one.updated_at)] for one in sessions
    ]
    output.table(title, ("session", "user", "runs", "bytes", "last written to (UTC)"), rows)
