"""Operations that look before they act, so that a second run of a revision changes nothing.

Where DDL cannot be rolled back, a process killed inside a revision leaves the first part of it applied and
the version behind. The next run finds what is there and goes on after it. Looking at the database itself
leaves no window, which a journal of finished statements would; and it serves tables made by hand as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations, ops
from alembic.operations.batch import BatchOperationsImpl

from agno_store.errors import SchemaConflict


class _Looking:
    """Mixed into Alembic's operations, whose every method ends in ``invoke``."""

    def invoke(self, operation: Any) -> Any:
        """Run one operation, unless its effect is there already."""
        proxy: Any = super()
        if _is_done(sa.inspect(proxy.get_bind()), operation):
            return None
        return proxy.invoke(operation)


class _LookingBatch(_Looking, BatchOperations):
    pass


class Resumable(_Looking, Operations):
    """Alembic's operations, of which a second run changes nothing."""

    @contextmanager
    def batch_alter_table(  # type: ignore[override]
        self, table_name: str, schema: str | None = None, recreate: Any = "auto", **kw: Any
    ) -> Iterator[BatchOperations]:
        """The same as Alembic's, each operation of the batch looked up first."""
        impl = BatchOperationsImpl(  # type: ignore[no-untyped-call]
            self,
            table_name,
            schema,
            recreate,
            kw.get("copy_from"),
            kw.get("table_args", ()),
            kw.get("table_kwargs", {}),
            kw.get("reflect_args", ()),
            kw.get("reflect_kwargs", {}),
            kw.get("naming_convention"),
            kw.get("partial_reordering", ()),
        )
        yield _LookingBatch(self.migration_context, impl=impl)
        impl.flush()


def _is_done(look: sa.Inspector, o: Any) -> bool:
    if isinstance(o, ops.CreateTableOp):
        return _table_is_there(look, o)
    if isinstance(o, ops.DropTableOp):
        return not look.has_table(o.table_name, schema=o.schema)
    if isinstance(o, ops.AddColumnOp):
        return o.column.name in _columns(look, o.table_name, o.schema)
    if isinstance(o, ops.DropColumnOp):
        return o.column_name not in _columns(look, o.table_name, o.schema)
    if isinstance(o, ops.CreateIndexOp):
        return _index_is_there(look, o)
    if isinstance(o, ops.DropIndexOp):
        assert o.table_name is not None
        return not look.has_table(o.table_name, schema=o.schema) or o.index_name not in _indexes(look, o)
    return False


def _table_is_there(look: sa.Inspector, o: ops.CreateTableOp) -> bool:
    if not look.has_table(o.table_name, schema=o.schema):
        return False
    there = _columns(look, o.table_name, o.schema)
    wanted = {column.name for column in o.columns if isinstance(column, sa.Column)}
    if there != wanted:
        raise SchemaConflict(
            f"The table {o.table_name} is there already and is not the one to be made: it lacks "
            f"{sorted(wanted - there)} and has {sorted(there - wanted)} besides. Nothing was changed. Rename or drop "
            "it, or give the store another name with table_name= (--table).",
            store=o.table_name,
        )
    return True


def _index_is_there(look: sa.Inspector, o: ops.CreateIndexOp) -> bool:
    there = _indexes(look, o).get(o.index_name)
    if there is None:
        return False
    wanted = [str(getattr(column, "name", column)) for column in o.columns]
    if there != wanted:
        raise SchemaConflict(
            f"The index {o.index_name} on {o.table_name} is there already, on {there} instead of {wanted}. "
            "Nothing was changed. Drop it and run the upgrade again.",
            store=o.table_name,
        )
    return True


def _columns(look: sa.Inspector, table: str, schema: str | None) -> set[Any]:
    return {column["name"] for column in look.get_columns(table, schema=schema)}


def _indexes(look: sa.Inspector, o: Any) -> dict[Any, list[Any]]:
    return {i["name"]: i["column_names"] for i in look.get_indexes(o.table_name, schema=o.schema)}
