"""Sessions that come sealed: a store with a codec opens them, and seals them anew when they are stored.

One without a codec keeps them as they are, for whoever has the key, unless they come from another tenant: what is
sealed is bound to its tenant, and nobody could ever open it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agno_store import envelope
from agno_store.sealing import SEALED
from agno_store.transfer.conversation import Content, Malformed, Row

Open = Callable[[dict[str, Any], str], Any]
"""Opens the payloads of a row, given the id of its session; one that cannot be opened stays, and says why."""


def opened(content: Content, open: Open) -> Content:
    """Return a conversation of which nothing is sealed. Raises Malformed where a payload cannot be opened."""
    session_id = content.session["session_id"]
    return replace(
        content,
        session=_opened(content.session, session_id, open),
        summary=None if content.summary is None else _opened(content.summary, session_id, open),
        runs=_Pieces(content.runs, session_id, open),
    )


@dataclass(frozen=True)
class _Pieces:
    """The runs of a conversation, opened whenever they are gone through."""

    runs: Iterable[Sequence[Row]]
    session_id: str
    open: Open

    def __iter__(self) -> Iterator[list[Row]]:
        for piece in self.runs:
            yield [_opened(run, self.session_id, self.open) for run in piece]


def _opened(row: Row, session_id: str, open: Open) -> Row:
    opened: Row = open(dict(row), session_id)
    for name in SEALED:
        text: Any = opened.get(name)
        if envelope.is_closed(text, name):
            raise Malformed(f"its {name} {envelope.Sealed(text)}")
    return opened


def left(row: dict[str, Any], _session_id: str) -> Row:
    """Open nothing of a row that has left its tenant."""
    for name in SEALED:
        if envelope.is_closed(row.get(name), name):
            row[name] = envelope.Unopened.of(row[name], "only its own tenant can open it: read it there with its codec")
    return row
