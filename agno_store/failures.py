"""Where what the driver and the pool raise becomes ours, without a secret in it.

Only what goes wrong before there is a connection, and is no error of the driver's own kind, is met by the dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agno_store.errors import AccessDenied, DatabaseError, DatabaseUnreachable, OutcomeUnknown
from agno_store.urls import redacted, without_secrets

if TYPE_CHECKING:
    from agno_store.attempts import Attempts
    from agno_store.database import Database


@contextmanager
def translated(db: Database, attempts: Attempts | None = None) -> Iterator[None]:
    """Turn what the driver and the pool raise into DatabaseError; ``attempts`` tells how often it was tried."""
    where = f"{db.names} in {db.dialect.title} at {redacted(db.db_engine.url)}"
    try:
        yield
    except DBAPIError as error:
        _hide_conversations(error)
        said = without_secrets(str(error.orig).strip(), db.db_engine.url)
        raise _ours(db, error, where, said, attempts) from error
    except DatabaseUnreachable as error:
        if attempts is None or not attempts.unknown:
            raise
        raise OutcomeUnknown(f"{where}: {_UNKNOWN}: {error}") from error
    except UnicodeError as error:
        raise DatabaseError(
            f"{where}: the connection cannot carry this text: {type(error).__name__}. Use a database and a connection "
            "in UTF-8 (client_encoding, charset=utf8mb4)."
        ) from error
    except PoolTimeout as error:
        raise DatabaseError(
            f"{where}: every connection of the pool is in use ({db.db_engine.pool.status()}), and none came back in "
            "time. Nothing was sent. Use fewer threads, or give db_engine= with a larger pool_size."
        ) from error
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"{where}: {type(error).__name__}: {without_secrets(str(error), db.db_engine.url)}"
        ) from error


_UNKNOWN = (
    "the connection was lost after COMMIT had been sent, so it is unknown whether the last write is stored. Read what "
    "it was about, and repeat the call if it is not there"
)


def _ours(db: Database, error: DBAPIError, where: str, said: str, attempts: Attempts | None) -> DatabaseError:
    tried = f", after {attempts.count} attempts" if attempts and attempts.count > 1 else ""
    if attempts and attempts.unknown:
        return OutcomeUnknown(f"{where}: {_UNKNOWN}{tried}: {said}")
    if db.dialect.is_denied(error):
        lacking, cure = _lacking(db, error.statement)
        return AccessDenied(f"{where}: {lacking}: {said.splitlines()[0]}. {cure}")
    if db.dialect.is_busy(error):
        return DatabaseError(
            f"{where}: {_writer(db)} has been writing all the time that this call waited: {said}. Nothing was written. "
            "Call again when it is done."
        )
    if db.dialect.is_foreign(error):
        return DatabaseError(
            f"{where}: the database's encoding cannot hold this text: {said.splitlines()[0]}. Nothing was written. Use "
            "a database in UTF-8."
        )
    if db.dialect.is_full(error):
        return DatabaseError(
            f"{where}: there is no room left: {said}. Nothing was written. Make room on the disk, or raise the limit "
            "of the database's size."
        )
    if db.dialect.is_read_only(error):
        return DatabaseError(
            f"{where}: the server takes no writes, as a replica, or a primary that was replaced{tried}: {said}. "
            "Nothing was written. Connect to the primary, or let this role write."
        )
    had_none = isinstance(error, OperationalError) and error.statement is None and not error.connection_invalidated
    if had_none and not (attempts and attempts.committing):
        return DatabaseUnreachable(
            f"{where}: no connection could be had{tried}: {said}. Is the server running and the URL right?"
        )
    if db.dialect.is_lost(error):
        return DatabaseError(
            f"{where}: the connection was lost{tried}: {type(error.orig).__name__}: {said}. Nothing was written. Call "
            "again when the server is back."
        )
    return DatabaseError(f"{where}: the database refused{tried}: {type(error.orig).__name__}: {said}")


def _hide_conversations(error: BaseException | None) -> None:
    """Keep parameters out of every traceback, also where the engine is a caller's: they are somebody's conversation."""
    while error is not None:
        if isinstance(error, StatementError):
            error.hide_parameters = True
        error = error.__cause__ or error.__context__


def _writer(db: Database) -> str:
    """Say who is writing, as far as that can be found out."""
    try:
        with db.dialect.connected(db.db_engine) as connection:
            return db.dialect.writer(connection)
    except (SQLAlchemyError, DatabaseUnreachable):
        return "somebody else"


def _lacking(db: Database, statement: str | None) -> tuple[str, str]:
    """Say who lacks which right, and what to do; less precisely where the database cannot be asked."""
    url, rights = db.db_engine.url, db.dialect.rights
    try:
        with db.dialect.connected(db.db_engine) as connection:
            return rights.lacking(connection, url, db.names, statement)
    except (SQLAlchemyError, DatabaseUnreachable):
        return rights.lacking(None, url, db.names, statement)
