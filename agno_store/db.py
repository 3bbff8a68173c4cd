"""SqliteDb, PostgresDb, MySQLDb: the classes users touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, Engine

from agno_store import bridge
from agno_store.database import Database
from agno_store.dialects import Dialect, of, parse_url
from agno_store.errors import ConfigurationError
from agno_store.history import HISTORY_CACHE_MB
from agno_store.hooks import BeforeWrite, OnAppend, PayloadCodec
from agno_store.media import MediaStore
from agno_store.names import DEFAULT, Names
from agno_store.saving import MERGE
from agno_store.tables import Extend
from agno_store.watching import TracerProvider


def _names(table_name: str | None, session_table: str | None, db_schema: str | None) -> Names:
    given = [name for name in (table_name, session_table) if name is not None] or [DEFAULT]
    if given[0] != given[-1]:
        raise ConfigurationError("table_name= and session_table= name the same thing: give one of them.")
    return Names(given[0], db_schema)


_WHERE = frozenset({"self", "db_file", "db_url", "db_engine", "db_schema", "table_name", "session_table"})


def _of_any_store(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a constructor, of all that it was given: what says where the store is left out."""
    return {name: value for name, value in given.items() if name not in _WHERE}


def checked_url(cls: Any, url: str | URL | None, engine: Any, *, asynchronous: bool = False) -> URL | None:
    """Return the URL to connect to, or None for a caller's engine.

    Raises ConfigurationError for neither, both, a database of another kind, no engine, or one of the other colour.
    """
    if (url is None) == (engine is None):
        raise ConfigurationError(f"{cls.__name__} needs either db_url= or db_engine=, and not both.")
    if engine is not None and not hasattr(engine, "pool"):
        raise ConfigurationError(
            f"{cls.__name__} needs an engine as db_engine=, as create_{'async_' * asynchronous}engine() makes it; this "
            f"is of the type {type(engine).__name__}."
        )
    if engine is not None:
        found, parsed = of(engine), None
    else:
        assert url is not None
        parsed, found = parse_url(url, asynchronous=asynchronous)
    prefix, opens = ("Async", "open_async_db") if asynchronous else ("", "open_db")
    if found is not cls.dialect:
        right = prefix + next(other.__name__ for other in CLASSES if other.dialect is found)
        raise ConfigurationError(
            f"{cls.__name__} keeps its tables in {cls.dialect.title}, but this is {found.title}. Use {right}, or "
            f"{opens}(url), which chooses the class by the URL."
        )
    if engine is not None and hasattr(engine, "sync_engine") is not asynchronous:
        wanted = (
            "an AsyncEngine, as create_async_engine() makes it" if asynchronous else "an Engine, not an AsyncEngine"
        )
        raise ConfigurationError(f"{cls.__name__} needs {wanted}.")
    return parsed


def sqlite_url(cls: Any, file: str | Path | None, url: str | URL | None, engine: object) -> str | URL | None:
    """Return the URL that one of the three ways to say where a SQLite store is leads to; None for an engine.

    Raises ConfigurationError for a file and one of the others.
    """
    if file is not None and (url is not None or engine is not None):
        raise ConfigurationError(f"{cls.__name__} needs one of db_file=, db_url= and db_engine=, not several.")
    if url is None and engine is None:
        return URL.create("sqlite", database=str(file or "agno.db"))
    return url


@bridge.connect
class SqliteDb(Database):
    """A store in a SQLite file, or in memory with ``db_url="sqlite://"``.

    Without arguments the file is ``agno.db`` in the current folder. A file that is not there is made, its
    folder too. Memory is this object's own: it is gone when the object is closed.
    """

    _database = "sqlite"

    def __init__(
        self,
        db_file: str | Path | None = None,
        db_url: str | URL | None = None,
        db_engine: Engine | None = None,
        *,
        table_name: str | None = None,
        session_table: str | None = None,
        auto_upgrade_schema: bool = False,
        id: str | None = None,
        lock_timeout: float = 60.0,
        on_conflict: str = MERGE,
        tenant_id: str | None = None,
        unstorable: str | None = None,
        extend: Extend | None = None,
        versions: str | Path | None = None,
        history_runs: int | None = None,
        history_cache_mb: float = HISTORY_CACHE_MB,
        media_over: int | None = None,
        media_store: MediaStore | None = None,
        slow_operation_ms: float | None = None,
        tracing: bool | TracerProvider = False,
        before_write: BeforeWrite | None = None,
        on_append: OnAppend | None = None,
        codec: PayloadCodec | None = None,
    ) -> None:
        options = _of_any_store(locals())
        url = checked_url(type(self), sqlite_url(type(self), db_file, db_url, db_engine), db_engine)
        names = _names(table_name, session_table, None)
        self._open(None if url is None else absolute(url), db_engine, names, options)


