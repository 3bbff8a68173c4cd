"""Names of stores on MySQL and MariaDB that differ in capitals alone."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agno_store.errors import SchemaConflict
from agno_store.names import Names

_CONSTRAINTS = sa.text(
    "SELECT constraint_name FROM information_schema.referential_constraints "
    "WHERE constraint_schema = COALESCE(:schema, DATABASE()) AND LOWER(constraint_name) = LOWER(:name)"
)


def refuse_lookalike(connection: Connection, names: Names) -> None:
    """Raise SchemaConflict where there is a store whose name differs from this one in capitals alone.

    InnoDB does not tell the names of their constraints apart, and a server that makes the names of tables small
    (lower_case_table_names) not even their tables: there, too, a constraint is called as its store has named it.
    """
    before, behind = "fk_", "_runs_session_id"
    wanted = f"{before}{names.sessions}{behind}"
    there = connection.execute(_CONSTRAINTS, {"schema": names.schema, "name": wanted}).scalars().all()
    if wanted in there:
        return
    for name in there:
        if name.lower() == wanted.lower():  # the server compares without accents, too
            raise SchemaConflict(
                f"MySQL and MariaDB do not tell the store {names.sessions!r} from "
                f"{name[len(before) : -len(behind)]!r}, which is another one. Nothing was changed. Give this store a "
                "table_name that differs in more than capitals.",
                store=str(names),
            )
