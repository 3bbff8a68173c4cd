"""Payloads on their way between a store and its statements, where a codec seals them: nothing else knows of it.

What is above has the text that was encoded, and what is below, the database and all that watches it, what was sealed.
So whatever compares, merges and decodes payloads works as it does without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from agno_store import dialects, envelope
from agno_store.hooks import PayloadCodec, Place
from agno_store.records import SESSION_PAYLOADS
from agno_store.sending import Answer, Row, Sending, Statement

SEALED = (*SESSION_PAYLOADS, "run_data", "summary", "topics", "summary_data")
"""The columns that a codec seals."""

_SENT = {prefix + name: name for prefix in ("", "s_", "r_") for name in SEALED}
"""By what a value is called in a statement, its column."""

_NAMES = ("name_folded", "s_name_folded")
"""What a session's name is searched by would tell it."""

_OF_RUN = "run_data"


class Sealing(Sending):
    """The texts of a store's statements, whose payloads are sealed on the way in and opened on the way out."""

    def __init__(self, codec: PayloadCodec, tenant_id: str | None, inner: Sending) -> None:
        super().__init__()
        self._codec, self._tenant_id, self._inner = codec, tenant_id, inner

    @property
    def key_id(self) -> str | None:
        """Which key is sealed with now."""
        return envelope.checked_key_id(self._codec.key_id)

    def send(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Answer:
        """Execute a statement; raises PayloadTooLarge where what is sealed is more than the database takes."""
        answer = self._inner.send(c, statement, self._fitting(c, values))
        for row in answer.rows:
            self.open(row)
        return answer

    def together(self, c: Connection, *asked: tuple[Statement, Mapping[str, Any]]) -> list[Answer]:
        """Execute statements as one transaction; raises PayloadTooLarge, too."""
        sealed = [(statement, self._fitting(c, values)) for statement, values in asked]
        if not dialects.of(c.engine).takes(c, *(values for _, values in sealed)):
            return []
        return self._inner.together(c, *sealed)

    def _fitting(self, c: Connection, values: Mapping[str, Any]) -> Mapping[str, Any]:
        sealed = self.sealed(values)
        if sealed is not values:
            dialects.of(c.engine).refuse_too_large(c, sealed)
        return sealed

    def named(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Iterator[Row]:
        """Give the rows that a statement brings."""
        return map(self.open, self._inner.named(c, statement, values))

    def sealed(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a statement is sent with: the values, those of payloads sealed."""
        found = [name for name in values if name in _SENT or name in _NAMES]
        if not found:
            return values
        sealed = dict(values)
        for name in found:
            column, text = _SENT.get(name), values[name]
            if column is None:
                sealed[name] = None
            elif text is not None:
                sealed[name] = self._close(text, self._place(column, values))
        return sealed

    def open(self, row: Row, session_id: str | None = None) -> Row:
        """Open the payloads of a row, and return it; one that cannot be opened stays, and says why."""
        for name in SEALED:
            text: Any = row.get(name)
            if envelope.is_closed(text, name):
                row[name] = self._open(text, self._place(name, row, session_id))
        return row

    def _place(self, column: str, values: Mapping[str, Any], session_id: str | None = None) -> Place:
        session_id = session_id or values.get("session_id") or values["key"]
        names = ("run_id", "run_key", "r_run_id") if column == _OF_RUN else ()
        return Place(column, session_id, next((values[n] for n in names if n in values), None), self._tenant_id)

    def _close(self, text: str, place: Place) -> str:
        if envelope.is_closed(text, place.column):
            return str.__str__(text)  # it could not be opened, and travels as it is
        codec, data = self._codec, text.encode("utf-8", "surrogatepass")
        key_id, sealed = codec.key_id, codec.encode(data, place)
        while key_id != codec.key_id:  # another became the current one, and who knows which has sealed it
            key_id, sealed = codec.key_id, codec.encode(data, place)
        return envelope.closed(sealed, key_id, place.column)

    def _open(self, text: str, place: Place) -> str:
        key_id = envelope.key_of(text)
        try:
            data = self._codec.decode(envelope.data_of(text), key_id, place)
            return data.decode("utf-8", "surrogatepass")
        except LookupError:
            return envelope.Unopened.of(text, "this store's codec does not know that key")
        except ValueError as error:
            return envelope.Unopened.of(text, f"this store's codec cannot open it: {error}")
