"""What is looked for in a revision: in its text, and in the operations that it asks for."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.operations import ops
from alembic.script import Script
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from agno_store import release, schema
from agno_store.dialects import by_name
from agno_store.migrations.chain import WALKED
from agno_store.migrations.columns import Filling, filling, has_a_value
from agno_store.migrations.record import Recorded, recorded, table_of
from agno_store.migrations.source import Source
from agno_store.migrations.statement import filled_by, writes
from agno_store.migrations.wording import words
from agno_store.names import Names

ONE = Names(schema="linted_schema")
OTHER = Names("linted_besides", "linted_schema")
"""Two stores in one schema: what is called the same in both is not made from the store's name."""

_EXISTING: dict[Any, str] = {
    ops.DropTableOp: "drop-table",
    ops.RenameTableOp: "rename-table",
    ops.DropColumnOp: "drop-column",
    ops.AddConstraintOp: "constraint-on-existing-table",
}

_REWRITES = {
    Filling.NOW: "its default is the moment at which it is added",
    Filling.EACH: "its default is worked out for every row",
    Filling.STORED: "its value is stored with every row",
}


_NONE = DefaultDialect()
"""In its words, which are no database's own, what is found on several databases is found once."""


class Broken(NamedTuple):
    """A rule that is broken in a line; ``what`` says by what, without a full stop."""

    line: int
    rule: str
    what: str


# -- the text ---------------------------------------------------------------------------------


def in_text(script: Script, source: Source, known: Container[Any]) -> Iterator[Broken]:
    """Give what is wrong with a revision's imports, functions and variables; ``known`` are our own revisions."""
    for line, name in source.imports():
        if not _may_be_imported(name):
            yield Broken(line, "import", f"It imports {name}")
    if source.is_empty("downgrade") and not source.is_empty("upgrade"):
        yield Broken(source.line_of("upgrade"), "missing-downgrade", "There is no downgrade, or an empty one")
    if schema.is_own(script.revision):
        for name in ("release", "works_with"):
            if not _is_release(getattr(script.module, name, None)):
                yield Broken(source.line_of("revision"), "missing-release", f"It does not say {name} = a release")
    elif getattr(script.module, "requires", None) not in known:
        yield Broken(source.line_of("revision"), "missing-requires", "It does not say requires = one of our revisions")
    has, walks = hasattr(script.module, "backfill"), getattr(script.module, "backfills", None)
    if (has or walks is not None) and not (has and walks in WALKED):
        line = max(source.line_of("backfill"), source.line_of("backfills"))
        yield Broken(line, "incomplete-backfill", "It has a backfill without a table, or the other way round")


def _may_be_imported(name: str) -> bool:
    first = name.partition(".")[0]
    return name == "agno_store.types" or first == "sqlalchemy" or first in sys.stdlib_module_names


def _is_release(text: object) -> bool:
    try:
        release.order(text)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        return False
    return True


# -- the operations ---------------------------------------------------------------------------


def in_operations(script: Script, sql_dialect: SqlDialect, *, up: bool) -> Iterator[Broken]:
    """Give what is wrong with the operations of a revision on one kind of database."""
    one, other = (recorded(script, names, sql_dialect, up=up) for names in (ONE, OTHER))
    made: set[str | None] = set()
    filling_nulls = _filling_nulls(one)
    for kept in one:
        if up:
            yield from _dangers(kept, made, sql_dialect, filling_nulls)
            yield from _unnamed(kept)
        yield from _misplaced(kept)
    for here, there in zip(one, other, strict=False):
        yield from _fixed(here, set(_named(here)) & set(_named(there)))
    if one.stop is not None:
        rule = "needs-database" if one.stop.needs_database else "fails"
        function = "upgrade" if up else "downgrade"
        yield Broken(one.stop.line, rule, f"{function}() cannot be followed beyond this line: {one.stop.reason}")


def _filling_nulls(recording: Sequence[Recorded]) -> list[Any]:
    """Return the statements that only make room for a NOT NULL further on, which is found and judged by itself."""
    found, forbidden = list[Any](), set[tuple[Any, str]]()
    for kept in reversed(recording):
        o = kept.operation
        if isinstance(o, ops.AlterColumnOp) and o.modify_nullable is False:
            forbidden.add((table_of(o), o.column_name))
        elif isinstance(o, ops.ExecuteSQLOp) and filled_by(o) in forbidden:
            found.append(o)
    return found


def _dangers(
    kept: Recorded, made: set[str | None], sql_dialect: SqlDialect, filling_nulls: Container[Any]
) -> Iterator[Broken]:
    """Give what is dangerous for the rows, the readers and the writers of a table that is not ``made`` just now."""
    o, table, said = kept.operation, table_of(kept.operation)[0], words(kept.operation, _NONE)
    rules: list[tuple[str, str]] = []
    if isinstance(o, ops.ExecuteSQLOp) and o in filling_nulls:
        pass
    elif isinstance(o, ops.ExecuteSQLOp):
        rules.append(("data-in-revision" if writes(o) else "raw-sql", ""))
    elif isinstance(o, ops.BulkInsertOp):
        rules.append(("data-in-revision", ""))
    elif isinstance(o, ops.DropIndexOp) and table is None:
        rules.append(("drop-index-without-table", ""))
    elif isinstance(o, ops.CreateTableOp):
        made.add(table)
        if _indexes(kept):
            rules.append(("index-in-create-table", "with an index of its own"))
    elif table not in made:
        rules += [(rule, "") for kind, rule in _EXISTING.items() if isinstance(o, kind)]
        rules += _of_column(kept, sql_dialect)
    elif isinstance(o, ops.RenameTableOp):
        made.add(o.new_table_name)
    if isinstance(o, ops.AddColumnOp) and o.column.index:
        rules.append(("index-in-add-column", "with an index of its own"))
    for rule, more in rules:
        yield Broken(kept.line, rule, f"It would {said}" + (f", {more}" if more else ""))


