"""What records look like as rows, both ways: ids checked, payloads encoded, seconds made microseconds.

Everything that can be wrong with a value is found here, before a transaction begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from agno_store import encoding, envelope, escapes, types
from agno_store.clock import SECOND
from agno_store.errors import CorruptRow, EncodingError, InvalidArgument, SealedRow
from agno_store.folding import fold
from agno_store.records import (
    SESSION_PAYLOADS,
    Origin,
    Receipt,
    Run,
    Session,
    Snapshot,
    Summary,
    checked_type,
    name_of,
    stand_in,
    whole,
)

_LATEST = types.LARGEST // 4 // SECOND

_SHORT = types.ID_LENGTH // 5
"""Characters of an id that has room even where each of them is escaped."""


# -- one value ---------------------------------------------------------------------------------------


def id_text(value: Any, name: str) -> str:
    """Return an id as text.

    Raises InvalidArgument for anything but a str, an int or a UUID.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, UUID)) and not isinstance(value, bool):
        return str(value)
    raise InvalidArgument(f"{name} must be a str, not {type(value).__name__}.")


def id_texts(values: Any, name: str) -> list[str]:
    """Return several ids as text.

    Raises InvalidArgument for a single one, whose letters would be taken for ids, and for what is no list.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{name}s must be a list of ids, not {values!r}.")
    return [id_text(value, name) for value in values]


def new_id(value: Any, name: str) -> str:
    """Return an id that can be stored.

    Raises InvalidArgument where it is longer than 255 characters, or an empty session_id, run_id or user_id.
    """
    if type(value) is str and 0 < len(value) <= _SHORT:
        return value
    text = id_text(value, name)
    if not text and name in ("session_id", "run_id", "user_id"):
        raise InvalidArgument(f"{name} is empty.")
    length = len(escapes.escape(text))
    if length > types.ID_LENGTH:
        raise InvalidArgument(
            f"{name} has {length} characters; the limit is {types.ID_LENGTH}. Nothing was written. "
            "Use a shorter id, for instance a hash of this one."
        )
    return text


def optional_id(value: Any, name: str) -> str | None:
    """The same for an id that may be absent, as one is that could not be read."""
    if value is None or (type(value) is str and 0 < len(value) <= _SHORT):
        return value
    return None if isinstance(value, escapes.Damaged) else new_id(value, name)


def optional_count(value: Any, name: str) -> int | None:
    """Return a number of the store's own, such as a version, that may be absent.

    Raises InvalidArgument for anything else.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= types.LARGEST):
        return value
    raise InvalidArgument(f"{name}={value!r}: it must be a whole number, as it was read.")


def owner_filter(value: Any) -> str | None:
    """Return a ``user_id`` to filter by; None filters nothing."""
    return None if value is None else id_text(value, "user_id")


def microseconds(value: Any, name: str, now: int) -> int:
    """Return seconds since 1970 or a datetime as microseconds; ``now`` where there is none.

    Raises InvalidArgument for anything else, and for a time of which the sum with another does not fit into 64 bits.
    """
    if value is None:
        return now
    if type(value) is int and -_LATEST < value < _LATEST:
        return value * SECOND
    if isinstance(value, datetime):
        # A naive datetime is local time, as everywhere in Python, which lacks the first day and the last.
        with suppress(ValueError, OverflowError, OSError):
            value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LATEST:
        raise InvalidArgument(f"{name} must be seconds since 1970-01-01 UTC, not {value!r}.")
    return value * SECOND if isinstance(value, int) else round(value * SECOND)


