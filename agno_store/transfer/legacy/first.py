"""Sessions of agno 1.x: what a row of a storage table says, under today's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_store.records import Summary
from agno_store.transfer.conversation import Malformed
from agno_store.transfer.legacy import first_runs
from agno_store.transfer.legacy.first_runs import KEPT
from agno_store.transfer.legacy.values import without_none


def fields(row: Mapping[str, Any], kind: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the fields of a session, and its runs as they were. ``row`` is decoded. Raises Malformed."""
    memory, session_id = row.get("memory") or {}, row["session_id"]
    runs = row.get("runs")
    if runs is None:
        found = memory.get("runs")
        runs = found.get(session_id) if isinstance(found, Mapping) else found
    if runs is not None and not isinstance(runs, list):
        raise Malformed(f"the runs in memory are a {type(runs).__name__} where a list belongs")
    data = dict(row.get("session_data") or {})
    if isinstance(data.get("session_metrics"), Mapping):
        data["session_metrics"] = first_runs.metrics(data["session_metrics"])
    if left := _left(row, memory):
        data[KEPT] = left
    found_fields = {
        "session_data": data or row.get("session_data"),
        "metadata": row.get("extra_data"),
        "summary": _summary(memory, row),
        "workflow_name": row.get("workflow_name"),
        **{name: row.get(name) for name in (f"{kind}_id", f"{kind}_data")},
    }
    return found_fields, runs or []


def runs(entries: Mapping[str, Any], row: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return a run as today's, behind those of its members. Raises Malformed."""
    return first_runs.converted(entries, row["session_id"], kind, row.get(f"{kind}_id"))


def _left(row: Mapping[str, Any], memory: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has no place of its own today, of this session and its user alone: the memory was shared by all."""
    left = {name: value for name, value in memory.items() if name not in ("runs", "summary", "summaries")}
    for name, key in (("memories", row.get("user_id")), ("team_context", row["session_id"])):
        if isinstance(left.get(name), Mapping):
            mine = {of: value for of, value in left[name].items() if of in (key, "default")}
            left[name] = mine
    left["team_session_id"] = row.get("team_session_id")
    return {name: value for name, value in left.items() if value not in (None, {}, [])}


def _summary(memory: Mapping[str, Any], row: Mapping[str, Any]) -> Summary | None:
    """Return the summary of this session: the user's own first, then the latest."""
    found: list[tuple[bool, str, Mapping[str, Any]]] = []
    summaries = memory.get("summaries")
    for user_id, of_user in summaries.items() if isinstance(summaries, Mapping) else ():
        summary = of_user.get(row["session_id"]) if isinstance(of_user, Mapping) else None
        if isinstance(summary, Mapping):
            found.append((user_id == row.get("user_id"), str(summary.get("last_updated")), summary))
    if isinstance(memory.get("summary"), Mapping):
        found.append((False, "", memory["summary"]))
    if not found:
        return None
    entries = dict(max(found, key=lambda each: each[:2])[2])
    moment = entries.pop("last_updated", None)
    return summary_of({"updated_at": moment, **entries})


def summary_of(entries: Mapping[str, Any] | None) -> Summary | None:
    """Return a summary, and None where there is no text. Raises Malformed for a text that is none."""
    if not entries or entries.get("summary") is None:
        return None
    text, topics = entries["summary"], entries.get("topics")
    if not isinstance(text, str) or not isinstance(topics, (list, type(None))):
        raise Malformed("the summary has no text, or topics that are no list")
    return Summary.of(without_none(dict(entries)))
