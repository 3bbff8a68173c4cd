"""An upgrade at work: on a connection that holds the upgrade lock, in transactions of a known scope."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import Script
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection

from agno_store import schema
from agno_store.dialects import Dialect, Scope
from agno_store.errors import SchemaError, SchemaTooNew
from agno_store.migrations.chain import Chain, Position, Target, chain
from agno_store.migrations.context import Context
from agno_store.migrations.journal import DOWN, STAMP, UP, Entry, Journal
from agno_store.migrations.mistakes import told_of
from agno_store.migrations.resume import Resumable
from agno_store.names import Names
from agno_store.statements import Statements
from agno_store.tables import HEAD
from agno_store.urls import redacted


@dataclass(frozen=True)
class Step:
    """One revision: its id, what it does, whether the store has it, and what the store's journal knows of it.

    ``release`` is the release of agno_store that brought the revision; None for an application's own.
    """

    revision: str
    message: str
    applied: bool
    release: str | None = None
    applied_at: datetime | None = None
    applied_by: str | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, script: Script, applied: bool, entry: Entry | None = None) -> Step:
        brought_by = getattr(script.module, "release", None)
        if entry is None or not applied:
            return cls(script.revision, script.doc, applied, brought_by)
        noted = (entry.done_at, entry.applied_by, entry.seconds)
        return cls(script.revision, script.doc, applied, brought_by, *noted)


Report = Callable[[Step, float], None]


@dataclass
class Running:
    """The revisions of one store being run. ``done`` grows with each."""

    connection: Connection
    scope: Scope
    dialect: Dialect
    names: Names
    chain: Chain
    journal: Journal
    on_step: Report | None = None
    done: list[str] = field(default_factory=list)

    def position(self) -> Position:
        """Return where the store stands, read under the lock.

        Raises SchemaTooNew where this release does not know the revision.
        """
        return known_position(self.connection, self.names, self.chain)

    def run(self, target: Target, *, up: bool) -> None:
        """Run what lies between the store's position and ``target``."""
        position = self.position()
        steps = self.chain.between(position, target, up=up)
        if not steps:
            return
        self.journal.ensure(self.connection)
        # Any SELECT has begun a transaction by now, and on a connection that is in one Alembic commits
        # nothing: it would report success and leave no trace.
        self.commit()
        self._clock = time.monotonic()
        context = self._context(fn=lambda _heads, _context: steps, on_version_apply=[self._applied])
        op = Resumable(context, self.dialect, beside_writers=self.scope is Scope.REVISION)
        left = (
            "Nothing of it is left."
            if self.dialect.ddl_rolls_back
            else "What it did before stays, and is passed over when it is mended and run again."
        )
        with (
            self._told_apart(),
            told_of(self.names, (step.revision for step in steps), left),
            context.begin_transaction(),
        ):
            context.run_migrations(op=op, n=self.names)

    def stamp(self, revisions: Sequence[str]) -> None:
        """Record the revisions, one of each branch; none stands for a store without tables."""
        self.journal.ensure(self.connection)
        self.commit()
        for revision in revisions or ["base"]:
            with self._told_apart():
                self._context().stamp(self.chain.script, revision)
        for revision in revisions:
            self._note(STAMP, revision, None)
        self.commit()

    def commit(self) -> None:
        """End the transaction, where each revision has its own."""
        if self.scope is Scope.REVISION:
            self.connection.commit()

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Make what Alembic raises ours, such as for a version that is not the one that it has just written."""
        try:
            yield
        except CommandError as error:
            look = self.names.command("history", redacted(self.connection.engine.url))
            raise SchemaError(
                f"{self.names}: Alembic stopped: {error}. What was finished before stays. Does somebody else change "
                f"the version table? Look with: {look}",
                store=str(self.names),
                head=HEAD,
            ) from error

    def _applied(self, *, step: Any, **_: Any) -> None:
        # Called in the transaction of the revision, after its row in the version table is written.
        now = time.monotonic()
        revision, seconds = step.up_revision_id, now - self._clock
        self._note(UP if step.is_upgrade else DOWN, revision, seconds)
        self.done.append(revision)
        if self.on_step is not None:
            self.on_step(Step.of(self.chain.script.get_revision(revision), step.is_upgrade), seconds)
        self._clock = now

    def _note(self, what: str, revision: str, seconds: float | None) -> None:
        module = self.chain.script.get_revision(revision).module
        self.connection.execute(self.journal.noting(what, revision, getattr(module, "works_with", None), seconds))

    def _context(self, **more: Any) -> Context:
        more["transaction_per_migration"] = self.scope is Scope.REVISION
        if self.dialect.ddl_rolls_back:
            # SQLite can roll DDL back too; Alembic takes it that it cannot.
            more["transactional_ddl"] = True
        return Context.of(self.connection, self.names, self.chain, **more)


def known(versions: Path | None = None) -> list[Step]:
    """Return the revisions, oldest first, without looking at a database."""
    return [Step.of(script, False) for script in chain(versions).every]


def version_rows(connection: Connection, names: Names) -> list[str]:
    """Return the rows of the version table; none where it is not there."""
    there = sa.inspect(connection).has_table(names.version, schema=names.schema)
    return schema.rows(connection, Statements(names)) if there else []


def known_position(connection: Connection, names: Names, revisions: Chain) -> Position:
    """Return where a store stands.

    Raises SchemaTooNew where this release does not know the revision.
    """
    position = revisions.position(version_rows(connection, names), names)
    if not revisions.knows(position):
        raise too_new(connection, names, position)
    return position


def too_new(connection: Connection, names: Names, position: Position) -> SchemaTooNew:
    """Return the error for a store that is at a revision this release does not know."""
    assert position.own is not None
    works_with = schema.noted(connection, names, Statements(names), position.own)
    return schema.too_new(names, position.own, works_with)
