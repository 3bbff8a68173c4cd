"""What a process knows of the runs of its sessions, so that reading a session reads the runs alone that are new.

Nothing of it is believed by itself. Each time the session's row is read, which says whether a run was added since,
and whether one that there was has been changed or deleted: ``Marks``. Texts are kept, not objects, since what a
caller gets is his own.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

from agno_store import apart
from agno_store.errors import ConfigurationError
from agno_store.records import SKIPPED_IN_HISTORY, TYPES
from agno_store.unread import BESIDE, Kept

Key = tuple[str, str]
"""A session, and the type of agno's class that it is read as: each class passes over other runs."""

LAST = ""
"""Of a key, in the place of that type, where it is a session's ``Latest``."""

_KINDS = (*TYPES, LAST)

HISTORY_CACHE_MB = 64
"""Megabytes that a store takes at the most for what it knows, unless it is told another number."""

EVERYTHING = 1_000_000
"""So many changes of stored runs are not believed to be changes of single ones. A session begins at any of 2**48."""


class Marks(NamedTuple):
    """Which runs a session has. None that it had before come back: places and states are given once."""

    created_at: int
    next_run_index: int
    runs_state: int
    """One more after each change or deletion of a stored run, and a hand-over; anything else after an older release."""

    @classmethod
    def taken(cls, row: dict[str, Any]) -> Marks:
        """Take what a session's row was read with besides out of it."""
        return cls(row["created_at"], row.pop("next_run_index"), row.pop("runs_state"))

    def behind(self, run: Mapping[str, Any]) -> Marks:
        """Return them as they are once ``run`` was added as the last one."""
        return Marks(self.created_at, run["run_index"] + 1, self.runs_state)

    def come_before(self, other: Marks) -> bool:
        """Whether runs were added since, and nothing else was done to them."""
        return self == other._replace(next_run_index=self.next_run_index) and self.next_run_index < other.next_run_index

    def have_changed_to(self, other: Marks) -> bool:
        """Whether runs of this very session were changed, by releases that count up the versions that tell which."""
        return self.created_at == other.created_at and 0 < other.runs_state - self.runs_state < EVERYTHING


class Known:
    """The runs of a session in order, at some moment since the row with ``marks`` was read; what it says stays true."""

    __slots__ = ("has_passed_over", "marks", "runs", "size", "unread")

    def __init__(self, marks: Marks, runs: Sequence[Kept] = (), unread: Sequence[Kept] = ()) -> None:
        self.marks = marks
        self.runs = runs
        self.unread = unread
        """Those that the framework has not read yet."""
        self.has_passed_over = False
        self.size = BESIDE  # a session without runs takes room, too

    @property
    def shown(self) -> list[Kept]:
        """Those that the framework has in its session."""
        return [run for run in self.runs if not run.is_passed_over] if self.has_passed_over else list(self.runs)

    def as_told(self) -> Known:
        """Return it without what was added between the row and the runs, which will be read again."""
        end = len(self.runs)
        while end and self.runs[end - 1].run_index >= self.marks.next_run_index:
            end -= 1
        return self if end == len(self.runs) else self._of(self.runs[:end])

    def among(self, there: Sequence[Any]) -> tuple[Known, int | None]:
        """Return it up to the first run that is another one now, and where that is.

        ``there`` is what there is: place, version and time.
        """
        kept = {run.version: run for run in self.runs}
        same: list[Kept] = []
        for version in map(tuple, there):
            if version not in kept:
                return self._of(same), version[0]
            same.append(kept[version])
        return self._of(same), None

    def grown(self, marks: Marks, runs: Sequence[Kept], most: int | None) -> Known:
        """Return it with ``runs`` behind it, as the row with ``marks`` has them, and the last ``most`` alone."""
        size = self.size + sum(run.size for run in runs)
        all_of_them, unread = [*self.runs, *runs], [*self.unread, *runs]
        if most is not None and len(all_of_them) > most:
            gone = all_of_them[:-most]
            size -= sum(run.size for run in gone)
            all_of_them, unread = all_of_them[-most:], _without(unread, gone)
        known = Known(marks, all_of_them, unread)
        known.size, known.has_passed_over = size, self.has_passed_over
        return known

    def with_run(self, run: Mapping[str, Any], most: int | None) -> Known:
        """Return it as it is once ``run`` was stored behind all others."""
        return self.as_told().grown(self.marks.behind(run), [Kept(run)], most)

    def were_read(self, unread: Sequence[Kept]) -> None:
        """Note that the framework has read these, each of which says what of it."""
        # In this order: another thread that takes them for read has to know of those that were passed over.
        self.has_passed_over = self.has_passed_over or any(run.is_passed_over for run in unread)
        self.unread = [run for run in unread if run.row is not None]

    def _of(self, runs: Sequence[Kept]) -> Known:
        known = Known(self.marks, runs, _without(self.unread, set(self.runs).difference(runs)))
        known.size, known.has_passed_over = BESIDE + sum(run.size for run in runs), self.has_passed_over
        return known


