"""AsyncSqliteDb, AsyncPostgresDb, AsyncMySQLDb: the same stores for programs that run in an event loop.

Nothing is implemented twice. A call runs the synchronous method in a greenlet: wherever that waits for the
database, the event loop goes on with other tasks. Each event loop has an engine of its own.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypedDict, TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.util import greenlet_spawn

from agno_store import bridge, loops
from agno_store.appends import Awaiting
from agno_store.database import Database
from agno_store.db import MySQLDb, PostgresDb, SqliteDb, absolute, checked_url, sqlite_url, suited
from agno_store.dialects import OfClass, parse_url, synchronous_twin
from agno_store.dialects.waiting import unhurried
from agno_store.hooks import BeforeWrite, OnAppend, PayloadCodec
from agno_store.media import Awaited, MediaStore
from agno_store.shown import Shown
from agno_store.tables import Extend
from agno_store.watching import TracerProvider

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from typing_extensions import Unpack

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D", bound="AsyncDatabase")


class Options(TypedDict, total=False):
    """The options of every store; the synchronous classes say what they mean."""

    table_name: str | None
    session_table: str | None
    auto_upgrade_schema: bool
    id: str | None
    lock_timeout: float
    on_conflict: str
    tenant_id: str | None
    unstorable: str | None
    extend: Extend | None
    versions: str | Path | None
    history_runs: int | None
    history_cache_mb: float
    media_over: int | None
    media_store: MediaStore | None
    slow_operation_ms: float | None
    tracing: bool | TracerProvider
    before_write: BeforeWrite | None
    on_append: OnAppend | None
    codec: PayloadCodec | None


class ServerOptions(Options, total=False):
    """Those of a store in a server."""

    pooler: str | None
    read_url: str | URL | None
    read_your_writes: bool


def _awaited(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the coroutine function of a synchronous method, with its parameters and its documentation."""

    @functools.wraps(method)
    async def call(self: AsyncDatabase, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # By its name: it may be watched.
        return await self._run(functools.partial(getattr(self._here().core, method.__name__), *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[Any, P], Iterator[Any]],
) -> Callable[Concatenate[Any, P], AsyncIterator[Any]]:
    """Return the asynchronous generator function of a synchronous method that gives one after the other."""

    @functools.wraps(method)
    async def iterate(self: AsyncDatabase, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
        stream: Any = getattr(self._here().core, method.__name__)(*args, **kwargs)
        while (page := await self._run(functools.partial(next, stream.pages, None))) is not None:
            for each in page:
                yield each

    return iterate


class AsyncDatabase(Shown):
    """A store in one database, for programs that run in an event loop.

    It may be used from any number of event loops, in one thread after the other or in several at once. A task
    that is cancelled in a call takes back what the call has written, unless it was committed already.
    """

    _database: ClassVar[str]
    dialect = OfClass()
    _synchronous: ClassVar[type[Database]]
    _read_url: URL | None = None

    def _open(self, url: URL | None, engine: AsyncEngine | None, options: dict[str, Any]) -> None:
        if options.get("read_url") is not None:
            self._read_url, standby = parse_url(options["read_url"], asynchronous=True)
            options["read_url"] = synchronous_twin(self._read_url, standby)
        if callable(options.get("on_append")):
            options["on_append"] = Awaiting(options["on_append"])
        if options.get("media_store") is not None:
            options["media_store"] = Awaited(options["media_store"])
        self._url = engine.url if engine is not None else url
        self._engine = engine
        if engine is not None:
            self._model = self._synchronous(db_engine=engine.sync_engine, **options)  # type: ignore[call-arg]
        else:
            assert url is not None
            # Never connects: it knows the names, checks the options, and has the same id.
            self._model = self._synchronous(db_url=synchronous_twin(url, self.dialect), **options)  # type: ignore[call-arg]
            if not self.dialect.shares(url):
                # In memory: this object's own, in whichever loop it is used.
                own = loops.Own(url, self.dialect, pooled=False)
                self._engine = own.engine
                self._given_up = weakref.finalize(self, own.abandon)
        # With an engine that is the same in every loop, what is over it is, too.
        self._only = None if self._engine is None or self._read_url else self._over(self._engine, None)
        self.id, self.names, self.tenant_id = self._model.id, self._model.names, self._model.tenant_id
        self.auto_upgrade_schema, self.lock_timeout = self._model.auto_upgrade_schema, self._model.lock_timeout
        self.history_runs, self.media_over = self._model.history_runs, self._model.media_over
        self.extend, self.versions, self.on_conflict = self._model.extend, self._model.versions, self._model.on_conflict
        self.unstorable = self._model.unstorable

    def _over(self, engine: AsyncEngine, standby: AsyncEngine | None) -> loops.Part:
        options = {**self._model._options, "id": self._model.id}
        reads_own_writes: Any = options.pop("read_your_writes", True)
        options.pop("read_url", None)
        core = self._synchronous(db_engine=engine.sync_engine, **options)  # type: ignore[call-arg]
        core._recycles, core._history = self._model._recycles, self._model._history
        if standby is not None:
            core._standby = core._standby_over(standby.sync_engine, core.names, reads_own_writes)
        return loops.Part(engine, core, standby)

    async def _run(self, work: Callable[[], R]) -> R:
        # In a context of its own: tasks may have been given one to share, and with it they would share a tenant.
        own = functools.partial(copy_context().run, work)
        return await (greenlet_spawn(own) if self.dialect.interruptible else unhurried(own))

    def _here(self) -> loops.Part:
        """Return the engine of the running event loop, and the synchronous store over it."""
        if self._only is not None:
            return self._only
        here = loops.here()
        part = here.parts.get(self)
        if part is None:
            assert self._url is not None
            made, pooled = functools.partial(here.engine, dialect=self.dialect), self._model._pooled
            engine = self._engine or made(self._url, pooled=pooled)
            standby = made(self._read_url, pooled=pooled, standby=True) if self._read_url else None
            part = here.parts[self] = self._over(engine, standby)
        return part

    # -- what agno and people look at ---------------------------------------------------------

    @property
    def _place(self) -> URL:
        assert self._url is not None
        return self._url

    @property
    def db_engine(self) -> AsyncEngine:
        """The SQLAlchemy engine; of an engine of our own, that of the running event loop."""
        return self._here().engine

    @property
    def read_engine(self) -> AsyncEngine | None:
        """That of the standby that listings are read from, where ``read_url`` named one."""
        return self._here().standby

    # -- life ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connections, unless another store shares them or the engine is the caller's."""
        self._model.close()
        await loops.release(self)
        if self._engine is not None and self._model._recycles:
            await self._engine.dispose()

    async def __aenter__(self: D) -> D:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        _, (_, _, options) = self._model.__reduce__()
        assert self._url is not None
        return _rebuilt, (type(self), self._url.render_as_string(hide_password=False), options)

    # -- schema -------------------------------------------------------------------------------

    schema_status = _awaited(Database.schema_status)
    ping = _awaited(Database.ping)
    table_exists = _awaited(Database.table_exists)
    _create_all_tables = _awaited(Database._create_all_tables)

    async def upgrade_schema(self, revision: str = "head", *, connection: AsyncConnection | None = None) -> list[str]:
        own = None if connection is None else connection.sync_connection
        return await self._run(lambda: self._here().core.upgrade_schema(revision, connection=own))

    upgrade_schema.__doc__ = Database.upgrade_schema.__doc__

    # -- sessions -----------------------------------------------------------------------------

    get_session = _awaited(Database.get_session)
    get_sessions = _awaited(Database.get_sessions)
    iter_sessions = _iterated(Database.iter_sessions)
    upsert_session = _awaited(Database.upsert_session)
    upsert_sessions = _awaited(Database.upsert_sessions)
    insert_session_if_absent = _awaited(Database.insert_session_if_absent)
    rename_session = _awaited(Database.rename_session)
    update_session_state = _awaited(Database.update_session_state)
    reassign_session_owner = _awaited(Database.reassign_session_owner)
    delete_session = _awaited(Database.delete_session)
    delete_sessions = _awaited(Database.delete_sessions)

    # -- runs ---------------------------------------------------------------------------------

    get_run = _awaited(Database.get_run)
    get_runs = _awaited(Database.get_runs)
    iter_runs = _iterated(Database.iter_runs)
    upsert_run = _awaited(Database.upsert_run)
    append_run_to_session_if_absent = _awaited(Database.append_run_to_session_if_absent)
    cancel_pending_run = _awaited(Database.cancel_pending_run)
    update_run_in_session = _awaited(Database.update_run_in_session)
    delete_run = _awaited(Database.delete_run)
    delete_runs = _awaited(Database.delete_runs)

    # -- summaries ----------------------------------------------------------------------------

    get_summary = _awaited(Database.get_summary)
    upsert_summary = _awaited(Database.upsert_summary)

    # -- looks over many sessions ---------------------------------------------------------------

    stats = _awaited(Database.stats)
    search = _awaited(Database.search)

    # -- transfers ----------------------------------------------------------------------------

    export = _awaited(Database.export)
    import_from = _awaited(Database.import_from)

    # -- keeping tidy -------------------------------------------------------------------------

    prune = _awaited(Database.prune)
    delete_user = _awaited(Database.delete_user)
    rekey = _awaited(Database.rekey)
    vacuum = _awaited(Database.vacuum)

    # -- what agno asks besides ---------------------------------------------------------------

    update_approval_run_status = _awaited(Database.update_approval_run_status)
    get_latest_schema_version = _awaited(Database.get_latest_schema_version)
    upsert_schema_version = _awaited(Database.upsert_schema_version)


def _twin(of: type[Database]) -> Callable[[type[D]], type[D]]:
    """Make a class the asynchronous twin of another, for readers and for agno."""

    def complete(cls: type[D]) -> type[D]:
        cls._synchronous, cls._database, cls.__doc__ = of, of._database, of.__doc__
        cls.__init__.__signature__ = inspect.signature(of.__init__)  # type: ignore[attr-defined]
        bridge.connect_async(cls)
        return cls

    return complete


@_twin(SqliteDb)
class AsyncSqliteDb(AsyncDatabase):
    def __init__(
        self,
        db_file: str | Path | None = None,
        db_url: str | URL | None = None,
        db_engine: AsyncEngine | None = None,
        **options: Unpack[Options],
    ) -> None:
        url = sqlite_url(type(self), db_file, db_url, db_engine)
        url = checked_url(type(self), url, db_engine, asynchronous=True)
        self._open(None if url is None else absolute(url), db_engine, dict(options))


class _ServerDb(AsyncDatabase):
    def __init__(
        self,
        db_url: str | URL | None = None,
        db_engine: AsyncEngine | None = None,
        db_schema: str | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        url = checked_url(type(self), db_url, db_engine, asynchronous=True)
        self._open(url, db_engine, {"db_schema": db_schema, **options})


@_twin(PostgresDb)
class AsyncPostgresDb(_ServerDb): ...


@_twin(MySQLDb)
class AsyncMySQLDb(_ServerDb): ...


CLASSES: tuple[type[AsyncDatabase], ...] = (AsyncSqliteDb, AsyncPostgresDb, AsyncMySQLDb)


def open_async_db(url: str | URL, **options: Any) -> AsyncSqliteDb | AsyncPostgresDb | AsyncMySQLDb:
    """Return the store at ``url``; ``options`` are those of the class that the URL belongs to.

    Raises ConfigurationError for a URL of another kind of database or of a driver that is not asynchronous, and
    MissingDriver where the driver or greenlet is not installed.
    """
    parsed, dialect = parse_url(url, asynchronous=True)
    cls: Any = next(cls for cls in CLASSES if cls._database in dialect.names)
    db: AsyncSqliteDb | AsyncPostgresDb | AsyncMySQLDb = cls(db_url=parsed, **suited(options, dialect))
    return db


def _rebuilt(cls: type[D], url: str, options: dict[str, Any]) -> D:
    return cls(db_url=url, **options)  # type: ignore[call-arg]
