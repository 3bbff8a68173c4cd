"""Columns that MariaDB keeps compressed, as whoever runs it may have declared them: no difference to us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from agno_store.names import Names

_NEEDED = sa.text(
    "SELECT table_name AS tbl, column_name AS col FROM information_schema.columns "
    "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name IN :tables AND is_nullable = 'NO' "
    "AND column_type LIKE '%COMPRESSED%'"
).bindparams(sa.bindparam("tables", expanding=True))


@contextmanager
def reflected(connection: Connection, names: Names) -> Iterator[None]:
    """Have SQLAlchemy reflect such columns of a store as they are.

    Of the line of one it reads no further than to the attribute, and takes each for one that may be NULL (2.1.9).
    """
    rows = connection.execute(_NEEDED, {"schema": names.schema, "tables": names.tables})
    needed = {(row.tbl, row.col) for row in rows}

    def correct(inspector: Any, table: Any, column: Any) -> None:
        if inspector.bind is connection and (table.name, column["name"]) in needed:
            column["nullable"] = False

    if not needed:
        yield
        return
    event.listen(sa.Table, "column_reflect", correct)
    try:
        yield
    finally:
        event.remove(sa.Table, "column_reflect", correct)
