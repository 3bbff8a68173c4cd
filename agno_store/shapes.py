"""What callers give, made ready to be stored, and what is stored, made into what they get."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agno_store import apart, bridge, encoding, filtering, rows
from agno_store.errors import ConfigurationError, EncodingError, InvalidArgument
from agno_store.history import Known, Seen
from agno_store.hooks import BeforeWrite
from agno_store.records import PLAIN, SESSION_PAYLOADS, Run, Session, Snapshot, Summary, payloads_of, unread, whole
from agno_store.saving import MERGE, SessionSave

log = logging.getLogger("agno_store")

MARK, RAISE = "mark", "raise"
NAMED = 5
"""Places that a warning names; it counts the others."""


def checked_choice(unstorable: Any) -> str | None:
    """Return what to do with a value that cannot be stored.

    Raises ConfigurationError for what is neither "mark", "raise" nor None.
    """
    if unstorable not in (None, MARK, RAISE):
        raise ConfigurationError(f"unstorable={unstorable!r}: it must be {MARK!r} or {RAISE!r}, or be left out.")
    return None if unstorable is None else str(unstorable)


def _marks(value: Any, unstorable: str | None) -> list[str] | None:
    """Return a list for the places that are marked, or None where the caller is to get an EncodingError.

    agno logs an error of a save and goes on, so what it saves is better stored with a mark than not at all.
    """
    is_marked = unstorable == MARK or (unstorable is None and type(value) not in PLAIN and bridge.is_agnos(value))
    return [] if is_marked else None


def unstorable_of_agnos(unstorable: str | None) -> str | None:
    """Return the same for a dict that agno itself gives: the run of a queue's worker, or of the background."""
    return MARK if unstorable is None and bridge.loaded() else unstorable


def _tell_marked(where: str, marks: Sequence[str]) -> None:
    log.warning(
        "%s is stored with a mark in the place of what cannot be stored: %s. Keep that outside the session, give "
        "its class a to_dict() method, or have it refused with unstorable='raise'.",
        where,
        _some(marks),
    )


def _some(places: Sequence[str]) -> str:
    return "; ".join(places[:NAMED]) + (f"; and {len(places) - NAMED} more" if len(places) > NAMED else "")


def storable(value: Any, path: str, unstorable: str | None) -> Any:
    """Return a value that is to be part of a payload, marked where all callers want marks."""
    marks = _marks(None, unstorable)
    if marks is None:
        return value
    text = encoding.encode(value, path, marks)
    if not marks:
        return value
    _tell_marked(path, marks)
    return encoding.decode(text)


def prepared(
    session: Any,
    store: str,
    now: int,
    unstorable: str | None,
    on_conflict: str = MERGE,
    *,
    before_write: BeforeWrite | None = None,
    keeps_updated_at: bool = False,
    media_over: int | None = None,
) -> SessionSave:
    """Return a session ready to be stored, with what its caller had read of it."""
    ours = type(session) is Session  # what follows asks much of any other
    record: Session = session if ours else bridge.session_record(session)
    runs = bridge.checked_runs(runs_of(session))
    marks, left = _marks(session, unstorable), list[str]()
    columns = rows.session_columns(record, SESSION_PAYLOADS if ours else payloads_of(session), marks, left)
    summary = None if record.summary is None else _prepared_summary(record.summary, marks)
    if before_write is not None:
        columns = filtering.session(before_write, columns)
        summary = summary and filtering.summary(before_write, summary, columns["session_id"], columns["user_id"])
    base, version = _as_read(session, record, store, columns["session_id"])
    how = (record, now, unstorable, before_write, media_over)
    brought = prepared_runs(runs or (), *how) if not ours and bridge.brings_runs(session) else None
    digests = None if brought is None else rows.run_digests(brought)
    entries: dict[str, Any] = {
        "store": store,
        "columns": columns,
        "summary": summary,
        "base": base,
        "version": rows.optional_count(version, "version"),
        "on_conflict": on_conflict,
        "created_at": _moment(record.created_at, "created_at"),
        "updated_at": _moment(record.updated_at, "updated_at") if keeps_updated_at else None,
        "runs": [] if digests is None else _changed(brought or [], digests, base, media_over),
        "run_digests": digests,
    }
    if left or marks:
        _tell_of(record.session_id, left, marks)
    return SessionSave(**entries)


def _as_read(session: Any, record: Session, store: str, session_id: str) -> tuple[Snapshot | None, Any]:
    """Return what was read of the session that is saved, and its version: nothing, where it was another session."""
    base = record.snapshot if record is session else bridge.snapshot_of(session)
    if base is None or base.origin is None:
        return base, record.version
    return (base, base.version) if base.origin[:2] == (store, session_id) else (Snapshot(), None)


def _moment(value: Any, name: str) -> int | None:
    return None if value is None else rows.microseconds(value, name, 0)


