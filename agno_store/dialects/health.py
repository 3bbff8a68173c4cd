"""What each kind of database is looked at for."""

from __future__ import annotations

from collections.abc import Mapping

from agno_store.dialects import MYSQL, POSTGRESQL, SQLITE
from agno_store.dialects.base import Dialect
from agno_store.dialects.findings import Health
from agno_store.dialects.health_mysql import MySQLHealth
from agno_store.dialects.health_postgresql import PostgreSQLHealth
from agno_store.dialects.health_sqlite import SQLiteHealth

_OF: Mapping[Dialect, Health] = {SQLITE: SQLiteHealth(), POSTGRESQL: PostgreSQLHealth(), MYSQL: MySQLHealth()}


def of(dialect: Dialect) -> Health:
    """Return what databases of a kind are looked at for."""
    return _OF[dialect]
