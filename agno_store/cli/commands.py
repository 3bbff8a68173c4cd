"""The commands of ``agno-store``."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated, Any

import typer

from agno_store import __version__, failures, open_db
from agno_store.cli import settings
from agno_store.cli.exits import Exit, code_of_state
from agno_store.cli.render import JSON_VARIABLE, Output
from agno_store.errors import AgnoStoreError
from agno_store.migrations import Migrator, Step
from agno_store.names import DEFAULT, Names
from agno_store.schema import MISSING, SchemaStatus

EPILOG = "Exit codes: 0 in step, 1 failed, 2 usage, 3 behind, 4 ahead, 5 drifted, 6 locked, 7 unreachable."

app = typer.Typer(
    name="agno-store",
    help="Look after the tables that keep the sessions, runs and summaries of your agents.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Url = Annotated[
    str | None,
    typer.Option(
        "--db-url",
        envvar="AGNO_STORE_DB_URL",
        show_default=False,  # it may stand in pyproject.toml, with its password
        help="The database: sqlite:///agents.db, postgresql://user:password@host/db, mysql://user:password@host/db.",
    ),
]
TableName = Annotated[
    str, typer.Option("--table", envvar="AGNO_STORE_TABLE", help="The store's table_name.", metavar="NAME")
]
SchemaName = Annotated[
    str | None,
    typer.Option("--schema", envvar="AGNO_STORE_SCHEMA", help="The store's db_schema.", metavar="NAME"),
]
LockTimeout = Annotated[
    float,
    typer.Option(
        "--lock-timeout",
        envvar="AGNO_STORE_LOCK_TIMEOUT",
        min=0,
        help="Seconds to wait for another upgrade.",
        metavar="SECONDS",
    ),
]
Json = Annotated[bool, typer.Option("--json", envvar=JSON_VARIABLE, help="Answer with one JSON document.")]
Revision = Annotated[str, typer.Option("--to", envvar="AGNO_STORE_TO", help="A revision, head or base.", metavar="REV")]

Drift = Annotated[bool, typer.Option("--drift", envvar="AGNO_STORE_DRIFT", help="Compare every column and index, too.")]


def _version(wanted: bool) -> None:
    if wanted:
        Output().line(f"agno-store {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options may also stand in AGNO_STORE_... variables, or in [tool.agno-store] of pyproject.toml."""
    options = settings.from_pyproject()
    group: Any = context.command
    context.default_map = dict.fromkeys(group.commands, options)


@app.command(epilog="Example:  agno-store upgrade --db-url sqlite:///agents.db")
def upgrade(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    lock_timeout: LockTimeout = 60.0,
    to: Revision = "head",
    json: Json = False,
) -> None:
    """Bring a store's tables up to date. Safe to run at once from anywhere, and again after any failure."""
    output = Output(json)
    with closing(_open(db_url, table, schema, lock_timeout)) as db, failures.translated(db):
        before = db.schema_status()
        steps: list[dict[str, Any]] = []
        Migrator.of(db).upgrade(to, _reporting(output, steps, "applied"))
        _report_change(output, before, db.schema_status(), steps)


