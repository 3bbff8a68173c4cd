"""The commands that say where a store stands: check, current."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from agno_store import failures
from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.exits import Exit, code_of, code_of_state
from agno_store.cli.options import App, Every, Json, Pooler, SchemaName, TableName, Url, Versions, opened
from agno_store.cli.render import Output
from agno_store.cli.waiting import settled
from agno_store.errors import AgnoStoreError
from agno_store.names import DEFAULT, Names
from agno_store.schema import IN_STEP, MISSING, SchemaStatus, lacking

Drift = Annotated[bool, typer.Option("--drift", envvar="AGNO_STORE_DRIFT", help="Compare every column and index, too.")]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        envvar="AGNO_STORE_WAIT",
        min=0,
        help="Seconds to wait until the store is ready, for instance because another job upgrades it.",
        metavar="SECONDS",
    ),
]
ForRelease = Annotated[
    str | None,
    typer.Option("--for", help="Tell whether that release of agno_store could work with it.", metavar="RELEASE"),
]


@app.command(epilog="Example:  agno-store check --db-url sqlite:///agents.db --wait 60 && start-the-app")
def check(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    application: App = None,
    versions: Versions = None,
    pooler: Pooler = None,
    drift: Drift = False,
    wait: Wait = 0.0,
    release: ForRelease = None,
    json: Json = False,
) -> None:
    """Tell by the exit code whether a store is one that this release works with. Writes nothing."""
    output, added = Output(json), Application.named(application, versions)
    with closing(opened(db_url, table, schema, pooler=pooler, **added.options)) as db, failures.translated(db):
        if release is not None:
            raise typer.Exit(_for_release(output, db, release))
        status = settled(db.schema_status, wait)
        differences = _looked_at(db, status, drift=drift)
        code = Exit.DRIFTED if differences else _code(status)
        output.document({**status.to_dict(), "differences": differences, "exit_code": int(code)})
        _say_status(output, status, drifted=bool(differences))
        for difference in differences:
            output.line(f"  drifted: {difference}", "yellow")
        if differences:
            from agno_store.migrations.cures import mending

            output.note(mending(db.names, status.url))
        _say_what_to_do(output, status)
    raise typer.Exit(code)


def _looked_at(db: Any, status: SchemaStatus, *, drift: bool) -> list[str]:
    """Return which tables are missing, or all that differs. Raises SchemaConflict where they are somebody else's."""
    if status.state != MISSING and not (drift and status.in_step):  # as in a start script: not to wait for Alembic
        gone = lacking(db.db_engine, db.dialect, db.names) if status.usable else []
        return [f"table {table} is missing" for table in gone]
    from agno_store.migrations import Migrator

    migrator = Migrator.of(db)
    if status.state == MISSING:
        migrator.refuse_foreign()
        return []
    return migrator.drift()


@app.command(epilog="Example:  agno-store current --all --json")
def current(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    application: App = None,
    versions: Versions = None,
    pooler: Pooler = None,
    every: Every = False,
    json: Json = False,
) -> None:
    """Show which revision a store is at. Writes nothing; exits 0 wherever it stands."""
    output, added = Output(json), Application.named(application, versions)
    with closing(opened(db_url, table, schema, pooler=pooler, **added.options)) as db, failures.translated(db):
        if not every:
            status = db.schema_status()
            output.document(status.to_dict())
            _say_status(output, status)
            return
        from agno_store.migrations.stores import stores

        everywhere = stores(db.db_engine, db.dialect, schema)
        if not everywhere:
            output.line(f"No store was found in {db.db_url}", "yellow")
        _say_each(output, [opened(db_url, n.sessions, n.schema, pooler=pooler, **added.options) for n in everywhere])


def _say_each(output: Output, dbs: list[Any]) -> None:
    """Show where each store is; one that cannot be looked into does not keep the others from it."""
    answers, failure = list[dict[str, Any]](), Exit.IN_STEP
    for db in dbs:
        try:
            with closing(db):
                status = db.schema_status()
            answers.append(status.to_dict())
            _say_status(output, status)
        except AgnoStoreError as error:
            failure = failure or code_of(error)
            answers.append({"table": db.table_name, "schema": db.db_schema, **output.error(error, code_of(error))})
            output.complaint(error)
    output.document({"stores": answers})
    if failure:
        raise typer.Exit(failure)


def _code(status: SchemaStatus) -> Exit:
    return code_of_state(IN_STEP if status.usable else status.state)


def _for_release(output: Output, db: Any, release: str) -> Exit:
    from agno_store.migrations import Migrator

    status = Migrator.of(db).status_for(release)
    code = _code(status)
    output.document({**status.to_dict(), "exit_code": int(code)})
    needs = "can work with it" if status.usable else f"cannot: the store is {status.state}"
    output.line(f"{db.names} is at {status.current or 'nothing'}; release {release} {needs}")
    return code


def _say_status(output: Output, status: SchemaStatus, *, drifted: bool = False) -> None:
    where = "has no tables yet" if status.state == MISSING else f"is at {status.current}, {status.state}"
    if status.usable and not status.in_step:
        where += " of this release, which works with it"
    if drifted:
        where = f"is recorded at {status.current}, but its tables are others"
    behind = f"; pending: {', '.join(status.pending)}" if status.pending else ""
    style = "green" if status.usable and not drifted else "yellow"
    output.line(f"{Names(status.table, status.schema)} {where}{behind}", style)


def _say_what_to_do(output: Output, status: SchemaStatus) -> None:
    try:
        status.raise_unless_usable()
    except AgnoStoreError as error:
        output.note(str(error))