def _prepared_summary(summary: Summary, marks: list[str] | None) -> dict[str, Any] | None:
    return None if encoding.is_corrupt(summary.topics) else rows.summary_columns(summary, marks)


def _tell_of(session_id: str, left: Sequence[str], marks: Sequence[str] | None) -> None:
    if marks:
        _tell_marked(f"session {session_id!r}", marks)
    if left:
        log.warning("session %r: %s could not be read and is left as it is stored", session_id, ", ".join(left))


def prepared_summary(session_id: Any, summary: Any, unstorable: str | None) -> dict[str, Any]:
    """Return a summary's columns."""
    marks = _marks(summary, unstorable)
    columns = rows.summary_columns(Summary.of(summary), marks)
    if marks:
        _tell_marked(f"summary of session {session_id!r}", marks)
    return columns


def prepared_run(
    run: Any,
    session_id: str,
    user_id: str | None,
    now: int,
    unstorable: str | None,
    before_write: BeforeWrite | None = None,
    media_over: int | None = None,
) -> dict[str, Any] | None:
    """Return a run's columns, or None for one that is not to be stored.

    Its texts of more than ``media_over`` bytes stand beside its payload.
    """
    record: Run = Run.of(run) if type(run) is dict else bridge.run_record(run)
    marks = _marks(run, unstorable)
    columns = rows.run_columns(record, session_id, user_id, now, marks)
    if marks:
        _tell_marked(f"run {record.run_id!r} of session {session_id!r}", marks)
    kept: dict[str, Any] | None = columns if before_write is None else filtering.run(before_write, columns)
    if kept is None or media_over is None:
        return kept
    return {**kept, "run_data": apart.parted(kept["run_data"], media_over)}


def prepared_runs(
    runs: Iterable[Any],
    session: Session,
    now: int,
    unstorable: str | None,
    before_write: BeforeWrite | None,
    media_over: int | None,
) -> list[Any]:
    """Return the columns of the runs that are saved with a session. One that could not be read is left as stored."""
    readable = [run for run in runs if not encoding.is_corrupt(getattr(run, "content", None))]
    whose = (session.session_id, session.user_id)
    columns = [prepared_run(run, *whose, now, unstorable, before_write, media_over) for run in readable]
    return list({run["run_id"]: run for run in columns if run is not None}.values())


def _changed(
    runs: Sequence[Any], digests: Mapping[str, bytes], base: Snapshot | None, media_over: int | None
) -> list[Any]:
    """Return the runs that are not as their caller has read them, in the form in which they will be read.

    agno 2 writes empty entries that it does not read, and the other way round. Stored as it reads them, they are the
    same when they come back, and only what a program has changed is written again.
    """
    known: Mapping[str, bytes] = {} if base is None or base.runs is None else base.runs
    changed = [run for run in runs if known.get(run["run_id"]) != digests[run["run_id"]]]
    return [
        {**run, "run_data": apart.parted(_as_it_is_read(run["run_type"], run["run_data"]), media_over)}
        for run in changed
    ]


def _as_it_is_read(run_type: str, run_data: str) -> str:
    read = bridge.run_as_read(run_type, encoding.decode(run_data))
    return run_data if read is None else encoding.encode(read, "run_data", [])


def prepared_all(
    sessions: Iterable[Any], store: str, now: int, unstorable: str | None, on_conflict: str, **how: Any
) -> list[SessionSave]:
    """The same of several sessions; an error says which of them it is about."""
    ready: list[SessionSave] = []
    for session in sessions:
        try:
            ready.append(prepared(session, store, now, unstorable, on_conflict, **how))
        except (EncodingError, InvalidArgument) as error:
            found = session.get("session_id") if isinstance(session, Mapping) else getattr(session, "session_id", None)
            error.args = (f"Session {found!r}, number {len(ready) + 1} of those given: {error}",)
            raise
    return ready


def runs_of(session: Any) -> Any:
    """Return the runs that a session comes with. They are given back, and only those of agno 2 are stored."""
    if type(session) is Session:
        return session.runs
    return session.get("runs") if isinstance(session, Mapping) else getattr(session, "runs", None)


def run_fields(fields: Any, run_id: str, session_data: Any, unstorable: str | None) -> tuple[Any, Any]:
    """Return a change of a run, and of its session's data, ready to be stored.

    Raises InvalidArgument for one that is no dict, or would make it another run.
    """
    if not isinstance(fields, Mapping):
        raise InvalidArgument(f"fields must be a dict, not {type(fields).__name__}.")
    if fields.get("run_id") not in (None, run_id):
        raise InvalidArgument(f"fields would make run {run_id!r} another one: {fields['run_id']!r}.")
    if session_data is not None and not isinstance(session_data, Mapping):
        raise InvalidArgument(f"session_data must be a dict, not {type(session_data).__name__}.")
    if fields.get("status") is not None:
        status = getattr(fields["status"], "value", fields["status"])
        fields = {**fields, "status": str(status).upper()}
    unstorable = unstorable_of_agnos(unstorable)
    return storable(fields, "run_data", unstorable), storable(session_data, "session_data", unstorable)