def _of_column(kept: Recorded, sql_dialect: SqlDialect) -> Iterator[tuple[str, str]]:
    """Give the rules that adding or altering a column of an existing table breaks, and by what."""
    o = kept.operation
    if isinstance(o, ops.AlterColumnOp):
        if o.modify_name is not None:
            yield "rename-column", ""
        if o.modify_type is not None:
            yield "change-type", ""
        if o.modify_nullable is False:
            yield "not-null-without-default", ""
    if isinstance(o, ops.AddColumnOp):
        if not o.column.nullable and not has_a_value(o.column):
            yield "not-null-without-default", "NOT NULL and without a default"
        dialect, generated = by_name(sql_dialect.name), o.column.computed
        filled = filling(o.column, stores_generated=dialect.stores_generated)
        if filled in _REWRITES:
            where = f"on {dialect.title} " if generated is not None and generated.persisted is None else ""
            yield "rewrite-on-add", where + _REWRITES[filled]
        if any(True for _ in _constraints(kept)):
            yield "constraint-on-existing-table", "with a constraint"


def _unnamed(kept: Recorded) -> Iterator[Broken]:
    named = [name for kind, name in _named(kept) if kind in ("constraint", "index")]
    if None in named:
        what = f"It would {words(kept.operation, _NONE)}, and a constraint or an index has no name"
        yield Broken(kept.line, "unnamed-constraint", what)


def _fixed(kept: Recorded, same: set[tuple[str, str | None]]) -> Iterator[Broken]:
    """Give the names that are the same for every store."""
    for kind, name in same:
        if name is None:
            continue
        line = kept.batch.line if kept.batch is not None and kind == "table" else kept.line
        rule = "unnamed-constraint" if kind == "constraint" else "fixed-name"
        yield Broken(line, rule, f"The {kind} {name} is called so in every store")


def _misplaced(kept: Recorded) -> Iterator[Broken]:
    """Give the tables that are looked for outside of the store's schema."""
    for table, there in _places(kept):
        if there == ONE.schema:
            continue
        line = kept.line if kept.batch is None or kept.batch.schema == ONE.schema else kept.batch.line
        if there is None:
            yield Broken(line, "no-schema", f"{table or 'A statement'} is named without its schema")
        else:
            yield Broken(line, "fixed-name", f"{table} is looked for in the schema {there}, whatever the store's is")


# -- what an operation names ------------------------------------------------------------------


def _places(kept: Recorded) -> Iterator[tuple[str | None, str | None]]:
    """Give the tables that an operation names, each with its schema."""
    o = kept.operation
    if isinstance(o, ops.ExecuteSQLOp):
        yield from ((found.table, found.schema) for found in writes(o))
        return
    yield table_of(o)
    if isinstance(o, ops.CreateForeignKeyOp):
        yield o.referent_table, o.kw.get("referent_schema")
    for key in _foreign_keys(kept):
        *place, table, _column = key.target_fullname.split(".")
        yield table, place[0] if place else None


def _named(kept: Recorded) -> Iterator[tuple[str, str | None]]:
    """Give the names in an operation that must differ between two stores, each with what it names."""
    o = kept.operation
    yield from (("table", table) for table, _ in _places(kept) if table is not None)
    if isinstance(o, ops.RenameTableOp):
        yield "table", o.new_table_name
    elif isinstance(o, (ops.CreateIndexOp, ops.DropIndexOp)):
        yield "index", o.index_name
    elif isinstance(o, (ops.AddConstraintOp, ops.DropConstraintOp)):
        told: Any = o
        yield "constraint", told.constraint_name
    yield from (("constraint", _name(constraint)) for constraint in _constraints(kept))
    yield from (("index", _name(index)) for index in _indexes(kept) if index.name is not None)
    columns = (
        list(kept.makes.columns) if kept.makes is not None else [o.column] if isinstance(o, ops.AddColumnOp) else []
    )
    yield from (("type", column.type.name) for column in columns if isinstance(column.type, sa.Enum))


def _name(item: Any) -> str | None:
    return None if item.name is None else str(item.name)


def _constraints(kept: Recorded) -> Iterator[Any]:
    """Give the constraints that a new table or column brings; what a flag of a column makes has no name."""
    if kept.makes is not None:
        table = kept.makes
        yield from (key for key in table.constraints if key is not table.primary_key or len(table.primary_key))
    elif isinstance(kept.operation, ops.AddColumnOp):
        column = kept.operation.column
        yield from column.constraints
        yield from column.foreign_keys
        if column.unique and not column.index:
            yield sa.UniqueConstraint()


def _indexes(kept: Recorded) -> list[Any]:
    """Return the indexes that a new table brings."""
    return [] if kept.makes is None else list(kept.makes.indexes)


def _foreign_keys(kept: Recorded) -> Iterator[sa.ForeignKey]:
    for constraint in _constraints(kept):
        if isinstance(constraint, sa.ForeignKey):
            yield constraint
        elif isinstance(constraint, sa.ForeignKeyConstraint):
            yield from constraint.elements
