"""The commands that bring sessions from one place to another: export, import, copy."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from agno_store.cli.app import app
from agno_store.cli.exits import Exit
from agno_store.cli.gathering import gathered
from agno_store.cli.importing import Asked, InPlace, LayoutName, OldSchema, OldTables, from_tables
from agno_store.cli.importing import FromUrl as OldUrl
from agno_store.cli.options import Json, Where, Yes, is_given, opened
from agno_store.cli.render import Output, counted, is_stdout, of_each
from agno_store.cli.which import to_bring
from agno_store.names import DEFAULT

if TYPE_CHECKING:
    from agno_store.transfer import Counts, Exported, Problem, Transferred

STREAM = "-"
"""What stands for stdout or stdin in the place of a file."""

_SHOWN = 20
"""How many problems are said to people; programs get them all."""

Plan = Annotated[bool, typer.Option("--plan", help="Say what would be stored, and store nothing.")]
Verify = Annotated[bool, typer.Option("--verify", help="Read both again afterwards, and compare what they say.")]


@dataclass(frozen=True)
class How:
    """What import and copy do beside storing."""

    plan: Plan = False
    verify: Verify = False

    def refuse_contradictions(self, file: str | None = None) -> None:
        """Raise BadParameter for an option that would be passed over."""
        if self.plan and self.verify:
            raise typer.BadParameter("nothing is stored by --plan that could be compared.", param_hint="--verify")
        if self.verify and file == STREAM:
            raise typer.BadParameter("what came from stdin cannot be read again: give a file.", param_hint="--verify")


@app.command(epilog="Example:  agno-store export sessions.jsonl.gz --newer-than 30d")
@gathered(where=Where, which=to_bring)
def export(
    file: Annotated[str, typer.Argument(help="Where to; packed where it ends in .gz; - for stdout.", metavar="FILE")],
    where: Where,
    which: dict[str, Any],
    context: typer.Context,
    json: Json = False,
) -> None:
    """Write sessions with their runs and summaries into a file, one line of JSON each."""
    file = STREAM if is_stdout(file) else file
    if file == STREAM and is_given(context, "json"):
        raise typer.BadParameter("the sessions are the answer already: give a file.", param_hint="--json")
    output = Output(json and file != STREAM)
    with closing(where.opened()) as db, output.progress(str(db.names), None, 0) as watch:
        done = db.export(output.bytes if file == STREAM else file, watch=watch, **which)
    said = f"{of_each(done.sessions, done.runs, done.summaries)} written"
    if file == STREAM:
        output.note(said)
    else:
        output.line(f"{file}: {said}", "green")
    _end(output, done)


@app.command("import", epilog="Example:  agno-store import sessions.jsonl.gz --db-url sqlite:///agents.db --verify")
@gathered(where=Where, which=to_bring, how=How)
def bring_in(
    *,
    file: Annotated[
        str | None, typer.Argument(help="A file that export has written; - for stdin.", metavar="FILE")
    ] = None,
    from_url: OldUrl = None,
    from_table: OldTables = None,
    from_schema: OldSchema = None,
    layout: LayoutName = None,
    in_place: InPlace = False,
    where: Where,
    which: dict[str, Any],
    how: How,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Store the sessions of a file, or of agno's own tables. What is there and as new stays; may be run again."""
    how.refuse_contradictions(file)
    asked = Asked(from_url, from_table or [], from_schema, layout, in_place, how.plan, yes)
    asked.refuse_contradictions(file, where.db_url)
    output = Output(json)
    if file is None:
        with from_tables(output, asked, where) as (db, source, about):
            _bring(output, db, source, how, which, **about)
    with closing(where.opened()) as db:
        _bring(output, db, output.given if file == STREAM else str(file), how, which)


