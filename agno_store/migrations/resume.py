"""Operations that look before they act, so that a second run of a revision changes nothing.

Where DDL cannot be rolled back, a process killed inside a revision leaves the first part of it applied and
the version behind. The next run finds what is there and goes on after it. Looking at the database itself
leaves no window, which a journal of finished statements would; and it serves tables made by hand as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from alembic.operations import BatchOperations, Operations, ops
from alembic.operations.batch import BatchOperationsImpl
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from agno_store.dialects import Dialect
from agno_store.errors import ConfigurationError
from agno_store.migrations.there import There


class _Looking:
    """Mixed into Alembic's operations, whose every method ends in ``invoke``."""

    migration_context: MigrationContext
    _dialect: Dialect

    def invoke(self, operation: Any) -> Any:
        """Run one operation, unless its effect is there already."""
        if There(self.migration_context, self._dialect).has_effect_of(operation):
            return None
        proxy: Any = super()
        return proxy.invoke(operation)


class _LookingBatch(_Looking, BatchOperations):
    """A batch; its indexes are made after it, as those outside of a batch are."""

    def __init__(self, context: Any, impl: Any, dialect: Dialect) -> None:
        super().__init__(context, impl=impl)
        self._dialect = dialect
        self.indexes: list[ops.CreateIndexOp] = []
        self.dropped: list[str] = []

    def invoke(self, operation: Any) -> Any:
        if isinstance(operation, ops.CreateIndexOp):
            self.indexes.append(operation)
            return None
        if isinstance(operation, ops.DropColumnOp):
            self.dropped.append(operation.column_name)
        _leave_it_to_us(operation)
        return super().invoke(operation)


class Resumable(_Looking, Operations):
    """Alembic's operations, of which a second run changes nothing.

    ``beside_writers`` allows indexes on large tables to be built without a lock on them, which is only
    possible outside of a transaction.
    """

    def __init__(self, context: Any, dialect: Dialect, *, beside_writers: bool = False) -> None:
        super().__init__(context)
        self._dialect = dialect
        self._beside_writers = beside_writers

    def invoke(self, operation: Any) -> Any:
        """Run one operation, unless its effect is there already."""
        self._dialect.refuse_if_lost(self.get_bind())
        _leave_it_to_us(operation)
        if not isinstance(operation, ops.CreateIndexOp):
            return super().invoke(operation)
        self._drop_if_broken(operation)
        bind = self.get_bind()
        if not (self._beside_writers and self._dialect.is_large(bind, operation.table_name, operation.schema)):
            return super().invoke(operation)
        if not There(self.migration_context, self._dialect).has_effect_of(operation):
            with self._in_no_transaction():
                operation.kw["postgresql_concurrently"] = True
                super().invoke(operation)
        return None

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
        batch = _LookingBatch(self.migration_context, impl, self._dialect)
        yield batch
        if impl._should_recreate():
            self._refuse_to_lose_children(table_name)
            with self._dialect.rebuilding(self.get_bind(), table_name, schema, batch.dropped):
                impl.flush()
        else:
            impl.flush()
        for index in batch.indexes:
            self.invoke(index)

    def _drop_if_broken(self, operation: ops.CreateIndexOp) -> None:
        broken = self._dialect.broken_indexes(self.get_bind(), operation.table_name, operation.schema)
        if operation.index_name not in broken:
            return
        drop = ops.DropIndexOp(operation.index_name, operation.table_name, schema=operation.schema)
        if not self._beside_writers:
            super().invoke(drop)
            return
        with self._in_no_transaction():
            drop.kw["postgresql_concurrently"] = True
            super().invoke(drop)

    @contextmanager
    def _in_no_transaction(self) -> Iterator[None]:
        # A revision may have left its transaction by itself.
        outside = self.migration_context._transaction is None
        block = nullcontext() if outside else self.migration_context.autocommit_block()
        failure: DBAPIError | None = None
        try:
            with block, self._dialect.patient(self.get_bind()):
                try:
                    yield
                except DBAPIError as error:
                    failure = error
                    raise
        except PendingRollbackError:
            if failure is None:
                raise
            raise failure from failure.orig  # the connection is gone, which whatever cleans up complains of

    def _refuse_to_lose_children(self, table: str) -> None:
        if self._dialect.loses_children(self.get_bind()):
            raise ConfigurationError(
                f"{table} has to be rebuilt, which in a SQLite transaction with foreign keys on would delete the rows "
                "that refer to it. None is lost: roll this transaction back. Run PRAGMA foreign_keys = OFF on that "
                "connection before the next one begins, or call upgrade_schema() without connection=."
            )


def _leave_it_to_us(operation: Any) -> None:
    """Let the size of the table decide how an index is built, not the revision, which knows neither it nor us."""
    if isinstance(operation, (ops.CreateIndexOp, ops.DropIndexOp)):
        operation.kw.pop("postgresql_concurrently", None)
