"""What the commands about sessions and runs share: how a store is found, looked at first, and read page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from agno_store import encoding, escapes, failures
from agno_store.cli import gathering
from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.options import App, Codec, Json, Pooler, SchemaName, TableName, Tenant, Url, Versions, among, opened
from agno_store.cli.render import Output
from agno_store.names import DEFAULT
from agno_store.plain import TAG
from agno_store.schema import MISSING

Lines = Annotated[bool, typer.Option("--jsonl", help="Answer with one JSON document in each line.")]
SessionId = Annotated[str, typer.Argument(help="The session's id.", metavar="SESSION")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-n",
        min=1,
        help="How many; without it 50, or all with --jsonl.",
        metavar="NUMBER",
        rich_help_panel="Pages",
    ),
]
After = Annotated[
    str | None,
    typer.Option(
        "--after", help="Go on where a page before has ended: its `next`.", metavar="PLACE", rich_help_panel="Pages"
    ),
]


def sorting(columns: Sequence[str]) -> Any:
    """Return the option that says by which of these columns a listing is sorted."""
    says = f"One of {', '.join(columns)}; the largest first."
    return typer.Option("--sort", help=says, metavar="COLUMN", autocompletion=among(*columns))


PAGE = 50
"""Rows of a page, and what is in memory at a time where all are asked for."""


@dataclass(frozen=True)
class Look:
    """A store that may be read, and where the answer goes."""

    db: Any
    output: Output

    def pages(self, fetch: Callable[..., Any], limit: int | None, after: str | None) -> Iterator[Any]:
        """Give page after page of a listing: one of ``limit``, or, for a program that reads lines, all."""
        if limit is not None or not self.output.in_lines:
            yield fetch(limit=limit or PAGE, after=after)
            return
        while True:
            page = fetch(limit=PAGE, after=after)
            yield page
            after = page.next
            if after is None:
                return


def _common(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    tenant: Tenant = None,
    application: App = None,
    versions: Versions = None,
    pooler: Pooler = None,
    codec: Codec = None,
    json: Json = False,
) -> None:
    """The options of every command about what is in a store."""


_COMMON = gathering.parameters(_common)


def command(
    group: typer.Typer, name: str, example: str, **groups: Callable[..., Any]
) -> Callable[[gathering.Command], gathering.Command]:
    """Register ``work(look, **options of its own)`` as a command, with the options that find a store.

    A store that this release does not work with, or that is not there, ends as ``check`` does, and is left alone.
    ``groups`` are further options that it shares with others, as ``gathered`` takes them.
    """

    def register(work: gathering.Command) -> gathering.Command:
        inner = gathering.gathered(**groups)(work)

        def called(**given: Any) -> None:
            common = {option.name: given.pop(option.name) for option in _COMMON}
            _look(inner, given, lines=given.pop("lines", False), **common)

        own = [option for option in gathering.parameters(inner) if option.name != "look"]
        group.command(name, epilog=f"Example:  {example}")(gathering.with_options(called, work, [*own, *_COMMON]))
        return work

    return register


def _look(
    work: Callable[..., None],
    given: dict[str, Any],
    *,
    lines: bool,
    db_url: str | None,
    table: str,
    schema: str | None,
    tenant: str | None,
    application: str | None,
    versions: Path | None,
    pooler: str | None,
    codec: str | None,
    json: bool,
) -> None:
    output, added = Output(json or lines, lines), Application.named(application, versions)
    options = {"pooler": pooler, "tenant_id": tenant, "codec": codec, **added.options}
    with closing(opened(db_url, table, schema, **options)) as db, failures.translated(db):
        status = db.schema_status()
        if status.state == MISSING:
            from agno_store.migrations import Migrator

            Migrator.of(db).refuse_foreign()
        status.raise_unless_usable()
        work(look=Look(db, output), **given)


def group(name: str, says: str) -> typer.Typer:
    """Return a group of commands of the program."""
    made = typer.Typer(
        help=says,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.add_typer(made, name=name)
    return made


# -- how it is shown ------------------------------------------------------------------------------


def told(seconds: Any) -> str:
    """Return a time as people read it, in UTC; whatever else is there as it is."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return "" if seconds is None else str(seconds)


def plain(value: Any) -> Any:
    """Return a payload as JSON can say it: what JSON lacks as it is stored, {"$agno_store": "set", ...}; marks, too."""
    if encoding.is_corrupt(value):
        return value
    if isinstance(value, dict) and TAG not in value and all(isinstance(key, str) for key in value):
        return {key: plain(inside) for key, inside in value.items()}
    return json.loads(escapes.unprotect(encoding.encode(value, "payload", [])))


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    amount, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
