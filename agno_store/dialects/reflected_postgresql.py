"""Columns of PostgreSQL as they are, where SQLAlchemy's reading of them leaves something out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from agno_store.names import Names

_COLUMNS = sa.text(
    "SELECT table_name AS tbl, column_name AS col, COALESCE(collation_name, 'default') AS collation "
    "FROM information_schema.columns WHERE table_schema = COALESCE(:schema, current_schema()) "
    "AND table_name IN :tables AND data_type IN ('character varying', 'text')"
).bindparams(sa.bindparam("tables", expanding=True))


def correct_reflection(context: Any, names: Names) -> None:
    """Have Alembic see the collations of a store's columns, where it compares tables over this context.

    SQLAlchemy reads none that is the database's default (2.1.9), or none at all (2.0), and what is not named Alembic
    takes for as declared.
    """
    rows = context.connection.execute(_COLUMNS, {"schema": names.schema, "tables": names.tables})
    there = {(row.tbl, row.col): row.collation for row in rows}
    reflect = context.impl.autogen_column_reflect

    def correct(inspector: Any, table: Any, column: Any) -> None:
        reflect(inspector, table, column)
        if (table.name, column["name"]) in there:
            column["type"].collation = there[table.name, column["name"]]

    context.impl.autogen_column_reflect = correct
