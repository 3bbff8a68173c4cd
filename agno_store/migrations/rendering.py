"""Operations as the Python of a revision's ``upgrade`` or ``downgrade``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from textwrap import dedent
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.sql import functions

from agno_store import types
from agno_store.errors import ConfigurationError
from agno_store.migrations.columns import Filling, filling
from agno_store.migrations.parametrise import names_used, parametrise, written

_OURS = {name: getattr(types, name) for name in ("ID", "TEXT", "JSON", "COUNT", "TIME")}

_ALTERING = (ops.AlterColumnOp, ops.DropColumnOp, ops.AddConstraintOp, ops.DropConstraintOp)
"""What SQLite can only do by making the table anew."""


@dataclass(frozen=True)
class Python:
    """The body of a function."""

    statements: list[ast.stmt]

    @property
    def text(self) -> str:
        return written(self.statements)

    @property
    def uses(self) -> set[str]:
        """The names of modules and variables in it."""
        return names_used(self.statements)


def rendered(container: ops.UpgradeOps | ops.DowngradeOps) -> Python:
    """Return operations on the scratch store as statements for any store."""
    return Python([statement for code in _code(container) for statement in parametrise(code)])


def _code(container: ops.OpContainer) -> Iterator[str]:
    dropped = {o.table_name for o in container.ops if isinstance(o, ops.DropTableOp)}
    for o in container.ops:
        if not isinstance(o, ops.ModifyTableOps):
            yield _alembics(o)
            continue
        if o.table_name in dropped:  # its indexes go with it
            continue
        for in_batch, group in groupby(o.ops, _needs_batch):
            together = list(group)
            yield from (code for inner in together for code in _filling_nulls(inner))
            some = ops.ModifyTableOps(o.table_name, together, schema=o.schema)
            yield _alembics(some, in_batch=in_batch)


def _alembics(o: ops.MigrateOperation, *, in_batch: bool = False) -> str:
    """Return an operation as Alembic writes it."""
    context = MigrationContext.configure(dialect_name="sqlite")
    code = render_python_code(
        ops.UpgradeOps([o]), render_as_batch=in_batch, render_item=_render_item, migration_context=context
    )
    return dedent(f"    {code}")


def _needs_batch(o: Any) -> bool:
    """Whether SQLite has to make the table anew for an operation."""
    if isinstance(o, ops.AddColumnOp):
        if o.column.computed is not None:
            return o.column.computed.persisted is True
        return filling(o.column) not in (Filling.NOTHING, Filling.CONSTANT)
    return isinstance(o, _ALTERING)


# -- rows that have to be filled first --------------------------------------------------------------------


def _filling_nulls(o: Any) -> Iterator[str]:
    """Give what writes the default into the rows without a value, before a column allows no NULL."""
    if not isinstance(o, ops.AlterColumnOp) or o.modify_nullable is not False:
        return
    default: Any = o.existing_server_default if o.modify_server_default is False else o.modify_server_default
    if default is None:
        return
    text = _render_item("server_default", default, None)
    if not isinstance(text, str):
        text = f"sa.text({str(default.arg)!r})"
    elif isinstance(default.arg, str) and not isinstance(o.existing_type, (sa.String, type(types.ID))):
        quoted = "'" + default.arg.replace("'", "''") + "'"
        text = f"sa.literal_column({quoted!r})"
    yield (
        f"rows = sa.table({o.table_name!r}, sa.column({o.column_name!r}), schema={o.schema!r})\n"
        f"op.execute(rows.update().where(rows.c[{o.column_name!r}].is_(None)).values({{{o.column_name!r}: {text}}}))"
    )


# -- types and defaults -----------------------------------------------------------------------------------


def _render_item(kind: str, item: Any, _context: Any) -> Any:
    """Write our own types by their names, and defaults so that every database has its own word for them.

    False leaves it to Alembic. Raises ConfigurationError for a type that cannot be written.
    """
    if kind == "type":
        return _type(item)
    if kind != "server_default":
        return False
    if isinstance(item, types.FromJson):
        return f"types.from_json({', '.join(map(repr, item.reads))})"
    argument = getattr(item, "arg", None)
    if isinstance(argument, (sa.True_, sa.False_)):
        return f"sa.{argument}()"
    if isinstance(argument, functions.now):
        return "sa.func.now()"
    return repr(argument) if isinstance(argument, str) else False


def _type(item: Any) -> Any:
    for name, type_ in _OURS.items():
        if item is type_ or (isinstance(item, sa.types.TypeDecorator) and type(item) is type(type_)):
            return f"types.{name}"
    plain = item.impl if isinstance(item, sa.types.TypeDecorator) else item
    if not type(plain).__module__.startswith("sqlalchemy."):
        raise ConfigurationError(f"{item!r} cannot be written into a revision: declare a type of SQLAlchemy's.")
    return False if plain is item else f"sa.{plain!r}"