@app.command(epilog="Example:  agno-store check --db-url sqlite:///agents.db && start-the-app")
def check(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    drift: Annotated[
        bool, typer.Option("--drift", envvar="AGNO_STORE_DRIFT", help="Compare every column and index, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell by the exit code whether a store is the one this release works with. Writes nothing."""
    output = Output(json)
    with closing(_open(db_url, table, schema)) as db, failures.translated(db):
        status = db.schema_status()
        if status.state == MISSING:
            Migrator.of(db).refuse_foreign()
        differences = Migrator.of(db).drift() if drift and status.in_step else []
        code = Exit.DRIFTED if differences else code_of_state(status.state)
        output.document({**status.to_dict(), "differences": differences, "exit_code": int(code)})
        _say_status(output, status)
        for difference in differences:
            output.line(f"  drifted: {difference}", "yellow")
        if not status.in_step:
            _say_what_to_do(output, status)
    raise typer.Exit(code)


@app.command(epilog="Example:  agno-store current --json")
def current(db_url: Url = None, table: TableName = DEFAULT, schema: SchemaName = None, json: Json = False) -> None:
    """Show which revision a store is at. Writes nothing; exits 0 wherever it stands."""
    output = Output(json)
    with closing(_open(db_url, table, schema)) as db:
        status = db.schema_status()
        output.document(status.to_dict())
        _say_status(output, status)


@app.command(epilog="Example:  agno-store history --db-url sqlite:///agents.db")
def history(db_url: Url = None, table: TableName = DEFAULT, schema: SchemaName = None, json: Json = False) -> None:
    """Show the revisions, and which of them a store has. Writes nothing; without --db-url just the list."""
    output = Output(json)
    if db_url is None:
        title, steps = "Revisions of this release", Migrator.known()
    else:
        with closing(_open(db_url, table, schema)) as db, failures.translated(db):
            title, steps = f"{db.names} at {db.db_url}", Migrator.of(db).history()
    states = [None if db_url is None else "applied" if step.applied else "pending" for step in steps]
    output.document(
        [
            {"revision": step.revision, "message": step.message, "state": state}
            for step, state in zip(steps, states, strict=True)
        ]
    )
    columns = ("revision", "what it brings", "state")[: None if db_url else 2]
    rows = [(step.revision, step.message, state or "") for step, state in zip(steps, states, strict=True)]
    output.table(title, columns, [row[: len(columns)] for row in rows])


@app.command(epilog="Example:  agno-store downgrade --to 0002 --yes")
def downgrade(
    to: Revision,
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    lock_timeout: LockTimeout = 60.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="AGNO_STORE_YES", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take revisions back. What their tables hold is lost: it says what, and asks first."""
    output = Output(json)
    with closing(_open(db_url, table, schema, lock_timeout)) as db, failures.translated(db):
        migrator = Migrator.of(db)
        before = db.schema_status()
        lost = migrator.lost_by_downgrade(to)
        for name, count in lost.items():
            output.line(f"  {name} goes, and {count} row{'' if count == 1 else 's'} with it", "yellow")
        if lost and not yes:
            _confirm(output, db.names)
        steps: list[dict[str, Any]] = []
        migrator.downgrade(to, _reporting(output, steps, "taken back"))
        _report_change(output, before, db.schema_status(), steps, lost=lost)


@app.command(epilog="Example:  agno-store stamp 0003")
def stamp(
    revision: Annotated[str, typer.Argument(help="The revision that the tables are at, or head.")],
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    lock_timeout: LockTimeout = 60.0,
    json: Json = False,
) -> None:
    """Record which revision the tables are at, for tables made by other means. Refuses if they are not."""
    output = Output(json)
    with closing(_open(db_url, table, schema, lock_timeout)) as db, failures.translated(db):
        before = db.schema_status()
        Migrator.of(db).stamp(revision)
        _report_change(output, before, db.schema_status(), [])


def _open(db_url: str | None, table: str, schema: str | None, lock_timeout: float = 60.0) -> Any:
    if not db_url:
        raise typer.BadParameter(
            "say which database: --db-url, AGNO_STORE_DB_URL, or db-url in [tool.agno-store] of pyproject.toml.",
            param_hint="--db-url",
        )
    return open_db(db_url, table_name=table, db_schema=schema, lock_timeout=lock_timeout)


def _reporting(output: Output, steps: list[dict[str, Any]], verb: str) -> Any:
    def report(step: Step, seconds: float) -> None:
        steps.append({"revision": step.revision, "message": step.message, "seconds": round(seconds, 3)})
        output.line(f"  {step.revision}  {step.message}: {verb} in {seconds:.2f} s")

    return report


def _report_change(
    output: Output, before: SchemaStatus, after: SchemaStatus, steps: list[dict[str, Any]], **more: Any
) -> None:
    output.document({**after.to_dict(), "from": before.current, "to": after.current, "steps": steps, **more})
    was, now = (status.current or "no tables" for status in (before, after))
    name = str(Names(after.table, after.schema))
    stays = f"{name} is at {now} already" if after.current else f"{name} has no tables"
    output.line(f"{name}: {was} -> {now}" if was != now else stays, "green")


def _say_status(output: Output, status: SchemaStatus) -> None:
    where = "has no tables yet" if status.state == MISSING else f"is at {status.current}, {status.state}"
    behind = f"; pending: {', '.join(status.pending)}" if status.pending else ""
    output.line(f"{Names(status.table, status.schema)} {where}{behind}", "green" if status.in_step else "yellow")


def _say_what_to_do(output: Output, status: SchemaStatus) -> None:
    try:
        status.raise_unless_in_step()
    except AgnoStoreError as error:
        output.err.print(str(error), markup=False)


def _confirm(output: Output, names: Names) -> None:
    if output.as_json or not sys.stdin.isatty():
        raise AgnoStoreError("Nothing was changed. Add --yes to do it without being asked.")
    if not typer.confirm(f"Downgrade {names}?", default=False):
        raise AgnoStoreError("Nothing was changed.")
