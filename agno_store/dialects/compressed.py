"""Columns that MariaDB keeps compressed, as whoever runs it may have declared them: no difference to us."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from agno_store.names import Names

_COLUMNS = sa.text(
    "SELECT table_name AS tbl, column_name AS col, is_nullable AS nullable, character_set_name AS charset, "
    "collation_name AS collation FROM information_schema.columns WHERE table_schema = COALESCE(:schema, DATABASE()) "
    "AND table_name IN :tables AND column_type LIKE '%COMPRESSED%'"
).bindparams(sa.bindparam("tables", expanding=True))


def correct_reflection(context: Any, names: Names) -> None:
    """Have Alembic see such columns of a store as they are, where it compares tables over this context.

    Of the line of one SQLAlchemy reads no further than to the attribute (2.1.9): neither whether it may be NULL, nor
    its character set and collation. Its default stays unread, for which MariaDB says an empty text where it has none.
    """
    rows = context.connection.execute(_COLUMNS, {"schema": names.schema, "tables": names.tables})
    there = {(row.tbl, row.col): row for row in rows}

    def correct(_inspector: Any, table: Any, column: Any) -> None:
        row = there.get((table.name, column["name"]))
        if row is not None:
            column["nullable"] = row.nullable == "YES"
            column["type"].charset, column["type"].collation = row.charset, row.collation

    context.impl.autogen_column_reflect = correct
