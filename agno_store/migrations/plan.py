"""What an upgrade would do, in words: on which tables, how many rows, who waits meanwhile, and what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.operations import ops
from alembic.script import Script
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from agno_store.dialects import Dialect, Scope
from agno_store.dialects.locks import Change
from agno_store.errors import SchemaConflict
from agno_store.migrations.already import Already
from agno_store.migrations.chain import Chain, Position, Target
from agno_store.migrations.context import Context
from agno_store.migrations.record import Recorded, Stop, recorded, sql_dialects, table_of
from agno_store.migrations.source import Source
from agno_store.migrations.statement import writes
from agno_store.migrations.wording import change_of, loss_of, words
from agno_store.names import Names

COUNTED = 100_000
"""Rows up to which a table is counted; of a larger one the database's own estimate is taken, if it has one."""

NEW = "nobody waits: the table is new"

DONE = "nobody waits: it is done already, and will be passed over"


@dataclass(frozen=True)
class PlannedStep:
    """One operation. ``table`` is None where it is about none, ``rows`` where nobody has looked or it is not there.

    ``done`` says that its effect is in the database, ``conflict`` what is there in its way.
    """

    what: str
    table: str | None
    rows: int | None
    about: bool
    waits: str
    concurrently: bool | None
    rebuilds: bool
    loses: str | None
    done: bool = False
    conflict: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the step for JSON."""
        return {
            "what": self.what,
            "table": self.table,
            "rows": self.rows,
            "rows_are_estimated": self.about,
            "waits": self.waits,
            "built_concurrently": self.concurrently,
            "rebuilds_table": self.rebuilds,
            "loses": self.loses,
            "done": self.done,
            "conflict": self.conflict,
        }


@dataclass(frozen=True)
class PlannedRevision:
    """One pending revision. ``release`` is None for an application's own.

    ``stop`` says where it could not be followed any further: what comes after is not among the steps. ``backfills``
    is the table that its backfill is going to walk after the upgrade.
    """

    revision: str
    message: str
    release: str | None
    can_be_undone: bool
    steps: tuple[PlannedStep, ...]
    stop: Stop | None = None
    backfills: str | None = None

    @property
    def loses_data(self) -> bool:
        """Whether a step is known to lose data."""
        return any(step.loses for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the revision for JSON."""
        return {
            "revision": self.revision,
            "message": self.message,
            "release": self.release,
            "can_be_undone": self.can_be_undone,
            "loses_data": self.loses_data,
            "unknown_from_line": self.stop.line if self.stop else None,
            "backfills": self.backfills,
            "steps": [step.to_dict() for step in self.steps],
        }


class Sentence(NamedTuple):
    """One line for people; ``warns`` of what deserves a second look."""

    text: str
    warns: bool = False


def plan(
    connection: Connection | None,
    names: Names,
    chain: Chain,
    position: Position,
    target: Target,
    dialect: Dialect,
    *,
    scope: Scope = Scope.REVISION,
    up: bool = True,
) -> list[PlannedRevision]:
    """Return what an upgrade, or a downgrade, from a position to a target would do. Writes nothing.

    Without a connection no rows are counted. ``scope`` is that of the upgrade's transactions: only where each
    revision has its own can an index be built concurrently.
    """
    sql_dialect = sql_dialects(dialect)[-1] if connection is None else connection.dialect
    there = None if connection is None else Already(Context.of(connection, names, chain), connection, dialect)
    planner = _Planner(connection, names, dialect, sql_dialect, scope, there)
    return [planner.revision(step.revision, up=up) for step in chain.between(position, target, up=up)]


def sentences(planned: Sequence[PlannedRevision]) -> list[Sentence]:
    """Return a plan for people, line by line."""
    return [line for revision in planned for line in _told(revision)] or [Sentence("Nothing is pending.")]


def _told(revision: PlannedRevision) -> Iterator[Sentence]:
    by = f"agno_store {revision.release}" if revision.release else "the application"
    yield Sentence(f"{revision.revision}  {revision.message}, of {by}")
    for n, step in enumerate(revision.steps):
        yield Sentence(f"  {step.what}")
        if step.conflict:
            yield Sentence(f"    an upgrade stops here: {step.conflict}", True)
        if step.loses:
            yield Sentence(f"    lost for good: {step.loses}", True)
        after = revision.steps[n + 1] if n + 1 < len(revision.steps) else None
        # What holds for several steps in a row is said once, after the last of them.
        if after is None or (step.table, step.waits) != (after.table, after.waits):
            yield Sentence(f"    {_circumstances(step)}", step.rebuilds)
    if not revision.steps and revision.stop is None:
        yield Sentence("  nothing to do on this database")
    if revision.stop is not None:
        why = f"from line {revision.stop.line} on it cannot be told beforehand: {revision.stop.reason}"
        yield Sentence(f"  {why}", True)
    if revision.backfills:
        yield Sentence(
            f"  after the upgrade: its backfill goes through the rows of {revision.backfills}, a few at a time"
        )
    if not revision.can_be_undone:
        yield Sentence("  cannot be undone", True)


def _circumstances(step: PlannedStep) -> str:
    if step.table is None or step.waits in (NEW, DONE):
        return step.waits
    if step.rows is None:
        return f"{step.table}: {step.waits}"
    rows = f"{'about ' if step.about else ''}{step.rows:,} row{'' if step.rows == 1 else 's'}"
    return f"{step.table} has {rows}; {step.waits}"


_Table = tuple[str | None, str]
"""Schema and name."""


