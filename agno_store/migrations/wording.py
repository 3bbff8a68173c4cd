"""Operations in words, and what each means for others: which change it is, and what is lost by it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from agno_store.dialects.locks import Change
from agno_store.migrations.columns import Filling, filling, may_not_fit
from agno_store.migrations.statement import text_of, writes

LONGEST_STATEMENT = 100
"""Characters of a statement that are shown."""

_CONSTRAINTS: dict[Any, tuple[str, Change]] = {
    ops.CreatePrimaryKeyOp: ("the primary key", Change.ADD_KEY),
    ops.CreateUniqueConstraintOp: ("the unique constraint", Change.ADD_KEY),
    ops.CreateCheckConstraintOp: ("the check", Change.ADD_CHECK),
    ops.CreateForeignKeyOp: ("the foreign key", Change.ADD_FOREIGN_KEY),
}


# -- what is done -----------------------------------------------------------------------------


@singledispatch
def words(operation: Any, sql_dialect: SqlDialect) -> str:
    """Return what an operation does, in the imperative."""
    return f"do {type(operation).__name__.removesuffix('Op')}"


@words.register
def _(o: ops.CreateTableOp, sql_dialect: SqlDialect) -> str:
    columns = sum(isinstance(item, sa.Column) for item in o.columns)
    return f"create the table {o.table_name} with {columns} column{'' if columns == 1 else 's'}"


@words.register
def _(o: ops.DropTableOp, sql_dialect: SqlDialect) -> str:
    return f"drop the table {o.table_name}"


@words.register
def _(o: ops.RenameTableOp, sql_dialect: SqlDialect) -> str:
    return f"rename the table {o.table_name} to {o.new_table_name}"


@words.register
def _(o: ops.AddColumnOp, sql_dialect: SqlDialect) -> str:
    return f"add the column {o.table_name}.{o.column.name}"


@words.register
def _(o: ops.DropColumnOp, sql_dialect: SqlDialect) -> str:
    return f"drop the column {o.table_name}.{o.column_name}"


@words.register
def _(o: ops.AlterColumnOp, sql_dialect: SqlDialect) -> str:
    column, said = f"{o.table_name}.{o.column_name}", []
    if o.modify_type is not None:
        before = f" from {_type(o.existing_type, sql_dialect)}" if o.existing_type is not None else ""
        said.append(f"change the type of {column}{before} to {_type(o.modify_type, sql_dialect)}")
    if o.modify_nullable is not None:
        said.append(f"allow NULL in {column}" if o.modify_nullable else f"make {column} NOT NULL")
    if o.modify_server_default is not False:
        said.append(f"{'drop' if o.modify_server_default is None else 'set'} the default of {column}")
    if o.modify_comment is not False:
        said.append(f"change the comment of {column}")
    if o.modify_name is not None:
        said.append(f"rename the column {column} to {o.modify_name}")
    return ", ".join(said) or f"leave {column} as it is"


@words.register
def _(o: ops.CreateIndexOp, sql_dialect: SqlDialect) -> str:
    kind = "unique index" if o.unique else "index"
    return f"build the {kind} {o.index_name or 'without a name'} on {o.table_name} ({_listed(o.columns)})"


@words.register
def _(o: ops.DropIndexOp, sql_dialect: SqlDialect) -> str:
    return f"drop the index {o.index_name}" + (f" of {o.table_name}" if o.table_name else "")


@words.register
def _(o: ops.AddConstraintOp, sql_dialect: SqlDialect) -> str:
    kind, _change = _CONSTRAINTS.get(type(o), ("the constraint", Change.OTHER))
    told: Any = o
    name = told.constraint_name or "without a name"
    if isinstance(o, ops.CreateForeignKeyOp):
        there = f"{o.referent_table} ({_listed(o.remote_cols)})"
        return f"add {kind} {name} from {o.source_table} ({_listed(o.local_cols)}) to {there}"
    columns = getattr(o, "columns", None)
    return f"add {kind} {name} on {told.table_name}" + (f" ({_listed(columns)})" if columns else "")


@words.register
def _(o: ops.DropConstraintOp, sql_dialect: SqlDialect) -> str:
    return f"drop the constraint {o.constraint_name} of {o.table_name}"


@words.register(ops.CreateTableCommentOp)
@words.register(ops.DropTableCommentOp)
def _(o: Any, sql_dialect: SqlDialect) -> str:
    return f"change the comment of the table {o.table_name}"


@words.register
def _(o: ops.BulkInsertOp, sql_dialect: SqlDialect) -> str:
    return f"insert {len(o.rows)} row{'' if len(o.rows) == 1 else 's'} into {o.table.name}"


@words.register
def _(o: ops.ExecuteSQLOp, sql_dialect: SqlDialect) -> str:
    text = text_of(o, sql_dialect)
    return f"run {text if len(text) <= LONGEST_STATEMENT else text[:LONGEST_STATEMENT] + ' ...'}"


# -- what that is for others ------------------------------------------------------------------

_PLAIN: dict[Any, Change] = {
    ops.CreateTableOp: Change.CREATE_TABLE,
    ops.DropTableOp: Change.DROP_TABLE,
    ops.RenameTableOp: Change.RENAME_TABLE,
    ops.DropColumnOp: Change.DROP_COLUMN,
    ops.CreateIndexOp: Change.BUILD_INDEX,
    ops.DropIndexOp: Change.DROP_INDEX,
    ops.DropConstraintOp: Change.DROP_CONSTRAINT,
    ops.CreateTableCommentOp: Change.CHANGE_COLUMN,
    ops.DropTableCommentOp: Change.CHANGE_COLUMN,
    ops.BulkInsertOp: Change.WRITE_ROWS,
    **{kind: change for kind, (_, change) in _CONSTRAINTS.items()},
}


def change_of(o: Any, *, stores_generated: bool = True) -> Change:
    """Return which change an operation makes to a table in use; of several the one that others wait for longest."""
    if isinstance(o, ops.AddColumnOp):
        filled = filling(o.column, stores_generated=stores_generated) in (Filling.EACH, Filling.STORED)
        return Change.ADD_FILLED_COLUMN if filled else Change.ADD_COLUMN
    if isinstance(o, ops.AlterColumnOp):
        if o.modify_type is not None:
            return Change.CHANGE_TYPE
        if o.modify_nullable is False:
            return Change.FORBID_NULL
        return Change.CHANGE_COLUMN if o.modify_name is None else Change.RENAME_COLUMN
    if isinstance(o, ops.ExecuteSQLOp):
        return Change.WRITE_ROWS if writes(o) else Change.OTHER
    return _PLAIN.get(type(o), Change.OTHER)


def loss_of(o: Any, sql_dialect: SqlDialect) -> str | None:
    """Return what is lost for good by an operation; None where nothing is."""
    if isinstance(o, ops.DropTableOp):
        return f"all that {o.table_name} holds"
    if isinstance(o, ops.DropColumnOp):
        return f"all that {o.table_name}.{o.column_name} holds"
    if isinstance(o, ops.AlterColumnOp) and o.modify_type is not None and may_not_fit(o.existing_type, o.modify_type):
        return f"what {o.table_name}.{o.column_name} holds and {_type(o.modify_type, sql_dialect)} has no room for"
    if isinstance(o, ops.ExecuteSQLOp):
        removed = sorted({found.table for found in writes(o) if found.removes})
        return f"the rows that are deleted from {', '.join(removed)}" if removed else _dropped(text_of(o, sql_dialect))
    return None


def _dropped(statement: str) -> str | None:
    upper = f" {statement.upper()} "
    return "what the statement drops" if " DROP TABLE " in upper or " DROP COLUMN " in upper else None


def _type(type_: Any, sql_dialect: SqlDialect) -> str:
    instance: Any = sa.types.to_instance(type_)
    try:
        return str(instance.compile(dialect=sql_dialect))
    except sa.exc.SQLAlchemyError:
        return repr(instance)


def _listed(columns: Iterable[Any]) -> str:
    return ", ".join(str(getattr(column, "name", column)) for column in columns)
