"""Sessions, runs and summaries as plain values: no SQL, no clock.

They are what a program without agno takes and gets, under agno's own attribute names. Times are whole
seconds since 1970-01-01 UTC, as everywhere in agno.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from agno_store.errors import InvalidArgument
from agno_store.undecoded import TEXT, Undecoded, own
from agno_store.valued import Valued

T = TypeVar("T")

TYPES = ("agent", "team", "workflow")

SKIPPED_IN_HISTORY = ("PAUSED", "CANCELLED", "ERROR", "REGENERATED")
"""Statuses of runs that ``runs_limit`` passes over, as agno does when it builds a context."""

SESSION_PAYLOADS = ("session_data", "agent_data", "team_data", "workflow_data", "metadata")


@dataclass(frozen=True, eq=False, repr=False)
class Summary(Valued):
    """What a session is about. ``run_index`` is the last run it covers, where that is known.

    ``updated_at`` is whatever a framework says there; agno's is ISO 8601.
    """

    summary: str
    topics: list[str] | None = None
    updated_at: Any = None
    session_id: str | None = None
    run_index: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    """Whatever else a framework keeps with its summaries."""

    @classmethod
    def of(cls, value: Any) -> Summary:
        """Read a Summary, a mapping, or a framework's object with ``to_dict()``.

        Raises InvalidArgument where there is no text.
        """
        if isinstance(value, cls):
            return value
        entries = dict(_entries(value, "summary"))
        known = {name: entries.pop(name, None) for name in ("topics", "updated_at", "session_id", "run_index")}
        text = entries.pop("summary", None)
        if not isinstance(text, str):
            raise InvalidArgument(f"A summary needs its text: a str in 'summary', not {type(text).__name__}.")
        return cls(text, data=entries, **known)

    def to_dict(self) -> dict[str, Any]:
        """Return what agno's own summaries are made from."""
        entries = {"summary": self.summary, "topics": self.topics, **self.data, "updated_at": self.updated_at}
        return {name: value for name, value in entries.items() if value is not None}


_OF_RUN = ("run_id", "parent_run_id", "agent_id", "team_id", "workflow_id", "user_id", "created_at")

_OF_STORED = dict.fromkeys(("session_id", "run_index", "version", "updated_at"))
"""What a run has once it is stored."""


@dataclass(frozen=True, eq=False, repr=False)
class Run(Undecoded, Valued):
    """One run; ``run_data`` is all of it, the other fields are what can be searched for.

    ``run_index`` is its place in the session, from 0, and ``version`` counts how often it was stored: both are the
    database's. ``run_type`` is 'agent', 'team' or 'workflow', ``parent_run_id`` the run of the team or workflow that a
    member worked for. Times are seconds since 1970-01-01 UTC.
    """

    run_id: str
    run_data: dict[str, Any] = field(default_factory=dict)
    session_id: str | None = None
    run_index: int | None = None
    run_type: str = "agent"
    parent_run_id: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    workflow_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    version: int | None = None
    created_at: int | float | None = None
    updated_at: int | float | None = None

    @classmethod
    def of(cls, value: Any, kind: str | None = None) -> Run:
        """Read a Run, one as a mapping (agno's, or a row with ``run_data``), or an object with ``to_dict()``.

        ``kind`` says whose run it is where the caller knows better than its ids tell.

        Raises InvalidArgument where there is no ``run_id``.
        """
        if isinstance(value, cls):
            return value
        entries = _entries(value, "run")
        if entries.get("run_id") is None:
            raise InvalidArgument("A run must have a run_id.")
        payload = entries.get("run_data")
        if payload is not None and isinstance(payload, Mapping):
            return cls(**{f.name: entries[f.name] for f in fields(cls) if f.name in entries})
        status = entries.get("status")
        found = {name: entries.get(name) for name in _OF_RUN}
        found |= {"run_data": dict(entries), "run_type": kind or run_type(entries)}
        return whole(cls, {**found, **_OF_STORED, "status": getattr(status, "value", status)})

    @property
    def content(self) -> Any:
        """What the run answered."""
        return self.run_data.get("content")

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the run, as they were stored."""
        return self.run_data.get("messages") or []

    def to_dict(self) -> dict[str, Any]:
        """Return the run as the framework wrote it."""
        return self.run_data


def unread(entries: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return what a run is made of (``whole``) that decodes its payload when it is looked at."""
    rest = {**entries, TEXT: text}
    del rest["run_data"]
    return rest


Origin = tuple[str, str, int]
"""Which session of which store it was, and when that was made: one that was deleted and made anew is another."""


def whole(cls: type[T], entries: Mapping[str, Any]) -> T:
    """Return a record of which all fields are given, by name.

    What dataclasses make for one that is frozen sets each field through ``object.__setattr__``: five times as long,
    for every row of a listing.
    """
    record = object.__new__(cls)
    (own if cls is Run else vars)(record).update(entries)  # nothing is there yet that could be decoded
    return record


class Snapshot(NamedTuple):
    """What a session was when it was read, encoded as it is stored: what a later save is compared with."""

    origin: Origin | None = None
    version: int | None = None
    payloads: Mapping[str, str | None] = {}
    summary: Mapping[str, Any] | None = None
    is_stored: bool = True
    """Whether the payloads at that version are these; after a merge they hold what others have written, too."""
    runs: Mapping[str, bytes] | None = None
    """Of a session that its runs are saved with: what tells whether one was changed. None where they were not read."""
    row: Mapping[str, Any] | None = None
    """All that was stored of it then, where that is known."""