def second(value: Any, name: str, *, after: bool = False) -> int | None:
    """Return the beginning of the second that a time is in, or of the one after; None where there is no time."""
    return None if value is None else (microseconds(value, name, 0) // SECOND + after) * SECOND


def _payload(value: Any, path: str, marks: list[str] | None) -> str | None:
    return None if value is None else encoding.encode(value, path, marks)


def _components(of: Session | Run) -> dict[str, str | None]:
    return {
        "agent_id": optional_id(of.agent_id, "agent_id"),
        "team_id": optional_id(of.team_id, "team_id"),
        "workflow_id": optional_id(of.workflow_id, "workflow_id"),
    }


# -- records to columns ------------------------------------------------------------------------------


def session_columns(
    session: Session, payloads: Sequence[str], marks: list[str] | None = None, left: list[str] | None = None
) -> dict[str, Any]:
    """Return the columns of a session that comes with these ``payloads``; times are left out.

    With ``marks`` a value that cannot be stored is marked, and noted there; without, it raises EncodingError.
    With ``left`` a payload that could not be read when the session was listed stays as it is stored, and is noted.
    """
    columns: dict[str, Any] = {"session_id": new_id(session.session_id, "session_id")}
    columns["session_type"] = checked_type(session.session_type)
    columns["user_id"] = optional_id(session.user_id, "user_id")
    columns |= _components(session)
    workflow = session.workflow_name
    columns["workflow_name"] = None if workflow is None else escapes.escape(str(workflow))
    for name in payloads:
        value = getattr(session, name)
        if value is None:
            columns[name] = None
        elif left is not None and encoding.is_corrupt(value):
            left.append(name)
        elif isinstance(value, (dict, Mapping)):
            columns[name] = encoding.encode(value, name, marks)
        else:
            raise InvalidArgument(f"{name} must be a dict, not {type(value).__name__}.")
    if "session_data" in columns:
        columns |= name_columns(session.session_name)
    return columns


def name_columns(name: str | None) -> dict[str, str | None]:
    """Return what a session's name is searched by."""
    return {"name_folded": None if name is None else fold(name)}


def stored_name(session_data: str | None) -> dict[str, str | None]:
    """The same for a name that stands in an encoded ``session_data``."""
    data = None if session_data is None else encoding.decode(session_data)
    return name_columns(name_of(data))


def summary_texts(columns: Mapping[Any, Any]) -> dict[str, Any]:
    """Return of a summary's columns, or of a session's row, what tells one summary from another."""
    return {name: columns[name] for name in ("summary", "topics", "summary_data")}


def origin(row: Mapping[Any, Any], store: str) -> Origin:
    """Return which session a row of a store is."""
    return store, row["session_id"], row["created_at"]


def snapshot(row: Mapping[Any, Any], store: str, runs: Iterable[Mapping[Any, Any]] | None = None) -> Snapshot:
    """Return what a session's row is, and the rows of its runs, for a later save of what was made of it."""
    return Snapshot(
        origin(row, store),
        row["version"],
        # Of a listing the row itself: it has them under their names, and nothing is done for an object never saved.
        row if type(row) is dict else {name: row[name] for name in SESSION_PAYLOADS},
        None if row["summary"] is None else summary_texts(row),
        runs=None if runs is None else run_digests(runs),
        row=row,
    )


def run_digests(runs: Iterable[Mapping[Any, Any]]) -> dict[str, bytes]:
    """Return of each run, as columns, what tells whether its payload was changed."""
    texts = {run["run_id"]: run["run_data"].encode("utf-8", "surrogatepass") for run in runs}
    return {run_id: hashlib.blake2b(text, digest_size=16).digest() for run_id, text in texts.items()}


def run_columns(
    run: Run, session_id: str, user_id: str | None, now: int, marks: list[str] | None = None
) -> dict[str, Any]:
    """Return the columns of a run; its position is the store's to give.

    Raises EncodingError for a run that was given in the place of one that cannot be read, and as encode() does.
    """
    _refuse_corrupt(run.content, "run_data")
    status = getattr(run.status, "value", run.status)
    return {
        "session_id": new_id(session_id, "session_id"),
        "run_id": new_id(run.run_id, "run_id"),
        "run_type": checked_type(run.run_type),
        "parent_run_id": optional_id(run.parent_run_id, "parent_run_id"),
        **_components(run),
        "user_id": optional_id(run.user_id if user_id is None else user_id, "user_id"),
        "status": optional_id(status, "status"),
        "run_data": encoding.encode(run.run_data, "run_data", marks),
        "created_at": microseconds(run.created_at, "created_at", now),
        "updated_at": now,
    }


def run_receipt(columns: Mapping[str, Any], run_index: int, version: int = 1, *, is_new: bool = True) -> Receipt:
    """Return what tells a caller where and how a run is stored now."""
    moment = columns["updated_at"] // SECOND
    entries = {"session_id": columns["session_id"], "version": version, "updated_at": moment}
    return whole(Receipt, {**entries, "run_id": columns["run_id"], "run_index": run_index, "is_new": is_new})


def summary_columns(summary: Summary, marks: list[str] | None = None) -> dict[str, Any]:
    """Return the columns of a summary; times are left out.

    Raises EncodingError for a summary that could not be read in full, and as encode() does.
    """
    _refuse_corrupt(summary.topics, "summary.topics")
    if summary.topics is not None and not isinstance(summary.topics, (list, tuple)):
        raise InvalidArgument(f"The topics of a summary must be a list, not {type(summary.topics).__name__}.")
    entries = {**summary.data, "updated_at": summary.updated_at}
    rest = {name: value for name, value in entries.items() if value is not None}
    return {
        "summary": escapes.escape(summary.summary),
        "topics": _payload(None if summary.topics is None else list(summary.topics), "summary.topics", marks),
        "summary_data": _payload(rest or None, "summary", marks),
        "run_index": optional_count(summary.run_index, "run_index"),
    }


def _refuse_corrupt(value: Any, path: str) -> None:
    if encoding.is_corrupt(value):
        raise EncodingError(
            f"{path} is not what is stored, which could not be read: {value['value']} Nothing was written, because "
            "that would be lost.",
            path=path,
        )


# -- rows to dictionaries ----------------------------------------------------------------------------

Unreadable = list[str]
"""What could not be read of the rows of a listing. Where there is none, what cannot be read raises CorruptRow."""


def session_dict(row: Mapping[Any, Any], unreadable: Unreadable | None = None) -> dict[str, Any]:
    """Return a session's row decoded, under agno's names, without runs.

    Raises CorruptRow, naming the session and the column, where a payload cannot be read, or notes that in
    ``unreadable`` and gives a mark in its place.
    """
    entries = dict(row)
    for name in SESSION_PAYLOADS:
        if entries[name] is not None:
            entries[name] = _decoded(entries[name], row, name, unreadable, dict)
    if entries["workflow_name"] is not None:
        try:
            entries["workflow_name"] = escapes.unescape(entries["workflow_name"])
        except TypeError as error:  # bytes, which SQLite keeps in any column
            _corrupt(error, row, "workflow_name", unreadable)
            entries["workflow_name"] = None
    text, topics, rest = entries.pop("summary"), entries.pop("topics"), entries.pop("summary_data")
    entries["summary"] = None if text is None else _summary(text, topics, rest, row, unreadable).to_dict()
    return _seconds(entries, row, unreadable)


def session_data(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a session's data alone, whatever the state of its other payloads.

    Raises CorruptRow, naming the session, where it cannot be read.
    """
    return _decoded(row["session_data"], row, "session_data", None, dict) or {}


def run_dict(row: Mapping[Any, Any], unreadable: Unreadable | None = None) -> dict[str, Any]:
    """Return a run's row decoded.

    Raises CorruptRow, naming the run, where its payload cannot be read, or notes that in ``unreadable`` and gives
    in its place what the columns say, with a mark as the content.
    """
    entries = run_head(row, unreadable)
    payload = _decoded(row["run_data"], row, "run_data", unreadable, dict)
    entries["run_data"] = stand_in(entries, payload) if encoding.is_corrupt(payload) else payload
    return entries


def run_head(row: Mapping[Any, Any], unreadable: Unreadable | None = None) -> dict[str, Any]:
    """Return a run's row decoded but for its payload. Raises CorruptRow for a time that is none, or notes it."""
    entries = dict(row)
    entries.pop("session_created_at", None)
    return _seconds(entries, row, unreadable)


def summary_record(row: Mapping[Any, Any]) -> Summary:
    """Return a summary's row as a record.

    Raises CorruptRow, naming the session, where a payload cannot be read.
    """
    key = {name: row[name] for name in ("session_id", "run_index")}
    return _summary(row["summary"], row["topics"], row["summary_data"], row, **key)


def _summary(
    text: str,
    topics: str | None,
    rest: str | None,
    row: Mapping[Any, Any],
    unreadable: Unreadable | None = None,
    **more: Any,
) -> Summary:
    listed = _decoded(topics, row, "topics", unreadable)
    data = _decoded(rest, row, "summary_data", unreadable, dict) or {}
    if envelope.is_closed(text, "summary") or not isinstance(text, str):
        data, text = _decoded(text, row, "summary", unreadable), ""
    if encoding.is_corrupt(data):
        # Where agno's own summaries have a place for it, so that none is saved over what is stored.
        listed, data = data, {}
    return Summary(
        escapes.unescape(text),
        topics=listed,
        updated_at=data.pop("updated_at", None),
        data=data,
        **more,
    )


def _seconds(entries: dict[str, Any], row: Mapping[Any, Any], unreadable: Unreadable | None) -> dict[str, Any]:
    try:
        entries["created_at"] //= SECOND
        entries["updated_at"] //= SECOND
    except TypeError:  # SQLite stores a text in any column
        for name in ("created_at", "updated_at"):
            try:
                entries[name] = row[name] // SECOND
            except TypeError as error:
                _corrupt(error, row, name, unreadable)
                entries[name] = None
    return entries


def _decoded(
    text: str | None, row: Mapping[Any, Any], column: str, unreadable: Unreadable | None, kind: type | None = None
) -> Any:
    if text is None:
        return None
    try:
        # A dict may come back as a list of pairs, so that its text is what tells.
        is_dict = text[:1] == "{" or text.lstrip().startswith("{")
        if (kind is dict and not is_dict) or (kind is None and envelope.is_closed(text, column)):
            raise envelope.unread(text, column)
        return encoding.decode(text)
    except encoding.UNREADABLE as error:
        return _corrupt(error, row, column, unreadable)


def _corrupt(error: Exception, row: Mapping[Any, Any], column: str, unreadable: Unreadable | None) -> dict[str, Any]:
    """Return a mark that says what cannot be read and why, or raise CorruptRow where none is wanted."""
    where = f"session {row['session_id']!r}"
    if "run_id" in row:
        where = f"run {row['run_id']!r} of {where}"
    elif "session_type" not in row:
        where = f"summary of {where}"
    sealed = error if isinstance(error, envelope.Sealed) else None
    said = sealed or f"cannot be read ({type(error).__name__}: {error})"
    problem = f"{where}: what is stored in {column} {said}. {encoding.LEFT}"
    if unreadable is None and sealed is not None:
        raise SealedRow(problem, row=where, column=column, key_id=sealed.key_id) from error
    if unreadable is None:
        raise CorruptRow(problem, row=where, column=column) from error
    unreadable.append(f"{where}, {column}")
    return encoding.corrupt(problem)
