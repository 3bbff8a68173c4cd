"""Which columns travel, and what may be in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from agno_store import escapes, rows, tables, types
from agno_store.errors import InvalidArgument
from agno_store.names import Names
from agno_store.records import TYPES
from agno_store.transfer.conversation import Malformed, Row

SESSION, RUN, SUMMARY = "session", "run", "summary"

KEPT: Mapping[str, Sequence[str]] = {
    SESSION: ("session_type", "created_at", "next_run_index"),
    RUN: ("run_index", "created_at"),
    SUMMARY: (),
}
"""What stays of a row that is replaced by a newer one, beside its key."""

ID, NUMBER, TIME, TEXT, PAYLOAD = "id", "number", "time", "text", "payload"

_MOST = types.LARGEST // 4
"""As much as a store's own numbers and times are: what is added to one still is a number of the database's."""

_MADE_BY_THE_TARGET = frozenset({"tenant_id", "name_folded", "runs_changed"})
_NEED_NOT_BE_GIVEN = frozenset({"run_index"})


class Column(NamedTuple):
    """A column that travels: what is in it, whether it has to be there, and what it is where nothing is said."""

    name: str
    kind: str
    needed: bool
    default: Any


@lru_cache(maxsize=3)
def columns(part: str) -> Mapping[str, Column]:
    """Return the columns of a session, a run or a summary that travel, by name."""
    number = (SESSION, RUN, SUMMARY).index(part)
    travelling = {}
    for column in tables.addressed(Names(), types.ID)[number].columns:
        if column.name in _MADE_BY_THE_TARGET or (column.name == "session_id" and part != SESSION):
            continue
        default = None if column.server_default is None else int(str(column.server_default.arg))  # type: ignore[attr-defined]
        needed = not column.nullable and default is None and column.name not in _NEED_NOT_BE_GIVEN
        travelling[column.name] = Column(column.name, _kind(column), needed, default)
    return travelling


def _kind(column: sa.Column[Any]) -> str:
    if isinstance(column.type, types.Id):
        return ID
    if column.type is types.TIME:
        return TIME
    if isinstance(column.type, sa.BigInteger):
        return NUMBER
    return PAYLOAD if column.type is types.JSON else TEXT


def complete(part: str, given: Row) -> dict[str, Any]:
    """Return a row with every column that travels. Raises Malformed where it is none that can be stored."""
    known = columns(part)
    unknown = given.keys() - known.keys() - {"session_id"}
    if unknown:
        raise Malformed(f"{_named(part, given)} has {', '.join(sorted(unknown))}, which this release does not know")
    row = {}
    for column in known.values():
        value = given.get(column.name)
        if value is None:
            if column.needed:
                raise Malformed(f"{_named(part, given)} has no {column.name}")
            value = column.default
        elif not _fits(column, value):
            raise Malformed(f"the {column.name} of {_named(part, given)} is {_shown(value)}")
        row[column.name] = value
    if part == SESSION and row["session_type"] not in TYPES:
        raise Malformed(f"its session_type is {_shown(row['session_type'])}")
    return row


def _fits(column: Column, value: Any) -> bool:
    if column.kind in (NUMBER, TIME):
        least = -_MOST if column.kind == TIME else 0
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST
    if not isinstance(value, str) or isinstance(value, escapes.Damaged):
        return False
    if column.kind == ID:
        try:
            rows.new_id(value, column.name)
        except InvalidArgument as error:
            raise Malformed(str(error)) from error
    return True


def _named(part: str, given: Row) -> str:
    return f"run {_shown(given.get('run_id'))}" if part == RUN else f"its {part}" if part == SUMMARY else "the session"


def _shown(value: Any) -> str:
    if isinstance(value, bytes):  # in SQLite: somebody's conversation, whose end is damaged
        return "no text"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
