"""A session as people read it: who said what, which tools were called, and the members' part of a team's run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agno_store.cli.reading import plain, told
from agno_store.encoding import is_corrupt

STYLES = {"user": "bold cyan", "assistant": "green", "tool": "yellow", "system": "dim", "damaged": "bold red"}
WIDTH = 10
"""Columns of the role, in front of what was said."""

Run = Mapping[str, Any]


class Line(NamedTuple):
    """What is printed, and in which style."""

    text: str
    style: str | None = None


def ordered(runs: Iterable[Run]) -> Iterator[tuple[Run, list[Run]]]:
    """Give each run with those of its members, which are stored before it or behind it.

    Of a member whose team's run does not come, as while it is under way, its own is given, when all others were.
    """
    waiting: dict[str, list[Run]] = {}
    seen: set[str] = set()
    for run in runs:
        parent = run["parent_run_id"]
        seen.add(run["run_id"])
        if parent is None or parent in seen:
            yield run, _below(run["run_id"], waiting)
        else:
            waiting.setdefault(parent, []).append(run)
    for parent in list(waiting):
        if not any(run["run_id"] == parent for runs_of in waiting.values() for run in runs_of):
            yield from ((run, _below(run["run_id"], waiting)) for run in waiting.pop(parent))


def _below(run_id: str, waiting: dict[str, list[Run]]) -> list[Run]:
    return [one for member in waiting.pop(run_id, []) for one in (*_below(member["run_id"], waiting), member)]


def run_lines(run: Run, members: Sequence[Run] = (), *, system: bool = False, raw: bool = False) -> Iterator[Line]:
    """Give the lines of a run: what was asked, its members' runs, and what it answered."""
    data = run["run_data"]
    yield Line(heading(run), "bold")
    if is_corrupt(data.get("content")):
        yield Line(f"  {data['content']['value']}", STYLES["damaged"])
        members_at = 0
        said: list[Line] = []
    elif raw:
        said = [Line(f"  {line}") for line in json.dumps(plain(data), indent=2, ensure_ascii=False).splitlines()]
        members_at = 0
    else:
        said, members_at = _said(data, system=system)
    yield from said[:members_at]
    for member in members:
        for line in run_lines(member, system=system, raw=raw):
            yield Line(f"    {line.text}", line.style)
    yield from said[members_at:]


def heading(run: Run) -> str:
    """Return what the columns of a run say of it, in a line."""
    component = run["agent_id"] or run["team_id"] or run["workflow_id"]
    of = f"{run['run_type']} {component}" if component else str(run["run_type"])
    parts = (f"#{run['run_index']}", run["run_id"], of, run["status"], told(run["created_at"]))
    member = f"member of {run['parent_run_id']}" if run["parent_run_id"] else None
    return " · ".join(str(part).replace("\n", "\\n") for part in (*parts, member) if part)


def _said(data: Mapping[str, Any], *, system: bool) -> tuple[list[Line], int]:
    """Return what was said in a run, and how many lines were before it was the members' turn."""
    said: list[Line] = []
    called = answered = None
    messages = _messages(data, system=system)
    for message in messages:
        if message.get("role") == "tool" and called is None:
            called = len(said)
        if message.get("role") == "assistant" and message.get("content"):
            answered = len(said)
        said += _message(message)
    if not said:
        return _without_messages(data)
    if answered is None:
        answered = len(said)
        said += _spoken("assistant", data.get("content"))
    return said, answered if called is None else called


def _messages(data: Mapping[str, Any], *, system: bool) -> list[Mapping[str, Any]]:
    """Return the run's own messages: those of earlier runs, sent along as its history, are shown where they were."""
    messages = data.get("messages")
    found = messages if isinstance(messages, list) else []
    return [
        message
        for message in found
        if isinstance(message, Mapping)
        and not message.get("from_history")
        and (system or message.get("role") not in ("system", "developer"))
    ]


def _message(message: Mapping[str, Any]) -> list[Line]:
    role = str(message.get("role"))
    name = message.get("tool_name") or message.get("name")
    lines = _spoken(role, message.get("content"), name if role == "tool" else None)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, Mapping) else None
        function = function if isinstance(function, Mapping) else {}
        lines += _spoken("", f"→ {function.get('name')}({_text(function.get('arguments'))})", style="yellow")
    return lines


def _without_messages(data: Mapping[str, Any]) -> tuple[list[Line], int]:
    asked = data.get("input")
    if isinstance(asked, Mapping):
        asked = asked.get("input_content", asked)
    lines = _spoken("user", asked)
    steps = data.get("step_results")
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, Mapping):
            lines += _spoken("step", step.get("content"), step.get("step_name"))
    return lines + _spoken("assistant", data.get("content")), len(lines)


def _spoken(role: str, content: Any, name: Any = None, style: str | None = None) -> list[Line]:
    if content is None or content == "":
        return []
    text = _text(content)
    first, *more = (f"{name}: {text}" if name else text).splitlines() or [""]
    shown = [f"  {role:<{WIDTH}}{first}", *(f"  {'':<{WIDTH}}{line}" for line in more)]
    return [Line(line, style or STYLES.get(role)) for line in shown]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
