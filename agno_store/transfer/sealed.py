"""Sessions that come sealed, for a store with a codec: opened with it, they are sealed anew when they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agno_store import envelope
from agno_store.sealing import SEALED
from agno_store.sending import Sending
from agno_store.transfer.conversation import Content, Malformed, Row


def opened(content: Content, sending: Sending) -> Content:
    """Return a conversation of which nothing is sealed. Raises Malformed where the codec cannot open a payload."""
    session_id = content.session["session_id"]
    return replace(
        content,
        session=_opened(content.session, session_id, sending),
        summary=None if content.summary is None else _opened(content.summary, session_id, sending),
        runs=_Pieces(content.runs, session_id, sending),
    )


@dataclass(frozen=True)
class _Pieces:
    """The runs of a conversation, opened whenever they are gone through."""

    runs: Iterable[Sequence[Row]]
    session_id: str
    sending: Sending

    def __iter__(self) -> Iterator[list[Row]]:
        for piece in self.runs:
            yield [_opened(run, self.session_id, self.sending) for run in piece]


def _opened(row: Row, session_id: str, sending: Sending) -> Row:
    opened = sending.open(dict(row), session_id)
    for name in SEALED:
        text: Any = opened.get(name)
        if envelope.is_closed(text, name):
            raise Malformed(f"its {name} {envelope.Sealed(text)}")
    return opened
