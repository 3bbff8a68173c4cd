"""What of a planned upgrade is in the database already: left by one that was killed, or made by hand.

Only what no earlier operation of the plan changes can be told by looking: the others meet what those leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from agno_store.dialects import Dialect
from agno_store.migrations.record import table_of
from agno_store.migrations.statement import writes
from agno_store.migrations.there import There


class _Thing(NamedTuple):
    """A table, or with ``part`` its kind and name: a column, an index or a constraint of it."""

    schema: str | None
    table: str | None
    part: tuple[str, str | None] | None = None

    def meets(self, other: _Thing) -> bool:
        """Whether a change of one may be a change of the other."""
        if (self.schema, self.table) != (other.schema, other.table):
            return False
        return self.part == other.part or None in (self.part, other.part)


class Already:
    """The database as it is, held against one operation of a plan after the other."""

    def __init__(self, context: MigrationContext, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._there = There(context, dialect)
        self._changing: set[_Thing] = set()
        self._unknown = False

    def has_effect_of(self, o: Any) -> bool:
        """Whether an upgrade will pass over an operation, which comes after those that were asked about before.

        Raises SchemaConflict where it will stop. Writes nothing.
        """
        if isinstance(o, ops.ExecuteSQLOp):
            self._unknown = self._unknown or not writes(o)  # a statement that may change anything
            return False
        things = _things(o)
        depends = any(thing.meets(changing) for thing in things for changing in self._changing)
        self._changing |= things
        if depends or self._unknown or not self._is_there(o):
            return False
        self._changing -= things
        return True

    def _is_there(self, o: Any) -> bool:
        try:
            there = self._there.has_effect_of(o)
        except sa.exc.NoSuchTableError:  # a statement's, perhaps
            return False
        if there and isinstance(o, ops.CreateIndexOp):
            return o.index_name not in self._dialect.broken_indexes(self._connection, o.table_name, o.schema)
        return there


class Remaining(Operations):
    """Alembic's operations for a script, without those whose effect is there already; ``told`` is called with each.

    Raises SchemaConflict where something else is in the way of one.
    """

    def __init__(self, context: MigrationContext, already: Already, told: Callable[[Any], None]) -> None:
        super().__init__(context)
        self._already = already
        self._told = told

    def invoke(self, operation: Any) -> Any:
        """Write an operation down, unless it is done."""
        return self._unless_done(super().invoke, operation)

    @contextmanager
    def batch_alter_table(self, *args: Any, **kw: Any) -> Iterator[BatchOperations]:
        """The same as Alembic's, without what is done of the batch."""
        with super().batch_alter_table(*args, **kw) as batch:
            remaining: Any = batch
            invoke = batch.invoke
            remaining.invoke = lambda operation: self._unless_done(invoke, operation)
            yield batch

    def _unless_done(self, invoke: Callable[[Any], Any], operation: Any) -> Any:
        if not self._already.has_effect_of(operation):
            return invoke(operation)
        self._told(operation)
        return None


def _things(o: Any) -> set[_Thing]:
    """Return what an operation changes."""
    table, schema = table_of(o)
    if isinstance(o, ops.RenameTableOp):
        return {_Thing(schema, table), _Thing(schema, o.new_table_name)}
    if isinstance(o, (ops.AddColumnOp, ops.DropColumnOp, ops.AlterColumnOp)):
        names = {o.column.name if isinstance(o, ops.AddColumnOp) else o.column_name}
        if isinstance(o, ops.AlterColumnOp) and o.modify_name is not None:
            names.add(o.modify_name)
        return {_Thing(schema, table, ("column", name)) for name in names}
    if isinstance(o, (ops.CreateIndexOp, ops.DropIndexOp)):
        return {_Thing(schema, table, ("index", o.index_name))}
    if isinstance(o, (ops.AddConstraintOp, ops.DropConstraintOp)):
        told: Any = o
        return {_Thing(schema, table, ("constraint", told.constraint_name))}
    return set() if isinstance(o, ops.BulkInsertOp) else {_Thing(schema, table)}
