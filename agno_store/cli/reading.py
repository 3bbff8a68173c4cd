"""What the commands about sessions and runs share: how a store is found, looked at first, and read page by page."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from agno_store import encoding, escapes, failures
from agno_store.cli.ages import moment
from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.options import App, Json, Pooler, SchemaName, TableName, Tenant, Url, Versions, opened
from agno_store.cli.render import Output
from agno_store.errors import InvalidArgument
from agno_store.migrations import Migrator
from agno_store.names import DEFAULT
from agno_store.schema import MISSING

_STORE, _FILTERS, _PAGES = "The store", "Which", "Pages"

Lines = Annotated[bool, typer.Option("--jsonl", help="Answer with one JSON document in each line.")]
SessionId = Annotated[str, typer.Argument(help="The session's id.", metavar="SESSION")]
User = Annotated[str | None, typer.Option("--user", help="Of this user.", metavar="ID", rich_help_panel=_FILTERS)]
Agent = Annotated[str | None, typer.Option("--agent", help="Of this agent.", metavar="ID", rich_help_panel=_FILTERS)]
Team = Annotated[str | None, typer.Option("--team", help="Of this team.", metavar="ID", rich_help_panel=_FILTERS)]
Workflow = Annotated[
    str | None, typer.Option("--workflow", help="Of this workflow.", metavar="ID", rich_help_panel=_FILTERS)
]
Type = Annotated[
    str | None,
    typer.Option("--type", help="agent, team or workflow.", metavar="TYPE", rich_help_panel=_FILTERS),
]
NewerThan = Annotated[
    str | None,
    typer.Option(
        "--newer-than", help="Made since then: 36h, 90d, 2026-01-31.", metavar="AGE", rich_help_panel=_FILTERS
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", help="Made before: 36h, 90d, 2026-01-31.", metavar="AGE", rich_help_panel=_FILTERS),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-n",
        min=1,
        help="How many; without it 50, or all with --jsonl.",
        metavar="NUMBER",
        rich_help_panel=_PAGES,
    ),
]
After = Annotated[
    str | None,
    typer.Option(
        "--after", help="Go on where a page before has ended: its `next`.", metavar="PLACE", rich_help_panel=_PAGES
    ),
]

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
    json: Json = False,
) -> None:
    """The options of every command about what is in a store."""


_COMMON = inspect.signature(_common, eval_str=True).parameters


def command(group: typer.Typer, name: str, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register ``work(look, **options of its own)`` as a command, with the options that find a store.

    A store that this release does not work with, or that is not there, ends as ``check`` does, and is left alone.
    """

    def register(work: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]

        def called(**given: Any) -> None:
            common = {option: given.pop(option) for option in _COMMON}
            _look(work, given, lines=given.pop("lines", False), **common)

        parameters = [*own, *_COMMON.values()]
        called.__name__, called.__doc__ = work.__name__, work.__doc__
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        called.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
        group.command(name, epilog=f"Example:  {example}")(called)
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
    json: bool,
) -> None:
    output, added = Output(json or lines, lines), Application.named(application, versions)
    options = {"pooler": pooler, "tenant_id": tenant, **added.options}
    with closing(opened(db_url, table, schema, **options)) as db, failures.translated(db):
        status = db.schema_status()
        if status.state == MISSING:
            Migrator.of(db).refuse_foreign()
        status.raise_unless_usable()
        work(Look(db, output), **given)


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


# -- what is asked for ----------------------------------------------------------------------------


def filters(
    user: str | None,
    agent: str | None,
    team: str | None,
    workflow: str | None,
    kind: str | None,
    newer_than: str | None,
    older_than: str | None,
) -> dict[str, Any]:
    """Return what ``get_sessions`` and ``search`` are to look for.

    Raises InvalidArgument where two components are named, or one of another type.
    """
    components = {"agent": agent, "team": team, "workflow": workflow}
    named = {each: value for each, value in components.items() if value is not None}
    if len(named) > 1:
        raise InvalidArgument(f"--{' and --'.join(named)}: a session is of one of them. Name one.")
    of = next(iter(named), None)
    if of is not None and kind not in (None, of):
        raise InvalidArgument(f"--{of} is of sessions of that type, not of --type {kind}.")
    since, before = moment(newer_than, "--newer-than"), moment(older_than, "--older-than")
    return {
        "session_type": of or kind,
        "user_id": user,
        "component_id": next(iter(named.values()), None),
        "start_timestamp": None if since is None else int(since),
        "end_timestamp": None if before is None else int(before) - 1,
    }


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
    if isinstance(value, dict) and encoding.TAG not in value and all(isinstance(key, str) for key in value):
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
