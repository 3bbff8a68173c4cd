"""Where what the driver and the pool raise becomes ours, without a secret in it.

Only what goes wrong before there is a connection, and is no error of the driver's own kind, is met by the dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agno_store.errors import DatabaseError, DatabaseUnreachable
from agno_store.urls import redacted, without_secrets

if TYPE_CHECKING:
    from agno_store.db import _Db


@contextmanager
def translated(db: _Db) -> Iterator[None]:
    """Turn what the driver and the pool raise into DatabaseError."""
    where = f"{db.names} in {db.dialect.title} at {redacted(db.db_engine.url)}"
    try:
        yield
    except DBAPIError as error:
        error.hide_parameters = True  # also where the engine is a caller's: they are somebody's conversation
        said = without_secrets(str(error.orig).strip(), db.db_engine.url)
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
