"""Where what the driver and the pool raise becomes ours, without a secret in it.

Only what goes wrong before there is a connection, and is no error of the driver's own kind, is met by the dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agno_store.errors import AccessDenied, DatabaseError, DatabaseUnreachable
from agno_store.urls import redacted, without_secrets

if TYPE_CHECKING:
    from agno_store.database import Database


@contextmanager
def translated(db: Database) -> Iterator[None]:
    """Turn what the driver and the pool raise into DatabaseError."""
    where = f"{db.names} in {db.dialect.title} at {redacted(db.db_engine.url)}"
    try:
        yield
    except DBAPIError as error:
        error.hide_parameters = True  # also where the engine is a caller's: they are somebody's conversation
        said = without_secrets(str(error.orig).strip(), db.db_engine.url)
        if db.dialect.is_denied(error):
            lacking, cure = _lacking(db, error.statement)
            raise AccessDenied(f"{where}: {lacking}: {said.splitlines()[0]}. {cure}") from error
        if isinstance(error, OperationalError) and error.statement is None and not error.connection_invalidated:
            raise DatabaseUnreachable(
                f"{where}: no connection could be had: {said}. Is the server running and the URL right?"
            ) from error
        raise DatabaseError(f"{where}: the database refused: {type(error.orig).__name__}: {said}") from error
    except UnicodeError as error:
        raise DatabaseError(
            f"{where}: the connection cannot carry this text: {type(error).__name__}. Use a database and a connection "
            "in UTF-8 (client_encoding, charset=utf8mb4)."
        ) from error
    except PoolTimeout as error:
        raise DatabaseError(
            f"{where}: every connection of the pool is in use, and none came back in time. Use fewer threads, or "
            "give db_engine= with a larger pool_size."
        ) from error
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"{where}: {type(error).__name__}: {without_secrets(str(error), db.db_engine.url)}"
        ) from error


def _lacking(db: Database, statement: str | None) -> tuple[str, str]:
    """Say who lacks which right, and what to do; less precisely where the database cannot be asked."""
    url, rights = db.db_engine.url, db.dialect.rights
    try:
        with db.dialect.connected(db.db_engine) as connection:
            return rights.lacking(connection, url, db.names, statement)
    except (SQLAlchemyError, DatabaseUnreachable):
        return rights.lacking(None, url, db.names, statement)
