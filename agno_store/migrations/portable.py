"""What not every database can do, said before a revision is written that would only fail elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.exc import CompileError, UnsupportedCompilationError

from agno_store import dialects
from agno_store.errors import ConfigurationError
from agno_store.migrations.parametrise import MARKERS, plain
from agno_store.migrations.record import sql_dialects
from agno_store.names import IDENTIFIER_BYTES
from agno_store.types import FromJson

_DATABASES = [(dialect.title, sql_dialect) for dialect in dialects.ALL for sql_dialect in sql_dialects(dialect)]
_MYSQL = sql_dialects(dialects.MYSQL)[-1]

LONGEST_KEY = 3072
"""Bytes that InnoDB allows an index; a character takes four.
https://dev.mysql.com/doc/refman/8.4/en/innodb-limits.html"""

_UNLIMITED = re.compile("TEXT|BLOB|JSON")


def refuse_unportable(changes: ops.UpgradeOps, meta: sa.MetaData) -> None:
    """Raise ConfigurationError for a column or an index that some database would refuse."""
    for o in changes.ops:
        if not isinstance(o, (ops.CreateTableOp, ops.ModifyTableOps)):
            continue
        table = meta.tables[f"{MARKERS.schema}.{o.table_name}"]
        columns = {column.name: column for column in table.columns}
        if isinstance(o, ops.CreateTableOp):
            made = list(columns)
        else:
            made = [inner.column.name for inner in o.ops if isinstance(inner, ops.AddColumnOp)]
            made += [inner.column_name for inner in o.ops if isinstance(inner, ops.AlterColumnOp)]
            indexes = [inner.index_name for inner in o.ops if isinstance(inner, ops.CreateIndexOp)]
            for index in (index for index in table.indexes if index.name in indexes):
                _check_index(index)
        for name in made:
            _check_column(columns[name])


def refuse_expressions(meta: sa.MetaData, known: Collection[str]) -> None:
    """Raise ConfigurationError for an index on an expression, which Alembic would pass over on SQLite."""
    for index in (index for table in meta.tables.values() for index in table.indexes):
        if index.name not in known and not all(isinstance(on, sa.Column) for on in index.expressions):
            raise ConfigurationError(
                f"{_said(index)} is on an expression, which not every database can have, or tell. Declare a generated "
                "column (sa.Computed, types.from_json) and an index on that."
            )


def in_sql(type_: Any) -> list[str]:
    """Return what each database calls a type.

    Raises ConfigurationError for a type that one of them has not.
    """
    found, names = sa.types.to_instance(type_), []
    for title, sql_dialect in _DATABASES:
        try:
            names.append(found.compile(dialect=sql_dialect))
        except UnsupportedCompilationError as error:
            raise ConfigurationError(f"There is no {found!r} on {title}.") from error
        except CompileError as error:
            raise ConfigurationError(f"{found!r} cannot be used on every database: {error}.") from error
    return names


def default_in_sql(default: Any) -> list[str] | None:
    """Return what each database calls a default."""
    argument = getattr(default, "arg", default)
    if not isinstance(argument, sa.ClauseElement):
        return None if argument is None else [repr(argument)]
    options = {"literal_binds": True}
    return [str(argument.compile(dialect=sql_dialect, compile_kwargs=options)) for _, sql_dialect in _DATABASES]


def generation(column: sa.Column[Any]) -> Any:
    """Return what a column is generated from, None for one that is not, to be compared with another."""
    if column.computed is None:
        return None
    read = column.computed.reads if isinstance(column.computed, FromJson) else str(column.computed.sqltext)
    return read, in_sql(column.type)


def refuse_conversion(column: sa.Column[Any], wanted: Any) -> None:
    """Raise ConfigurationError where a database would not make a column of one type one of the other."""
    was, now = sa.types.to_instance(column.type), sa.types.to_instance(wanted)
    for title, dialect in _DATABASES:
        if was.dialect_impl(dialect)._type_affinity is not now.dialect_impl(dialect)._type_affinity:
            raise ConfigurationError(
                f"{column.name} is to become {now.compile(dialect=dialect)} instead of {was.compile(dialect=dialect)} "
                f"on {title}, which not every database does by itself. Declare a column with another name, fill "
                "it, and drop this one later."
            )


def _check_column(column: sa.Column[Any]) -> None:
    size = len(column.name.encode())
    if size > IDENTIFIER_BYTES:
        raise ConfigurationError(
            f"The name of the column {column.name} is {size} bytes long: PostgreSQL would cut it off behind "
            f"{IDENTIFIER_BYTES}, and MySQL takes 64 characters at the most. Choose a shorter one."
        )
    in_sql(column.type)
    if isinstance(column.type, sa.Interval) and column.type.native:
        raise ConfigurationError(
            f"{column.name}: an Interval is a type of its own on PostgreSQL and a moment after 1970 elsewhere, which "
            "no revision can write as one type. Use sa.BigInteger, and store microseconds."
        )
    if isinstance(column.type, sa.Enum) and column.type.native_enum:
        raise ConfigurationError(
            f"{column.name}: an Enum is a type of its own on PostgreSQL, which outlives its columns. Use types.ID, or "
            "sa.Enum(..., native_enum=False)."
        )
    default = default_in_sql(None if column.computed is not None else column.server_default)
    if default is not None and _is_unlimited(column) and not default[-1].startswith("("):
        raise ConfigurationError(
            f"{column.name}: MySQL gives a {column.type.compile(dialect=_MYSQL)} no default. Use sa.String(length)."
        )


def _check_index(index: sa.Index) -> None:
    lengths = index.dialect_kwargs.get("mysql_length") or {}
    size = 0
    for column in index.columns:
        length = lengths.get(column.name) if isinstance(lengths, dict) else lengths
        if _is_unlimited(column) and length is None:
            raise ConfigurationError(
                f"{_said(index)}: MySQL has no index on {column.name}, a {column.type.compile(dialect=_MYSQL)}. Use "
                "types.ID or sa.String(length)."
            )
        size += 4 * (length or getattr(column.type, "length", None) or 2)
    if size > LONGEST_KEY:
        raise ConfigurationError(
            f"{_said(index)} would take {size} bytes; MySQL allows {LONGEST_KEY}, at four for a character. Leave out a "
            "column, or make one shorter."
        )


def _is_unlimited(column: sa.Column[Any]) -> bool:
    return _UNLIMITED.search(column.type.compile(dialect=_MYSQL)) is not None


def _said(index: sa.Index) -> str:
    return f"The index {plain(str(index.name))}"