@dataclass
class _Planner:
    """The tables as the revisions planned so far leave them."""

    connection: Connection | None
    names: Names
    dialect: Dialect
    sql_dialect: SqlDialect
    scope: Scope
    there: Already | None = None
    made: set[_Table] = field(default_factory=set)
    formerly: dict[_Table, _Table] = field(default_factory=dict)
    counted: dict[_Table, tuple[int | None, bool]] = field(default_factory=dict)

    def revision(self, script: Script, *, up: bool) -> PlannedRevision:
        """Return what one revision does, after those before it."""
        recording = recorded(script, self.names, self.sql_dialect, up=up)
        steps = tuple(map(self.step, recording))
        release = getattr(script.module, "release", None)
        can_be_undone = Source(script.path).can_be_undone()
        walked = getattr(self.names, getattr(script.module, "backfills", ""), None)
        return PlannedRevision(script.revision, script.doc, release, can_be_undone, steps, recording.stop, walked)

    def step(self, kept: Recorded) -> PlannedStep:
        """Return what one operation does, after those before it."""
        operation = kept.operation
        table = _affected(operation)
        new = table in self.made
        rows, about = (None, False) if table is None else (0, False) if new else self.count(table)
        done, conflict = (False, None) if new else self.look(operation)
        what = words(operation, self.sql_dialect)
        if done:
            return PlannedStep(what, table and table[1], rows, about, DONE, None, False, None, done)
        rebuilds = not new and kept.batch is not None and kept.batch.rebuilds
        rebuilds = rebuilds and not isinstance(operation, ops.CreateIndexOp)  # which comes after it
        concurrently = None if new else self.is_built_concurrently(operation)
        waits = NEW if new else self.waits(kept, rebuilds, concurrently)
        loses = None if new or self.is_generated(operation) else loss_of(operation, self.sql_dialect)
        self.note(operation, table)
        return PlannedStep(
            what, table and table[1], rows, about, waits, concurrently, rebuilds, loses, conflict=conflict
        )

    def look(self, operation: Any) -> tuple[bool, str | None]:
        """Return whether an operation is done already, and what is there in its way."""
        try:
            return self.there is not None and self.there.has_effect_of(operation), None
        except SchemaConflict as error:
            return False, str(error)

    def waits(self, kept: Recorded, rebuilds: bool, concurrently: bool | None) -> str:
        """Say who waits, and for how long."""
        operation = kept.operation

        def said(change: Change) -> str:
            return self.dialect.waits(change, self.sql_dialect)

        if rebuilds:
            return said(Change.REBUILD)
        if kept.makes is not None:
            return said(Change.CREATE_REFERRING_TABLE if self.refers_to_others(kept.makes) else Change.CREATE_TABLE)
        if not isinstance(operation, ops.CreateIndexOp):
            return said(change_of(operation, stores_generated=self.dialect.stores_generated))
        small, large = said(Change.BUILD_INDEX), said(Change.BUILD_INDEX_BESIDE_WRITERS)
        if concurrently is None and self.scope is Scope.REVISION and small != large:
            return f"{small}; if the table is large, {large}"
        return large if concurrently else small

    def is_built_concurrently(self, operation: Any) -> bool | None:
        """Whether an index is built beside the writers of its table; None where there is none, or no connection."""
        if not isinstance(operation, ops.CreateIndexOp) or self.connection is None:
            return None
        return self.scope is Scope.REVISION and self.dialect.is_large(
            self.connection, operation.table_name, operation.schema
        )

    def is_generated(self, operation: Any) -> bool:
        """Whether what is dropped is a column that is worked out from others, which stay."""
        if not isinstance(operation, ops.DropColumnOp) or self.connection is None:
            return False
        schema, name = self.formerly.get(place := (operation.schema, operation.table_name), place)
        there = sa.inspect(self.connection).has_table(name, schema=schema)
        return there and operation.column_name in self.dialect.generated(self.connection, name, schema)

    def refers_to_others(self, table: sa.Table) -> bool:
        """Whether a new table has a foreign key to a table in use."""
        referred = {key.column.table for key in table.foreign_keys} - {table}
        return any((there.schema, there.name) not in self.made for there in referred)

    def count(self, table: _Table) -> tuple[int | None, bool]:
        """Return a table's rows, and whether that is an estimate; None where it is not there."""
        table = self.formerly.get(table, table)
        if table not in self.counted:
            self.counted[table] = self._count(*table)
        return self.counted[table]

    def _count(self, schema: str | None, name: str) -> tuple[int | None, bool]:
        if self.connection is None or not sa.inspect(self.connection).has_table(name, schema=schema):
            return None, False
        estimate = self.dialect.estimated_rows(self.connection, name, schema)
        if estimate is not None and estimate > COUNTED:
            return estimate, True
        count = sa.select(sa.func.count()).select_from(sa.table(name, schema=schema))
        return self.connection.scalar(count), False

    def note(self, operation: Any, table: _Table | None) -> None:
        """Take an operation for done."""
        if isinstance(operation, ops.CreateTableOp) and table is not None:
            self.made.add(table)
        elif isinstance(operation, ops.RenameTableOp) and table is not None:
            renamed = (operation.schema, operation.new_table_name)
            if table in self.made:
                self.made.add(renamed)
            self.formerly[renamed] = self.formerly.get(table, table)


def _affected(operation: Any) -> _Table | None:
    if isinstance(operation, ops.ExecuteSQLOp):
        written = writes(operation)
        return (written[0].schema, written[0].table) if written else None
    table, schema = table_of(operation)
    return None if table is None else (schema, table)
