"""``agno-store history``: the revisions, what a store knows of them, and a new one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agno_store import failures
from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.options import App, Json, SchemaName, TableName, Url, Versions, opened
from agno_store.cli.render import Output
from agno_store.errors import ConfigurationError
from agno_store.names import DEFAULT

if TYPE_CHECKING:
    from agno_store.migrations import Step
    from agno_store.migrations.chain import Chain

COLUMNS = ("revision", "what it brings", "state", "applied (UTC)", "by release", "took")

_ANEW = "A new revision"

New = Annotated[
    str | None,
    typer.Option(
        "--new",
        help="Write a revision that makes the tables what is declared. This says what it brings.",
        rich_help_panel=_ANEW,
        metavar="MESSAGE",
    ),
]
Empty = Annotated[
    bool, typer.Option("--empty", help="Write it without comparing, for you to fill.", rich_help_panel=_ANEW)
]


@app.command(epilog="Example:  agno-store history --db-url sqlite:///agents.db")
def history(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    application: App = None,
    versions: Versions = None,
    new: New = None,
    empty: Empty = False,
    json: Json = False,
) -> None:
    """Show the revisions, and which of them a store has; without --db-url just the list. Or write a new one."""
    from agno_store.migrations import Migrator, known

    output, added = Output(json), Application.named(application, versions, new=new is not None)
    if new is not None:
        _write(output, new, added, empty=empty)
        return
    if empty:
        raise typer.BadParameter("it is for --new.", param_hint="--empty")
    if db_url is None:
        _show(output, "Revisions of this release", known(added.versions), applied=False)
        return
    with closing(opened(db_url, table, schema, **added.options)) as db, failures.translated(db):
        _show(output, f"{db.names} at {db.db_url}", Migrator.of(db).history(), applied=True)


def _show(output: Output, title: str, steps: list[Step], *, applied: bool) -> None:
    documents = [_document(step, applied=applied) for step in steps]
    output.document(documents)
    rows = [[_cell(value) for value in document.values()] for document in documents]
    width = len(COLUMNS) if applied else 2
    output.table(title, COLUMNS[:width], [row[:width] for row in rows])


def _document(step: Step, *, applied: bool) -> dict[str, Any]:
    return {
        "revision": step.revision,
        "message": step.message,
        "state": None if not applied else "applied" if step.applied else "pending",
        "applied_at": None if step.applied_at is None else step.applied_at.isoformat(timespec="seconds"),
        "applied_by": step.applied_by,
        "seconds": step.seconds,
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f} s"
    return str(value or "").removesuffix("+00:00").replace("T", " ")


def _write(output: Output, message: str, added: Application, *, empty: bool) -> None:
    from agno_store.migrations.chain import Chain
    from agno_store.migrations.generate import generate

    _refuse_to_guess(added, empty=empty)
    path = generate(message, Chain(added.versions), added.extend, empty=empty)
    revision = None if path is None else _revision_in(path, Chain(added.versions))
    output.document({"revision": revision, "path": path and str(path)})
    if path is None:
        output.line("No changes detected: the revisions make what is declared. --empty writes one all the same.")
    elif added.versions is None:
        output.line(f"{path}: written. Add it to REVISIONS in agno_store/tables.py.", "green")
    else:
        output.line(f"{path}: written. Read it, then apply it with: agno-store upgrade", "green")


def _revision_in(path: Path, revisions: Chain) -> str:
    return next(str(script.revision) for script in revisions.every if Path(script.path) == path)


def _refuse_to_guess(added: Application, *, empty: bool) -> None:
    """Raise ConfigurationError where a new revision would go to the wrong place, or take away what is not declared."""
    from agno_store.migrations.scripts import folder, in_checkout

    if added.versions is None and added.declares:
        raise ConfigurationError(
            "Say where your application's revisions are: --versions FOLDER (AGNO_STORE_VERSIONS, or versions in "
            "[tool.agno-store] of pyproject.toml), or versions= of the store that --app names."
        )
    if added.versions is not None and not added.declares and not empty:
        raise ConfigurationError(
            "Say what your application declares: --app MODULE:OBJECT (AGNO_STORE_APP, or app in [tool.agno-store] of "
            "pyproject.toml). Without it all its columns would be taken for gone."
        )
    if added.versions is None and not in_checkout():
        raise ConfigurationError(
            f"A revision of agno_store's own would be written into the installed package, {folder()}. That is done in "
            "a checkout of its sources. For columns of your own: --app MODULE:OBJECT --versions FOLDER."
        )
