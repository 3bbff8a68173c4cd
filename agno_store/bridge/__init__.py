"""Meeting agno: its objects are used where a program has imported it, and nothing of it otherwise.

How our classes become agno's ``db=`` is in ``joining``.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from agno_store.bridge import carried
from agno_store.bridge.joining import BASE_MODULE, connect, connect_async, connect_storage
from agno_store.encoding import LEFT, corrupt, is_corrupt
from agno_store.errors import CorruptRow, InvalidArgument
from agno_store.history import Known
from agno_store.records import (
    PLAIN,
    TYPES,
    Run,
    RunUpdate,
    Session,
    Snapshot,
    Summary,
    checked_type,
    run_type,
    stand_in,
    type_by_component,
    whole,
)
from agno_store.unread import Kept, Runs, added, prepare

__all__ = ["connect", "connect_async", "connect_storage"]

log = logging.getLogger("agno_store")


def loaded() -> bool:
    """Whether this program uses agno, from its second version on."""
    return "agno" in sys.modules and not _is_first()


def loaded_first() -> bool:
    """Whether it uses agno 1, which has other sessions and runs (``agno_store.storage``)."""
    return "agno" in sys.modules and _is_first()


@cache
def _is_first() -> bool:
    return importlib.util.find_spec("agno.session") is None


def known_sort(asked: Any, sorts: Collection[str]) -> Any:
    """Return what a listing is to be sorted by, which is the usual order where agno asks for what no listing has.

    AgentOS hands on what the address of a page says, and agno's own stores do not sort then.
    """
    if not loaded() or asked in (None, *sorts):
        return asked
    if asked != "":
        log.warning("sort_by=%.60r is not one of %s. The listing is in its usual order.", asked, ", ".join(sorts))
    return None


# -- agno's objects to records -----------------------------------------------------------------------


_SESSIONS = {
    "agent": ("agno.session.agent", "AgentSession"),
    "team": ("agno.session.team", "TeamSession"),
    "workflow": ("agno.session.workflow", "WorkflowSession"),
}
_SUMMARIES = {"summary": ("agno.session.summary", "SessionSummary")}
_RUNS = {
    "agent": ("agno.run.agent", "RunOutput"),
    "team": ("agno.run.team", "TeamRunOutput"),
    "workflow": ("agno.run.workflow", "WorkflowRunOutput"),
}


def session_record(value: Any) -> Session:
    """Return what a caller saves, whichever form it has, as a record."""
    return value if type(value) is Session else Session.of(value, session_kind(value))


def session_kind(value: Any) -> str | None:
    """Tell the type of an agno session by its class; None for anything else."""
    return _kinds(value.__class__)[1]


def run_record(value: Any) -> Run:
    """Return what a caller saves, whichever form it has, as a record."""
    kind = _kinds(value.__class__)[0]
    return Run.of(value if kind is None else _dictionary(value), kind)


def is_agnos(value: Any) -> bool:
    """Whether a caller saves an object of agno's."""
    return _kinds(value.__class__)[2]


def runs_are_brought() -> bool:
    """Whether the program's agno is one that saves runs with their session alone: agno 2."""
    base = getattr(sys.modules.get(BASE_MODULE), "BaseDb", None)
    return base is not None and not hasattr(base, "upsert_run")


def brings_runs(session: Any) -> bool:
    """Whether the runs of a session are to be saved with it."""
    return type(session) not in PLAIN and runs_are_brought() and session_kind(session) is not None


def run_as_read(kind: str, run_data: dict[str, Any]) -> dict[str, Any] | None:
    """Return a run as a dictionary of the object that agno makes of one; None where it makes none."""
    try:
        return _dictionary(_read(lambda: _class(*_RUNS[kind]).from_dict(run_data), "run"))
    except CorruptRow:
        return None


def _dictionary(run: Any) -> dict[str, Any]:
    """Return a run of agno's as a dictionary."""
    try:
        entries: dict[str, Any] = run.to_dict()
    except Exception:  # noqa: BLE001 - it copies every value, and a lock, a client or a circle cannot be copied
        # Its parts, for the encoder to do the same with each, and to find the one that cannot be stored.
        entries = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
        return {name: value for name, value in entries.items() if value is not None}
    return entries


def snapshot_of(value: Any) -> Snapshot | None:
    """Return what a session that is saved was read as: an empty one if it never was, None for a mapping."""
    if isinstance(value, Session):
        return value.snapshot
    return None if isinstance(value, Mapping) else carried.snapshot_of(value)