FromUrl = Annotated[
    str | None,
    typer.Option(
        "--from-url", "--db-url", envvar="AGNO_STORE_DB_URL", show_default=False, help="The database to copy from."
    ),
]
FromTable = Annotated[
    str,
    typer.Option("--from-table", "--table", envvar="AGNO_STORE_TABLE", help="Its table_name.", metavar="NAME"),
]
FromSchema = Annotated[
    str | None,
    typer.Option("--from-schema", "--schema", envvar="AGNO_STORE_SCHEMA", help="Its db_schema.", metavar="NAME"),
]
FromTenant = Annotated[
    str | None, typer.Option("--from-tenant", "--tenant", help="The tenant whose sessions to copy.", metavar="ID")
]
ToUrl = Annotated[
    str,
    typer.Option("--to-url", envvar="AGNO_STORE_TO_URL", show_default=False, help="The database to copy to."),
]
ToTable = Annotated[str, typer.Option("--to-table", help="Its table_name.", metavar="NAME")]
ToSchema = Annotated[str | None, typer.Option("--to-schema", help="Its db_schema.", metavar="NAME")]
ToTenant = Annotated[str | None, typer.Option("--to-tenant", help="The tenant to copy them to.", metavar="ID")]
# From the command line alone: what else is set for all commands would have what is sealed copied in the clear.
FromCodec = Annotated[
    str | None,
    typer.Option(
        "--from-codec",
        help="The codec that opens what is stored there; without, it is copied as it stands.",
        metavar="MODULE:OBJECT",
    ),
]
ToCodec = Annotated[
    str | None,
    typer.Option("--to-codec", help="The codec to seal it with.", metavar="MODULE:OBJECT"),
]


@app.command(epilog="Example:  agno-store copy --from-url sqlite:///agents.db --to-url postgresql://ai:ai@host/ai")
@gathered(which=to_bring, how=How)
def copy(
    *,
    to_url: ToUrl,
    db_url: FromUrl = None,
    table: FromTable = DEFAULT,
    schema: FromSchema = None,
    tenant: FromTenant = None,
    from_codec: FromCodec = None,
    to_table: ToTable = DEFAULT,
    to_schema: ToSchema = None,
    to_tenant: ToTenant = None,
    to_codec: ToCodec = None,
    which: dict[str, Any],
    how: How,
    json: Json = False,
) -> None:
    """Copy sessions from one store to another. What is there and as new stays; may be run again after any failure."""
    how.refuse_contradictions()
    output = Output(json)
    at, to = (db_url, table, schema), (to_url, to_table, to_schema)
    with (
        closing(opened(*at, tenant_id=tenant, codec=from_codec, codec_option="--from-codec")) as source,
        closing(opened(*to, tenant_id=to_tenant, codec=to_codec, codec_option="--to-codec")) as target,
    ):
        _bring(output, target, source, how, which)


def _bring(output: Output, target: Any, source: Any, how: How, which: dict[str, Any], **about: Any) -> NoReturn:
    """Store what a source has, say what came of it, and exit with what that means."""
    with output.progress(str(target.names), None, 0) as watch:
        done: Transferred = target.import_from(source, plan=how.plan, verify=how.verify, watch=watch, **which)
    would = " (a plan: nothing was stored)" if how.plan else ""
    for name, counts in (("sessions", done.sessions), ("runs", done.runs), ("summaries", done.summaries)):
        output.line(f"  {name}: {_said(counts)}{would}")
    if done.verified is not None:
        output.line(f"  {counted(done.verified, 'session')} compared", "green" if done.complete else None)
    _end(output, done, **about)


def _said(counts: Counts) -> str:
    return f"{counts.inserted} new, {counts.updated} replaced by a newer one, {counts.kept} there already"


def _end(output: Output, done: Exported | Transferred, **about: Any) -> NoReturn:
    """Say what was left out, and exit with what that means."""
    code = Exit.IN_STEP if done.complete else Exit.FAILED
    output.document({**done.to_dict(), **about, "exit_code": int(code)})
    _say_problems(output, done.problems)
    raise typer.Exit(code)


def _say_problems(output: Output, problems: list[Problem]) -> None:
    for problem in problems[:_SHOWN]:
        output.note(f"left out: {problem}")
    if len(problems) > _SHOWN:
        output.note(f"and {len(problems) - _SHOWN} more, which --json lists")
