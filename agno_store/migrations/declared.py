"""What the revisions declare, next to what is declared now.

A database does not tell all that a revision said: SQLite knows no collation, and a type of ours comes back as
the one that it is made of. So types and defaults are compared as they were written, by the SQL that each
database would get for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from agno_store import dialects
from agno_store.errors import ConfigurationError
from agno_store.migrations.parametrise import MARKERS
from agno_store.migrations.portable import default_in_sql, generation, in_sql, refuse_conversion
from agno_store.migrations.record import recorded, sql_dialects


class Declared:
    """The columns and indexes of the scratch store, as the revisions declare them."""

    def __init__(self, scripts: Iterable[Any]) -> None:
        self.columns: dict[tuple[str, str], sa.Column[Any]] = {}
        self.indexes: dict[str, ops.CreateIndexOp] = {}
        [sqlite] = sql_dialects(dialects.SQLITE)
        for script in scripts:
            for done in recorded(script, MARKERS, sqlite):
                self._note(done.operation)

    def _note(self, o: Any) -> None:
        if isinstance(o, ops.CreateTableOp):
            found = (column for column in o.columns if isinstance(column, sa.Column))
            self.columns.update({(o.table_name, column.name): column for column in found})
        elif isinstance(o, ops.AddColumnOp):
            self.columns[o.table_name, o.column.name] = o.column
        elif isinstance(o, ops.DropColumnOp):
            self.columns.pop((o.table_name, o.column_name), None)
        elif isinstance(o, ops.AlterColumnOp):
            before = self.columns.get((o.table_name, o.column_name))
            if before is not None and o.modify_name is not None:
                del self.columns[o.table_name, o.column_name]
            if before is not None:
                self.columns[o.table_name, o.modify_name or o.column_name] = _altered(before, o)
        elif isinstance(o, ops.CreateIndexOp):
            self.indexes[str(o.index_name)] = o
        elif isinstance(o, ops.DropIndexOp):
            self.indexes.pop(str(o.index_name), None)

    # -- what Alembic asks --------------------------------------------------------------------

    def type_differs(self, _context: Any, there: Any, _column: Any, _type: Any, wanted: Any) -> bool | None:
        """Whether the type of a column is another one now; None where the revisions do not tell it."""
        known = self._of(there)
        return None if known is None else in_sql(known.type) != in_sql(wanted)

    def default_differs(self, _context: Any, there: Any, _column: Any, _found: Any, wanted: Any, _text: Any) -> Any:
        """Whether the default of a column is another one now; None where the revisions do not tell it."""
        known = self._of(there)
        return None if known is None else default_in_sql(known.server_default) != default_in_sql(wanted)

    # -- what goes into a revision ------------------------------------------------------------

    def completed(self, changes: Iterable[Any]) -> list[Any]:
        """Return the changes of a table, which say of what is there now all that the revisions said of it.

        Raises ConfigurationError for a change that not every database can make.
        """
        found = [self._completed(o) for o in changes]
        dropped = [o for o in found if isinstance(o, ops.DropColumnOp)]
        place = {key: n for n, key in enumerate(self.columns)}
        # Last to first, so that a downgrade adds them in their order.
        dropped.sort(key=lambda o: -place.get((o.table_name, o.column_name), 0))
        return [o for o in found if o not in dropped] + dropped

    def _completed(self, o: Any) -> Any:
        if isinstance(o, ops.DropIndexOp) and o.index_name in self.indexes:
            return ops.DropIndexOp.from_index(self.indexes[o.index_name].to_index())
        known = self.columns.get((o.table_name, getattr(o, "column_name", "")))
        if known is None:
            return o
        if isinstance(o, ops.DropColumnOp):
            return ops.DropColumnOp.from_column_and_tablename(o.schema, o.table_name, known)
        if isinstance(o, ops.AlterColumnOp):
            if o.modify_type is not None:
                refuse_conversion(known, o.modify_type)
            o.existing_type, o.existing_server_default = known.type, known.server_default
        return o

    def refuse_changed_generation(self, meta: sa.MetaData) -> None:
        """Raise ConfigurationError where a column is to be generated in another way: no database can change that."""
        for table in meta.tables.values():
            for column in table.columns:
                known = self.columns.get((table.name, column.name))
                if known is None or generation(known) == generation(column):
                    continue
                raise ConfigurationError(
                    f"{column.name} is to be generated in another way, which no database can "
                    "change. Give the column another name, or leave it out of extend=, make a revision, and put it "
                    "back for the next one."
                )

    def _of(self, column: Any) -> sa.Column[Any] | None:
        return self.columns.get((column.table.name, column.name))


def _altered(column: sa.Column[Any], o: ops.AlterColumnOp) -> sa.Column[Any]:
    default: Any = column.server_default if o.modify_server_default is False else o.modify_server_default
    return sa.Column(
        o.modify_name or column.name,
        o.modify_type or column.type,
        server_default=getattr(default, "arg", default),
        nullable=column.nullable if o.modify_nullable is None else o.modify_nullable,
    )
