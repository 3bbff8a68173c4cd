"""Column types that mean the same on every database.

Released revisions import this module and nothing else of ours: what a name here means may never change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from agno_store import escapes
from agno_store.errors import ConfigurationError

ID_LENGTH = 255
"""Characters. Three of them in one key stay under the 3072 bytes that InnoDB allows an index with utf8mb4."""


class _MySqlId(sa.VARCHAR):
    """VARCHAR compared by bytes, trailing spaces included."""


@compiles(_MySqlId, "mysql", "mariadb")
def _mysql_id(type_: _MySqlId, compiler: Any, **_: Any) -> str:
    # The only NO PAD binary collations: the older utf8mb4_bin takes 'a' and 'a ' for one.
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"
    return f"VARCHAR({type_.length}) CHARACTER SET utf8mb4 COLLATE {collation}"


class _MySqlText(sa.types.TypeDecorator[str]):
    """LONGTEXT: a TEXT ends at 64 KB."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        from sqlalchemy.dialects import mysql  # with all of its drivers: only where one of them is in use

        return mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")


class _PostgresJson(sa.types.UserDefinedType[str]):
    """json, not jsonb: it keeps the text, and with it key order, 1e16 and every digit of an integer."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        # As text, because psycopg would decode it before we can undo our escapes.
        return sa.cast(colexpr, sa.Text())


class Id(sa.types.TypeDecorator[str]):
    """An id: any string of up to 255 characters, compared by bytes.

    Read by what knows of no tenant, such as a backfill, the key of a tenant's session is an ``AsStored``, and goes
    back as it is.
    """

    impl = sa.String(ID_LENGTH)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return _ID

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or isinstance(value, escapes.AsStored):
            return None if value is None else str.__str__(value)
        return escapes.escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or escapes.is_separated(value):
            return None if value is None else escapes.AsStored(value)
        return escapes.unescape(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        def write(value: Any) -> Any:
            # Most ids need nothing done, and a row has six of them.
            if type(value) is str and value.isascii() and value.isprintable():
                return value
            return self.process_bind_param(value, dialect)

        return write

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        def read(value: str | None) -> str | None:
            try:
                return value if value is None or "\x1a" not in value else self.process_result_value(value, dialect)
            except TypeError:  # bytes, which SQLite keeps in any column
                return escapes.Damaged.of(value)

        return read


_ID = (
    sa.String(ID_LENGTH)
    .with_variant(sa.String(ID_LENGTH, collation="C"), "postgresql")
    .with_variant(_MySqlId(ID_LENGTH), "mysql", "mariadb")
)

ID: sa.types.TypeEngine[str] = Id()
"""Ids and enums."""

TEXT: sa.types.TypeEngine[str] = sa.Text().with_variant(_MySqlText(), "mysql", "mariadb")
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


# -- generated columns -------------------------------------------------------------------------------------

_UNQUOTABLE = r'["\\\x00-\x1f\x7f\ud800-\udfff]'


def from_json(payload: str, *path: str) -> FromJson:
    """Return what makes a column hold a text out of a payload.

        sa.Column("customer_id", types.ID, types.from_json("metadata", "customer", "id"))

    Strings, numbers and booleans are there as text; null, what is not there and what is no JSON are NULL. A text
    longer than the column is cut, so that it is never the reason why a session cannot be stored. Raises
    ConfigurationError for a key that not every database can look up, and for a column that is not for text.
    """
    return FromJson(payload, path)


class FromJson(sa.Computed):
    """A column generated out of a payload: stored on PostgreSQL, worked out when it is read on the others."""

    def __init__(self, payload: str, path: tuple[str, ...]) -> None:
        if not path or not all(isinstance(key, str) and key and not re.search(_UNQUOTABLE, key) for key in path):
            raise ConfigurationError(
                f"from_json({payload!r}, ...) cannot look up {path!r}: give it one key or more, each a text without "
                "quotation marks, backslashes and control characters."
            )
        super().__init__(_Extracted(payload, path))
        self.reads = (payload, *path)

    def _set_parent(self, parent: Any, **kw: Any) -> None:
        type_ = getattr(parent.type, "impl", parent.type)
        if not isinstance(type_, sa.String):
            raise ConfigurationError(
                f"The column {parent.name} is made by from_json() and has to be one for text, such as types.ID."
            )
        super()._set_parent(parent, **kw)
        extracted: Any = self.sqltext
        extracted.length = type_.length

    def _copy(self, **_: Any) -> FromJson:
        return self._schema_item_copy(FromJson(self.reads[0], self.reads[1:]))


class _Extracted(ColumnElement[str]):
    """The text at ``path`` in the payload, cut to ``length`` characters."""

    inherit_cache = False

    def __init__(self, payload: str, path: tuple[str, ...]) -> None:
        self.payload = payload
        self.path = path
        self.length: int | None = None
        self.type = sa.Text()


@compiles(_Extracted, "postgresql")
def _in_postgresql(element: _Extracted, compiler: Any, **_: Any) -> str:
    *outer, last = (compiler.render_literal_value(key, sa.String()) for key in element.path)
    inside = "".join(f" -> {key}" for key in outer)
    found = f"({compiler.preparer.quote(element.payload)}{inside} ->> {last})"
    return found if element.length is None else f"left({found}, {element.length})"


@compiles(_Extracted, "sqlite")
def _in_sqlite(element: _Extracted, compiler: Any, **_: Any) -> str:
    payload, path = _payload_and_path(element, compiler)
    # json_extract() makes numbers of true and false, and fails over what is no JSON.
    found = (
        f"CASE WHEN json_valid({payload}) THEN CASE json_type({payload}, {path}) WHEN 'true' THEN 'true' "
        f"WHEN 'false' THEN 'false' ELSE json_extract({payload}, {path}) END END"
    )
    return found if element.length is None else f"substr({found}, 1, {element.length})"


@compiles(_Extracted, "mysql", "mariadb")
def _in_mysql(element: _Extracted, compiler: Any, **_: Any) -> str:
    payload, path = _payload_and_path(element, compiler)
    value = f"JSON_EXTRACT({payload}, {path})"
    # JSON_UNQUOTE() makes the text 'null' of null.
    found = f"CASE WHEN JSON_VALID({payload}) AND JSON_TYPE({value}) <> 'NULL' THEN JSON_UNQUOTE({value}) END"
    return found if element.length is None else f"LEFT({found}, {element.length})"


def _payload_and_path(element: _Extracted, compiler: Any) -> tuple[str, str]:
    path = "$" + "".join(f'."{key}"' for key in element.path)
    return compiler.preparer.quote(element.payload), compiler.render_literal_value(path, sa.String())


@compiles(FromJson)
def _when_read(element: FromJson, compiler: Any, **_: Any) -> str:
    # SQLite can add no other to a table, and InnoDB indexes these as well.
    return f"GENERATED ALWAYS AS ({compiler.sql_compiler.process(element.sqltext)}) VIRTUAL"


@compiles(FromJson, "postgresql")
def _stored(element: FromJson, compiler: Any, **_: Any) -> str:
    return f"GENERATED ALWAYS AS ({compiler.sql_compiler.process(element.sqltext)}) STORED"
