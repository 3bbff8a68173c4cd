"""``agno-store runs``: runs of one session or of all, and one of them as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agno_store.cli import conversation
from agno_store.cli.reading import After, Limit, Lines, Look, command, group, plain, sorting, told
from agno_store.cli.which import Agent, InSession, Status, Team, User, Workflow
from agno_store.encoding import is_corrupt
from agno_store.errors import CorruptRow, InvalidArgument, NotFound
from agno_store.paging import RUN_SORTS, Listing, check_sort

runs = group("runs", "Look at runs.")

COLUMNS = ("run", "session", "#", "type", "of", "user", "status", "made (UTC)")
_NAMES = ("run_id", "session_id", "run_index", "run_type", "agent_id", "team_id", "workflow_id", "user_id", "status")

Sort = Annotated[str | None, sorting(RUN_SORTS)]


@command(runs, "list", "agno-store runs list --status ERROR --limit 20")
def listed(
    look: Look,
    session: InSession = None,
    user: User = None,
    agent: Agent = None,
    team: Team = None,
    workflow: Workflow = None,
    status: Status = None,
    sort: Sort = None,
    limit: Limit = None,
    after: After = None,
    lines: Lines = False,
) -> None:
    """List runs, the newest first, or those of a session in their order. Writes nothing."""
    which = {"session_id": session, "user_id": user, "agent_id": agent, "team_id": team, "workflow_id": workflow}
    if sort is None and session is None:
        sort = "created_at"
    check_sort("run_index" if sort is None else sort, RUN_SORTS)

    def fetch(*, limit: int, after: str | None) -> Listing[dict[str, Any]]:
        options = {"sort_by": sort, "sort_order": None if sort is None else "desc", "limit": limit, "after": after}
        found, _ = look.db.get_runs(**which, status=status, deserialize=False, **options)
        return Listing([entry(run) for run in found], found.next)

    for page in look.pages(fetch, limit, after):
        look.output.listing("runs", COLUMNS, page, [_cells(run) for run in page])


def entry(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a run what a list shows."""
    content = run["run_data"].get("content")
    unread = {"damaged": content["value"]} if is_corrupt(content) else {}
    return {name: run[name] for name in (*_NAMES, "parent_run_id", "created_at", "updated_at")} | unread


def _cells(run: Mapping[str, Any]) -> list[str]:
    of = run["agent_id"] or run["team_id"] or run["workflow_id"]
    status = "(cannot be read)" if "damaged" in run else run["status"]
    shown = (run["run_id"], run["session_id"], run["run_index"], run["run_type"], of, run["user_id"], status)
    return [*("" if cell is None else str(cell) for cell in shown), told(run["created_at"])]


@command(runs, "show", "agno-store runs show r1 --session s1")
def show(
    look: Look,
    run: Annotated[str, typer.Argument(help="The run's id.", metavar="RUN")],
    session: Annotated[
        str | None, typer.Option("--session", help="Its session, where several have a run of that id.", metavar="ID")
    ] = None,
    system: Annotated[bool, typer.Option("--system", help="With the system's messages, too.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="As it is stored, as JSON.")] = False,
) -> None:
    """Show a run as it was: roles, tool calls, what was answered. Writes nothing."""
    output = look.output
    try:
        found = look.db.get_run(run, deserialize=False, session_id=session)
    except InvalidArgument as error:
        raise InvalidArgument(str(error).replace("session_id=", "--session")) from error
    except CorruptRow as error:
        output.document({"run_id": run, "damaged": str(error)})
        output.line(str(error), conversation.STYLES["damaged"])
        return
    if found is None:
        where = "" if session is None else f" in session {session!r}"
        raise NotFound(
            f"There is no run {run!r}{where} in {look.db.names}. agno-store runs list shows those that are there."
        )
    output.document(plain(found))
    with output.paged():
        for line in conversation.run_lines(found, system=system, raw=raw):
            output.line(*line)
