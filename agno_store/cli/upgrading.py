"""``agno-store upgrade``: said beforehand, rehearsed, written down for somebody else to run, or done."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agno_store import failures
from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.exits import code_of
from agno_store.cli.options import (
    PLACES,
    App,
    DdlLockTimeout,
    Every,
    Json,
    LockTimeout,
    Pooler,
    Revision,
    SchemaName,
    TableName,
    Url,
    Versions,
    WaitForDb,
    Yes,
    among,
    opened,
)
from agno_store.cli.render import Output
from agno_store.cli.reporting import changed, confirm, reporting, say_changed
from agno_store.cli.waiting import reachable
from agno_store.dialects.locks import DDL_LOCK_TIMEOUT
from agno_store.errors import AgnoStoreError
from agno_store.names import DEFAULT

if TYPE_CHECKING:
    from agno_store.migrations import Migrator
    from agno_store.migrations.plan import PlannedRevision

INSTEAD = "Instead of an upgrade"
"""The panel of the help for what changes nothing."""

Backup = Annotated[
    Path | None, typer.Option("--backup", help="Copy the SQLite database there first, and look at the copy.")
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Say what would be done, on how many rows.", rich_help_panel=INSTEAD)
]
Rehearsal = Annotated[
    bool, typer.Option("--rehearse", help="Do it for real and take it back.", rich_help_panel=INSTEAD)
]
Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL.", rich_help_panel=INSTEAD)]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Where the SQL begins; else where the store is.",
        rich_help_panel=INSTEAD,
        metavar="REV",
        autocompletion=PLACES,
    ),
]
DialectName = Annotated[
    str | None,
    typer.Option(
        "--dialect",
        help="Print the SQL without a connection: postgresql, mysql, mariadb or sqlite.",
        rich_help_panel=INSTEAD,
        metavar="NAME",
        autocompletion=among("postgresql", "mysql", "mariadb", "sqlite"),
    ),
]


@dataclass
class _Work:
    """What is to be done with each store, and what came of it."""

    output: Output
    to: str
    ddl_lock_timeout: float
    backup: Path | None = None
    yes: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)
    failure: AgnoStoreError | None = None

    def plan(self, db: Any) -> dict[str, Any]:
        from agno_store.migrations.plan import sentences

        planned = self._planned(db)
        self.output.line(f"{db.names} in {db.dialect.title} at {db.db_url}", "bold")
        for line in sentences(planned):
            self.output.line(line.text, "yellow" if line.warns else None)
        return {**db.schema_status().to_dict(), "plan": [revision.to_dict() for revision in planned]}

    def rehearse(self, db: Any) -> dict[str, Any]:
        from agno_store.migrations.rehearsal import rehearse

        steps: list[dict[str, Any]] = []
        rehearse(self._migrator(db), self.to, reporting(self.output, steps, "worked"))
        self.output.line(f"{db.names}: rehearsed and taken back; nothing was changed", "green")
        return {**db.schema_status().to_dict(), "rehearsed": steps}

    def upgrade(self, db: Any) -> dict[str, Any]:
        from agno_store.migrations.backfill import pending
        from agno_store.migrations.backup import back_up

        migrator, steps = self._migrator(db), list[dict[str, Any]]()
        before = db.schema_status()
        if self.backup is not None:  # first, for it looks at the whole file: of a damaged one no rows can be counted
            size = back_up(migrator, self.backup)
            self.output.line(f"  {self.backup}: a copy of {size} bytes, looked at and whole")
            self.backup = None
        self._ask_about_loss(db)
        migrator.upgrade(self.to, reporting(self.output, steps, "applied"))
        after = db.schema_status()
        say_changed(self.output, before, after)
        waiting = [found.revision for found in pending(migrator)]
        for revision in waiting:
            self.output.line(f"  {revision} has rows to fill beside your writers: agno-store backfill", "yellow")
        return {**changed(before, after, steps), "backfills": waiting}

    def each(self, do: Any, at: Any, open_store: Any, schema: str | None) -> None:
        """Do it to every store of a database; what fails with one does not keep the others from it."""
        from agno_store.migrations.stores import stores

        found = stores(at.db_engine, at.dialect, schema)
        for names in found:
            db = open_store(names.sessions, names.schema)
            try:
                with closing(db), failures.translated(db):
                    self.answers.append(do(db))
            except AgnoStoreError as error:
                self.failure = self.failure or error
                self.answers.append(
                    {"table": db.table_name, "schema": db.db_schema, **self.output.error(error, code_of(error))}
                )
                self.output.complaint(error)
        self.output.document({"stores": self.answers})
        self.output.line(f"{len(found)} store{'' if len(found) == 1 else 's'} in {at.db_url}")
        if self.failure is not None:
            raise typer.Exit(code_of(self.failure))

    def _planned(self, db: Any) -> list[PlannedRevision]:
        from agno_store.migrations.plan import plan

        migrator = self._migrator(db)
        migrator.refuse_foreign()
        wanted, position = migrator.chain.resolve(self.to, up=True), migrator.position()
        planned = partial(plan, names=db.names, chain=migrator.chain, position=position, target=wanted)
        if not db.dialect.is_there(db.db_engine.url):
            return planned(None, dialect=db.dialect, scope=migrator.scope)
        with db.dialect.connected(db.db_engine) as connection:
            return planned(connection, dialect=db.dialect, scope=migrator.scope)

    def _ask_about_loss(self, db: Any) -> None:
        lossy = [revision for revision in self._planned(db) if revision.loses_data]
        for revision in lossy:
            for step in revision.steps:
                if step.loses:
                    self.output.line(f"  {revision.revision}  {step.what}: lost for good: {step.loses}", "yellow")
        if lossy and not self.yes:
            confirm(self.output, f"Upgrade {db.names}?")

    def _migrator(self, db: Any) -> Migrator:
        from agno_store.migrations import Migrator

        return Migrator.of(db, ddl_lock_timeout=self.ddl_lock_timeout)


@app.command(epilog="Example:  agno-store upgrade --db-url sqlite:///agents.db")
def upgrade(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    lock_timeout: LockTimeout = 60.0,
    ddl_lock_timeout: DdlLockTimeout = DDL_LOCK_TIMEOUT,
    pooler: Pooler = None,
    application: App = None,
    versions: Versions = None,
    to: Revision = "head",
    wait_for_db: WaitForDb = 0.0,
    every: Every = False,
    backup: Backup = None,
    yes: Yes = False,
    beforehand: Plan = False,
    rehearsal: Rehearsal = False,
    sql: Sql = False,
    start: Start = None,
    dialect: DialectName = None,
    json: Json = False,
) -> None:
    """Bring a store's tables up to date. Safe to run at once from anywhere, and again after any failure."""
    _refuse_contradictions(beforehand, rehearsal, _asks_for_sql(sql, dialect), start, every, backup)
    output = Output(json)
    options = {"lock_timeout": lock_timeout, "pooler": pooler, **Application.named(application, versions).options}
    if sql or dialect:
        from agno_store.cli.writing import written

        text = written(db_url, table, schema, options, dialect=dialect, start=start, to=to)
        output.document({"sql": text})
        output.text(text)
        return
    work = _Work(output, to, ddl_lock_timeout, backup, yes)
    do = work.plan if beforehand else work.rehearse if rehearsal else work.upgrade
    db = reachable(output, partial(opened, db_url, table, schema, **options), wait_for_db)
    with closing(db), failures.translated(db):
        if every:
            work.each(do, db, partial(opened, db_url, **options), schema)
        else:
            output.document(do(db))


def _asks_for_sql(sql: bool, dialect: str | None) -> str | None:
    return "--sql" if sql else "--dialect" if dialect is not None else None


def _refuse_contradictions(
    beforehand: bool, rehearsal: bool, sql: str | None, start: str | None, every: bool, backup: Path | None
) -> None:
    """Raise BadParameter for an option that would be passed over: who gave it meant something by it.

    ``sql`` is the option by which the SQL is asked for.
    """
    others = [name for name, given in (("--plan", beforehand), ("--rehearse", rehearsal)) if given]
    instead = others if sql is None else [sql, *others]
    if len(instead) > 1:
        raise typer.BadParameter(f"one at a time: {instead[0]} is given, too.", param_hint=instead[1])
    if start is not None and sql is None:
        raise typer.BadParameter("it is for --sql; an upgrade begins where the store is.", param_hint="--from")
    if every and sql is not None:
        raise typer.BadParameter(f"{sql} is for one store at a time: name it with --table.", param_hint="--all")
    if backup is not None and instead:
        raise typer.BadParameter(f"nothing is changed by {instead[0]}.", param_hint="--backup")
