"""``agno-store sessions``: what is in a store, a conversation as it was, and what support has to change in one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Annotated, Any

import typer

from agno_store.cli import conversation
from agno_store.cli.options import Yes
from agno_store.cli.reading import (
    After,
    Limit,
    Lines,
    Look,
    SessionId,
    command,
    group,
    plain,
    sorting,
    told,
)
from agno_store.cli.render import counted, in_a_line
from agno_store.cli.reporting import confirm
from agno_store.cli.which import HoldsText, Name, to_list
from agno_store.encoding import is_corrupt
from agno_store.errors import CorruptRow, InvalidArgument, NotFound
from agno_store.paging import SESSION_SORTS, Listing, check_sort

sessions = group("sessions", "Look at sessions, and rename, change or delete them.")

COLUMNS = ("session", "type", "of", "user", "name", "made (UTC)", "last written to (UTC)")

Sort = Annotated[str, sorting(SESSION_SORTS)]


@command(sessions, "list", "agno-store sessions list --user ada --newer-than 7d --json", which=to_list)
def listed(
    look: Look,
    which: dict[str, Any],
    name: Name = None,
    text: HoldsText = None,
    sort: Sort = "created_at",
    limit: Limit = None,
    after: After = None,
    lines: Lines = False,
) -> None:
    """List sessions, the newest first. Writes nothing."""
    check_sort(sort, SESSION_SORTS)
    if text is not None and (name is not None or sort != "created_at"):
        raise InvalidArgument("--text: what was said is looked for newest first, without --name and --sort.")

    def fetch(*, limit: int, after: str | None) -> Listing[dict[str, Any]]:
        if text is not None:
            return _holding(look, text, **which, limit=limit, after=after)
        options = {"sort_by": sort, "include_runs": False, "deserialize": False, "limit": limit, "after": after}
        found, _ = look.db.get_sessions(session_name=name, **which, **options)
        return Listing([entry(session) for session in found], found.next)

    for page in look.pages(fetch, limit, after):
        look.output.listing("sessions", COLUMNS, page, [_cells(one) for one in page])


def _holding(look: Look, text: str, **options: Any) -> Listing[dict[str, Any]]:
    found = look.db.search(text, **options)
    return Listing([entry(session) for one in found if (session := header(look, one.session_id))], found.next)


def header(look: Look, session_id: str) -> dict[str, Any] | None:
    """Return a session without its runs; of one that cannot be read its id, and a mark with the reason."""
    try:
        found: dict[str, Any] | None = look.db.get_session(session_id, deserialize=False, runs_limit=0)
        return found
    except CorruptRow as error:
        return {"session_id": session_id, "damaged": str(error)}


def entry(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a session what a list shows."""
    data = session.get("session_data")
    name = data.get("session_name") if isinstance(data, Mapping) else None
    unread = {"damaged": damaged} if (damaged := _damage(session)) else {}
    names = ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id")
    ids = {each: session.get(each) for each in names}
    times = {each: session.get(each) for each in ("created_at", "updated_at")}
    return {**ids, "session_name": plain(name), **times, **unread}


def _damage(session: Mapping[str, Any]) -> str | None:
    """Return what is said of a session that cannot be read in full."""
    if "damaged" in session:
        return str(session["damaged"])
    summary = session.get("summary")
    places = [*session.values(), *(summary.values() if isinstance(summary, Mapping) else ())]
    return next((str(value["value"]) for value in places if is_corrupt(value)), None)


def _cells(one: Mapping[str, Any]) -> list[str]:
    of = one["agent_id"] or one["team_id"] or one["workflow_id"]
    name = "(cannot be read)" if "damaged" in one else one["session_name"]
    shown = (one["session_id"], one["session_type"], of, one["user_id"], name)
    return [*("" if cell is None else str(cell) for cell in shown), told(one["created_at"]), told(one["updated_at"])]


@command(sessions, "show", "agno-store sessions show s1 --last 3")
def show(
    look: Look,
    session: SessionId,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="The last runs alone, with their members'.", metavar="NUMBER")
    ] = None,
    system: Annotated[bool, typer.Option("--system", help="With the system's messages, too.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Each run as it is stored, as JSON.")] = False,
    lines: Lines = False,
) -> None:
    """Show a conversation as it was: roles, tool calls, members' runs indented, summary, state. Writes nothing."""
    output, found = look.output, _there(look, session)
    runs = _all_runs(look, session) if last is None else _last_runs(look, session, last)
    if output.in_lines:
        output.document({"session": plain(found)})
        for run in runs:
            output.document({"run": plain(run)})
    elif output.as_json:
        output.document({"session": plain(found), "runs": [plain(run) for run in runs]})
    else:
        with output.paged():
            for line in chain(_about(found), _conversation(runs, system=system, raw=raw)):
                output.line(*line)


def _absent(look: Look, session_id: str, left: str = "") -> NotFound:
    return NotFound(
        f"There is no session {session_id!r} in {look.db.names}. {left}agno-store sessions list shows those that are "
        "there."
    )


def _there(look: Look, session_id: str, left: str = "") -> dict[str, Any]:
    """Return a session's header; ``left`` is said of what was not done where there is none."""
    found = header(look, session_id)
    if found is None:
        raise _absent(look, session_id, left)
    found.pop("runs", None)
    return found


