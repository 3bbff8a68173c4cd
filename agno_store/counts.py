"""What was done to many rows of a store, as it is told: how many were removed, or sealed anew."""

from __future__ import annotations

from typing import NamedTuple


class Removed(NamedTuple):
    """What was removed from a store, or, with ``dry_run``, what would be."""

    sessions: int = 0
    runs: int = 0
    summaries: int = 0
    kept: int = 0
    """Sessions that were chosen and then written to, so that they stayed."""
    dry_run: bool = False

    @property
    def rows(self) -> int:
        return self.sessions + self.runs + self.summaries

    def plus(self, other: Removed) -> Removed:
        """Return both together."""
        return Removed(
            self.sessions + other.sessions,
            self.runs + other.runs,
            self.summaries + other.summaries,
            self.kept + other.kept,
            self.dry_run,
        )


class Rekeyed(NamedTuple):
    """What was sealed with the current key, by rows."""

    sessions: int = 0
    runs: int = 0
    summaries: int = 0
    left: int = 0
    """Payloads that stay as they are: the codec cannot open them, what is kept beside a run is not to be had, the
    database does not take them sealed, or SQLite has bytes in their place."""

    @property
    def rows(self) -> int:
        return self.sessions + self.runs + self.summaries

    @property
    def looked_at(self) -> int:
        return self.rows + self.left

    def plus(self, other: Rekeyed) -> Rekeyed:
        """Return both together."""
        return Rekeyed(*(one + more for one, more in zip(self, other, strict=True)))