def remember(session: Any, snapshot: Callable[[], Snapshot]) -> None:
    """Let a framework's session that was saved carry what it was saved as to its next save."""
    if type(session) not in PLAIN and not isinstance(session, (Mapping, Session)) and hasattr(session, "__dict__"):
        carried.remember(session, snapshot(), may_be_copy=session_kind(session) == "team")


_PLAIN_RUNS = frozenset({dict, Run})


def _looked_up(cls: type) -> tuple[str | None, str | None, bool]:
    """Tell of which type a run of this class is, or a session, and whether it is one of agno's at all.

    The class that an object says it has: what stands for another one says that of the other one.
    """
    of_run, of_session, of_summary = [
        next((kind for kind, where in classes.items() if issubclass(cls, _loaded(*where) or ())), None)
        for classes in (_RUNS, _SESSIONS, _SUMMARIES)
    ]
    return of_run, of_session, (of_run or of_session or of_summary) is not None


_kinds: Callable[[type], tuple[str | None, str | None, bool]] = lru_cache(maxsize=256)(_looked_up)


def _loaded(module: str, name: str) -> type | None:
    # An object of agno's can only be here if its module has been imported.
    cls = getattr(sys.modules.get(module), name, None)
    return cls if isinstance(cls, type) else None


def _class(module: str, name: str) -> Any:
    return _loaded(module, name) or getattr(importlib.import_module(module), name)


# -- rows to the caller's objects --------------------------------------------------------------------


def session_object(
    entries: dict[str, Any], session_type: Any, snapshot: Snapshot, unreadable: list[str] | None = None
) -> Any:
    """Return a decoded session, runs included, as agno's object, or as our record without agno.

    ``session_type`` chooses agno's class; without it the stored type does. It carries ``snapshot`` along.
    Raises CorruptRow for what agno cannot read, or notes it in ``unreadable`` and gives what can be read.
    """
    runs = entries.pop("runs")
    if not loaded():
        return session_of_records(entries, None if runs is None else [whole(Run, row) for row in runs], snapshot)
    cls = _class(*_SESSIONS[checked_type(session_type or _stored_type(entries, unreadable))])
    if unreadable is None:
        session = _session(cls, entries, None if runs is None else [row["run_data"] for row in runs])
    else:
        session = _session_in_parts(cls, entries, runs or [], unreadable)
    carried.remember(session, snapshot)
    return session


def session_of_records(entries: dict[str, Any], runs: list[Run] | None, snapshot: Snapshot) -> Session:
    """Return a decoded session as our record."""
    summary = None if entries["summary"] is None else Summary.of(entries["summary"])
    return whole(Session, {**entries, "summary": summary, "runs": runs, "snapshot": snapshot})


def session_with_history(
    entries: dict[str, Any], session_type: str, snapshot: Snapshot, known: Known, read: Callable[[Any], Any]
) -> Any:
    """The same with the runs that are known; ``read`` gives the payload in the row of one that agno has not read yet.

    Raises CorruptRow for what agno cannot read.
    """
    cls, unread = _class(*_SESSIONS[session_type]), known.unread
    # Another thread may be reading the same ones.
    found = {kept: row for kept, row in [(kept, kept.row) for kept in unread] if row is not None}
    session = _session(cls, entries, [read(row) for row in found.values()])
    runs = session.runs or []
    if len(runs) != len(found):
        key = {"session_id": entries["session_id"]}
        one_by_one = (_session(cls, key, [read(row)]).runs for row in found.values())
        runs = [run[0] if run else None for run in one_by_one]
    made: dict[Kept, Any] = dict(zip(found, runs, strict=True))
    for kept, run in made.items():
        kept.read_as(run)
    prepare(known.runs, made)
    known.were_read(unread)
    session.runs = Runs(known.shown, made) if known.shown else session.runs
    carried.remember(session, snapshot)
    return session


def _stored_type(entries: Mapping[str, Any], unreadable: list[str] | None) -> str:
    kind, where = entries["session_type"], f"session {entries['session_id']!r}"
    if kind in TYPES:
        return str(kind)
    if unreadable is None:
        problem = f"{where}: its session_type {kind!r} is not one of {', '.join(TYPES)}. {LEFT}"
        raise CorruptRow(problem, row=where, column="session_type")
    unreadable.append(f"{where}, session_type")
    return type_by_component(entries)


def _session(cls: Any, entries: Mapping[str, Any], runs: Any) -> Any:
    def read() -> Any:
        # No empty list: agno 2.5 looks at its first.
        return cls.from_dict({**entries, "summary": _agnos_summary(entries.get("summary")), "runs": runs or None})

    return _read(read, f"session {entries['session_id']!r}")


