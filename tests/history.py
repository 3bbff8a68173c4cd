"""Where the revisions of this checkout stand, however many there are."""

from __future__ import annotations

from agno_store.tables import HEAD, REVISIONS

BEFORE_HEAD = REVISIONS[-2]
"""Where a store is that lacks the last revision only."""

NEXT = f"{int(HEAD) + 1:04}"
"""A revision that only a newer release has."""


def above(revision: str) -> list[str]:
    """Return what a store at a revision, or at base, lacks; in reverse, what a downgrade to it takes back."""
    return list(REVISIONS[0 if revision == "base" else REVISIONS.index(revision) + 1 :])