@dataclass(frozen=True, eq=False, repr=False)
class Session(Valued):
    """One conversation. Saving it stores everything but ``runs``: those are saved one by one.

    ``session_data`` holds the state, under ``session_state``, and the name, under ``session_name``. ``session_type`` is
    'agent', 'team' or 'workflow'; ``user_id`` is the owner, None where it is nobody's. ``version`` counts the saves,
    and is the database's. Times are seconds since 1970-01-01 UTC. ``runs`` are in their order, None where they were
    not read; ``snapshot`` is what was read.

    ``dataclasses.replace(session, ...)`` keeps the ``snapshot``, so saving the result changes what was replaced,
    and nothing that somebody else has written meanwhile.
    """

    session_id: str
    session_type: str = "agent"
    agent_id: str | None = None
    team_id: str | None = None
    workflow_id: str | None = None
    user_id: str | None = None
    session_data: dict[str, Any] | None = None
    agent_data: dict[str, Any] | None = None
    team_data: dict[str, Any] | None = None
    workflow_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    workflow_name: str | None = None
    summary: Summary | None = None
    runs: list[Run] | None = None
    version: int | None = None
    created_at: int | float | None = None
    updated_at: int | float | None = None
    snapshot: Snapshot = field(default=Snapshot(), repr=False, compare=False)

    @classmethod
    def of(cls, value: Any, session_type: str | None = None) -> Session:
        """Read a Session, one as a mapping, or a framework's object with these attributes.

        Raises InvalidArgument where there is no ``session_id`` or the type is none of ``TYPES``.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            entries = {name: value[name] for name in _GIVEN if name in value}
        else:
            entries = {name: found for name in _GIVEN if (found := getattr(value, name, _ABSENT)) is not _ABSENT}
        if entries.get("session_id") is None:
            raise InvalidArgument("A session must have a session_id.")
        kind = session_type or entries.get("session_type") or type_by_component(entries)
        entries["session_type"] = checked_type(kind)
        if entries.get("summary") is not None:
            entries["summary"] = Summary.of(entries["summary"])
        return whole(cls, {**_GIVEN, **entries, "snapshot": _NOT_READ})

    @property
    def session_name(self) -> str | None:
        """The name in ``session_data``, where it has one."""
        return name_of(self.session_data)


@dataclass(frozen=True, eq=False, repr=False)
class Receipt(Valued):
    """What a write has stored, and when (``updated_at``, in seconds).

    ``version`` is the run's, or that of the session whose summary it was.

    ``run_index`` is the run's place in its session, and ``is_new`` tells whether it was stored for the first time.
    """

    session_id: str
    version: int
    updated_at: int
    run_id: str | None = None
    run_index: int | None = None
    is_new: bool | None = None


class RunUpdate(str, Enum):
    """What became of ``update_run_in_session``; the values are agno's.

    UPDATED: it is stored. MISSING: there is no such run of that user. STALE_ATTEMPT: a later attempt owns the run.
    TERMINAL_REFUSED: it was completed or cancelled already.
    """

    UPDATED = "updated"
    MISSING = "missing"
    STALE_ATTEMPT = "stale_attempt"
    TERMINAL_REFUSED = "terminal_refused"


def stand_in(row: Mapping[str, Any], mark: Any) -> dict[str, Any]:
    """Return what is given of a run whose payload cannot be read: what its columns say, and a mark as its content."""
    names = ("run_id", "session_id", "parent_run_id", "agent_id", "team_id", "workflow_id", "user_id", "status")
    said = {name: row[name] for name in (*names, "created_at") if row[name] is not None}
    return {**said, "content": mark}


def name_of(session_data: Any) -> str | None:
    """Return the name of a session in its data."""
    name = session_data.get("session_name") if isinstance(session_data, (dict, Mapping)) else None
    # By its type, which cannot answer for itself. The text of any other object may hold a secret, and an address.
    return str(name) if issubclass(type(name), (str, int, float)) else None


_ABSENT, _NOT_READ = object(), Snapshot()

_GIVEN = {f.name: f.default for f in fields(Session) if f.name != "snapshot"}
"""What a session is read from, and what each is where it is not given."""


def payloads_of(value: Any) -> Sequence[str]:
    """Tell which payloads a session comes with: saving changes those, and no others."""
    if isinstance(value, Mapping):
        return [name for name in SESSION_PAYLOADS if name in value]
    return [name for name in SESSION_PAYLOADS if hasattr(value, name)]


PLAIN = frozenset({dict, Session, Run, Summary})
"""What is none of a framework's, and is saved most where a program uses none."""


def checked_type(value: Any) -> str:
    """Return a session type, given as one or as agno's enum."""
    if type(value) is str and value in TYPES:
        return value
    kind = getattr(value, "value", value)
    if kind not in TYPES:
        raise InvalidArgument(f"session_type={value!r} is not one of {', '.join(TYPES)}.")
    return str(kind)


def run_type(entries: Mapping[str, Any]) -> str:
    """Tell whose run it is, as agno does: a member saved without its id is known by its name."""
    for kind in ("agent", "team"):
        if entries.get(f"{kind}_id") or entries.get(f"{kind}_name"):
            return kind
    return "workflow"


def type_by_component(entries: Mapping[str, Any]) -> str:
    """Tell the type of a session that names none."""
    return next((kind for kind in TYPES if entries.get(f"{kind}_id")), "agent")


def _entries(value: Any, what: str) -> Mapping[str, Any]:
    if isinstance(value, (dict, Mapping)):  # a dict is known as one without a look at what else is a Mapping
        return value
    to_dict = getattr(value, "to_dict", None)
    if not callable(to_dict):
        raise InvalidArgument(f"A {what} must be a record, a mapping or an object with to_dict(), not {value!r}.")
    entries: Mapping[str, Any] = to_dict()
    return entries
