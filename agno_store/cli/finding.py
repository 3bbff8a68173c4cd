"""``agno-store search`` and ``agno-store stats``: looks over all sessions together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from agno_store.cli.app import app
from agno_store.cli.page import page, share_name
from agno_store.cli.reading import (
    After,
    Limit,
    Lines,
    Look,
    command,
    size,
    told,
)
from agno_store.cli.render import Output, counted, is_stdout
from agno_store.cli.which import to_list
from agno_store.clock import SECOND, now
from agno_store.paging import Listing

BAR = 40
"""Columns of the longest bar of a plot."""


@command(app, "search", "agno-store search 'refund' --user ada --newer-than 30d", which=to_list)
def search(
    look: Look,
    text: Annotated[str, typer.Argument(help="What was said; letters from A to Z in either case.", metavar="TEXT")],
    which: dict[str, Any],
    limit: Limit = None,
    after: After = None,
    lines: Lines = False,
) -> None:
    """Find a text in runs, session data and summaries, newest sessions first. Reads all of them; writes nothing."""

    def fetch(*, limit: int, after: str | None) -> Listing[Any]:
        return Listing(found := look.db.search(text, **which, limit=limit, after=after), found.next)

    columns = ("session", "user", "last written to (UTC)", "run", "where", "what")
    for some in look.pages(fetch, limit, after):
        documents = Listing([found.to_dict() for found in some], some.next)
        look.output.listing("sessions", columns, documents, [row for found in some for row in _places(found)])


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
    html: Annotated[
        str | None, typer.Option("--html", help="Write it as a page with charts, in one file.", metavar="FILE")
    ] = None,
) -> None:
    """Show how much a store holds, whose it is, and how it grows. Measures every payload; changes nothing."""
    found, output = look.db.stats(days=days, most=most), look.output
    runs = counted(found.runs, "run")
    if html is not None:
        from agno_store.transfer.files import put_there

        with put_there(html) as file:
            file.write(page(str(look.db.names), look.db.db_url, found, now() // SECOND).encode())
    output.document({"store": str(look.db.names), "url": look.db.db_url, **found.to_dict()})
    if html is not None:
        say = output.note if is_stdout(html) else partial(output.line, style="green")
        say(f"{html}: {counted(found.sessions, 'session')}, {runs} and {size(found.bytes)} told")
    if output.as_json or html is not None:
        return
    with output.paged():
        output.line(f"{look.db.names} at {look.db.db_url}", "bold")
        whose = f"{counted(found.sessions, 'session')} of {counted(found.users, 'user')}"
        output.line(f"{whose}, {runs}, {size(found.bytes)}")
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
    rows = [[share_name(share), str(share.sessions), str(share.runs), size(share.bytes)] for share in shares]
    output.table(title, (column, "sessions", "runs", "bytes"), rows)


def _say_sessions(output: Output, title: str, sessions: Sequence[Any]) -> None:
    output.line("")
    rows = [
        [one.session_id, one.user_id or "", str(one.runs), size(one.bytes), told(one.updated_at)] for one in sessions
    ]
    output.table(title, ("session", "user", "runs", "bytes", "last written to (UTC)"), rows)
