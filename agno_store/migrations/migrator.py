"""Run a store's revisions: up, down, or only recorded; one process at a time, and safe from any death."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection, Engine

from agno_store import schema
from agno_store.dialects import Dialect
from agno_store.errors import InvalidArgument, SchemaConflict, SchemaDrifted, SchemaError, SchemaTooNew
from agno_store.migrations import drift, layouts
from agno_store.migrations.options import options
from agno_store.migrations.resume import Resumable
from agno_store.migrations.scripts import ordered, script_directory
from agno_store.names import Names
from agno_store.statements import Statements
from agno_store.tables import HEAD
from agno_store.urls import redacted

if TYPE_CHECKING:
    from agno_store.db import _Db

Plan = Callable[[str | None], list[Any]]


@dataclass(frozen=True)
class Step:
    """One revision: its id, what it does, and whether the store has it."""

    revision: str
    message: str
    applied: bool


class Migrator:
    """The revisions of one store."""

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        names: Names,
        *,
        lock_timeout: float = 60.0,
        pooled: bool = False,
    ) -> None:
        self.engine = engine
        self.dialect = dialect
        self.names = names
        self.lock_timeout = lock_timeout
        self.pooled = pooled
        self.script = script_directory()
        self._sql = Statements(names)

    @classmethod
    def of(cls, db: _Db) -> Migrator:
        """Return the migrator of a store."""
        return cls(db.db_engine, db.dialect, db.names, lock_timeout=db.lock_timeout, pooled=db._pooled)

    # -- looking ------------------------------------------------------------------------------

    def current(self) -> str | None:
        """Return the revision the store is at. Writes nothing."""
        return schema.status(self.engine, self.dialect, self.names, self._sql).current

    def history(self) -> list[Step]:
        """Return every revision, oldest first, and whether the store has it. Writes nothing.

        Raises SchemaTooNew where the store is at a revision this release does not know.
        """
        current = self.current()
        known = [script.revision for script in ordered()]
        if current is not None and current not in known:
            raise self._too_new(current)
        applied = known[: known.index(current) + 1] if current else []
        return [Step(script.revision, script.doc, script.revision in applied) for script in ordered()]

    @staticmethod
    def known() -> list[Step]:
        """Return the revisions of this release, oldest first, without looking at a database."""
        return [Step(script.revision, script.doc, False) for script in ordered()]

    def lost_by_downgrade(self, target: str) -> dict[str, int]:
        """Return the tables that a downgrade drops, with the rows in each. Writes nothing."""
        keeps = layouts.shape(self.names, self._resolved(target))
        with self.dialect.connected(self.engine) as connection:
            self._known_current(connection)
            look = sa.inspect(connection)
            schema = self.names.schema
            going = [t for t in self.names.tables if t not in keeps and look.has_table(t, schema=schema)]
            count = sa.select(sa.func.count())
            return {t: connection.scalar(count.select_from(sa.table(t, schema=schema))) or 0 for t in going}

    def refuse_foreign(self) -> None:
        """Raise SchemaConflict where a table that an upgrade would make is there and is not ours. Writes nothing."""
        if self.dialect.is_there(self.engine.url):
            with self.dialect.connected(self.engine) as connection:
                layouts.refuse_foreign(connection, self.names, self._known_current(connection))

    def drift(self) -> list[str]:
        """Return, in words, how the tables differ from what the revisions make. Writes nothing."""
        with (
            self.dialect.connected(self.engine) as connection,
            self.dialect.reflecting(connection, self.names) as (reflected, names),
        ):
            return drift.differences(reflected, names)

    # -- changing -----------------------------------------------------------------------------

    def upgrade(self, target: str = "head", on_step: Callable[[Step, float], None] | None = None) -> list[str]:
        """Apply the pending revisions up to ``target`` and return them.

        Raises SchemaConflict where tables of these names are not ours, SchemaTooNew where the store is
        ahead, UpgradeLocked where somebody else is upgrading, InvalidArgument for an unknown target.
        """
        target = self._resolved(target)
        with self._locked() as connection:
            layouts.refuse_foreign(connection, self.names, self._known_current(connection))
            done = self._run(connection, lambda at: self._between(at, target, up=True), on_step)
        if done:
            self._verify(target, up=True)
        self._miss_nothing()
        return done

    def downgrade(self, target: str, on_step: Callable[[Step, float], None] | None = None) -> list[str]:
        """Take back the revisions after ``target`` (``base`` for all) and return them. Their data is lost."""
        target = self._resolved(target)
        with self._locked() as connection:
            done = self._run(connection, lambda at: self._between(at, target, up=False), on_step)
        if done:
            self._verify(target, up=False)
        return done

    def stamp(self, target: str) -> None:
        """Record that the tables are those of ``target``, after making sure that they are.

        Raises SchemaConflict, saying what differs, where they are not.
        """
        target = self._resolved(target)
        with self._locked() as connection:
            self._known_current(connection)
            differing = layouts.differing(connection, self.names, target)
            if differing:
                raise SchemaConflict(
                    f"{self.names} is not at revision {target}: {'; '.join(differing)}. Nothing was recorded.",
                    store=str(self.names),
                    head=HEAD,
                )
            self._commit(connection)
            self._context(connection).stamp(self.script, target)
            self._commit(connection)
        self._verify(target, up=True)

    # -- the work -----------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        """Give a connection that holds the upgrade lock, with the schema made."""
        self.dialect.make_room(self.engine.url)
        with (
            self.dialect.connected(self.engine) as connection,
            self.dialect.upgrading(connection, self.names, timeout=self.lock_timeout, pooled=self.pooled),
        ):
            if self.names.schema:
                self.dialect.ensure_schema(connection, self.names.schema)
            yield connection

    def _run(self, connection: Connection, plan: Plan, on_step: Callable[[Step, float], None] | None) -> list[str]:
        done: list[str] = []
        clock = [time.monotonic()]

        def applied(*, step: Any, **_: Any) -> None:
            done.append(step.up_revision_id)
            now = time.monotonic()
            if on_step is not None:
                script = self.script.get_revision(done[-1])
                on_step(Step(done[-1], script.doc if script else "", step.is_upgrade), now - clock[0])
            clock[0] = now

        # Any SELECT has begun a transaction by now, and on a connection that is in one Alembic commits
        # nothing: it would report success and leave no trace.
        self._commit(connection)
        context = self._context(
            connection,
            fn=lambda at, _context: plan(at[0] if at else None),
            on_version_apply=[applied],
        )
        with context.begin_transaction():
            context.run_migrations(op=Resumable(context), n=self.names)
        return done

    def _verify(self, target: str, *, up: bool) -> None:
        """Read the version again, in a transaction of its own, before anybody is told of a success.

        The lock is free by now, so somebody else may have gone further in the same direction already.
        """
        found = self.current()
        here, there = self._index(found), self._index(target)
        assert there is not None
        if here is not None and (here < there if up else here > there):
            raise SchemaError(
                f"{self.names}: the revisions ran, but the database is at {found} instead of {target}. Somebody else "
                "changes its version table. Look with: " + self.names.command("history", redacted(self.engine.url)),
                store=str(self.names),
                current=found,
                head=HEAD,
            )

    def _miss_nothing(self) -> None:
        """Make sure that the tables have all that their revision brings."""
        current = self.current()
        with self.dialect.connected(self.engine) as connection:
            missing = layouts.differing(connection, self.names, current or "base", only_missing=True)
        if missing:
            again = self.names.command("downgrade --to base", redacted(self.engine.url))
            raise SchemaDrifted(
                f"{self.names} is recorded at {current}, but {'; '.join(missing)}. Somebody changed the tables, or a "
                f"downgrade was killed: then run that downgrade again, for instance: {again}",
                store=str(self.names),
                current=current,
                head=HEAD,
                differences=missing,
            )

    def _commit(self, connection: Connection) -> None:
        """End the transaction, unless the whole upgrade is one."""
        if not self.dialect.one_transaction and not self.pooled:
            connection.commit()

    def _context(self, connection: Connection, **more: Any) -> MigrationContext:
        one_transaction = self.dialect.one_transaction or self.pooled
        more["transaction_per_migration"] = not one_transaction
        if self.dialect.ddl_rolls_back:
            # SQLite can roll DDL back too; Alembic takes it that it cannot.
            more["transactional_ddl"] = True
        return MigrationContext.configure(connection, opts=options(self.names, script=self.script, **more))

    def _between(self, current: str | None, target: str, *, up: bool) -> list[Any]:
        if current is not None and self._index(current) is None:
            raise self._too_new(current)
        here, there = self._index(current), self._index(target)
        assert here is not None
        assert there is not None
        if up:
            return [] if here >= there else list(self.script._upgrade_revs(target, current))  # type: ignore[arg-type]
        return [] if here <= there else list(self.script._downgrade_revs(target, current))

    def _index(self, revision: str | None) -> int | None:
        """Return how many revisions lead to this one; None where it is unknown."""
        if revision in (None, "base"):
            return 0
        known = [script.revision for script in ordered()]
        return known.index(str(revision)) + 1 if revision in known else None

    def _resolved(self, target: str) -> str:
        """Return the id of a target, which may be called ``head``."""
        known = [script.revision for script in ordered()]
        if target == "head":
            return known[-1]
        if target not in ("base", *known):
            raise InvalidArgument(f"There is no revision {target!r}; there are base, {', '.join(known)} and head.")
        return target

    def _known_current(self, connection: Connection) -> str | None:
        """Return the revision the store is at, read under the lock.

        Raises SchemaTooNew where this release does not know it.
        """
        there = sa.inspect(connection).has_table(self.names.version, schema=self.names.schema)
        current = schema.current(connection, self.names, self._sql) if there else None
        if current is not None and self._index(current) is None:
            raise self._too_new(current)
        return current

    def _too_new(self, current: str) -> SchemaTooNew:
        try:
            schema.SchemaStatus.of(self.names, current, redacted(self.engine.url)).raise_unless_in_step()
        except SchemaTooNew as error:
            return error
        raise AssertionError(f"{current} is known to this release")
