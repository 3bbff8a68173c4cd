"""What callers give, made ready to be stored, and what is stored, made into what they get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agno_store import bridge, rows
from agno_store.errors import EncodingError, InvalidArgument
from agno_store.records import Session, given
from agno_store.saving import MERGE, SessionSave


def prepared(session: Any, on_conflict: str = MERGE, *, keeps_updated_at: bool = False) -> SessionSave:
    """Return a session ready to be stored, with what its caller had read of it."""
    record: Session = bridge.session_record(session)
    bridge.run_dictionaries(runs_of(session))
    base = bridge.snapshot_of(session)
    version = record.version if base is None or base.version is None else base.version
    return SessionSave(
        columns=rows.session_columns(record, given(session)),
        summary=None if record.summary is None else rows.summary_columns(record.summary),
        base=base,
        version=rows.optional_count(version, "version"),
        on_conflict=on_conflict,
        created_at=_moment(record.created_at, "created_at"),
        updated_at=_moment(record.updated_at, "updated_at") if keeps_updated_at else None,
    )


def _moment(value: Any, name: str) -> int | None:
    return None if value is None else rows.microseconds(value, name, 0)


def prepared_all(sessions: Iterable[Any], on_conflict: str, *, keeps_updated_at: bool) -> list[SessionSave]:
    """The same of several sessions; an error says which of them it is about."""
    ready: list[SessionSave] = []
    for session in sessions:
        try:
            ready.append(prepared(session, on_conflict, keeps_updated_at=keeps_updated_at))
        except (EncodingError, InvalidArgument) as error:
            found = session.get("session_id") if isinstance(session, Mapping) else getattr(session, "session_id", None)
            error.args = (f"Session {found!r}, number {len(ready) + 1} of those given: {error}",)
            raise
    return ready


def runs_of(session: Any) -> Any:
    """Return the runs that a session comes with; they are given back, and not stored."""
    return session.get("runs") if isinstance(session, Mapping) else getattr(session, "runs", None)


def check_run_fields(fields: Any, run_id: str, session_data: Any) -> None:
    """Raise InvalidArgument for a change of a run that is no dict, or would make it another run."""
    if not isinstance(fields, Mapping):
        raise InvalidArgument(f"fields must be a dict, not {type(fields).__name__}.")
    if fields.get("run_id") not in (None, run_id):
        raise InvalidArgument(f"fields would make run {run_id!r} another one: {fields['run_id']!r}.")
    if session_data is not None and not isinstance(session_data, Mapping):
        raise InvalidArgument(f"session_data must be a dict, not {type(session_data).__name__}.")


def parent(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a session that is made for its first run."""
    names = ("session_id", "user_id", "agent_id", "team_id", "workflow_id", "created_at")
    return {**{name: run[name] for name in names}, "session_type": run["run_type"]}


def session(row: Any, runs: Sequence[Any] | None, session_type: Any, deserialize: bool | None) -> Any:
    """Return a stored session with its runs, as an object or a dict; ``runs`` is None where none were read."""
    entries = rows.session_dict(row)
    decoded = None if runs is None else [rows.run_dict(run) for run in runs]
    if deserialize:
        return bridge.session_object({**entries, "runs": decoded}, session_type, rows.snapshot(row))
    entries["runs"] = None if decoded is None else [run["run_data"] for run in decoded]
    return entries


def run(row: Any, deserialize: bool | None) -> Any:
    """Return a stored run, as an object or as its row."""
    entries = rows.run_dict(row)
    return bridge.run_object(entries) if deserialize else entries


def saved(row: Any, session: Any, deserialize: bool | None) -> Any:
    """Return a session as stored, with the runs that it came with."""
    runs = runs_of(session)
    entries = rows.session_dict(row)
    if not deserialize:
        return {**entries, "runs": bridge.run_dictionaries(runs)}
    kind = bridge.session_kind(session)
    return bridge.with_runs(bridge.session_object({**entries, "runs": None}, kind, rows.snapshot(row)), runs)
