"""What a session of a framework's carries along: what it was read as, or saved as last.

agno's Team saves a shallow copy of its session, and goes on with the session. So an object and its shallow copies share
what they carry; which of it is an object's own is told by the dictionary of its data, which they share as well.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from agno_store.records import Snapshot

_NAME = "_agno_store_carried"

_EACH = 2
"""Dictionaries that a session and its copies are known with at once."""

COPIES = 200
"""Sessions of a process, saved by a copy that was made before they carried anything, that are known at once."""


class _Carried:
    """What was read or saved with each dictionary that is the data of a session or of a copy; the last one last."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: list[tuple[Any, Any, Snapshot]] = []

    def snapshot(self, session: Any) -> Snapshot:
        """Return what this very session was, or what the last of its copies was."""
        return self._of(session) or self._known[-1][2]

    def is_of(self, session: Any) -> bool:
        """Whether it has been noted of this session, or of one that it is a copy of."""
        return self._of(session) is not None

    def note(self, session: Any, snapshot: Snapshot) -> None:
        key, data = _parts(session)
        others = [known for known in self._known if known[1] is not data or known[0] != key]
        self._known = [*others[1 - _EACH :], (key, data, snapshot)]

    def _of(self, session: Any) -> Snapshot | None:
        key, data = _parts(session)
        return next((found for known, each, found in self._known if each is data and known == key), None)


_saved_by_a_copy: deque[tuple[Any, _Carried]] = deque(maxlen=COPIES)
"""What they carry, with their data."""


def snapshot_of(session: Any) -> Snapshot:
    """Return what a framework's session was read as, or saved as last: an empty one if it never was."""
    carried = _carried(session)
    return Snapshot() if carried is None else carried.snapshot(session)


def remember(session: Any, snapshot: Snapshot, *, may_be_copy: bool = False) -> None:
    """Let a session, and what it is a copy of, carry what it was read as, or saved as, to its next save."""
    carried = _carried(session)
    if carried is None:
        carried = _Carried()
        setattr(session, _NAME, carried)
        if may_be_copy:
            _saved_by_a_copy.append((_parts(session)[1], carried))
    carried.note(session, snapshot)


def _carried(session: Any) -> _Carried | None:
    found: _Carried | None = getattr(session, _NAME, None)
    data = _parts(session)[1]
    if found is None and data is not None and _saved_by_a_copy:
        known = (carried for each, carried in _saved_by_a_copy.copy() if each is data)
        found = next((carried for carried in known if carried.is_of(session)), None)
        if found is not None:
            setattr(session, _NAME, found)
    return found


def _parts(session: Any) -> tuple[Any, Any]:
    """Return a session's id, and the dictionary of its data."""
    return getattr(session, "session_id", None), getattr(session, "session_data", None)
