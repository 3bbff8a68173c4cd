"""SqliteDb, PostgresDb, MySQLDb: the classes users touch.

They hold an engine, look once whether the tables are the ones this release works with, and run each
operation as one transaction. Building one sends no SQL.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from agno_store import bridge, engines, failures, schema, urls
from agno_store.dialects import MYSQL, POSTGRESQL, SQLITE, Dialect, of, parse_url
from agno_store.errors import ConfigurationError, InvalidArgument
from agno_store.names import DEFAULT, Names
from agno_store.operations import Operations
from agno_store.store import Store

T = TypeVar("T")
D = TypeVar("D", bound="_Db")
log = logging.getLogger("agno_store")

ATTEMPTS = 5
"""How often a transaction is run before a deadlock, or a race for the same key, is given up."""


class _Db(Operations):
    """What the classes have in common."""

    dialect: ClassVar[Dialect]

    def _open(
        self,
        url: URL | None,
        engine: Engine | None,
        names: Names,
        *,
        id: str | None,
        auto_upgrade_schema: bool,
        lock_timeout: float,
        pooler: str | None = None,
    ) -> None:
        if pooler not in (None, "transaction") or (pooler and not self.dialect.has_poolers):
            raise ConfigurationError(f"pooler={pooler!r}: it must be 'transaction', for PostgreSQL, or be left out.")
        if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, (int, float)) or not lock_timeout >= 0:
            raise ConfigurationError(f"lock_timeout={lock_timeout!r}: it must be seconds, from 0 on.")
        self._options = {"table_name": names.sessions, "auto_upgrade_schema": auto_upgrade_schema}
        self._options |= {"id": id, "lock_timeout": lock_timeout}
        if pooler is not None:
            self._options["pooler"] = pooler
        if names.schema is not None:
            self._options["db_schema"] = names.schema
        self._pooled = pooler is not None
        self._owns_engine = engine is None
        self._engine = engine if engine is not None else self._own_engine(url)
        self._store = Store(names)
        self._first_use = threading.RLock()
        self._here = threading.local()
        self._ready = False
        self.names = names
        self.auto_upgrade_schema = auto_upgrade_schema
        self.lock_timeout = lock_timeout
        self.id = id or self._stable_id()

    def _own_engine(self, url: URL | None) -> Engine:
        assert url is not None
        return engines.acquire(url, self.dialect, pooled=self._pooled)

    def _stable_id(self) -> str:
        url = self._engine.url
        if not self.dialect.shares(url):
            return str(uuid.uuid4())
        seed = f"{url.set(password=None).render_as_string()}#{self.names}"
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, seed))

    # -- what agno and people look at ---------------------------------------------------------

    @property
    def db_engine(self) -> Engine:
        """The SQLAlchemy engine."""
        return self._engine

    @property
    def db_url(self) -> str:
        """The URL, without its secrets."""
        return urls.redacted(self._engine.url)

    @property
    def db_schema(self) -> str | None:
        return self.names.schema

    @property
    def table_name(self) -> str:
        return self.names.sessions

    @property
    def session_table_name(self) -> str:
        return self.names.sessions

    @property
    def runs_table_name(self) -> str:
        return self.names.runs

    def to_dict(self) -> dict[str, Any]:
        """Describe this store without its URL. agno reads it back through a registry that knows ``id``."""
        kind = type(self).__name__.removesuffix("Db").lower()
        return {
            "id": self.id,
            "type": f"agno_store.{kind}",
            "table_name": self.names.sessions,
            "db_schema": self.names.schema,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.db_url!r}, table_name={str(self.names)!r})"

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections, unless another store shares them or the engine is the caller's."""
        if self._owns_engine:
            engines.release(self._engine)
            self._owns_engine = False

    def __enter__(self: D) -> D:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __copy__(self: D) -> D:
        return self

    def __deepcopy__(self: D, _memo: object) -> D:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        url = self._engine.url
        if not self._owns_engine or not self.dialect.shares(url):
            raise TypeError("A store in memory, one with an engine of the caller's and a closed one cannot be pickled.")
        return _rebuilt, (type(self), url.render_as_string(hide_password=False), self._options)

    # -- schema -------------------------------------------------------------------------------

    def schema_status(self) -> schema.SchemaStatus:
        """Return where the tables stand: in step, missing, behind or ahead. Writes nothing."""
        self._refuse_to_wait_for_itself()
        with failures.translated(self):
            return schema.status(self._engine, self.dialect, self.names, self._store.sql)

    def upgrade_schema(self, revision: str = "head") -> list[str]:
        """Run the pending revisions up to ``revision`` and return them; an empty list if there were none.

        Takes the store's upgrade lock, so any number of processes may call it at once. Killed at any
        moment, it is finished by the next call. Raises UpgradeLocked after ``lock_timeout`` seconds.
        """
        from agno_store.migrations import Migrator

        self._refuse_to_wait_for_itself()
        with failures.translated(self), self._first_use:
            done = Migrator.of(self).upgrade(revision)
        if done:
            log.info("%s: upgraded through %s", self.names, ", ".join(done))
        return done

    def table_exists(self, table_name: str) -> bool:
        """Whether a table of that name is in this store's schema. Writes nothing."""
        self._refuse_to_wait_for_itself()
        if not self.dialect.is_there(self._engine.url):
            return False
        with failures.translated(self), self.dialect.connected(self._engine) as connection:
            return sa.inspect(connection).has_table(table_name, schema=self.names.schema)

    def _create_all_tables(self) -> None:
        # agno's AgentOS calls this when it starts.
        self._ensure()

    def _ensure(self) -> None:
        """Look at the version once; build what is missing, upgrade what is behind if that was asked for."""
        if self._ready:
            return
        with self._first_use:
            status = self.schema_status()
            if status.state == schema.BEHIND and not self.auto_upgrade_schema:
                status = self._settled(status)
            if status.state == schema.MISSING or (status.state == schema.BEHIND and self.auto_upgrade_schema):
                self.upgrade_schema()
            else:
                status.raise_unless_in_step()
            self._ready = True

    def _settled(self, status: schema.SchemaStatus) -> schema.SchemaStatus:
        """Look again when nobody is upgrading: between two revisions a store is behind for a moment."""
        if self.dialect.one_transaction:
            return status
        with failures.translated(self), self.dialect.connected(self._engine) as connection:
            timeout, pooled = self.lock_timeout, self._pooled
            with self.dialect.upgrading(connection, self.names, timeout=timeout, pooled=pooled):
                pass
        return self.schema_status()

    # -- transactions -------------------------------------------------------------------------

    def _read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self._run(False, work, *args, **kwargs)

    def _write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self._run(True, work, *args, **kwargs)

    def _run(self, writes: bool, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self._refuse_to_wait_for_itself()
        self._ensure()
        with failures.translated(self):
            for attempt in range(1, ATTEMPTS):
                try:
                    return self._once(writes, work, *args, **kwargs)
                except DBAPIError as error:
                    # A race for the same key ends in an IntegrityError; the next attempt sees the row.
                    if not isinstance(error, IntegrityError) and not self.dialect.is_transient(error):
                        self._ready = False  # the tables may have been downgraded or dropped: look before the next
                        raise
                    log.info("%s: attempt %d met %s; trying again", self.names, attempt, type(error.orig).__name__)
                time.sleep(random.random() * 0.02 * 2**attempt)
            return self._once(writes, work, *args, **kwargs)

    def _refuse_to_wait_for_itself(self) -> None:
        if getattr(self._here, "busy", False):
            raise InvalidArgument(
                "The function given to update_session_state() called the store, and would wait for itself. Nothing "
                "was written. Call the store before or after it."
            )

    def _once(self, writes: bool, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.dialect.transaction(self._engine, writes=writes) as connection:
            self._here.busy = True
            try:
                return work(connection, *args, **kwargs)
            finally:
                self._here.busy = False


def _rebuilt(cls: type[D], url: str, options: dict[str, Any]) -> D:
    return cls(db_url=url, **options)  # type: ignore[call-arg]


def _names(table_name: str | None, session_table: str | None, db_schema: str | None) -> Names:
    if table_name and session_table and table_name != session_table:
        raise ConfigurationError("table_name= and session_table= name the same thing: give one of them.")
    return Names(table_name or session_table or DEFAULT, db_schema)


def _checked_url(cls: type[_Db], url: str | URL | None, engine: Engine | None) -> URL | None:
    """Return the URL to connect to, or None for a caller's engine.

    Raises ConfigurationError for neither, both, or a database of another kind.
    """
    if (url is None) == (engine is None):
        raise ConfigurationError(f"{cls.__name__} needs either db_url= or db_engine=, and not both.")
    if engine is not None:
        found, parsed = of(engine), None
    else:
        assert url is not None
        parsed, found = parse_url(url)
    if found is not cls.dialect:
        right = next(other.__name__ for other in CLASSES if other.dialect is found)
        raise ConfigurationError(
            f"{cls.__name__} keeps its tables in {cls.dialect.title}, but this is {found.title}. Use {right}, or "
            "open_db(url), which chooses the class by the URL."
        )
    return parsed


@bridge.connect
class SqliteDb(_Db):
    """A store in a SQLite file, or in memory with ``db_url="sqlite://"``.

    Without arguments the file is ``agno.db`` in the current folder. A file that is not there is made, its
    folder too. Memory is this object's own: it is gone when the object is closed.
    """

    dialect = SQLITE

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
    ) -> None:
        if db_file is not None and (db_url is not None or db_engine is not None):
            raise ConfigurationError("SqliteDb needs one of db_file=, db_url= and db_engine=, not several.")
        if db_url is None and db_engine is None:
            db_url = URL.create("sqlite", database=str(db_file or "agno.db"))
        url = _checked_url(type(self), db_url, db_engine)
        self._open(
            None if url is None else _absolute(url),
            db_engine,
            _names(table_name, session_table, None),
            id=id,
            auto_upgrade_schema=auto_upgrade_schema,
            lock_timeout=lock_timeout,
        )


class _ServerDb(_Db):
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
        pooler: str | None = None,
    ) -> None:
        self._open(
            _checked_url(type(self), db_url, db_engine),
            db_engine,
            _names(table_name, session_table, db_schema),
            id=id,
            auto_upgrade_schema=auto_upgrade_schema,
            lock_timeout=lock_timeout,
            pooler=pooler,
        )