class Seen:
    """The row of a run, and once that was read without an error what a record is made of that reads it later."""

    __slots__ = ("as_read", "is_written", "row", "size")

    def __init__(self, row: Mapping[str, Any], *, is_written: bool = False) -> None:
        self.row = row
        self.is_written = is_written
        self.as_read: dict[str, Any] | None = None
        self.size = apart.size(row["run_data"]) + 2 * BESIDE


class Latest:
    """The last runs of a session that count as its history, ``most`` of them, as the row with ``marks`` has them."""

    __slots__ = ("marks", "most", "runs", "size")

    def __init__(self, marks: Marks, runs: Sequence[Seen], most: int) -> None:
        self.marks = marks
        self.runs = runs
        self.most = most
        self.size = BESIDE + sum([run.size for run in runs])

    @property
    def is_as_told(self) -> bool:
        """Whether none of them was added between the row and the runs, which would have taken another one's place."""
        return not self.runs or bool(self.runs[-1].row["run_index"] < self.marks.next_run_index)

    def last(self, count: int) -> Sequence[Seen]:
        """Return the last ``count`` of them, which is no more than ``most``."""
        return self.runs[max(0, len(self.runs) - count) :]

    def with_run(self, run: Mapping[str, Any], _most: int | None) -> Latest:
        """Return it as it is once ``run`` was stored behind all others."""
        counts = run["parent_run_id"] is None and run["status"] not in SKIPPED_IN_HISTORY
        runs = [*self.runs, Seen(run, is_written=True)] if counts else self.runs
        return Latest(self.marks.behind(run), runs[max(0, len(runs) - self.most) :], self.most)


def _without(runs: Sequence[Kept], gone: Collection[Kept]) -> list[Kept]:
    gone = set(gone)
    return [run for run in runs if run not in gone]


class History:
    """The sessions that were read last, in so many megabytes of memory, for all threads of a process."""

    def __init__(self, megabytes: float) -> None:
        self.most = int(megabytes * 1_000_000)
        self.forget()
        _all.add(self)

    def forget(self) -> None:
        """Know nothing any more."""
        self.size = 0
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Key, Known | Latest] = OrderedDict()

    def known(self, key: Key) -> Known | None:
        """Return what is known of a session."""
        known = self._found(key)
        return known if isinstance(known, Known) else None

    def latest(self, session_id: str) -> Latest | None:
        """Return what is known of a session's last runs."""
        known = self._found((session_id, LAST))
        return known if isinstance(known, Latest) else None

    def _found(self, key: Key) -> Known | Latest | None:
        with self._lock:
            known = self._sessions.get(key)
            if known is not None:
                self._sessions.move_to_end(key)
            return known

    def keep(self, key: Key, known: Known | Latest) -> None:
        """Know this of a session, and no more of those that were not asked for the longest, where it takes too much."""
        with self._lock:
            before = self._sessions.pop(key, None)
            self.size -= before.size if before is not None else 0
            if known.size > self.most:
                return
            self._sessions[key] = known
            self.size += known.size
            while self.size > self.most:
                _, oldest = self._sessions.popitem(last=False)
                self.size -= oldest.size

    def add(self, run: Mapping[str, Any], most: int | None) -> None:
        """Know of a run that was stored, where all before it are known."""
        session_id, index = run["session_id"], run["run_index"]
        for kind in _KINDS:
            known = self._sessions.get((session_id, kind))
            if known is not None and known.marks.next_run_index == index:
                self.keep((session_id, kind), known.with_run(run, most))


_all: WeakSet[History] = WeakSet()


def checked_megabytes(value: Any) -> float:
    """Return how much memory may be taken. Raises ConfigurationError for what is no number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigurationError(f"history_cache_mb={value!r}: it must be megabytes, from 0 on.")
    return value


def checked_count(value: Any) -> int | None:
    """Return how many runs a session comes with. Raises ConfigurationError for what is no whole number from 1 on."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(
            f"history_runs={value!r}: it must be a whole number of runs, from 1 on, or be left out."
        )
    return value


def _begin_anew() -> None:
    # A forked child must not wait for a thread of its parent's, which may have been in the middle of a change.
    for history in _all:
        history.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