def parent(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a session that is made for its first run."""
    names = ("session_id", "user_id", "agent_id", "team_id", "workflow_id", "created_at")
    return {**{name: run[name] for name in names}, "session_type": run["run_type"]}


def session(
    row: Any,
    runs: Sequence[Any] | None,
    store: str,
    session_type: Any,
    deserialize: bool | None,
    unreadable: rows.Unreadable | None = None,
) -> Any:
    """Return a stored session with its runs, as an object or a dict; ``runs`` is None where none were read.

    Raises CorruptRow for what cannot be read, or notes it in ``unreadable`` and gives a mark in its place.
    """
    entries = rows.session_dict(row, unreadable)
    decoded = None if runs is None else [rows.run_dict(run, unreadable) for run in runs]
    if deserialize:
        snapshot = rows.snapshot(row, store, runs if runs is not None and bridge.runs_are_brought() else None)
        return bridge.session_object({**entries, "runs": decoded}, session_type, snapshot, unreadable)
    entries["runs"] = None if decoded is None else [run["run_data"] for run in decoded]
    return entries


def session_with_latest(row: Any, runs: Sequence[Seen], store: str, session_type: Any, deserialize: bool | None) -> Any:
    """Return a stored session with its last runs; payloads that were read before are decoded when they are looked at.

    Raises CorruptRow for what cannot be read.
    """
    if not deserialize or bridge.loaded():
        return session(row, [run.row for run in runs], store, session_type, deserialize)
    return bridge.session_of_records(rows.session_dict(row), [_record(run) for run in runs], rows.snapshot(row, store))


def _record(run: Seen) -> Run:
    if run.as_read is not None:
        return whole(Run, run.as_read)
    if run.is_written:  # what was encoded here can be decoded
        run.as_read = unread(rows.run_head(run.row), run.row["run_data"])
        return whole(Run, run.as_read)
    record = whole(Run, rows.run_dict(run.row))
    run.as_read = unread(vars(record), run.row["run_data"])
    return record


def session_with_history(row: Any, known: Known, store: str, session_type: str) -> Any:
    """Return a stored session with the runs that are known, as agno's object.

    Raises CorruptRow for what cannot be read.
    """
    entries, snapshot = rows.session_dict(row), rows.snapshot(row, store)
    return bridge.session_with_history(
        entries, session_type, snapshot, known, lambda run: rows.run_dict(run)["run_data"]
    )


def sessions(
    found: Iterable[Any], runs: Mapping[str, Sequence[Any]], store: str, session_type: Any, deserialize: bool | None
) -> list[Any]:
    """Return a listing: one damaged row among them does not keep the others away, and is warned of."""
    unreadable: rows.Unreadable = []
    given = [session(row, runs.get(row["session_id"]), store, session_type, deserialize, unreadable) for row in found]
    _tell_unreadable(unreadable)
    return given


def run(row: Any, deserialize: bool | None, unreadable: rows.Unreadable | None = None) -> Any:
    """Return a stored run, as an object or as its row.

    Raises CorruptRow for what cannot be read, or notes it in ``unreadable`` and gives a mark in its place.
    """
    entries = rows.run_dict(row, unreadable)
    return bridge.run_object(entries, unreadable) if deserialize else entries


def runs(found: Iterable[Any], deserialize: bool | None) -> list[Any]:
    """The same of a listing of runs."""
    unreadable: rows.Unreadable = []
    given = [run(row, deserialize, unreadable) for row in found]
    _tell_unreadable(unreadable)
    return given


def written(row: Any, runs: Sequence[Any] | None, store: str, session_type: Any, deserialize: bool | None) -> Any:
    """Return a session that has just been written to; what was damaged before does not make that a failure."""
    unreadable: rows.Unreadable = []
    given = session(row, runs, store, session_type, deserialize, unreadable)
    _tell_unreadable(unreadable)
    return given


def _tell_unreadable(unreadable: rows.Unreadable) -> None:
    if unreadable:
        log.warning(
            "What is stored cannot be read, and is given as a mark: %s. Reading the row alone says why.",
            _some(unreadable),
        )


def saved(row: Any, session: Any, store: str, deserialize: bool | None) -> Any:
    """Return a session as stored, with the runs that it came with."""
    runs = runs_of(session)
    if not deserialize:
        return {**written(row, None, store, None, False), "runs": bridge.run_dictionaries(runs)}
    if bridge.loaded():
        stored = written(row, None, store, bridge.session_kind(session), True)
        stored.runs = runs
        return stored
    unreadable: rows.Unreadable = []
    entries = rows.session_dict(row, unreadable)
    if unreadable:
        _tell_unreadable(unreadable)
    return bridge.session_of_records(entries, runs, rows.snapshot(row, store))