def _session_in_parts(cls: Any, entries: dict[str, Any], runs: Sequence[dict[str, Any]], unreadable: list[str]) -> Any:
    """Return a session with all of it that agno can read, which it reads as a whole or not at all."""
    try:
        session = _session(cls, entries, None)
    except CorruptRow as error:
        # The summary: everything else is taken as it is. A session without one does not change what is stored.
        unreadable.append(f"{error.row}, summary")
        session = _session(cls, {**entries, "summary": None}, None)
    session.runs = [run for row in runs for run in _runs_of_one(cls, row, unreadable)]
    return session


def _runs_of_one(cls: Any, row: dict[str, Any], unreadable: list[str]) -> list[Any]:
    """Return a row as the run that a session of this class has of it; no run, where agno passes over it."""
    if not is_corrupt(row["run_data"].get("content")):
        try:
            runs: list[Any] = _session(cls, {"session_id": row["session_id"]}, [row["run_data"]]).runs
        except CorruptRow as error:
            return [_replaced(row, error, unreadable)]
        return runs
    of_workflow = cls is _class(*_SESSIONS["workflow"])
    return [run_object(row, unreadable)] if of_workflow == (_run_type(row) == "workflow") else []


def _run_type(row: Mapping[str, Any]) -> str:
    return str(row["run_type"]) if row["run_type"] in _RUNS else run_type(row)


def _replaced(row: Mapping[str, Any], error: CorruptRow, unreadable: list[str]) -> Any:
    unreadable.append(f"{_place(row)}, run_data")
    return _class(*_RUNS[_run_type(row)]).from_dict(stand_in(row, corrupt(str(error))))


def _place(row: Mapping[str, Any]) -> str:
    return f"run {row['run_id']!r} of session {row['session_id']!r}"


def _agnos_summary(summary: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return of a summary what agno's knows: it refuses any other key, and a time that is no ISO text."""
    if summary is None:
        return None
    known: dict[str, Any] = {name: summary[name] for name in ("summary", "topics") if name in summary}
    moment = summary.get("updated_at")
    if isinstance(moment, (int, float)):
        moment = datetime.fromtimestamp(moment)
    if isinstance(moment, datetime):
        moment = moment.isoformat()
    return {**known, "updated_at": moment} if isinstance(moment, str) else known


def _read(read: Callable[[], Any], where: str) -> Any:
    try:
        return read()
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, OSError, RuntimeError) as error:
        raise CorruptRow(
            f"{where}: agno cannot read what is stored ({type(error).__name__}: {error}); deserialize=False shows it. "
            f"{LEFT}",
            row=where,
        ) from error


def run_object(row: dict[str, Any], unreadable: list[str] | None = None) -> Any:
    """Return a decoded run as agno's object, or as our record without agno.

    Raises CorruptRow for what agno cannot read, or notes it in ``unreadable`` and gives what its columns say.
    """
    if not loaded():
        return whole(Run, row)
    try:
        return _read(lambda: _class(*_RUNS[row["run_type"]]).from_dict(row["run_data"]), _place(row))
    except CorruptRow as error:
        if unreadable is None:
            raise
        return _replaced(row, error, unreadable)


def run_update(outcome: RunUpdate) -> Any:
    """Return an outcome as agno's enum, or as ours without agno."""
    if not loaded() or runs_are_brought():
        return outcome
    return _class("agno.run.status_persist", "RunPersistOutcome")(outcome.value)


def checked_runs(runs: Any) -> Any:
    """Return the runs that a session comes with. Raises InvalidArgument for what cannot be runs."""
    if runs is None:
        return None
    if not isinstance(runs, (list, tuple)):
        raise InvalidArgument(f"The runs of a session must be a list, not {type(runs).__name__}.")
    kinds = set(map(type, added(runs))) - _PLAIN_RUNS
    if not kinds or all(issubclass(kind, dict) or callable(getattr(kind, "to_dict", None)) for kind in kinds):
        return runs
    for run in runs:
        if not isinstance(run, dict) and not callable(getattr(run, "to_dict", None)):
            raise InvalidArgument(f"The runs of a session must be runs, and {run!r} is none.")
    return runs


def run_dictionaries(runs: Any) -> list[dict[str, Any]] | None:
    """Return the runs that a session object carries as dictionaries."""
    return None if runs is None else [run if isinstance(run, dict) else _dictionary(run) for run in runs]


def storage_session(module: str, name: str, entries: dict[str, Any]) -> Any:
    """Return a session as the class of agno 1 that is named, or as the dictionary that it is without agno 1."""
    return _class(module, name).from_dict(entries) if loaded_first() else entries