def _all_runs(look: Look, session_id: str) -> Iterator[dict[str, Any]]:
    after = None
    while True:
        page, _ = look.db.get_runs(session_id=session_id, deserialize=False, limit=50, after=after)
        yield from page
        after = page.next
        if after is None:
            return


def _last_runs(look: Look, session_id: str, last: int) -> list[dict[str, Any]]:
    """Return the last runs that are no members', with those that belong to them."""
    found: list[dict[str, Any]] = []
    after, tops = None, 0
    while True:
        options = {"deserialize": False, "sort_by": "run_index", "sort_order": "desc", "limit": 50, "after": after}
        page, _ = look.db.get_runs(session_id=session_id, **options)
        for run in page:
            tops += run["parent_run_id"] is None
            if tops > last:
                return found[::-1]
            found.append(run)
        after = page.next
        if after is None:
            return found[::-1]


def _conversation(runs: Any, *, system: bool, raw: bool) -> Iterator[conversation.Line]:
    for run, members in conversation.ordered(runs):
        yield conversation.Line("")
        yield from conversation.run_lines(run, members, system=system, raw=raw)


def _about(found: Mapping[str, Any]) -> Iterator[conversation.Line]:
    """Give what stands over a conversation."""
    one = entry(found)
    name = f" · {one['session_name']}" if one["session_name"] is not None else ""
    # In a line: an end of a line in an id would begin one that nobody has said.
    yield conversation.Line(in_a_line(f"{one['session_id']}{name}"), "bold")
    of = [f"{each} {one[f'{each}_id']}" for each in ("agent", "team", "workflow", "user") if one[f"{each}_id"]]
    if of:
        yield conversation.Line(in_a_line(" · ".join(of)))
    if one["created_at"] is not None:
        yield conversation.Line(
            f"made {told(one['created_at'])}, last written to {told(one['updated_at'])} (UTC)", "dim"
        )
    if "damaged" in one:
        yield conversation.Line(one["damaged"], conversation.STYLES["damaged"])
    summary, data = found.get("summary"), found.get("session_data")
    if isinstance(summary, Mapping):
        yield conversation.Line(f"summary: {summary.get('summary')}")
    if isinstance(data, Mapping) and data.get("session_state"):
        yield conversation.Line(f"state: {json.dumps(plain(data['session_state']), ensure_ascii=False)}")


@command(sessions, "rename", "agno-store sessions rename s1 'Trip to Rome'")
def rename(
    look: Look,
    session: SessionId,
    name: Annotated[str, typer.Argument(help="What it is to be called.", metavar="NAME")],
) -> None:
    """Give a session another name."""
    _there(look, session)
    if look.db.rename_session(session, None, name, deserialize=False) is None:
        raise _absent(look, session)
    look.output.document({"session_id": session, "session_name": name})
    look.output.line(in_a_line(f"{session} is called {name}"), "green")


@command(sessions, "delete", "agno-store sessions delete s1 s2 --yes")
def delete(
    look: Look,
    session: Annotated[list[str], typer.Argument(help="The sessions' ids.", metavar="SESSION...")],
    yes: Yes = False,
) -> None:
    """Delete sessions with their runs and summaries. It says what is lost, and asks first."""
    output, ids = look.output, list(dict.fromkeys(session))
    found = {session_id: entry(_there(look, session_id, "Nothing was deleted. ")) for session_id in ids}
    for session_id, about in found.items():
        _, runs = look.db.get_runs(session_id=session_id, deserialize=False, limit=1)
        name = f" ({about['session_name']})" if about["session_name"] is not None else ""
        output.line(f"  {in_a_line(session_id + name)} goes, and {counted(runs, 'run')} with it", "yellow")
    if not yes:
        confirm(output, f"Delete {counted(len(ids), 'session')} of {look.db.names}?")
    deleted = [session_id for session_id in ids if look.db.delete_session(session_id)]
    output.document({"deleted": deleted})
    output.line(f"{counted(len(deleted), 'session')} deleted", "green")


@command(sessions, "state", "agno-store sessions state s1 --set plan=pro --set seats=3")
def state(
    look: Look,
    session: SessionId,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set a key to a value: JSON, or else a text. Again for more.", metavar="KEY=VALUE"),
    ] = None,
) -> None:
    """Show a session's state, or set keys of it while nobody else can change it."""
    _there(look, session)
    if changes:
        new = dict(_assignment(change) for change in changes)
        held = look.db.update_session_state(session, partial(_changed, session, new))
    else:
        found = look.db.get_session(session, deserialize=False, runs_limit=0)
        held = found and ((found["session_data"] or {}).get("session_state") or {})
    if held is None:
        raise _absent(look, session)
    look.output.document(plain(held))
    look.output.line(json.dumps(plain(held), indent=2, ensure_ascii=False))


def _changed(session_id: str, new: Mapping[str, Any], old: Any) -> dict[str, Any]:
    if not isinstance(old, Mapping):
        raise InvalidArgument(
            f"--set: the state of {session_id!r} is a {type(old).__name__}, which has no keys. Nothing was changed."
        )
    return {**old, **new}


def _assignment(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise InvalidArgument(f"--set {text}: write KEY=VALUE.")
    try:
        return key, json.loads(value, parse_constant=_refused)
    except ValueError:
        return key, value
    except RecursionError as error:
        raise InvalidArgument(f"--set {key}: the value is nested too deeply.") from error


def _refused(name: str) -> None:
    """NaN and Infinity are no JSON, but texts."""
    raise ValueError(name)
