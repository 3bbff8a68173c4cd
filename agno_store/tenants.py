"""Tenants: customers that share a store and cannot meet in it, whatever ids they use.

A store opened with ``tenant_id=`` has the tenant in front of every session's key, in the tables and only there:
``SessionKey``, the type of the column, puts it there on the way in and takes it off on the way out. So every
statement that names a session, each join and each foreign key is the tenant's by construction, two tenants may
use one session_id, and no key had to be made anew for it. Statements that look for sessions by something else
ask for ``sessions.tenant_id`` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any

from sqlalchemy.engine.interfaces import Dialect

from agno_store import escapes, types
from agno_store.errors import ConfigurationError, InvalidArgument

LONGEST = 100
"""Characters of a tenant_id; what is left of the column is its sessions'."""

_prefix: ContextVar[str] = ContextVar("agno_store tenant", default="")


def checked(tenant_id: Any) -> str | None:
    """Return the tenant of a store, or None.

    Raises ConfigurationError for what is no str, empty, or longer than 100 characters.
    """
    if tenant_id is None:
        return None
    if not isinstance(tenant_id, str) or not tenant_id:
        raise ConfigurationError(f"tenant_id={tenant_id!r}: it must be a str with something in it, or be left out.")
    length = len(escapes.escape(tenant_id))
    if length > LONGEST:
        raise ConfigurationError(f"tenant_id has {length} characters; the limit is {LONGEST}. Use a shorter one.")
    return tenant_id


def prefix(tenant_id: str | None) -> str:
    """Return what stands in front of the keys of a tenant's sessions."""
    return "" if tenant_id is None else escapes.escape(tenant_id) + escapes.SEPARATOR


def refuse_too_long(session_id: str, tenant_id: str | None) -> None:
    """Raise InvalidArgument for a session_id that has no room behind its tenant."""
    length, room = len(escapes.escape(session_id)), types.ID_LENGTH - len(prefix(tenant_id))
    if length > room:
        raise InvalidArgument(
            f"session_id has {length} characters; the limit of this tenant's is {room}. Nothing was written. "
            "Use a shorter id, for instance a hash of this one."
        )


def begin(own: str) -> Token[str] | None:
    """Let every session's key that is sent or read have this in front of it, in this thread or task.

    Returns what ``end`` is to be given, or None where it is so already.
    """
    return None if _prefix.get() == own else _prefix.set(own)


def end(acting: Token[str]) -> None:
    """Let keys have what they had in front of them before."""
    _prefix.reset(acting)


@contextmanager
def acting_for(own: str) -> Iterator[None]:
    """Let every session's key have this in front of it for a while."""
    acting = begin(own)
    try:
        yield
    finally:
        if acting is not None:
            end(acting)


class SessionKey(types.Id):
    """The session_id of a tenant's session: as it is for callers, with its tenant in the database."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else f"{_prefix.get()}{escapes.escape(value)}"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        write = super().bind_processor(dialect)
        return lambda value: self.process_bind_param(value, dialect) if _prefix.get() else write(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        def read(value: str | None) -> str | None:
            own = _prefix.get()
            try:
                if value is None or (not own and "\x1a" not in value):
                    return value
                is_own = value.startswith(own)
            except TypeError:  # bytes, which SQLite keeps in any column
                return read(escapes.Damaged.of(value))
            if not is_own or escapes.is_separated(value[len(own) :]):
                raise RuntimeError("A statement has read a session of another tenant; it was not given to the caller.")
            return escapes.unescape(value[len(own) :])

        return read
