"""What a program may have its own part in: what is stored, what it is told, and what payloads are sealed with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Write(NamedTuple):
    """What is about to be stored, for ``before_write``. ``payload`` is a copy, of plain values, and may be changed."""

    kind: str
    """``session``, ``run`` or ``summary``."""
    payload: dict[str, Any]
    """A run as its framework wrote it; a summary; of a session ``session_data``, ``metadata`` and so on, by name."""
    session_id: str
    user_id: str | None = None
    run_id: str | None = None
    is_part: bool = False
    """Whether it is not the whole: fields of a run that a call changes, the state or the name of a session."""


class Appended(NamedTuple):
    """A run that was stored for the first time, for ``on_append``."""

    session_id: str
    run_id: str
    run_index: int
    run_type: str
    user_id: str | None = None
    tenant_id: str | None = None


BeforeWrite = Callable[[Write], Mapping[str, Any] | None]
"""Returns what is to be stored in the place of a payload, or None for a run that is not to be stored."""

OnAppend = Callable[[Appended], object]
"""Called after a new run was stored; of an asynchronous store it may be a coroutine function."""


class Place(NamedTuple):
    """Where a payload is stored. A codec that binds what it seals to its place opens it in no other."""

    column: str
    session_id: str
    run_id: str | None = None
    tenant_id: str | None = None

    def to_bytes(self) -> bytes:
        """Return the same bytes for this place, and for no other one."""
        return json.dumps([self.column, self.session_id, self.run_id, self.tenant_id]).encode()


@runtime_checkable
class PayloadCodec(Protocol):
    """What a store's ``codec=`` has. It is called within transactions, by any thread, and should wait for nobody."""

    @property
    def key_id(self) -> str:
        """Which key ``encode`` uses now; it is stored with each payload."""

    def encode(self, data: bytes, place: Place) -> bytes:
        """Return the bytes to store in the place of ``data``."""

    def decode(self, data: bytes, key_id: str, place: Place) -> bytes:
        """Return what ``encode`` was given.

        Raises LookupError for a key that is not known, ValueError for what was not made with it, for this place.
        """
