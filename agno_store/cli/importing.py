"""What ``agno-store import`` does where the sessions are in agno's own tables: look, show, ask, take their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agno_store import engines
from agno_store.cli.options import Where
from agno_store.cli.render import Output
from agno_store.cli.reporting import confirm
from agno_store.dialects import parse_url
from agno_store.errors import InvalidArgument
from agno_store.names import DEFAULT

if TYPE_CHECKING:
    from agno_store import AgnoTables
    from agno_store.transfer.legacy import OldTable

PANEL = "From agno's own tables"

FromUrl = Annotated[
    str | None,
    typer.Option(
        "--from-url",
        envvar="AGNO_STORE_FROM_URL",
        show_default=False,
        help="The database that they are in; it is only read, unless they are replaced.",
        rich_help_panel=PANEL,
    ),
]
OldTables = Annotated[
    list[str] | None,
    typer.Option(
        "--from-table",
        help="A table of sessions; may be given several times. All that are found, without.",
        metavar="NAME",
        rich_help_panel=PANEL,
    ),
]
OldSchema = Annotated[
    str | None,
    typer.Option(
        "--from-schema",
        help="Where they are; without it the user's own schema is looked through, and ai.",
        metavar="NAME",
        rich_help_panel=PANEL,
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="Stop unless they are of this release: 1.x, 2.x, 3.x, or one kind of 1.x such as 1.x-team.",
        metavar="NAME",
        rich_help_panel=PANEL,
    ),
]
InPlace = Annotated[
    bool,
    typer.Option(
        "--in-place",
        help="Give the old table the name NAME_legacy, and the store its name, in the same database.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Asked:
    """Which tables are asked for, and what is to be done with them."""

    url: str | None
    tables: Sequence[str]
    schema: str | None
    layout: str | None
    in_place: bool
    plan: bool
    yes: bool

    def refuse_contradictions(self, file: str | None, db_url: str | None) -> None:
        """Raise BadParameter where it is not said where the sessions are, or twice, or an option is passed over."""
        if (file is None) == (self.url is None):
            raise typer.BadParameter("say where the sessions are: a file, or --from-url.", param_hint="FILE")
        if file is not None and (self.tables or self.schema or self.layout or self.in_place):
            raise typer.BadParameter("it is about agno's own tables, not about a file.", param_hint="--from-...")
        if self.in_place and db_url is not None and _database(db_url) != _database(str(self.url)):
            raise typer.BadParameter("the store comes into the database of --from-url.", param_hint="--db-url")
        if self.in_place and len(self.tables) > 1:
            raise typer.BadParameter("one table makes room for the store.", param_hint="--from-table")


def _database(url: str) -> str:
    return engines.place(*parse_url(url))


@contextmanager
def from_tables(output: Output, asked: Asked, where: Where) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Give the store and the old tables, shown and confirmed, and what programs are told of them.

    With ``in_place`` the store has taken the place of the table by then. Raises InvalidArgument for another layout
    than the one that was named, and AgnoStoreError where nobody has said yes.
    """
    from agno_store import AgnoTables
    from agno_store.transfer.legacy.in_place import found_in_place, refuse_taken, renamed, take_over
    from agno_store.transfer.legacy.source import SUFFIX

    with AgnoTables(str(asked.url), asked.tables, schema=asked.schema) as old:
        if not asked.in_place:
            found = old.found()
            with closing(where.opened()) as db:
                yield db, old, _agreed(output, asked, old, found, db)
            return
        one, done = found_in_place(old.source, asked.tables[0] if asked.tables else None)
        names = renamed(one) if not done else {one.name.removesuffix(SUFFIX): one.name}
        name = next(iter(names))
        if where.table not in (DEFAULT, name):
            raise InvalidArgument(f"--in-place gives the store the old table's name, and --table says {where.table}.")
        with closing(replace(where, db_url=where.db_url or asked.url, table=name, schema=one.schema).opened()) as db:
            if not done:
                refuse_taken(db, one)
            about = _agreed(output, asked, old, [one], db, renamed=names)
            if not done and not asked.plan:
                take_over(db, one)
            now = one.name if asked.plan else names.get(one.name, one.name)
            with AgnoTables(str(asked.url), [now], schema=one.schema) as moved:
                yield db, moved, about


def _agreed(
    output: Output, asked: Asked, old: AgnoTables, found: Sequence[OldTable], db: Any, **more: Any
) -> dict[str, Any]:
    """Show what was found, and ask whether that is meant; return what programs are told of it."""
    for each in found:
        name = each.layout.name
        if asked.layout not in (None, name, name.partition("-")[0]):
            raise InvalidArgument(f"{each} has {each.title}, and --layout says {asked.layout}. Nothing was written.")
    counts = [old.source.count(each) for each in found]
    rows = [(str(each), each.title, str(count)) for each, count in zip(found, counts, strict=True)]
    output.table("agno's tables", ("table", "layout", "sessions"), rows)
    for before, after in more.get("renamed", {}).items():
        output.line(f"  {before} will be called {after}", "yellow")
    if not asked.plan and not asked.yes:
        confirm(output, f"Import them into {db.names} in {db.db_url}?")
    about = zip(found, counts, strict=True)
    tables = [{"table": str(each), "layout": each.layout.name, "sessions": count} for each, count in about]
    return {"tables": tables, **more}
