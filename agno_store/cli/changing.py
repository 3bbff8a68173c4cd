"""The commands that change a store besides upgrade: downgrade, stamp, backfill."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agno_store import failures
from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.options import (
    PLACES,
    App,
    Json,
    LockTimeout,
    Pooler,
    Revision,
    SchemaName,
    TableName,
    Url,
    Versions,
    Yes,
    opened,
)
from agno_store.cli.render import Output, counted
from agno_store.cli.reporting import changed, confirm, reporting, say_changed
from agno_store.dialects.locks import BATCH
from agno_store.names import DEFAULT
from agno_store.schema import SchemaStatus

if TYPE_CHECKING:
    from agno_store.migrations import Migrator
    from agno_store.migrations.plan import PlannedStep


@app.command(epilog="Example:  agno-store downgrade --to 0002 --yes")
def downgrade(
    to: Revision,
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    application: App = None,
    versions: Versions = None,
    lock_timeout: LockTimeout = 60.0,
    pooler: Pooler = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take revisions back. What their tables hold is lost: it says what, and asks first."""
    from agno_store.migrations import Migrator

    output, added = Output(json), Application.named(application, versions)
    db = opened(db_url, table, schema, lock_timeout=lock_timeout, pooler=pooler, **added.options)
    with closing(db), failures.translated(db):
        migrator = Migrator.of(db)
        before = db.schema_status()
        lost = migrator.lost_by_downgrade(to)
        for name, count in lost.items():
            output.line(f"  {name} goes, and {counted(count, 'row')} with it", "yellow")
        besides = [step.loses for step in _planned(migrator, to) if step.loses and step.table not in lost]
        for loss in besides:
            output.line(f"  lost for good: {loss}", "yellow")
        if (lost or besides) and not yes:
            confirm(output, f"Downgrade {db.names}?")
        steps: list[dict[str, Any]] = []
        migrator.downgrade(to, reporting(output, steps, "taken back"))
        _answer(output, before, db.schema_status(), steps, lost=lost, lost_besides=besides)


@app.command(epilog="Example:  agno-store stamp 0003")
def stamp(
    revision: Annotated[
        str,
        typer.Argument(help="The revision that the tables are at, or head.", metavar="REVISION", autocompletion=PLACES),
    ],
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    application: App = None,
    versions: Versions = None,
    lock_timeout: LockTimeout = 60.0,
    pooler: Pooler = None,
    json: Json = False,
) -> None:
    """Record which revision the tables are at, for tables made by other means. Refuses if they are not."""
    from agno_store.migrations import Migrator

    output, added = Output(json), Application.named(application, versions)
    db = opened(db_url, table, schema, lock_timeout=lock_timeout, pooler=pooler, **added.options)
    with closing(db), failures.translated(db):
        before = db.schema_status()
        Migrator.of(db).stamp(revision)
        _answer(output, before, db.schema_status(), [])


@app.command("backfill", epilog="Example:  agno-store backfill --db-url sqlite:///agents.db --pause 0.1")
def fill(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    application: App = None,
    versions: Versions = None,
    lock_timeout: LockTimeout = 60.0,
    pooler: Pooler = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows in one transaction.", metavar="ROWS")] = BATCH,
    pause: Annotated[
        float, typer.Option("--pause", min=0, help="Seconds to rest between two of them.", metavar="SECONDS")
    ] = 0.0,
    json: Json = False,
) -> None:
    """Fill the rows that upgraded revisions left for later. May be interrupted, and goes on where it was."""
    from agno_store.migrations import Migrator
    from agno_store.migrations.backfill import pending, run

    output, added = Output(json), Application.named(application, versions)
    db = opened(db_url, table, schema, lock_timeout=lock_timeout, pooler=pooler, **added.options)
    with closing(db), failures.translated(db):
        migrator, done = Migrator.of(db), []
        for found in pending(migrator):
            with output.progress(f"{found.revision} {found.message}", found.rows, found.done) as advance:
                rows = run(migrator, found.revision, batch=batch, pause=pause, on_progress=advance)
            done.append({"revision": found.revision, "message": found.message, "rows": rows})
            output.line(f"  {found.revision}  {found.message}: {rows} rows of {found.table} filled", "green")
    output.document({"backfills": done})
    if not done:
        output.line("No backfill is pending.", "green")


def _planned(migrator: Migrator, to: str) -> list[PlannedStep]:
    """Return the steps of a downgrade."""
    from agno_store.migrations.plan import plan

    if not migrator.dialect.is_there(migrator.engine.url):
        return []
    wanted, position = migrator.chain.resolve(to, up=False), migrator.position()
    with migrator.dialect.connected(migrator.engine) as connection:
        planned = plan(connection, migrator.names, migrator.chain, position, wanted, migrator.dialect, up=False)
    return [step for revision in planned for step in revision.steps]


def _answer(
    output: Output, before: SchemaStatus, after: SchemaStatus, steps: list[dict[str, Any]], **more: Any
) -> None:
    output.document({**changed(before, after, steps), **more})
    say_changed(output, before, after)
