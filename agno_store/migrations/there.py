"""Whether the effect of an operation is in the database already, or something else that is in its way."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from agno_store.dialects import Dialect
from agno_store.errors import SchemaConflict


class There:
    """What is in the database at this moment, held against operations."""

    def __init__(self, context: MigrationContext, dialect: Dialect) -> None:
        self._context = context
        self._dialect = dialect
        bind: Any = context.impl.bind
        self._bind: Connection = bind
        self._look = sa.inspect(self._bind)

    def has_effect_of(self, o: Any) -> bool:
        """Whether an operation would change nothing, as far as that can be seen.

        Raises SchemaConflict where something else has the name of what it makes.
        """
        if isinstance(o, ops.CreateTableOp):
            return self._has_table(o)
        if isinstance(o, ops.DropTableOp):
            return not self._look.has_table(o.table_name, schema=o.schema)
        if isinstance(o, ops.RenameTableOp):
            return self._is_renamed(o)
        if isinstance(o, ops.AddColumnOp):
            return self._has_column(o.column, o.table_name, o.schema)
        if isinstance(o, ops.DropColumnOp):
            return o.column_name not in self._columns(o)
        if isinstance(o, ops.AlterColumnOp):
            columns = self._columns(o) if o.modify_name else ()
            return o.modify_name in columns and o.column_name not in columns
        if isinstance(o, ops.CreateIndexOp):
            return self._has_index(o)
        if isinstance(o, ops.DropIndexOp):
            return not self._look.has_table(o.table_name, schema=o.schema) or o.index_name not in self._indexes(o)
        if isinstance(o, (ops.AddConstraintOp, ops.DropConstraintOp)) and not self._dialect.ddl_rolls_back:
            # Elsewhere nothing is left of a revision that did not end, and not every constraint can be seen.
            return self._has_constraint(o) is isinstance(o, ops.AddConstraintOp)
        return False

    # -- tables and columns -------------------------------------------------------------------

    def _has_table(self, o: ops.CreateTableOp) -> bool:
        if not self._look.has_table(o.table_name, schema=o.schema):
            return False
        there = self._columns(o)
        columns = [column for column in o.columns if isinstance(column, sa.Column)]
        wanted = {column.name for column in columns}
        besides = there.keys() - wanted
        if wanted - there.keys() or besides - self._of_later_revisions(o):
            raise SchemaConflict(
                f"The table {o.table_name} is there already and is not the one to be made: it lacks "
                f"{sorted(wanted - there.keys())} and has {sorted(besides)} besides. An upgrade stops "
                "before it. Rename or drop it, or give the store another name with table_name= (--table).",
                store=o.table_name,
            )
        return all(self._has_column(column, o.table_name, o.schema) for column in columns)

    def _of_later_revisions(self, o: ops.CreateTableOp) -> set[str]:
        """Return what a table of ours may have besides, where it was made as it is at the newest revision."""
        declared = self._context.opts.get("target_metadata", sa.MetaData()).tables.values()
        same = (table for table in declared if (table.name, table.schema) == (o.table_name, o.schema))
        return {column.name for table in same for column in table.columns}

    def _is_renamed(self, o: ops.RenameTableOp) -> bool:
        there = (self._look.has_table(str(name), schema=o.schema) for name in (o.table_name, o.new_table_name))
        return tuple(there) == (False, True)

    def _has_column(self, wanted: sa.Column[Any], table: str, schema: str | None) -> bool:
        found = {column["name"]: column for column in self._look.get_columns(table, schema=schema)}.get(wanted.name)
        if found is None:
            return False
        generated = wanted.name in self._dialect.generated(self._bind, table, schema)
        there = sa.Column(wanted.name, found["type"])
        differs = not isinstance(there.type, sa.types.NullType) and self._context.impl.compare_type(there, wanted)
        if differs or generated != (wanted.computed is not None):
            raise SchemaConflict(
                f"The column {table}.{wanted.name} is there already, as {self._said(there, generated)} instead of "
                f"{self._said(wanted, wanted.computed is not None)}. An upgrade stops before it. Rename or drop it, "
                "and run the upgrade again.",
                store=table,
            )
        return True

    def _said(self, column: sa.Column[Any], generated: bool) -> str:
        return column.type.compile(dialect=self._context.dialect) + (", generated" if generated else "")

    def _columns(self, o: Any) -> dict[Any, Any]:
        return {column["name"]: column for column in self._look.get_columns(o.table_name, schema=o.schema)}

    # -- indexes and constraints --------------------------------------------------------------

    def _has_index(self, o: ops.CreateIndexOp) -> bool:
        there = self._indexes(o).get(o.index_name)
        if there is None:
            return False
        # Of an expression, or a direction, each database has its own spelling.
        wanted = [column if isinstance(column, str) else getattr(column, "name", None) for column in o.columns]
        columns = [name for name in there["column_names"] if name not in there.get("include_columns", ())]
        same = len(columns) == len(wanted) and all(
            None in pair or pair[0] == pair[1] for pair in zip(columns, wanted, strict=True)
        )
        if not same or bool(there["unique"]) != bool(o.unique):
            raise SchemaConflict(
                f"The index {o.index_name} on {o.table_name} is there already, {_kind(there['unique'])} on {columns} "
                f"instead of {_kind(o.unique)} on {wanted}. An upgrade stops before it. Drop it and run the upgrade "
                "again.",
                store=o.table_name,
            )
        return True

    def _indexes(self, o: Any) -> dict[Any, Any]:
        return {index["name"]: index for index in self._look.get_indexes(o.table_name, schema=o.schema)}

    def _has_constraint(self, o: Any) -> bool:
        table = getattr(o, "source_table", None) or o.table_name
        schema = o.kw.get("source_schema") if isinstance(o, ops.CreateForeignKeyOp) else o.schema
        look = self._look
        ways = (look.get_unique_constraints, look.get_foreign_keys, look.get_check_constraints)
        found = {constraint["name"] for way in ways for constraint in way(table, schema=schema)}
        if isinstance(o, ops.CreatePrimaryKeyOp) or getattr(o, "constraint_type", None) == "primary":
            return bool(look.get_pk_constraint(table, schema=schema)["constrained_columns"])  # MySQL forgets its name
        return o.constraint_name in found


def _kind(unique: Any) -> str:
    return "unique" if unique else "not unique"
