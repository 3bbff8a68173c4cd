"""Column types that mean the same on every database.

Released revisions import this module and nothing else of ours: what a name here means may never change.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from agno_store import encoding

ID_LENGTH = 255
"""Characters. Three of them in one key stay under the 3072 bytes that InnoDB allows an index with utf8mb4."""


class _MySqlId(mysql.VARCHAR):
    """VARCHAR compared by bytes, trailing spaces included."""


@compiles(_MySqlId, "mysql", "mariadb")
def _mysql_id(type_: _MySqlId, compiler: Any, **_: Any) -> str:
    # The only NO PAD binary collations: the older utf8mb4_bin takes 'a' and 'a ' for one.
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"
    return f"VARCHAR({type_.length}) CHARACTER SET utf8mb4 COLLATE {collation}"


class _PostgresJson(sa.types.UserDefinedType[str]):
    """json, not jsonb: it keeps the text, and with it key order, 1e16 and every digit of an integer."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        # As text, because psycopg would decode it before we can undo our escapes.
        return sa.cast(colexpr, sa.Text())


class _Id(sa.types.TypeDecorator[str]):
    """An id: any string of up to 255 characters, compared by bytes."""

    impl = sa.String(ID_LENGTH)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return _ID

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else encoding.escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else encoding.unescape(value)


_LONGTEXT = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
_ID = (
    sa.String(ID_LENGTH)
    .with_variant(sa.String(ID_LENGTH, collation="C"), "postgresql")
    .with_variant(_MySqlId(ID_LENGTH), "mysql", "mariadb")
)

ID: sa.types.TypeEngine[str] = _Id()
"""Ids and enums."""

TEXT: sa.types.TypeEngine[str] = sa.Text().with_variant(_LONGTEXT, "mysql", "mariadb")
"""Text without a limit."""

JSON: sa.types.TypeEngine[str] = TEXT.with_variant(_PostgresJson(), "postgresql")
"""A payload, as the JSON text of ``encoding.encode``."""

LARGEST = 2**63 - 1
"""The largest number of a BIGINT column."""

COUNT = sa.BigInteger()
"""Counters and positions."""

TIME = sa.BigInteger()
"""A moment, as microseconds since 1970-01-01 UTC."""

TABLE: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("default_charset", "utf8mb4"))
}
"""Keyword arguments of every table: transactions and four-byte characters, whatever the server's defaults."""
