"""Statements that a revision gives to ``op.execute``: what they do, and to which table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.sql.dml import Delete, Insert, Update

_NAME = r'(?:"(?:[^"]|"")+"|`[^`]+`|[^\s"`.(),;=]+)'

_WRITES = re.compile(
    r"(?<!\bON )(?<!\bFOR )(?<!\bDO )(?<!\bKEY )\b(?P<verb>UPDATE|DELETE|INSERT|REPLACE|MERGE|TRUNCATE)\b"
    r"(?:\s+OR\s+\w+|\s+IGNORE)?(?:\s+(?:FROM|INTO|TABLE))?(?:\s+ONLY)?"
    rf"\s+(?:(?P<schema>{_NAME})\.)?(?P<table>{_NAME})",
    re.IGNORECASE,
)

_COMMENT_OR_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)

_DEFINES = ("CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SET", "PRAGMA", "ANALYZE", "VACUUM", "REINDEX")
"""What a statement begins with that writes no rows, whatever stands further on (ON DELETE, a trigger's body)."""


@dataclass(frozen=True)
class Writes:
    """That a statement writes rows: INSERT, UPDATE, DELETE ..., and whose."""

    verb: str
    table: str
    schema: str | None

    @property
    def removes(self) -> bool:
        return self.verb in ("DELETE", "TRUNCATE")


def text_of(operation: ops.ExecuteSQLOp, sql_dialect: SqlDialect) -> str:
    """Return the statement on one line."""
    statement: Any = operation.sqltext
    if isinstance(statement, sa.TextClause):
        statement = statement.text
    if not isinstance(statement, str):
        try:
            statement = str(statement.compile(dialect=sql_dialect))
        except sa.exc.SQLAlchemyError:  # it may need values, or be made for another database
            statement = str(statement)
    return " ".join(statement.split())


def writes(operation: ops.ExecuteSQLOp) -> list[Writes]:
    """Return which rows a statement writes; of several statements in one text, all of them."""
    statement: Any = operation.sqltext
    if isinstance(statement, (Insert, Update, Delete)):
        table: Any = statement.table
        return [Writes(type(statement).__name__.upper(), table.name, getattr(table, "schema", None))]
    text = _COMMENT_OR_TEXT.sub(" ", str(getattr(statement, "text", statement))).strip()
    if re.match(r"CREATE\s+(?:\w+\s+)*?(?:TRIGGER|FUNCTION|PROCEDURE|RULE)\b", text, re.IGNORECASE):
        return []
    return [found for part in text.split(";") for found in _written_by(part)]


def filled_by(operation: ops.ExecuteSQLOp) -> tuple[tuple[str, str | None], str] | None:
    """Return table, schema and column of an UPDATE that only gives a value to rows that have none in it."""
    statement: Any = operation.sqltext
    names = [getattr(key, "name", key) for key in (statement._values or ())] if isinstance(statement, Update) else []
    column = statement.table.c.get(names[0]) if len(names) == 1 else None
    if column is None or [str(where) for where in statement._where_criteria] != [str(column.is_(None))]:
        return None
    return (statement.table.name, getattr(statement.table, "schema", None)), column.name


def _written_by(text: str) -> list[Writes]:
    words = text.split(None, 1)
    if not words or words[0].upper() in _DEFINES:
        return []
    return [
        Writes(match["verb"].upper(), _plain(match["table"]), _plain(match["schema"]) if match["schema"] else None)
        for match in _WRITES.finditer(" ".join(text.split()))
    ]


def _plain(name: str) -> str:
    for quote in ('"', "`"):
        if name.startswith(quote):
            return name[1:-1].replace(quote * 2, quote)
    return name
