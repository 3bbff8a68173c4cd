"""Rights in MySQL and MariaDB, which belong to an account, and to a whole database where nothing else is said."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.lookalike_mysql import refuse_lookalike
from agno_store.dialects.rights import Need, Rights, cure, needed, owners_command
from agno_store.names import Names

DENIED = frozenset(
    {
        1044,  # the database
        1142,  # the table
        1143,  # the column
        1227,  # something that needs a global right
        1370,  # the routine
    }
)
"""https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"""

UPGRADING = ("CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "SELECT", "INSERT", "UPDATE", "DELETE")
WRITING = ("SELECT", "INSERT", "UPDATE", "DELETE")
READING = ("SELECT",)

_SELF = sa.text("SELECT CURRENT_USER() AS role, DATABASE() AS db")


class MySQLRights(Rights):
    def denies(self, error: DBAPIError) -> bool:
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        return code in DENIED

    def lacking(self, connection: Connection | None, url: URL, names: Names, statement: str | None) -> tuple[str, str]:
        right, need = needed(statement)
        role, database = f"{url.username}@%", names.schema or url.database or ""
        if connection is not None:
            me = connection.execute(_SELF).one()
            role, database = me.role, names.schema or me.db or database
        what = f"the account {role} lacks the right to {right}"
        if need is Need.CONNECT:  # the server answers so as well where there is none, lest a stranger learn it
            what += f", or there is no database {database}"
        return what, cure(need, grant(need, database, role), owners_command(url, names))

    def refuse_elsewhere(self, connection: Connection, names: Names) -> None:
        refuse_lookalike(connection, names)


def grant(need: Need, database: str, role: str) -> str:
    """Return the statement that gives an account what is needed, for somebody who may give it."""
    rights = {Need.READ: READING, Need.CONNECT: WRITING, Need.WRITE: WRITING}.get(need, UPGRADING)
    return f"GRANT {', '.join(rights)} ON {pattern(database)}.* TO {account(role)};"


def pattern(database: str) -> str:
    """Quote a database for GRANT, where _ and % stand for other letters."""
    escaped = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return f"`{escaped.replace('`', '``')}`"


def account(role: str) -> str:
    """Quote what CURRENT_USER() says."""
    return "@".join(f"`{part.replace('`', '``')}`" for part in role.rsplit("@", 1))
