"""How long PostgreSQL lets a statement or a transaction take, which upgrades of large tables are not bound to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from agno_store.dialects.base import Scope

_SET = sa.text(
    "SELECT name, setting FROM pg_settings "
    "WHERE name IN ('statement_timeout', 'transaction_timeout') AND setting <> '0'"
)
"""Those that a role, a database or a caller has; in milliseconds. PostgreSQL has the second one from 17 on."""


@contextmanager
def lifted(connection: Connection, scope: Scope) -> Iterator[None]:
    """Let an upgrade's statements take as long as they do: one that is canceled would never come to its end."""
    found = {row.name: f"{row.setting}ms" for row in connection.execute(_SET)}
    _set(connection, dict.fromkeys(found, "0"), local=scope is not Scope.REVISION)
    try:
        yield
    finally:
        if scope is Scope.CALLER:
            # In vain where the transaction has failed: the rollback sets it back.
            with suppress(SQLAlchemyError):
                _set(connection, found, local=True)
        elif scope is Scope.REVISION:
            _set(connection, found, local=False)
            connection.commit()


def _set(connection: Connection, values: dict[str, str], *, local: bool) -> None:
    for name, value in values.items():
        said = {"name": name, "value": value, "local": local}
        connection.execute(sa.text("SELECT set_config(:name, :value, :local)"), said)
