"""Giving tables other names, all at once: where a transaction cannot do that, one statement does."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import Connection

from agno_store.dialects import of


def rename(connection: Connection, schema: str | None, new_names: Mapping[str, str]) -> None:
    """Rename tables of a schema; commits nothing, except on MySQL and MariaDB, where it is one statement."""
    quote = connection.dialect.identifier_preparer.quote
    home = "" if schema is None else f"{quote(schema)}."
    if of(connection.engine).ddl_rolls_back:
        for old, new in new_names.items():
            connection.exec_driver_sql(f"ALTER TABLE {home}{quote(old)} RENAME TO {quote(new)}")
    else:
        together = ", ".join(f"{home}{quote(old)} TO {home}{quote(new)}" for old, new in new_names.items())
        connection.exec_driver_sql(f"RENAME TABLE {together}")
