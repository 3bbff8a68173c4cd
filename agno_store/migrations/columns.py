"""What adding a column or changing its type means for the rows that are there."""

from __future__ import annotations

import enum
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import BindParameter

_CONSTANT = re.compile(r"[+-]?\d+(?:\.\d+)?|[EeBbXxNn]?'(?:[^']|'')*'|true|false|null", re.IGNORECASE)

_OF_NOW = re.compile(
    r"(?:CURRENT_TIMESTAMP|CURRENT_DATE|CURRENT_TIME|LOCALTIMESTAMP|LOCALTIME)(?:\(\d*\))?"
    r"|(?:now|transaction_timestamp|statement_timestamp)\(\)",
    re.IGNORECASE,
)


class Filling(enum.Enum):
    """Where the rows that are there get the value of a new column from."""

    NOTHING = "none is given"
    CONSTANT = "the same value for all, kept beside the rows"
    NOW = "the moment, the same for all"
    EACH = "an expression that is worked out for each row"
    STORED = "a generated column or an identity, stored with each row"


def filling(column: sa.Column[Any], *, stores_generated: bool = True) -> Filling:
    """Return where the rows that are there get the value of a new column from.

    ``stores_generated`` says what the database does with a generated column that does not say.
    """
    if column.identity is not None:
        return Filling.STORED
    if column.computed is not None:
        stored = column.computed.persisted
        return Filling.STORED if stored or (stored is None and stores_generated) else Filling.NOTHING
    default: Any = column.server_default
    if default is None:
        return Filling.NOTHING
    argument = getattr(default, "arg", None)
    if argument is None:
        return Filling.EACH
    if isinstance(argument, (str, BindParameter)):
        return Filling.CONSTANT
    return _said(str(getattr(argument, "text", argument)))


def _said(text: str) -> Filling:
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    text = re.sub(r"(?:::[\w ]+(?:\(\d+\))?)+$", "", text)
    if _CONSTANT.fullmatch(text):
        return Filling.CONSTANT
    return Filling.NOW if _OF_NOW.fullmatch(text) else Filling.EACH


def has_a_value(column: sa.Column[Any]) -> bool:
    """Whether the database gives the column a value where an INSERT gives none."""
    return column.server_default is not None or column.computed is not None or column.identity is not None


def may_not_fit(existing: Any, wanted: Any) -> bool:
    """Whether there may be values of the existing type that the wanted one has no room for."""
    if existing is None:
        return True
    was, now = sa.types.to_instance(existing), sa.types.to_instance(wanted)
    if isinstance(was, sa.types.Integer) and isinstance(now, sa.types.Integer):
        return _bytes(was) > _bytes(now)
    if isinstance(was, sa.types.String) and isinstance(now, sa.types.String):
        return now.length is not None and (was.length is None or was.length > now.length)
    if isinstance(now, sa.types.Text) and now.length is None:
        return False
    return repr(was) != repr(now)


def _bytes(type_: sa.types.Integer) -> int:
    return 8 if isinstance(type_, sa.BigInteger) else 2 if isinstance(type_, sa.SmallInteger) else 4
