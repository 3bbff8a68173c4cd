"""Sessions, runs and summaries of AI agents, kept in SQLite, PostgreSQL or MySQL/MariaDB.

    from agno.agent import Agent
    from agno_store import SqliteDb

    agent = Agent(db=SqliteDb(db_file="tmp/agents.db"), add_history_to_context=True)

``SqliteDb``, ``PostgresDb`` and ``MySQLDb`` are agno's ``db=`` objects and just as usable without agno;
``AsyncSqliteDb``, ``AsyncPostgresDb`` and ``AsyncMySQLDb`` are the same for programs in an event loop.
"""

import typing

from agno_store.db import MySQLDb, PostgresDb, SqliteDb, open_db
from agno_store.errors import (
    AccessDenied,
    AgnoStoreError,
    ConfigurationError,
    CorruptRow,
    DatabaseError,
    DatabaseUnreachable,
    EncodingError,
    InvalidArgument,
    MediaUnavailable,
    MissingDriver,
    NotFound,
    OutcomeUnknown,
    OwnerMismatch,
    PayloadTooLarge,
    SchemaBehind,
    SchemaConflict,
    SchemaDrifted,
    SchemaError,
    SchemaMissing,
    SchemaTooNew,
    SealedRow,
    StaleSession,
    UpgradeLocked,
)
from agno_store.media import MediaStore
from agno_store.names import Names
from agno_store.paging import Listing
from agno_store.records import Receipt, Run, RunUpdate, Session, Summary
from agno_store.release import __version__
from agno_store.schema import SchemaStatus

if typing.TYPE_CHECKING:
    from agno_store.aio import AsyncMySQLDb, AsyncPostgresDb, AsyncSqliteDb, open_async_db
    from agno_store.beside import include_name
    from agno_store.counts import Rekeyed, Removed
    from agno_store.transfer.legacy import AgnoTables
else:
    # Who uses the synchronous classes alone need not wait for the others to be imported, nor for what few ask for.
    _OF_LOOPS = frozenset({"AsyncMySQLDb", "AsyncPostgresDb", "AsyncSqliteDb", "open_async_db"})
    _LATER = _OF_LOOPS | {"AgnoTables", "Rekeyed", "Removed", "include_name"}

    def __getattr__(name):
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name in _OF_LOOPS:
            from agno_store import aio as home
        elif name == "AgnoTables":
            from agno_store.transfer import legacy as home
        elif name == "include_name":
            from agno_store import beside as home
        else:
            from agno_store import counts as home
        return getattr(home, name)

    def __dir__():
        return sorted({*globals(), *_LATER})


__all__ = [
    "AccessDenied",
    "AgnoStoreError",
    "AgnoTables",
    "AsyncMySQLDb",
    "AsyncPostgresDb",
    "AsyncSqliteDb",
    "ConfigurationError",
    "CorruptRow",
    "DatabaseError",
    "DatabaseUnreachable",
    "EncodingError",
    "InvalidArgument",
    "Listing",
    "MediaStore",
    "MediaUnavailable",
    "MissingDriver",
    "MySQLDb",
    "Names",
    "NotFound",
    "OutcomeUnknown",
    "OwnerMismatch",
    "PayloadTooLarge",
    "PostgresDb",
    "Receipt",
    "Rekeyed",
    "Removed",
    "Run",
    "RunUpdate",
    "SchemaBehind",
    "SchemaConflict",
    "SchemaDrifted",
    "SchemaError",
    "SchemaMissing",
    "SchemaStatus",
    "SchemaTooNew",
    "SealedRow",
    "Session",
    "SqliteDb",
    "StaleSession",
    "Summary",
    "UpgradeLocked",
    "__version__",
    "include_name",
    "open_async_db",
    "open_db",
]
