"""What is read of one session in an old table: a session, its runs in order, and what could not be read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agno_store.legacy import Layout
from agno_store.records import TYPES, Run, Session, type_by_component
from agno_store.transfer.conversation import Malformed
from agno_store.transfer.legacy import first, runs
from agno_store.transfer.legacy.values import decoded, seconds, text_id

_IDS = ("user_id", "agent_id", "team_id", "workflow_id")
_LISTS = ("runs",)


@dataclass(frozen=True)
class Found:
    """A session of an old table with its runs. ``problems`` says what of it was passed over, and why."""

    session: Session
    runs: Sequence[Run]
    problems: Sequence[str] = field(default=())


def found(
    layout: Layout, rows: Sequence[Mapping[str, Any]], beside: Sequence[Mapping[str, Any]], session_id: str
) -> Found:
    """Return a session out of its row, or its rows where a table without a primary key has several.

    ``beside`` are its rows in a table of runs. Raises Malformed where the session itself cannot be read.
    """
    problems: list[str] = []
    decoded_rows = [_decoded(layout, row) for row in sorted(rows, key=_newness)]
    inside: list[dict[str, Any]] = []
    values: dict[str, Any] = {}
    for row in decoded_rows:
        values, listed = _values(layout, row)
        for entries in runs.dictionaries(listed, problems):
            kind = layout.session_type
            inside += [entries] if not layout.is_first else first.runs(entries, row, str(kind))
    if len(rows) > 1:
        problems.append(f"there are {len(rows)} rows of it, of which the newest counts; the runs are those of all")
    every = _runs(layout, runs.identified(session_id, inside), beside, problems)
    kind = layout.session_type or decoded_rows[-1].get("session_type")
    return Found(_session(session_id, kind, decoded_rows[-1], values, every), every, tuple(problems))


def _newness(row: Mapping[str, Any]) -> tuple[float, float]:
    moments = (row.get("updated_at"), row.get("created_at"))
    first_, second = (float(value) if isinstance(value, (int, float)) else 0.0 for value in moments)
    return first_, second


def _decoded(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    payloads = {
        name: decoded(row[name], name, list if name in _LISTS else dict) for name in layout.payloads if name in row
    }
    ids = {name: text_id(row[name]) for name in _IDS if name in row}
    times = {name: seconds(row.get(name), name) for name in ("created_at", "updated_at")}
    return {**row, **payloads, **ids, **times}


def _values(layout: Layout, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    if layout.is_first:
        return first.fields(row, str(layout.session_type))
    values = {name: row.get(name) for name in layout.payloads if name not in ("runs", "summary")}
    return values | {"summary": first.summary_of(row.get("summary"))}, row.get("runs") or []


def _runs(
    layout: Layout, inside: Sequence[dict[str, Any]], beside: Sequence[Mapping[str, Any]], problems: list[str]
) -> list[Run]:
    older = []
    for entries in inside:
        try:
            kind = layout.session_type if layout.session_type == "workflow" else None
            older.append(runs.of_dictionary(entries, kind))
        except Malformed as error:
            problems.append(str(error))
    return runs.merged(older, runs.of_rows(beside, problems))


def _session(
    session_id: str, kind: Any, row: Mapping[str, Any], values: Mapping[str, Any], every: Sequence[Run]
) -> Session:
    ids = {name: row.get(name) for name in _IDS}
    moments = [run.created_at for run in every if run.created_at is not None]
    begun = next((moment for moment in (row["created_at"], *sorted(moments)[:1], row["updated_at"]) if moment), 0)
    ended = next((moment for moment in (row["updated_at"], *sorted(moments)[-1:]) if moment), begun)
    return Session(
        session_id=session_id,
        session_type=kind if kind in TYPES else type_by_component(ids),
        created_at=begun,
        updated_at=max(ended, begun),
        **{**ids, **values},
    )
