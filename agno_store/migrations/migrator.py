"""A store's life: its revisions run up, taken back, or only recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from agno_store import schema
from agno_store.dialects import Dialect, Scope
from agno_store.dialects.locks import DDL_LOCK_TIMEOUT
from agno_store.dialects.waiting import attempts, pause
from agno_store.errors import InvalidArgument, NotFound, SchemaConflict, SchemaError, UpgradeLocked
from agno_store.migrations import cures, drift, layouts
from agno_store.migrations.chain import Position, Target, chain, heads_of
from agno_store.migrations.journal import Journal
from agno_store.migrations.mistakes import refuse_one_way
from agno_store.migrations.running import Report, Running, Step, known, known_position, too_new, version_rows
from agno_store.names import Names
from agno_store.release import __version__, order
from agno_store.statements import Statements
from agno_store.tables import HEAD, Extend
from agno_store.urls import redacted

if TYPE_CHECKING:
    from agno_store.database import Database

log = logging.getLogger("agno_store")


class Migrator:
    """The revisions of one store: ours, and those in an application's folder ``versions``."""

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        names: Names,
        *,
        lock_timeout: float = 60.0,
        ddl_lock_timeout: float = DDL_LOCK_TIMEOUT,
        pooled: bool = False,
        versions: Path | None = None,
        extend: Extend | None = None,
    ) -> None:
        self.engine = engine
        self.dialect = dialect
        self.names = names
        self.lock_timeout = lock_timeout
        self.ddl_lock_timeout = ddl_lock_timeout
        self.scope = dialect.scope(pooled=pooled)
        self.chain = chain(versions)
        self.extend = extend
        self.journal = Journal(names, dialect)
        self._sql = Statements(names)

    @classmethod
    def of(cls, db: Database, **more: Any) -> Migrator:
        """Return the migrator of a store."""
        more = {"lock_timeout": db.lock_timeout, "pooled": db._pooled, **more}
        return cls(db.db_engine, db.dialect, db.names, versions=db.versions, extend=db.extend, **more)

    # -- looking ------------------------------------------------------------------------------

    def position(self) -> Position:
        """Return where the store stands. Writes nothing."""
        if not self.dialect.is_there(self.engine.url):
            return Position()
        return self.chain.position(schema.heads(self.engine, self.dialect, self.names, self._sql), self.names)

    def current(self) -> str | None:
        """Return the revision of ours that the store is at. Writes nothing."""
        return self.position().own

    def status_for(self, release: str) -> schema.SchemaStatus:
        """Return where the store would stand for another release of agno_store. Writes nothing.

        Raises InvalidArgument for what is no release between the first and this one.
        """
        try:
            order(release)
        except ValueError as error:
            raise InvalidArgument(f"{error} There are {self.chain.own[0].module.release} to {__version__}.") from error
        head = self.chain.position_at(self.chain.resolve(release, up=True)).own
        found = schema.status(self.engine, self.dialect, self.names, self._sql)
        found = replace(found, head=head or "", for_release=release)
        applied = [script.revision for script in self.chain.applied(Position(found.current))]
        pending = tuple(s.revision for s in self.chain.applied(Position(head)) if s.revision not in applied)
        if found.current is None:
            return replace(found, pending=pending)
        if found.current == head or pending:
            return replace(found, state=schema.BEHIND if pending else schema.IN_STEP, pending=pending)
        works_with = schema.works_with(self.engine, self.dialect, self.names, self._sql, found.current)
        return replace(found, state=schema.AHEAD, pending=(), works_with=works_with)

    def history(self) -> list[Step]:
        """Return every revision, oldest first, and what the store knows of it. Writes nothing.

        Raises SchemaTooNew where the store is at a revision this release does not know.
        """
        position = self.position()
        if not self.chain.knows(position):
            with self.dialect.connected(self.engine) as connection:
                raise too_new(connection, self.names, position)
        applied = self.chain.applied(position)
        if not applied:
            return known(self.chain.versions)
        with self.dialect.connected(self.engine) as connection:
            noted = self.journal.last(connection)
        return [Step.of(script, script in applied, noted.get(script.revision)) for script in self.chain.every]

    def lost_by_downgrade(self, target: str) -> dict[str, int]:
        """Return the tables that a downgrade drops, with the rows in each. Writes nothing.

        Raises SchemaError where a revision on the way cannot be undone.
        """
        wanted = self.chain.resolve(target, up=False)
        if not self.dialect.is_there(self.engine.url):
            return {}
        with self.dialect.connected(self.engine) as connection:
            before = known_position(connection, self.names, self.chain)
            refuse_one_way(self.names, self.chain, before, wanted)
            after = self.chain.position_at(wanted, before)
            keeps = layouts.shape(self.names, self.chain, after.own)
            look, schema = sa.inspect(connection), self.names.schema
            going = [t for t in self.names.tables if t not in keeps and look.has_table(t, schema=schema)]
            count = sa.select(sa.func.count())
            return {t: connection.scalar(count.select_from(sa.table(t, schema=schema))) or 0 for t in going}

    def refuse_foreign(self, connection: Connection | None = None) -> None:
        """Raise SchemaConflict where a table that an upgrade would make is there and is not ours. Writes nothing."""
        if connection is not None:
            own = known_position(connection, self.names, self.chain).own
            layouts.refuse_foreign(connection, self.names, self.chain, own)
            if own != HEAD:
                self.dialect.rights.refuse_elsewhere(connection, self.names)
        elif self.dialect.is_there(self.engine.url):
            with self.dialect.connected(self.engine) as connection:
                self.refuse_foreign(connection)

    def drift(self, connection: Connection | None = None) -> list[str]:
        """Return, in words, how the tables differ from what the revisions make. Writes nothing.

        Columns and indexes that an application has added are passed over, unless ``extend`` declares them.
        """
        if connection is None:
            with self.dialect.connected(self.engine) as connection:
                return self.drift(connection)
        extended = any(not schema.is_own(row) for row in version_rows(connection, self.names))
        with self.dialect.reflecting(connection, self.names) as (reflected, names):
            return drift.differences(reflected, names, self.extend, additions=extended and self.extend is None)

    # -- changing -----------------------------------------------------------------------------

    def upgrade(
        self, target: str = "head", on_step: Report | None = None, *, connection: Connection | None = None
    ) -> list[str]:
        """Apply the pending revisions up to ``target`` and return them.

        With ``connection`` in the caller's transaction, which it neither commits nor rolls back. Raises
        SchemaConflict where tables of these names are not ours, SchemaTooNew where the store is ahead,
        UpgradeLocked where somebody else is upgrading or holds a table, InvalidArgument for an unknown target.
        """
        wanted = self.chain.resolve(target, up=True)

        def work(running: Running) -> None:
            self.refuse_foreign(running.connection)
            running.run(wanted, up=True)

        if connection is not None:
            with self._at_once(), self.running(on_step, connection) as running:
                work(running)
                self.verify(connection, wanted, up=True)
            return running.done
        # Where there is nothing to do, nobody needs a lock for it, nor the right to change tables.
        done = self.patiently(work, on_step) if self._is_pending(wanted) else []
        self._verify_unlocked(wanted)
        return done

    def downgrade(self, target: str, on_step: Report | None = None) -> list[str]:
        """Take back the revisions after ``target`` (``base`` for all) and return them. Their data is lost.

        Raises SchemaError, before anything is changed, where one of them cannot be undone.
        """
        wanted = self.chain.resolve(target, up=False)
        if not self.dialect.is_there(self.engine.url):  # or else to look would make it
            return []

        def work(running: Running) -> None:
            refuse_one_way(self.names, self.chain, running.position(), wanted)
            running.run(wanted, up=False)

        done = self.patiently(work, on_step)
        if done:
            self._verify_position(self.position(), wanted, up=False)
        return done

    def stamp(self, target: str) -> None:
        """Record that the tables are those of ``target``, after making sure that they are.

        Raises SchemaConflict, saying what differs, where they are not, and NotFound where there is no database.
        """
        wanted = self.chain.resolve(target, up=True)
        if not self.dialect.is_there(self.engine.url):
            raise NotFound(f"{self.names}: there is no database at {redacted(self.engine.url)}. Nothing was recorded.")
        revisions = heads_of(self.chain.position_at(wanted))
        if target not in ("head", *revisions[1:]):
            revisions = revisions[:1]

        def work(running: Running) -> None:
            running.position()
            self._refuse_to_stamp(running.connection, revisions)
            running.stamp(revisions)

        self.patiently(work)
        position = self.position()
        for up in (True, False):  # a stamp may go either way
            self._verify_position(position, wanted, up=up)

    @contextmanager
    def running(
        self, on_step: Report | None = None, connection: Connection | None = None, scope: Scope | None = None
    ) -> Iterator[Running]:
        """Hold the upgrade lock, with the schema made: on a connection of its own, or in a caller's transaction."""
        if connection is None:
            self.dialect.make_room(self.engine.url)
            with self.dialect.connected(self.engine) as connection, self._locked(connection, scope or self.scope):
                yield self._running(connection, scope or self.scope, on_step)
        else:
            with self._locked(connection, Scope.CALLER):
                yield self._running(connection, Scope.CALLER, on_step)

    def verify(self, connection: Connection, wanted: Target, *, up: bool) -> None:
        """Look again before anybody is told of a success, best on a connection in a new transaction.

        Raises SchemaError where the version is not there, SchemaDrifted where the tables lack something.
        """
        position = known_position(connection, self.names, self.chain)
        self._verify_position(position, wanted, up=up)
        self._miss_nothing(connection, position.own)

    # -- the work -----------------------------------------------------------------------------

    def _verify_unlocked(self, wanted: Target) -> None:
        """Verify while somebody else, such as a later release, may be changing the tables."""
        for _ in attempts(self.lock_timeout):
            try:
                with self.dialect.connected(self.engine) as connection:
                    self.verify(connection, wanted, up=True)
                return
            except DBAPIError as error:
                if not self.dialect.is_transient(error):
                    raise
                failure = error
        raise self._in_use(
            f"for {self.lock_timeout:g} seconds somebody was changing the tables whenever they were looked at. What "
            "was finished stays. Run the upgrade again when that is over."
        ) from failure

    def _is_pending(self, wanted: Target) -> bool:
        """Whether there may be something to do, as it is seen without the lock."""
        there = self.dialect.is_there(self.engine.url)
        try:
            if there:
                with self.dialect.connected(self.engine) as connection:
                    self.dialect.catch_up(connection)
                    # To read a table that is not there would be an error in the log of the server.
                    there = sa.inspect(connection).has_table(self.names.version, schema=self.names.schema)
            return not self.chain.reached(self.position() if there else Position(), wanted, up=True)
        except DBAPIError as error:
            if not self.dialect.is_transient(error):
                raise
            return True  # somebody is changing the tables: with the lock it can be seen what is left

    def _running(self, connection: Connection, scope: Scope, on_step: Report | None) -> Running:
        return Running(connection, scope, self.dialect, self.names, self.chain, self.journal, on_step)

    @contextmanager
    def _locked(self, connection: Connection, scope: Scope) -> Iterator[None]:
        with (
            self.dialect.upgrading(connection, self.names, timeout=self.lock_timeout, scope=scope),
            self.dialect.impatient(connection, self.ddl_lock_timeout, scope),
        ):
            if self.names.schema:
                self.dialect.ensure_schema(connection, self.names.schema)
            yield

    def patiently(
        self, work: Callable[[Running], None], on_step: Report | None = None, scope: Scope | None = None
    ) -> list[str]:
        """Do ``work`` under the upgrade lock; again, a little later, where a table or a row was held too long."""
        done: list[str] = []
        holders: list[str] = []
        failure: DBAPIError | None = None
        rest = 0.0
        for _ in attempts(self.lock_timeout):
            pause(rest)
            began = time.monotonic()
            try:
                with self.running(on_step, scope=scope) as running:
                    if done:  # the last of them may have been rolled back
                        have = {script.revision for script in self.chain.applied(running.position())}
                        done = [revision for revision in done if revision in have]
                    running.done = done
                    work(running)
                return done
            except DBAPIError as error:
                if not self.dialect.is_transient(error):
                    raise
                # As long as the readers may have stood behind it, they are let alone.
                rest = min(time.monotonic() - began, self.ddl_lock_timeout)
                failure, holders = error, self._holders()
                log.info("%s: the upgrade waits for %s", self.names, "; ".join(holders) or "a lock")
        who = f" Held by {'; '.join(holders)}." if holders else ""
        raise self._in_use(
            f"a table was in use whenever the upgrade tried, for {self.lock_timeout:g} seconds and at most "
            f"{self.ddl_lock_timeout:g} at a time, so that its readers never waited longer.{who} What was finished "
            "before stays. End that transaction, or run the upgrade again when it is over."
        ) from failure

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Do the work in a caller's transaction, which has failed with the first statement that has."""
        try:
            yield
        except DBAPIError as error:
            if not self.dialect.is_transient(error):
                raise
            raise self._in_use(
                f"a table was in use for {self.ddl_lock_timeout:g} seconds, and its readers are not to wait longer. "
                "Roll this transaction back and run it again, or upgrade without connection=, which tries again itself."
            ) from error

    def _in_use(self, how: str) -> UpgradeLocked:
        return UpgradeLocked(f"{self.names}: {how}", store=str(self.names), head=HEAD)

    def _holders(self) -> list[str]:
        try:
            with self.dialect.connected(self.engine) as connection:
                return self.dialect.holders(connection, self.names)
        except DBAPIError:  # who may upgrade need not be one who may look
            return []

    def _refuse_to_stamp(self, connection: Connection, revisions: Sequence[str]) -> None:
        own = [revision for revision in revisions if schema.is_own(revision)]
        extended = len(revisions) > len(own)
        differing = layouts.differing(
            connection, self.names, self.chain, own[0] if own else None, only_missing=extended
        )
        if extended:
            differing += (
                drift.differences(connection, self.names, self.extend)
                if self.extend
                else ["what the application has added cannot be compared without extend= (--app)"]
            )
        if differing:
            raise SchemaConflict(
                f"{self.names} is not at revision {', '.join(revisions) or 'base'}: {'; '.join(differing)}. Nothing "
                "was recorded.",
                store=str(self.names),
                head=HEAD,
            )

    def _verify_position(self, position: Position, wanted: Target, *, up: bool) -> None:
        # The lock is free by now, so somebody else may have gone further in the same direction already.
        if not self.chain.reached(position, wanted, up=up):
            raise SchemaError(
                f"{self.names}: the revisions ran, but the database is at {', '.join(heads_of(position)) or 'none'} "
                f"instead of {wanted.name}. Somebody else changes its version table. Look with: "
                + self.names.command("history", redacted(self.engine.url)),
                store=str(self.names),
                current=position.own,
                head=HEAD,
            )

    def _miss_nothing(self, connection: Connection, current: str | None) -> None:
        """Make sure that the tables have all that their revision brings."""
        missing = layouts.differing(connection, self.names, self.chain, current, only_missing=True)
        if missing:
            raise cures.drifted(connection, self.names, self.chain, current, missing)
