"""What a session of a framework's carries along: what it was read as, or saved as last.

agno's Team saves a shallow copy of its session, and goes on with the session. So what was saved last is shared by an
object and its copies, as long as they are the same session with the same dictionary of data. What an object itself was
read or saved as is its own, and a copy takes it along as it is then.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from agno_store.records import Snapshot

_OWN, _SHARED = "_agno_store_snapshot", "_agno_store_last"

COPIES = 100
"""New sessions of a process, saved by a copy that was made before they carried anything, that are known at once."""


class _Last:
    """What a session was saved as last, by whichever of its copies."""

    __slots__ = ("data", "session_id", "snapshot")

    def __init__(self, session_id: Any = None, data: Any = None, snapshot: Snapshot | None = None) -> None:
        self.session_id, self.data, self.snapshot = session_id, data, snapshot

    def of(self, session: Any) -> Snapshot | None:
        session_id, data = _parts(session)
        return self.snapshot if self.data is data and self.session_id == session_id else None

    def note(self, snapshot: Snapshot) -> None:
        before = self.snapshot
        is_older = before is not None and before.origin == snapshot.origin and _version(snapshot) < _version(before)
        if not is_older:  # as it may be where two threads save one session
            self.snapshot = snapshot

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return _Last, ()  # a deep copy, and what is read back of a pickle, shares nothing


_saved_by_a_copy: deque[_Last] = deque(maxlen=COPIES)


def snapshot_of(session: Any) -> Snapshot:
    """Return what a framework's session was read as, or saved as last: an empty one if it never was."""
    last = _last(session)
    found = None if last is None else last.of(session)
    return found or getattr(session, _OWN, None) or Snapshot()


def remember(session: Any, snapshot: Snapshot, *, may_be_copy: bool = False) -> None:
    """Let a session, and what it is a copy of, carry what it was read as, or saved as, to its next save."""
    setattr(session, _OWN, snapshot)
    last = _last(session)
    if last is not None:
        last.note(snapshot)
        return
    last = _Last(*_parts(session), snapshot)
    setattr(session, _SHARED, last)
    if may_be_copy and last.data is not None:
        _saved_by_a_copy.append(last)


def _last(session: Any) -> _Last | None:
    found: _Last | None = getattr(session, _SHARED, None)
    if found is not None and found.of(session) is not None:
        return found
    data = _parts(session)[1]
    if data is None or not _saved_by_a_copy:
        return None
    return next((last for last in _saved_by_a_copy.copy() if last.data is data and last.of(session) is not None), None)


def _parts(session: Any) -> tuple[Any, Any]:
    """Return a session's id, and the dictionary of its data."""
    return getattr(session, "session_id", None), getattr(session, "session_data", None)


def _version(snapshot: Snapshot) -> int:
    return snapshot.version or 0
