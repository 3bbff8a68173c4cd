"""The SQL of an upgrade or a downgrade, for somebody to read and run: no connection is needed for it.

For PostgreSQL and MySQL Alembic writes it down instead of sending it. SQLite's batch rebuilds read the
database they run on, so there the revisions are run on a scratch database, and what it was sent is noted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.schema import CreateTable

from agno_store import release
from agno_store.dialects import Dialect
from agno_store.errors import InvalidArgument
from agno_store.migrations.already import Already, Remaining
from agno_store.migrations.chain import Chain, Position, Target, heads_of
from agno_store.migrations.context import Context
from agno_store.migrations.journal import DOWN, UP, Journal
from agno_store.migrations.migrator import Migrator
from agno_store.migrations.mistakes import refuse_one_way, told_of
from agno_store.migrations.record import recorded
from agno_store.migrations.running import Step
from agno_store.migrations.scratch import scratch
from agno_store.migrations.wording import words
from agno_store.names import Names

_LEADING_COMMENTS = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)

_CHANGES_NOTHING = ("SELECT", "PRAGMA", "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@dataclass(frozen=True)
class Script:
    """The way from one position to another, in SQL. ``sql_dialect`` is SQLAlchemy's, of the driver or the server.

    With ``already`` it is for one database, and leaves out what an upgrade of that would pass over.
    """

    names: Names
    dialect: Dialect
    sql_dialect: SqlDialect
    chain: Chain
    start: Position
    target: Target
    up: bool
    already: Already | None = None

    def text(self) -> str:
        """Return the script, in the manner of the database's own client.

        Run on a store that is elsewhere it fails before it changes anything. Raises InvalidArgument for a revision
        that asks the database something: what it does would depend on an answer that nobody has; and SchemaConflict
        where something else is in the way, as far as the database was looked at.
        """
        if not self.up:
            refuse_one_way(self.names, self.chain, self.start, self.target)
        self._refuse_to_guess()
        before, after = self.dialect.framing(self.names)
        goal = heads_of(self.chain.position_at(self.target, self.start))
        parts = [
            f"-- agno_store {release.__version__}: {self.names} from {_said(heads_of(self.start))} to {_said(goal)}, "
            f"for {self.dialect.title}.",
            f"-- Run it with: {self.dialect.client}",
            *before,
        ]
        if self.chain.between(self.start, self.target, up=self.up):
            if self.names.schema and self.start == Position():
                parts.append(self.dialect.schema_script(self.names.schema))
            parts += ["-- This fails where the store is somewhere else.", *map(self._literal, self._guarded())]
            parts += self._recorded() if self.dialect.records_scripts else self._written()
        return "\n".join([*parts, *after]) + "\n"

    def _refuse_to_guess(self) -> None:
        for step in self.chain.between(self.start, self.target, up=self.up):
            stop = recorded(step.revision, self.names, self.sql_dialect, up=self.up).stop
            if stop is not None and stop.needs_database:
                raise InvalidArgument(
                    f"Revision {step.revision.revision} cannot be written down, because {stop.reason}, in line "
                    f"{stop.line} of {step.revision.path}. Run the upgrade itself, or write what that line does with "
                    "op.execute()."
                )

    def _guarded(self) -> Iterator[Any]:
        """Fail where the store is not at ``start``, and make what the books are kept in.

        In this order, for where a CREATE commits it would stay behind: only at base is there nothing to look into yet.
        """
        version, journal = self._books()
        if self.start == Position():
            yield version
        yield from self._guards(version.element)
        yield from (version, journal) if self.start != Position() else (journal,)

    def _guards(self, version: sa.Table) -> Iterator[Any]:
        rows = sa.select(version.c.version_num)
        wrong: list[Any] = [sa.exists(rows)] if self.start == Position() else []
        wrong += [~sa.exists(rows.where(version.c.version_num == head)) for head in heads_of(self.start)]
        if self.start.application is None and self.chain.application:
            application = [script.revision for script in self.chain.application]
            wrong.append(sa.exists(rows.where(version.c.version_num.in_(application))))
        for found in wrong:  # a NULL that the key refuses: the one way to stop that all clients share
            yield sa.insert(version).from_select(["version_num"], sa.select(sa.null()).where(found))

    def _books(self) -> list[CreateTable]:
        tables = (self._version_table(), Journal(self.names, self.dialect).table)
        return [CreateTable(table, if_not_exists=True) for table in tables]

    def _version_table(self) -> sa.Table:
        return sa.Table(
            self.names.version,
            sa.MetaData(),
            sa.Column("version_num", sa.String(32), nullable=False),
            sa.PrimaryKeyConstraint("version_num", name=f"{self.names.version}_pkc"),
            schema=self.names.schema,
        )

    def _written(self) -> list[str]:
        journal, steps = Journal(self.names, self.dialect), self.chain.between(self.start, self.target, up=self.up)

        def applied(*, ctx: Any, step: Any, **_: Any) -> None:
            module = self.chain.script.get_revision(step.up_revision_id).module
            works_with = getattr(module, "works_with", None)
            ctx.execute(journal.noting(UP if self.up else DOWN, step.up_revision_id, works_with, None))

        version = self.sql_dialect.identifier_preparer.format_table(self._version_table())
        # The books are made where they are missing, and stay; older releases of Alembic drop the table at base.
        made_by_alembic = (f"CREATE TABLE {version} (", f"DROP TABLE {version};")
        titles = (_titled(step.revision.revision, step.revision.doc, up=self.up) for step in steps)
        written = _Written(made_by_alembic, titles)
        context = Context.offline(
            self.sql_dialect,
            self.names,
            self.chain,
            self.start,
            output_buffer=written,
            fn=lambda _heads, _context: steps,
            on_version_apply=[applied],
        )

        def left_out(operation: Any) -> None:
            what = " ".join(words(operation, self.sql_dialect).split())
            written.statements.append(f"-- Left out, for it is done already in this database: {what}")

        op = Operations(context) if self.already is None else Remaining(context, self.already, left_out)
        scripts = (step.revision for step in steps)
        try:
            with told_of(self.names, scripts, "Nothing was written down."):
                context.run_migrations(op=op, n=self.names)
        except sa.exc.CompileError as error:
            raise InvalidArgument(f"These revisions cannot be written down: {error}") from error
        return written.statements

    def _recorded(self) -> list[str]:
        with scratch() as engine:
            migrator = Migrator(engine, self.dialect, self.names, versions=self.chain.versions)
            migrator.journal = Journal(self.names, self.dialect, measured=False)
            with migrator.running() as running:
                running.run(self._at_start(), up=True)
            with engine.begin() as connection:
                for statement in self._books():
                    connection.execute(statement)
            with _noted(engine) as lines:
                begun = 0

                def title(step: Step, _seconds: float) -> None:
                    nonlocal begun
                    lines.insert(begun, _titled(step.revision, step.message, up=self.up))
                    begun = len(lines)

                (migrator.upgrade if self.up else migrator.downgrade)(self.target.name, title)
        return lines

    def _at_start(self) -> Target:
        """Return the start as a target: with no more of our revisions than it has, even below an application's."""
        applied = self.chain.applied(self.start)
        own = sum(script in self.chain.own for script in applied)
        return Target("start", own, len(applied) - own)

    def _literal(self, statement: Any) -> str:
        kwargs: dict[str, Any] = {} if isinstance(statement, CreateTable) else {"literal_binds": True}
        return str(statement.compile(dialect=self.sql_dialect, compile_kwargs=kwargs)).strip() + ";"


