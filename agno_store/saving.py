"""What a save of a session is to change, given what its caller had read.

An object that a store has returned knows what it was read as (``Session.snapshot``; an agno session carries it
along). Saving it writes what differs from that. Where the session was saved by somebody else meanwhile, which its
version tells, the payloads are merged three ways; a caller may ask for StaleSession instead, or for the last
write to win. A dictionary is no object of ours: of it the keys that are there are written as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agno_store import encoding, merging, rows
from agno_store.errors import CorruptRow, InvalidArgument, StaleSession
from agno_store.records import SESSION_PAYLOADS, Snapshot

MERGE, ERROR, LAST_WRITE_WINS = "merge", "error", "last_write_wins"
POLICIES = (MERGE, ERROR, LAST_WRITE_WINS)

_KEPT_UNLESS_GIVEN = ("user_id", "agent_id", "team_id", "workflow_id", "workflow_name")
_NEVER_CHANGED = ("session_id", "session_type", "created_at")


def checked_policy(value: Any) -> str:
    """Return what to do where a session was saved by somebody else since it was read.

    Raises InvalidArgument for what is none of ``POLICIES``.
    """
    if value not in POLICIES:
        raise InvalidArgument(f"on_conflict={value!r} is not one of {', '.join(POLICIES)}.")
    return str(value)


class SessionSave(NamedTuple):
    """One session to be stored, encoded. Times are microseconds, or None for now."""

    store: str
    """Which store it is saved to."""
    columns: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    base: Snapshot | None
    """What its caller read; an empty one of an object that was never read; None of a dictionary."""
    version: int | None
    """The version its caller read; None of a session that the caller takes for a new one."""
    on_conflict: str = MERGE
    created_at: int | None = None
    updated_at: int | None = None
    runs: Sequence[Mapping[str, Any]] = ()
    """The runs to be saved with it, as columns: those that its caller has changed."""
    run_digests: Mapping[str, bytes] | None = None
    """Of all runs that it came with, where they are saved with it, what tells whether one is changed later."""

    @property
    def session_id(self) -> str:
        return str(self.columns["session_id"])

    @property
    def merges(self) -> bool:
        """Whether only what its caller has changed is written."""
        return self.base is not None and self.on_conflict == MERGE

    @property
    def may_be_repeated(self) -> bool:
        """Whether to store it a second time changes nothing, and does not fail either."""
        return self.on_conflict != ERROR

    @property
    def has_old_summary(self) -> bool:
        """Whether the summary is the one that was read, which somebody may have replaced since."""
        if not self.merges or self.base is None or self.base.summary is None or self.summary is None:
            return False
        return all(self.summary[name] == text for name, text in self.base.summary.items())

    @property
    def read(self) -> Mapping[str, Any] | None:
        """The row that its caller read, where this may be written to that row without a look at anything else."""
        row = None if self.base is None or not self.base.is_stored else self.base.row
        if row is None or self.runs or self.columns["user_id"] != row["user_id"]:
            return None
        return row if self.summary is None or self.has_old_summary else None

    def onto(self, locked: Mapping[Any, Any] | None) -> SessionSave:
        """Return this save as one onto what is stored: of a session that is not the one read, nothing was read.

        Raises StaleSession where that was asked for and the session is not the one that was read, at its version.
        """
        stored = None if locked is None else locked["version"]
        base = self.base
        is_another = base is not None and base.origin is not None and (locked is None or not self._read(base, locked))
        if self.on_conflict == ERROR and (is_another or stored != self.version):
            anew = "another one, made since, and " if is_another and locked is not None else ""
            raise StaleSession(
                f"Session {self.session_id!r} is {anew}{_at(stored)} by now, and was {_at(self.version)} when it was "
                "read. Nothing was written. Read it again, make the change again and save that.",
                session_id=self.session_id,
                expected=self.version,
                current=stored,
            )
        return self._replace(base=Snapshot()) if is_another else self

    def _read(self, base: Snapshot, locked: Mapping[Any, Any]) -> bool:
        return base.origin == (self.store, self.session_id, locked["created_at"])

    @property
    def first_version(self) -> dict[str, int]:
        """The version of a session that is made by this save: none that this session had before it was deleted."""
        return {} if self.base is None or self.base.version is None else {"version": self.base.version + 1}

    @property
    def payloads(self) -> dict[str, str | None]:
        """The payloads to write: those that differ from what was read."""
        given = {name: self.columns[name] for name in SESSION_PAYLOADS if name in self.columns}
        if not self.merges or self.base is None:
            return given
        return {name: text for name, text in given.items() if text != self.base.payloads.get(name)}

    @property
    def known_runs(self) -> Mapping[str, bytes] | None:
        """What its caller had read of the runs, or None if nothing."""
        return None if self.base is None else self.base.runs

    def changed(self, read: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns to write where the row is still the one that its caller has read: those that differ."""
        changes = {}
        for name, value in self.columns.items():
            is_kept = name in _NEVER_CHANGED or (value is None and name in _KEPT_UNLESS_GIVEN)
            if not is_kept and (name not in read or value != read[name]):
                changes[name] = value
        if "session_data" not in changes:
            changes.pop("name_folded", None)
        return changes

    @property
    def changes(self) -> dict[str, Any]:
        """The columns to write where nobody else has saved the session since it was read."""
        changes: dict[str, Any] = self.payloads
        has_data = "session_data" in changes
        for name, value in self.columns.items():
            if name in SESSION_PAYLOADS or name in _NEVER_CHANGED:
                continue
            if name == "name_folded" and not has_data:
                continue
            if value is not None or name not in _KEPT_UNLESS_GIVEN:
                changes[name] = value
        return changes

    def has_to_be_merged(self, version: int) -> bool:
        """Whether the session, which is at ``version`` now, holds what its caller has not read."""
        if not self.merges or self.base is None or not self.payloads:
            return False
        return self.base.version != version or not self.base.is_stored

    def merged_into(self, stored: Mapping[Any, Any]) -> dict[str, Any]:
        """Return the columns to write to what somebody else has stored since.

        Raises CorruptRow where that cannot be read.
        """
        assert self.base is not None
        changes = self.changes
        for name, mine in self.payloads.items():
            try:
                changes[name] = merging.merged(self.base.payloads.get(name), mine, stored[name])
                if name == "session_data":
                    changes |= rows.stored_name(changes[name])
            except encoding.UNREADABLE as error:
                raise CorruptRow(
                    f"session {self.session_id!r}: what is stored in {name} cannot be read, so this save cannot be "
                    f"merged with it ({type(error).__name__}: {error}). Nothing was written.",
                    row=f"session {self.session_id!r}",
                    column=name,
                ) from error
        return changes

    def snapshot(self, stored: Mapping[Any, Any]) -> Snapshot:
        """Return what its caller holds, once it is stored as ``stored``: the base of that caller's next save."""
        payloads = {name: text for name, text in self.columns.items() if name in SESSION_PAYLOADS}
        summary = None if self.summary is None else rows.summary_texts(self.summary)
        is_stored = all(stored[name] == text for name, text in payloads.items())
        origin, row = rows.origin(stored, self.store), dict(stored) if is_stored else None
        return Snapshot(origin, stored["version"], payloads, summary, is_stored, self.run_digests, row)


def _at(version: int | None) -> str:
    return "not there" if version is None else f"at version {version}"
