"""Asking ``before_write`` what of a payload is to be stored, before a transaction begins.

It is asked about what has been encoded, and its answer is encoded anew: it sees plain values, as they will be read,
and whatever it changes it changes in a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_store import encoding, escapes, rows
from agno_store.errors import InvalidArgument
from agno_store.hooks import BeforeWrite, Write
from agno_store.records import SESSION_PAYLOADS, Summary

SESSION, RUN, SUMMARY = "session", "run", "summary"


def session(ask: BeforeWrite, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's columns with what is to be stored; payloads that the answer leaves out are not written.

    Raises InvalidArgument for an answer that is none, EncodingError for one that cannot be stored.
    """
    names = [name for name in SESSION_PAYLOADS if name in columns]
    if not names:
        return dict(columns)
    given = {name: None if columns[name] is None else encoding.decode(columns[name]) for name in names}
    answer = _payloads(ask, Write(SESSION, given, columns["session_id"], columns["user_id"]))
    found = {name: value for name, value in columns.items() if name not in (*names, "name_folded")}
    for name, value in answer.items():
        found[name] = None if value is None else encoding.encode(value, name)
    return found | (rows.stored_name(found["session_data"]) if "session_data" in found else {})


def run(ask: BeforeWrite, columns: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a run's columns with what is to be stored, or None where nothing is. Raises as ``session`` does."""
    payload = encoding.decode(columns["run_data"])
    write = Write(RUN, payload, columns["session_id"], columns["user_id"], columns["run_id"])
    ids = _ids(payload)
    answer = ask(write)
    if answer is None:
        return None
    return {**columns, "run_data": encoding.encode(_with(ids, _checked(answer, write)), "run_data")}


def summary(ask: BeforeWrite, columns: Mapping[str, Any], session_id: str, user_id: str | None) -> dict[str, Any]:
    """Return a summary's columns with what is to be stored. Raises as ``session`` does."""
    topics, rest = (None if columns[name] is None else encoding.decode(columns[name]) for name in _OF_SUMMARY)
    given = {"summary": escapes.unescape(columns["summary"]), "topics": topics, **(rest or {})}
    answer = _asked(ask, Write(SUMMARY, given, session_id, user_id))
    return {**rows.summary_columns(Summary.of(answer)), "run_index": columns["run_index"]}


_OF_SUMMARY = ("topics", "summary_data")


def part(ask: BeforeWrite | None, kind: str, given: Any, **whose: Any) -> Any:
    """Return of a part of a payload what is to be stored. Raises as ``session`` does."""
    if ask is None or given is None:
        return given
    named = given.items() if kind == SESSION else [("run_data", given)]
    plain = {name: encoding.decode(encoding.encode(value, name)) for name, value in named}
    if kind == SESSION:
        return _payloads(ask, Write(kind, plain, **whose, is_part=True))
    fields = plain["run_data"]
    ids = _ids(fields)
    return _with(ids, _asked(ask, Write(kind, fields, **whose, is_part=True)))


_IDS = ("run_id", "session_id", "user_id", "parent_run_id", "agent_id", "team_id", "workflow_id", "status")
"""What of a run stands in columns as well, by which it is found: a payload that said otherwise would be another's."""


def _ids(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in _IDS if name in run}


def _with(ids: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in answer.items() if name in ids or name not in _IDS}
    return {**kept, **ids}


def _payloads(ask: BeforeWrite, write: Write) -> Mapping[str, Any]:
    """Return what is to be stored of a session, by name: nothing that was not asked about, and each a dict or None."""
    before, answer = set(write.payload), _asked(ask, write)
    if more := answer.keys() - before:
        names = ", ".join(sorted(map(str, more)))
        raise InvalidArgument(f"before_write returned {names} for a session that comes without.")
    for name, value in answer.items():
        if value is not None and not isinstance(value, Mapping):
            raise InvalidArgument(f"before_write returned {name} as a {type(value).__name__}; it must be a dict.")
    return answer


def _asked(ask: BeforeWrite, write: Write) -> Mapping[str, Any]:
    answer = ask(write)
    if answer is None:
        of = f"a part of a {write.kind}" if write.is_part else f"a {write.kind}"
        raise InvalidArgument(f"before_write returned None for {of}: only a whole run can be left out.")
    return _checked(answer, write)


def _checked(answer: Any, write: Write) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise InvalidArgument(
            f"before_write returned a {type(answer).__name__} for a {write.kind}: it must be a dict, or None for a run "
            "that is not to be stored. Nothing was written."
        )
    return answer
