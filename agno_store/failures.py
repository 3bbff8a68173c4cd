"""Where what the driver and the pool raise becomes ours, without a secret in it.

Only what goes wrong before there is a connection, and is no error of the driver's own kind, is met by the dialect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agno_store.errors import AccessDenied, AgnoStoreError, DatabaseError, DatabaseUnreachable, OutcomeUnknown
from agno_store.misread import refused_options
from agno_store.urls import redacted, without_secrets

if TYPE_CHECKING:
    from agno_store.attempts import Attempts
    from agno_store.database import Database
    from agno_store.dialects import Dialect
    from agno_store.names import Names


MET: tuple[type[Exception], ...] = (SQLAlchemyError, DatabaseUnreachable, UnicodeError)
"""What the driver and the pool raise."""


class translated:
    """Turn what the driver and the pool raise into DatabaseError; ``attempts`` tells how often it was tried."""

    __slots__ = ("_attempts", "_db")

    def __init__(self, db: Database, attempts: Attempts | None = None) -> None:
        self._db = db
        self._attempts = attempts

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, MET):
            tell(self._db, error, self._attempts)


def tell(db: Database, error: Exception, attempts: Attempts | None) -> None:
    """Raise what one of ``MET`` means, if that is not the error itself."""
    meant = _translated(db, error, attempts)
    if meant is not error:
        raise meant from error


def unmade(names: Names, error: AccessDenied) -> AccessDenied:
    """Return what it means that the tables of a store could not be made."""
    return AccessDenied(f"{names} has no tables yet, and whoever is connected may not make them. {error}")


def _translated(db: Database, error: Exception, attempts: Attempts | None) -> Exception:
    where = _where(db)
    if isinstance(error, DBAPIError):
        _hide_conversations(error, db.dialect)
        said = without_secrets(str(error.orig).strip(), db.db_engine.url)
        return _ours(db, error, where, said, attempts)
    if isinstance(error, (DatabaseUnreachable, PoolTimeout)):
        if attempts and attempts.unknown:
            return OutcomeUnknown(f"{where}: {_UNKNOWN}: {error}")
        if isinstance(error, DatabaseUnreachable):
            return error
        return DatabaseError(
            f"{where}: every connection of the pool is in use ({db.db_engine.pool.status()}), and none came back in "
            "time. Nothing was sent. Use fewer threads, or give db_engine= with a larger pool_size."
        )
    if isinstance(error, UnicodeError):
        return DatabaseError(
            f"{where}: the connection cannot carry this text: {type(error).__name__}. Use a database and a "
            "connection in UTF-8 (client_encoding, charset=utf8mb4)."
        )
    return DatabaseError(f"{where}: {type(error).__name__}: {without_secrets(str(error), db.db_engine.url)}")


def _where(db: Database) -> str:
    return f"{db.names} in {db.dialect.title} at {redacted(db.db_engine.url)}"


_UNKNOWN = (
    "the connection was lost after COMMIT had been sent, so it is unknown whether the last write is stored. Read what "
    "it was about, and repeat the call if it is not there"
)


def _ours(db: Database, error: DBAPIError, where: str, said: str, attempts: Attempts | None) -> AgnoStoreError:
    tried = f", after {attempts.count} attempts" if attempts and attempts.count > 1 else ""
    if attempts and attempts.unknown:
        return OutcomeUnknown(f"{where}: {_UNKNOWN}{tried}: {said}")
    if db.dialect.is_denied(error):
        lacking, cure = _lacking(db, error.statement)
        return AccessDenied(f"{where}: {lacking}: {said.splitlines()[0]}. {cure}")
    if db.dialect.is_no_text(error):
        cure = db.dialect.cure(error)
        return DatabaseError(f"{where}: what is stored in a row cannot be read{tried}: {said}. {cure}")
    had_none = error.statement is None and not error.connection_invalidated and not (attempts and attempts.committing)
    if had_none and isinstance(error, ProgrammingError) and error.orig is not None:
        return refused_options(db.db_engine.url, error.orig)
    if had_none and isinstance(error, OperationalError) and not db.dialect.is_busy(error):
        return DatabaseUnreachable(
            f"{where}: no connection could be had{tried}: {said.rstrip('.?')}. {db.dialect.without_connection}"
        )
    what, cure = _meaning(db, error)
    # An upgrade may have got a part of its way.
    nothing = "Nothing was written. " if cure and attempts and attempts.is_whole else ""
    return DatabaseError(
        f"{where}: {what}{tried}: {type(error.orig).__name__}: {said}" + f". {nothing}{cure}" * bool(cure)
    )


def _meaning(db: Database, error: DBAPIError) -> tuple[str, str]:
    """Say what an error means, and what to do; nothing where only the database's own words do."""
    if db.dialect.is_busy(error):
        return f"{_writer(db)} has been writing all the time that this call waited", "Call again when it is done."
    if db.dialect.is_foreign(error):
        return "the database's encoding cannot hold this text", "Use a database in UTF-8."
    if db.dialect.is_full(error):
        return "there is no room left", "Make room on the disk, or raise the limit of the database's size."
    if db.dialect.is_read_only(error):
        return (
            "the server takes no writes, as a replica, or a primary that was replaced",
            "Connect to the primary, or let this role write.",
        )
    if db.dialect.is_lost(error):
        return "the connection was lost", "Call again when the server is back."
    return "the database refused", db.dialect.cure(error)


def _hide_conversations(error: BaseException | None, dialect: Dialect) -> None:
    """Keep parameters and what is stored out of every traceback, also where the engine is a caller's."""
    while error is not None:
        if isinstance(error, StatementError):
            error.hide_parameters = True
        error.args = tuple(dialect.unquoted(arg) if isinstance(arg, str) else arg for arg in error.args)
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