class _ServerDb(Database):
    def __init__(
        self,
        db_url: str | URL | None = None,
        db_engine: Engine | None = None,
        db_schema: str | None = None,
        *,
        table_name: str | None = None,
        session_table: str | None = None,
        auto_upgrade_schema: bool = False,
        id: str | None = None,
        lock_timeout: float = 60.0,
        on_conflict: str = MERGE,
        tenant_id: str | None = None,
        unstorable: str | None = None,
        extend: Extend | None = None,
        versions: str | Path | None = None,
        history_runs: int | None = None,
        history_cache_mb: float = HISTORY_CACHE_MB,
        media_over: int | None = None,
        media_store: MediaStore | None = None,
        slow_operation_ms: float | None = None,
        tracing: bool | TracerProvider = False,
        before_write: BeforeWrite | None = None,
        on_append: OnAppend | None = None,
        codec: PayloadCodec | None = None,
        pooler: str | None = None,
        read_url: str | URL | None = None,
        read_your_writes: bool = True,
    ) -> None:
        options = _of_any_store(locals())
        names = _names(table_name, session_table, db_schema)
        self._open(checked_url(type(self), db_url, db_engine), db_engine, names, options)


@bridge.connect
class PostgresDb(_ServerDb):
    """A store in a PostgreSQL database, in the schema ``db_schema`` or the connection's own.

    ``pooler="transaction"`` is for PgBouncer, Supavisor and the like in transaction mode. ``read_url`` is the URL
    of a streaming standby: ``get_sessions`` and ``get_runs`` read there, and from the primary where it does not
    answer, or has not yet what this process wrote. ``read_your_writes=False`` does without the latter.
    """

    _database = "postgresql"


@bridge.connect
class MySQLDb(_ServerDb):
    """A store in a MySQL or MariaDB server, in the database ``db_schema`` or the connection's own."""

    _database = "mysql"


CLASSES: tuple[type[Database], ...] = (SqliteDb, PostgresDb, MySQLDb)


def open_db(url: str | URL, **options: Any) -> SqliteDb | PostgresDb | MySQLDb:
    """Return the store at ``url``; ``options`` are those of the class that the URL belongs to.

    Raises ConfigurationError for a URL of another kind of database, MissingDriver for one that is not installed.
    """
    parsed, dialect = parse_url(url)
    cls: Any = next(cls for cls in CLASSES if cls._database in dialect.names)
    db: SqliteDb | PostgresDb | MySQLDb = cls(db_url=parsed, **suited(options, dialect))
    return db


def suited(options: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Return the options without those that say nothing. Raises ConfigurationError for what a database lacks."""
    if dialect.has_schemas:
        return options
    for option, lacks in (
        ("db_schema", "schemas: leave db_schema= (--schema)"),
        ("pooler", "poolers: leave pooler="),
        ("read_url", "standbys: leave read_url="),
    ):
        if options.get(option) is not None:
            raise ConfigurationError(f"{dialect.title} has no {lacks} out.")
    of_servers = ("db_schema", "pooler", "read_url", "read_your_writes")
    return {name: value for name, value in options.items() if name not in of_servers}


def absolute(url: URL) -> URL:
    """Return a file's URL with its whole path, so that a later chdir changes nothing."""
    database = url.database or ":memory:"
    if database == ":memory:" or database.startswith("file:"):
        return url
    try:
        return url.set(database=str(Path(database).expanduser().absolute()))
    except RuntimeError as error:
        raise ConfigurationError(f"{database!r} is in the home folder of nobody: {error}") from error
