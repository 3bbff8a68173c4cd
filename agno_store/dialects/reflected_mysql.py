"""Columns of MySQL and MariaDB as they are, where SQLAlchemy's reading of them leaves something out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from agno_store.names import Names

_COLUMNS = sa.text(
    "SELECT table_name AS tbl, column_name AS col, is_nullable AS nullable, character_set_name AS charset, "
    "collation_name AS collation, column_type LIKE '%COMPRESSED%' AS compressed FROM information_schema.columns "
    "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name IN :tables AND collation_name IS NOT NULL"
).bindparams(sa.bindparam("tables", expanding=True))


def correct_reflection(context: Any, names: Names) -> None:
    """Have Alembic see such columns of a store as they are, where it compares tables over this context.

    A server that shows a table does not name a collation that is the table's own, and what is not named Alembic takes
    for as declared: ids would no longer be compared by bytes, and nobody would say so.

    Of the line of one that MariaDB keeps compressed, as whoever runs it may have declared, SQLAlchemy reads no further
    than to the attribute (2.1.9): nor whether it may be NULL. Its default stays unread, for which MariaDB says an empty
    text where it has none.
    """
    rows = context.connection.execute(_COLUMNS, {"schema": names.schema, "tables": names.tables})
    there = {(row.tbl, row.col): row for row in rows}

    def correct(_inspector: Any, table: Any, column: Any) -> None:
        row = there.get((table.name, column["name"]))
        if row is not None:
            column["type"].charset, column["type"].collation = row.charset, row.collation
            if row.compressed:
                column["nullable"] = row.nullable == "YES"

    context.impl.autogen_column_reflect = correct
