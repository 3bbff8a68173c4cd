"""Columns of MySQL and MariaDB as they are, where SQLAlchemy's reading of them leaves something out."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from agno_store.names import Names

_COLUMNS = sa.text(
    "SELECT table_name AS tbl, column_name AS col, is_nullable AS nullable, character_set_name AS charset, "
    "collation_name AS collation, column_type LIKE '%COMPRESSED%' AS compressed FROM information_schema.columns "
    "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name IN :tables AND collation_name IS NOT NULL"
).bindparams(sa.bindparam("tables", expanding=True))

_ESCAPES = str.maketrans({"'": "''", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")


def correct_reflection(context: Any, names: Names) -> None:
    """Have Alembic see such columns of a store as they are, where it compares tables over this context.

    A server that shows a table does not name a collation that is the table's own, and what is not named Alembic takes
    for as declared: ids would no longer be compared by bytes, and nobody would say so.

    Of the line of one that MariaDB keeps compressed, as whoever runs it may have declared, SQLAlchemy reads no further
    than to the attribute (2.1.9): nor whether it may be NULL. Its default stays unread, for which MariaDB says an empty
    text where it has none.

    A default is shown with escapes that nobody has declared, so one that is there as declared is given as that.
    """
    rows = context.connection.execute(_COLUMNS, {"schema": names.schema, "tables": names.tables})
    there = {(row.tbl, row.col): row for row in rows}
    tables = context.opts["target_metadata"].tables.values()
    defaults = {(t.name, c.name): getattr(c.server_default, "arg", None) for t in tables for c in t.columns}

    def correct(_inspector: Any, table: Any, column: Any) -> None:
        row = there.get((table.name, column["name"]))
        if row is not None:
            column["type"].charset, column["type"].collation = row.charset, row.collation
            if row.compressed:
                column["nullable"] = row.nullable == "YES"
            declared = defaults.get((table.name, column["name"]))
            if isinstance(declared, str) and column["default"] == _shown(declared, context.dialect):
                column["default"] = "'" + declared.replace("'", "''") + "'"

    context.impl.autogen_column_reflect = correct


def _shown(default: str, sql_dialect: Any) -> str:
    """Return a text as it is shown where it is a default."""
    literal = f"'{default.translate(_ESCAPES)}'"
    # MariaDB keeps the character itself, and tells it nowhere.
    return _FOUR_BYTES.sub("?", literal) if sql_dialect.is_mariadb else literal