@bridge.connect
class PostgresDb(_ServerDb):
    """A store in a PostgreSQL database, in the schema ``db_schema`` or the connection's own.

    ``pooler="transaction"`` is for PgBouncer, Supavisor and the like in transaction mode.
    """

    dialect = POSTGRESQL


@bridge.connect
class MySQLDb(_ServerDb):
    """A store in a MySQL or MariaDB server, in the database ``db_schema`` or the connection's own."""

    dialect = MYSQL


CLASSES: tuple[type[_Db], ...] = (SqliteDb, PostgresDb, MySQLDb)


def open_db(url: str | URL, **options: Any) -> SqliteDb | PostgresDb | MySQLDb:
    """Return the store at ``url``; ``options`` are those of the class that the URL belongs to.

    Raises ConfigurationError for a URL of another kind of database, MissingDriver for one that is not installed.
    """
    parsed, dialect = parse_url(url)
    cls: Any = next(cls for cls in CLASSES if cls.dialect is dialect)
    if cls is SqliteDb and options.pop("db_schema", None) is not None:
        raise ConfigurationError("SQLite has no schemas: leave db_schema= (--schema) out.")
    db: SqliteDb | PostgresDb | MySQLDb = cls(db_url=parsed, **options)
    return db


def _absolute(url: URL) -> URL:
    """Return a file's URL with its whole path, so that a later chdir changes nothing."""
    database = url.database or ":memory:"
    if database == ":memory:" or database.startswith("file:"):
        return url
    try:
        return url.set(database=str(Path(database).expanduser().absolute()))
    except RuntimeError as error:
        raise ConfigurationError(f"{database!r} is in the home folder of nobody: {error}") from error
