"""Giving the room of deleted rows back, which each database does in its own way and none in a transaction."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agno_store.dialects.sqlite_driver import begun_by_hand
from agno_store.errors import AccessDenied, DatabaseError
from agno_store.names import Names

# VACUUM of a table that is somebody else's is passed over with a warning that nobody sees.
_NOT_MINE = """
SELECT c.relname FROM pg_class c CROSS JOIN pg_database d
WHERE d.datname = current_database() AND c.oid = to_regclass(:table)
AND NOT (pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE') OR {more})
"""


def sqlite(connection: Connection, names: Names) -> None:
    """Write the file anew, without its free pages, and empty the write-ahead log, which still has the old ones.

    Raises DatabaseError where others have been reading all the time that this waited for them.
    """
    with begun_by_hand(connection):
        connection.exec_driver_sql("VACUUM")
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    if busy:
        raise DatabaseError(
            f"{names}: the file was written anew, but somebody has been reading the write-ahead log all the time that "
            "this waited, so that it still holds what was deleted. Call again when nobody reads."
        )


def postgresql(connection: Connection, names: Names) -> None:
    """Let the room of deleted rows be used again, and count anew for the planner.

    Raises AccessDenied for tables that are somebody else's.
    """
    may = "has_table_privilege(c.oid, 'MAINTAIN')" if _major(connection) >= 17 else "false"
    for table in _tables(connection, names):
        if connection.scalar(sa.text(_NOT_MINE.format(more=may)), {"table": table.replace("%%", "%")}) is not None:
            connection.rollback()
            raise AccessDenied(
                f"{names}: a table of the store is another role's, and only the owner may VACUUM it. No room was given "
                "back. Call it with the role that upgrades the store, or leave it to autovacuum."
            )
    connection.rollback()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    connection.exec_driver_sql(f"VACUUM (ANALYZE) {', '.join(_tables(connection, names))}")


def mysql(connection: Connection, names: Names) -> None:
    """Build the tables anew.

    Raises DatabaseError with what the server says where it could not.
    """
    answers = connection.exec_driver_sql(f"OPTIMIZE TABLE {', '.join(_tables(connection, names))}").fetchall()
    wrong = [f"{table}: {text}" for table, _, kind, text in answers if str(kind).lower() == "error"]
    if wrong:
        raise DatabaseError(f"{names}: {'; '.join(wrong)}")


def _tables(connection: Connection, names: Names) -> list[str]:
    prepare = connection.dialect.identifier_preparer
    schema = f"{prepare.quote_schema(names.schema)}." if names.schema else ""
    return [f"{schema}{prepare.quote(table)}" for table in names.tables]


def _major(connection: Connection) -> int:
    version = connection.dialect.server_version_info or (0,)
    return int(version[0])