def _titled(revision: str, message: str, *, up: bool) -> str:
    said = " ".join(message.split())  # in one line, whatever the revision's docstring is
    return f"-- {'Revision' if up else 'Back from revision'} {revision}: {said}"


def _said(heads: Any) -> str:
    return ", ".join(heads) or "base"


def _ended(statement: str) -> str:
    """Return a statement with one semicolon, which a comment at its end must not swallow."""
    text = statement.strip().rstrip(";")
    return text + ("\n;" if "--" in text.rpartition("\n")[2] else ";")


@contextmanager
def _noted(engine: sa.Engine) -> Iterator[list[str]]:
    """Note what changes a scratch database meanwhile, with the parameters in place."""
    noted: list[str] = []

    def note(statement: str) -> None:
        verb = _LEADING_COMMENTS.sub("", statement)[:9].upper()
        if verb and not verb.startswith(_CHANGES_NOTHING):
            noted.append(_ended(statement))

    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.set_trace_callback(note)
    try:
        yield noted
    finally:
        driver.set_trace_callback(None)


class _Written(io.TextIOBase):
    """What Alembic writes, which is a statement or a comment at a time."""

    def __init__(self, left_out: tuple[str, ...], titles: Iterator[str]) -> None:
        self.statements: list[str] = []
        self._left_out, self._titles = left_out, titles

    def write(self, text: str) -> int:
        statement = text.removesuffix("\n\n")
        if statement.startswith("-- Running "):
            self.statements.append(next(self._titles))
        elif not statement.startswith(self._left_out):
            self.statements.append(_ended(statement))
        return len(text)
