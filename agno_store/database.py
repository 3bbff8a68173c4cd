"""What SqliteDb, PostgresDb and MySQLDb have in common.

They hold an engine, look once whether the tables are the ones this release works with, and run each
operation as one transaction. Building one sends no SQL.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from agno_store import engines, failures, schema, tables, tenants, urls
from agno_store.attempts import Attempts
from agno_store.dialects import OfClass, Scope, parse_url
from agno_store.dialects.waiting import Lock, caller, whole
from agno_store.errors import AccessDenied, ConfigurationError, InvalidArgument, SchemaTooNew
from agno_store.history import History, checked_count, checked_megabytes
from agno_store.media import Vanished
from agno_store.names import Names
from agno_store.operations import Operations
from agno_store.saving import checked_policy
from agno_store.settings import upgrades_by_itself
from agno_store.shapes import checked_choice
from agno_store.shortcuts import Way
from agno_store.shown import Shown
from agno_store.standby import NotNow, Standby, writes
from agno_store.store import Store
from agno_store.tables import Extend

T = TypeVar("T")
D = TypeVar("D", bound="Database")
log = logging.getLogger("agno_store")


class Database(Shown, Operations):
    """A store in one database; see the classes for how to open one."""

    _database: ClassVar[str]
    dialect = OfClass()

    def _open(self, url: URL | None, engine: Engine | None, names: Names, options: dict[str, Any]) -> None:
        """Open a store with the options of its class, each of which is there."""
        pooler = options.get("pooler")
        self._refuse_mistakes(names, options["extend"], pooler, options["lock_timeout"])
        self._options = {**options, "table_name": names.sessions}
        self._options |= {"db_schema": names.schema} if names.schema is not None else {}
        self._pooled = pooler is not None
        self._owns_engine = self._recycles = engine is None
        self._engine = engine if engine is not None else self._own_engine(url)
        self._standby: Standby | None = None
        try:
            self._take(names, options)
        except BaseException:
            self.close()  # nobody else can
            raise

    def _take(self, names: Names, options: dict[str, Any]) -> None:
        """Take options into use. Raises ConfigurationError or InvalidArgument for what cannot be one."""
        self.tenant_id = tenants.checked(options["tenant_id"])
        self._prefix = tenants.prefix(self.tenant_id)
        self._store = Store(names, self.tenant_id)
        if options.get("read_url") is not None:
            self._standby = self._opened_standby(options["read_url"], names, options["read_your_writes"])
        self._first_use, self._ready = Lock(), False
        self._busy: set[object] = set()
        self.names = names
        self.auto_upgrade_schema: bool = options["auto_upgrade_schema"]
        self.lock_timeout: float = options["lock_timeout"]
        self.on_conflict = checked_policy(options["on_conflict"])
        self.unstorable = checked_choice(options["unstorable"])
        self.extend = options["extend"]
        self.versions = None if options["versions"] is None else Path(options["versions"]).absolute()
        self.history_runs = checked_count(options["history_runs"])
        self._history = History(checked_megabytes(options["history_cache_mb"]))
        self._origin = self._same_for_all()
        self.id = options["id"] or self._origin
        self._watch(options["slow_operation_ms"], options["tracing"])
        self._hook(options["before_write"], options["on_append"], options["codec"])
        self._keep_apart(options["media_over"], options["media_store"])

    def _refuse_mistakes(self, names: Names, extend: Extend | None, pooler: str | None, lock_timeout: float) -> None:
        if pooler not in (None, "transaction") or (pooler and not self.dialect.has_poolers):
            raise ConfigurationError(f"pooler={pooler!r}: it must be 'transaction', for PostgreSQL, or be left out.")
        if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, (int, float)) or not lock_timeout >= 0:
            raise ConfigurationError(f"lock_timeout={lock_timeout!r}: it must be seconds, from 0 on.")
        tables.refuse_mistakes(names, extend)

    def _own_engine(self, url: URL | None) -> Engine:
        assert url is not None
        return engines.acquire(url, self.dialect, pooled=self._pooled)

    def _opened_standby(self, url: str | URL, names: Names, read_your_writes: bool) -> Standby:
        parsed, dialect = parse_url(url)
        if self.dialect.standbys is None or dialect is not self.dialect:
            raise ConfigurationError(
                f"read_url= is for a PostgreSQL store with a PostgreSQL standby; this is a standby in {dialect.title} "
                f"for a store in {self.dialect.title}. Leave it out."
            )
        self._options["read_url"] = parsed.render_as_string(hide_password=False)
        engine = engines.acquire(parsed, dialect, pooled=self._pooled, standby=True)
        return self._standby_over(engine, names, read_your_writes)

    def _standby_over(self, engine: Engine, names: Names, read_your_writes: bool) -> Standby:
        where = f"{names}: the standby at {urls.redacted(engine.url)}"
        return Standby(engine, self._engine, self.dialect, where=where, reads_own_writes=read_your_writes)

    def _same_for_all(self) -> str:
        """Return what tells this store from all others; whoever connects, and with which driver, does not matter."""
        where = engines.identity(self._engine, self.dialect)
        # The prefix and not the tenant: any text is one, and not all have bytes.
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{where}#{self.names}#{self._prefix}"))

    # -- what agno and people look at ---------------------------------------------------------

    @property
    def _place(self) -> URL:
        return self._engine.url

    @property
    def db_engine(self) -> Engine:
        """The SQLAlchemy engine."""
        return self._engine

    @property
    def read_engine(self) -> Engine | None:
        """The SQLAlchemy engine of the standby that listings are read from, where ``read_url`` named one."""
        return None if self._standby is None else self._standby.engine

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections, unless another store shares them or the engine is the caller's."""
        if self._owns_engine:
            engines.release(self._engine)
            self._owns_engine = False
        if self._standby is not None:
            engines.release(self._standby.engine)
            self._standby = None

    def __enter__(self: D) -> D:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        url = self._engine.url
        if not self._owns_engine or not self.dialect.shares(url):
            raise TypeError("A store in memory, one with an engine of the caller's and a closed one cannot be pickled.")
        # A provider of tracers is its process's own: there it is that process's.
        options = {**self._options, "tracing": self._options["tracing"] is not False}
        return _rebuilt, (type(self), url.render_as_string(hide_password=False), options)

    # -- schema -------------------------------------------------------------------------------

    def schema_status(self) -> schema.SchemaStatus:
        """Return where the tables stand: in step, missing, behind or ahead. Writes nothing."""
        self._refuse_to_wait_for_itself()
        status = self._looked(lambda: schema.status(self._engine, self.dialect, self.names, self._store.sql))
        with failures.translated(self):
            return status if self.versions is None else self._with_application(status)

    def _with_application(self, status: schema.SchemaStatus) -> schema.SchemaStatus:
        from agno_store.migrations import Migrator

        migrator = Migrator.of(self)
        position = migrator.position()
        applied = migrator.chain.applied(position)
        pending = [script.revision for script in migrator.chain.application if script not in applied]
        return status.with_application(position.application, pending)

    def upgrade_schema(self, revision: str = "head", *, connection: Connection | None = None) -> list[str]:
        """Run the pending revisions up to ``revision`` and return them; an empty list if there were none.

        Takes the store's upgrade lock, so any number of processes may call it at once. Killed at any
        moment, it is finished by the next call. Raises UpgradeLocked after ``lock_timeout`` seconds.

        With ``connection`` the revisions are part of the transaction on it, and are committed or rolled back
        with it. MySQL and MariaDB, which commit at every CREATE and ALTER, cannot do that: ConfigurationError.
        """
        self._refuse_to_wait_for_itself()
        with self._first_use:
            return self._upgrade(revision, connection)

    def _upgrade(self, revision: str = "head", connection: Connection | None = None) -> list[str]:
        from agno_store.migrations import Migrator

        migrator = Migrator.of(self)
        try:
            if connection is None and not self._recycles:
                self._looked(self._wake)
            # Not once more where the connection is lost in the middle: whoever ended it wanted it to end.
            with failures.translated(self):
                done = migrator.upgrade(revision, connection=connection)
        finally:
            writes.add()  # a standby has the new tables later
        if done:
            log.info("%s: upgraded through %s", self.names, ", ".join(done))
        return done

    def _wake(self) -> None:
        """Find out whether a connection of a caller's pool was lost while it was idle."""
        with self.dialect.connected(self._engine) as connection:
            connection.exec_driver_sql("SELECT 1")

    def ping(self) -> float:
        """Return how many seconds the database took to answer; with the first call it is connected to, too.

        Writes nothing, and asks for no tables. A SQLite file that is not there yet is not made.
        Raises DatabaseUnreachable where there is no answer.
        """
        self._refuse_to_wait_for_itself()
        began = time.perf_counter()
        if self.dialect.is_there(self._engine.url):
            self._looked(self._wake)
        return time.perf_counter() - began

    def table_exists(self, table_name: str) -> bool:
        """Whether a table of that name is in this store's schema. Writes nothing."""
        self._refuse_to_wait_for_itself()
        if not self.dialect.is_there(self._engine.url):
            return False

        def look() -> bool:
            with self.dialect.connected(self._engine) as connection:
                return sa.inspect(connection).has_table(table_name, schema=self.names.schema)

        return self._looked(look)

    def vacuum(self) -> None:
        """Give the room of deleted rows back, and with it the bytes that were in them.

        On SQLite the file is written anew, nobody else writing meanwhile, and the write-ahead log emptied; on
        PostgreSQL it is VACUUM (ANALYZE), on MySQL and MariaDB OPTIMIZE TABLE, of this store's tables alone.
        Raises AccessDenied where that is the right of the tables' owner, and DatabaseError where somebody has been
        reading all the time that this waited.
        """
        self._refuse_to_wait_for_itself()
        self._ensure()
        with failures.translated(self):
            self.dialect.vacuum(self._engine, self.names)

    def _looked(self, look: Callable[[], T]) -> T:
        """Do what writes nothing, once more where the connection was lost while it was idle."""
        attempts = Attempts(self.names, self.dialect, self._recycle, repeatable=True, brief=True)
        with failures.translated(self, attempts):
            return attempts.run(look)

    def _create_all_tables(self) -> None:
        # agno's AgentOS calls this when it starts.
        self._ensure()

    def _drop_all_tables(self) -> None:
        """Take back all revisions. Raises SchemaError, before anything is changed, where one cannot be undone."""
        from agno_store.migrations import Migrator

        self._refuse_to_wait_for_itself()
        with self._first_use, failures.translated(self):
            Migrator.of(self).downgrade("base")
            self._ready = False

    def _ensure(self) -> None:
        """Look at the version once; build what is missing, upgrade what is behind if that was asked for."""
        if not self._ready:
            with self._first_use:
                if not self._ready:  # somebody else may have looked meanwhile
                    self._look()

    def _look(self) -> None:
        status = self.schema_status()
        said = upgrades_by_itself()
        builds, upgrades = said is not False, self.auto_upgrade_schema if said is None else said
        if status.state == schema.BEHIND and not upgrades:
            status = self._settled(status)
        if (status.state == schema.MISSING and builds) or (status.state == schema.BEHIND and upgrades):
            status = self._upgraded(status)
        else:
            status.raise_unless_usable()
        if status.state == schema.AHEAD:
            log.warning("%s is at revision %s, ahead of this release, which works with it", self.names, status.current)
        self._ready = True

    def _upgraded(self, status: schema.SchemaStatus) -> schema.SchemaStatus:
        """Upgrade, and return where the store stood; where a later release has come meanwhile, where it stands now."""
        is_new = status.state == schema.MISSING
        try:
            whole(self._upgrade) if is_new else self._upgrade()  # half built, it would be behind for the next one
        except SchemaTooNew:
            status = self.schema_status()
            status.raise_unless_usable()
        except AccessDenied as error:
            raise failures.unmade(self.names, error) if is_new else error from error.__cause__
        return status

    def _settled(self, status: schema.SchemaStatus) -> schema.SchemaStatus:
        """Look again when nobody is upgrading: between two revisions a store is behind for a moment."""
        scope = self.dialect.scope(pooled=self._pooled)
        if scope is Scope.UPGRADE:
            return status
        with failures.translated(self), self.dialect.connected(self._engine) as connection:
            self.dialect.settle(connection, self.names, timeout=self.lock_timeout, scope=scope)
        return self.schema_status()

    # -- transactions -------------------------------------------------------------------------

    def _read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self._run(False, True, None, work, *args, **kwargs)

    def _list(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self._refuse_to_wait_for_itself()
        self._ensure()
        if self._standby is not None:
            with suppress(NotNow, Vanished), failures.translated(self), tenants.acting_for(self._prefix):
                return self._standby.read(work, *args, **kwargs)
        return self._read(work, *args, **kwargs)

    def _write(self, work: Callable[..., T], *args: Any, quick: Way[T] = None, **kwargs: Any) -> T:
        return self._run(True, False, quick, work, *args, **kwargs)

    def _put(self, work: Callable[..., T], *args: Any, quick: Way[T] = None) -> T:
        return self._run(True, True, quick, work, *args)

    def _run(
        self, changes: bool, repeatable: bool, quick: Way[T], work: Callable[..., T], *args: Any, **kwargs: Any
    ) -> T:
        if self._busy:
            self._refuse_to_wait_for_itself()
        if not self._ready:
            self._ensure()
        attempts = Attempts(self.names, self.dialect, self._recycle, repeatable=repeatable)
        try:
            return attempts.run(self._once, attempts, changes, quick, work, args, kwargs)  # type: ignore[no-any-return]
        except failures.MET as error:
            failures.tell(self, error, attempts)
            raise
        finally:
            if changes:
                writes.add()  # even if it failed: the connection may have been lost after the commit
            if attempts.surprised:  # the tables may have been downgraded or dropped: look before the next
                self._ready = False

    def _once(
        self, attempts: Attempts, changes: bool, quick: Way[T], work: Callable[..., T], args: Any, kwargs: Any
    ) -> T:
        acting = tenants.begin(self._prefix)
        try:
            if quick is not None and attempts.repeatable and self.dialect.commits_alone(self._engine):
                with self.dialect.by_statement(self._engine) as connection:
                    attempts.committing = True  # with the statement
                    done = quick(connection)
                if done is not None:
                    return done
                attempts.committing, quick = False, None  # it has written nothing
            with self.dialect.transaction(self._engine, writes=changes) as connection:
                done = None if quick is None else quick(connection)
                result = work(connection, *args, **kwargs) if done is None else done
                attempts.committing = changes
        except Vanished as vanished:  # a new transaction tells whether a row still names it
            with vanished.known():
                return self._once(attempts, changes, quick, work, args, kwargs)
        finally:
            if acting is not None:
                tenants.end(acting)
        if changes and self._store.objects is not None:
            self._store.objects.left(connection)
        return result

    @contextmanager
    def _calling_out(self) -> Iterator[None]:
        me = caller()
        self._busy.add(me)
        try:
            yield
        finally:
            self._busy.discard(me)

    def _recycle(self) -> None:
        """Have new connections made, where the pool is ours."""
        if self._recycles:
            self._engine.dispose()

    def _refuse_to_wait_for_itself(self) -> None:
        if self._busy and caller() in self._busy:
            raise InvalidArgument(
                "The function given to update_session_state() called the store, and would wait for itself. Nothing "
                "was written. Call the store before or after it."
            )


def _rebuilt(cls: type[D], url: str, options: dict[str, Any]) -> D:
    return cls(db_url=url, **options)  # type: ignore[call-arg]
