"""What a revision does, told by running it without a database: its operations are kept instead of done."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations, ops
from alembic.operations.batch import BatchOperationsImpl
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util.exc import CommandError
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from agno_store.dialects import Dialect
from agno_store.errors import AgnoStoreError
from agno_store.migrations.context import options
from agno_store.migrations.mistakes import MISTAKES, line_in
from agno_store.names import Names

_MISTAKES = (AgnoStoreError, CommandError, sa.exc.SQLAlchemyError, *MISTAKES)


@dataclass(frozen=True)
class Batch:
    """A ``batch_alter_table``: the line that opens it, and whether its table is copied into a new one."""

    line: int
    table: str
    schema: str | None
    rebuilds: bool


@dataclass(frozen=True)
class Recorded:
    """One operation of Alembic's, and the line of the revision that asked for it; ``makes`` is a new table."""

    operation: Any
    line: int
    batch: Batch | None = None
    makes: sa.Table | None = None


@dataclass(frozen=True)
class Stop:
    """Why a revision could not be followed to its end: it asked for the database, or failed."""

    line: int
    reason: str
    needs_database: bool


class Recording(list[Recorded]):
    """The operations of a revision, in the order in which they are done; all of them unless there is a ``stop``."""

    stop: Stop | None = None


def recorded(script: Script, names: Names, sql_dialect: SqlDialect, *, up: bool = True) -> Recording:
    """Return what a revision does to the store called ``names`` on such a database. Touches none.

    Where the revision asks the database something, or fails, what it did before is there, and ``stop``.
    """
    op = _Recorder(_context(names, sql_dialect), script.path)
    try:
        (script.module.upgrade if up else script.module.downgrade)(op, names)
    except (_NoDatabase, sa.exc.NoInspectionAvailable) as asked:
        op.kept.stop = Stop(line_in(script.path, asked.__traceback__) or 1, "it asks the database", True)
    except _MISTAKES as error:
        said = f"{type(error).__name__}: {error}"
        op.kept.stop = Stop(line_in(script.path, error.__traceback__) or 1, said, False)
    return op.kept


def sql_dialects(dialect: Dialect) -> list[SqlDialect]:
    """Return SQLAlchemy's dialects for one of ours, connected to nothing."""
    names = sorted(set(dialect.driver_names.values()))
    return [sa.make_url(f"{name}+{dialect.default_driver}://").get_dialect()() for name in names]


def table_of(operation: Any) -> tuple[str | None, str | None]:
    """Return the table that an operation is about and its schema; statements are not looked into."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return operation.source_table, operation.kw.get("source_schema")
    if isinstance(operation, ops.BulkInsertOp):
        return operation.table.name, getattr(operation.table, "schema", None)
    return getattr(operation, "table_name", None), getattr(operation, "schema", None)


class _Recorder(Operations):
    """Alembic's operations, none of which is done."""

    def __init__(self, context: MigrationContext, file: str) -> None:
        super().__init__(context)
        self.kept = Recording()
        self._file = file

    def invoke(self, operation: Any) -> Any:
        """Keep an operation. A revision may go on with the table that it takes for made."""
        # Asked for once: a second table would lack the foreign keys of the first one's columns.
        makes = operation.to_table(self.migration_context) if isinstance(operation, ops.CreateTableOp) else None
        self.kept.append(Recorded(operation, self.line(), makes=makes))
        return makes

    @contextmanager
    def batch_alter_table(  # type: ignore[override]
        self, table_name: str, schema: str | None = None, recreate: Any = "auto", **kw: Any
    ) -> Iterator[BatchOperations]:
        """Keep the operations of a batch, as done when it ends: indexes last."""
        line = self.line()
        empty: dict[str, Any] = dict.fromkeys(("table_args", "reflect_args", "partial_reordering"), ())
        empty |= {"copy_from": None, "table_kwargs": {}, "reflect_kwargs": {}, "naming_convention": None, **kw}
        impl = BatchOperationsImpl(self, table_name, schema, recreate, **empty)  # type: ignore[no-untyped-call]
        batch = _BatchRecorder(self, impl)
        try:
            yield batch
        finally:
            opened = Batch(line, table_name, schema, impl._should_recreate())
            for operation, line in sorted(batch.kept, key=lambda kept: isinstance(kept[0], ops.CreateIndexOp)):
                self.kept.append(Recorded(operation, line, opened))

    def line(self) -> int:
        """Return the line of the revision that is being run."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        return frame.f_lineno if frame.f_code.co_filename == self._file else 1


class _BatchRecorder(BatchOperations):
    """The operations of a batch; what Alembic judges a rebuild by is told to it, and no more."""

    def __init__(self, recorder: _Recorder, impl: BatchOperationsImpl) -> None:
        super().__init__(recorder.migration_context, impl=impl)
        self.kept: list[tuple[Any, int]] = []
        self._recorder = recorder

    def invoke(self, operation: Any) -> Any:
        self.kept.append((operation, self._recorder.line()))
        if not isinstance(operation, ops.ExecuteSQLOp):
            super().invoke(operation)


class _NoDatabase(Exception):
    """A revision has asked for more than the dialect of the connection. Never leaves this module."""


class _NoConnection:
    """What stands where a revision looks for its connection."""

    def __init__(self, dialect: SqlDialect) -> None:
        self.dialect = dialect

    def in_transaction(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise _NoDatabase(name)


def _context(names: Names, sql_dialect: SqlDialect) -> MigrationContext:
    context = MigrationContext(
        sql_dialect, None, {**options(names), "as_sql": True, "output_buffer": io.StringIO(), "script": None}
    )
    nobody: Any = _NoConnection(sql_dialect)
    context.connection = context.impl.connection = nobody
    return context
