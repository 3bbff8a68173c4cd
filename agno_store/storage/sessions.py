"""What agno 1 calls a session, as a session, runs and a summary, and back.

Its sessions hold all of their runs, and the summaries of its users, in ``memory``; those of its second workflows hold
them in ``runs``. The runs become rows, word for word, and the session's own summary becomes its summary. What has
no column stays in ``session_data`` under a key of its own, so that nothing is lost on the way.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agno_store import encoding
from agno_store.records import Run, Session, Summary
from agno_store.types import ID_LENGTH

KEY = "agno_store.agno_1"
"""Where in ``session_data`` that is which has no column."""


@dataclass(frozen=True)
class Mode:
    """One of the four kinds of sessions of agno 1."""

    kind: str
    """The type of the session that it is stored as."""
    module: str
    cls: str
    fields: tuple[str, ...]

    @property
    def holds_runs(self) -> bool:
        """Whether the runs are in the session itself, and not in its memory."""
        return "runs" in self.fields


_ALL = ("session_id", "user_id", "session_data", "extra_data", "created_at", "updated_at")
_MEMBER = ("memory", "team_session_id", "workflow_session_id")
_SESSIONS = "agno.storage.session"

MODES = {
    "agent": Mode("agent", f"{_SESSIONS}.agent", "AgentSession", (*_ALL, *_MEMBER, "agent_id", "agent_data")),
    "team": Mode("team", f"{_SESSIONS}.team", "TeamSession", (*_ALL, *_MEMBER, "team_id", "team_data")),
    "workflow": Mode(
        "workflow", f"{_SESSIONS}.workflow", "WorkflowSession", (*_ALL, "memory", "workflow_id", "workflow_data")
    ),
    "workflow_v2": Mode(
        "workflow",
        f"{_SESSIONS}.v2.workflow",
        "WorkflowSession",
        (*_ALL, "runs", "workflow_id", "workflow_name", "workflow_data"),
    ),
}

NOBODY = "default"
"""Whose the summaries of a session without a user are."""

_WITHOUT_COLUMN = ("team_session_id", "workflow_session_id")


# -- to what is stored -------------------------------------------------------------------------------


def entries_of(mode: Mode, session: Any) -> dict[str, Any]:
    """Return a session of agno 1, or a mapping with its keys, as a dictionary."""
    if isinstance(session, Mapping):
        given: Any = session
    elif mode.holds_runs:
        given = session.to_dict()  # its runs are objects
    else:
        given = {name: getattr(session, name, None) for name in mode.fields}
    return {name: given.get(name) for name in mode.fields}


def packed(mode: Mode, entries: Mapping[str, Any]) -> tuple[Session, list[Run]]:
    """Return the record of a session, and those of its runs.

    Raises InvalidArgument where there is no ``session_id``.
    """
    session_id, data = entries["session_id"], entries["session_data"]
    runs, rest = _without_runs(mode, entries)
    rest |= {name: entries[name] for name in _WITHOUT_COLUMN if entries.get(name) is not None}
    summary = _take_summary(rest, session_id, entries["user_id"])
    if data is None:
        rest["session_data"] = None
    names = ("session_id", "user_id", "created_at", "workflow_name", f"{mode.kind}_id", f"{mode.kind}_data")
    record = Session.of(
        {
            **{name: entries[name] for name in names if name in entries},
            "session_type": mode.kind,
            "session_data": {**(data or {}), KEY: rest} if _takes_more(data) else data,
            "metadata": entries["extra_data"],
            "summary": summary,
        }
    )
    return record, _runs(mode.kind, runs, str(session_id))


def _takes_more(data: Any) -> bool:
    """Whether this is session data; it is not where it could not be read, and what is stored stays."""
    return data is None or (isinstance(data, Mapping) and not encoding.is_corrupt(data))


def _without_runs(mode: Mode, entries: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
    """Return the runs, and what held them; what is no list of runs stays where it is."""
    runs = entries["runs"] if mode.holds_runs else _entry(entries["memory"], "runs")
    are_runs = isinstance(runs, (list, tuple)) and all(isinstance(run, Mapping) for run in runs)
    left: Any = [] if are_runs else runs
    if mode.holds_runs:
        return list(runs if are_runs else []), {"runs": left}
    memory = {**entries["memory"], "runs": left} if are_runs else entries["memory"]
    return list(runs if are_runs else []), {"memory": memory}


def _take_summary(rest: dict[str, Any], session_id: Any, user_id: Any) -> Summary | None:
    """Take the summary of a session out of its memory, which keeps those of all its users and of other sessions."""
    summaries = _entry(rest.get("memory"), "summaries")
    users = [user_id, *summaries] if isinstance(summaries, Mapping) else []
    for user in users:
        found = _entry(_entry(summaries, user), session_id)
        if isinstance(_entry(found, "summary"), str):
            theirs = {**summaries, user: {**summaries[user], session_id: None}}
            rest |= {"memory": {**rest["memory"], "summaries": theirs}, "summary_of": user}
            return _summary(found)
    return None


def _summary(found: Mapping[str, Any]) -> Summary:
    topics, moment = found.get("topics"), found.get("last_updated")
    listed, dated = isinstance(topics, list), isinstance(moment, str)
    taken = {"summary", *(["topics"] if listed else []), *(["last_updated"] if dated else [])}
    rest = {name: value for name, value in found.items() if name not in taken}
    return Summary(
        found["summary"],
        topics=topics if listed else None,
        updated_at=moment if dated else None,
        data={KEY: rest} if rest else {},
    )


def _runs(kind: str, runs: Iterable[Mapping[str, Any]], session_id: str) -> list[Run]:
    """Return the records of runs; one without an id, or with that of another, is given one that stays the same."""
    records, times = [], Counter[str]()
    for run in runs:
        response = run.get("response") if run.get("run_id") is None else None
        said = response if isinstance(response, Mapping) else run
        run_id = _id(said.get("run_id")) or str(
            uuid.uuid5(uuid.NAMESPACE_OID, encoding.encode([session_id, run], "runs", []))
        )
        times[run_id] += 1
        records.append(
            Run(
                run_id=run_id if times[run_id] == 1 else f"{run_id}#{times[run_id]}",
                run_data=dict(run),
                run_type=kind,
                status=_status(said.get("status")),
                created_at=_moment(said.get("created_at")),
                agent_id=_id(said.get("agent_id")),
                team_id=_id(said.get("team_id")),
                workflow_id=_id(said.get("workflow_id")),
            )
        )
    return records


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= ID_LENGTH else None


def _status(value: Any) -> str | None:
    """Return what became of a run: agno 1 saves those that are over, and has most of them running for ever."""
    status = _id(getattr(value, "value", value))
    return "COMPLETED" if status == "RUNNING" else status


def _moment(value: Any) -> int | float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 1e11 else None


def _entry(mapping: Any, key: Any) -> Any:
    return mapping.get(key) if isinstance(mapping, Mapping) else None


# -- from what is stored -----------------------------------------------------------------------------


def unpacked(mode: Mode, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a session of agno 1 is made of, from a stored one, whichever agno has stored it."""
    data = stored["session_data"]
    rest = _entry(data, KEY)
    if rest is None:
        rest = {"memory": {"summaries": {}, "runs": []}, "summary_of": stored["user_id"] or NOBODY}
    else:
        data = {name: value for name, value in data.items() if name != KEY}
        data = None if not data and "session_data" in rest else data
    runs = stored["runs"] or None
    memory = rest.get("memory") if runs is None else {**(rest.get("memory") or {}), "runs": runs}
    own = {
        "session_data": data,
        "extra_data": stored["metadata"],
        "memory": _with_summary(memory, rest, stored),
        "runs": runs or rest.get("runs"),
    }
    without = {name: rest.get(name) for name in _WITHOUT_COLUMN}
    entries = {**stored, **without, **own}
    return {name: entries[name] for name in mode.fields}


def _with_summary(memory: Any, rest: Mapping[str, Any], stored: Mapping[str, Any]) -> Any:
    """Return a memory with the session's summary in its place."""
    summaries, user = _entry(memory, "summaries"), rest.get("summary_of")
    if user is None or not isinstance(summaries, Mapping):
        return memory
    theirs = {name: value for name, value in (summaries.get(user) or {}).items() if name != stored["session_id"]}
    if stored["summary"] is not None:
        theirs[stored["session_id"]] = _found(stored["summary"])
    return {**memory, "summaries": {**summaries, user: theirs} if theirs or user in summaries else summaries}


def _found(summary: Mapping[str, Any]) -> dict[str, Any]:
    entries = {"last_updated" if name == "updated_at" else name: value for name, value in summary.items()}
    rest = entries.pop(KEY, {})
    return {**entries, **rest}
