"""The commands that keep a store tidy: prune, delete-user."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from agno_store.cli.ages import age
from agno_store.cli.app import app
from agno_store.cli.gathering import gathered
from agno_store.cli.options import Json, Where, Yes
from agno_store.cli.render import Output, counted
from agno_store.cli.reporting import confirm, rows_of, watched
from agno_store.cli.which import User
from agno_store.counts import Removed
from agno_store.errors import AgnoStoreError

Age = Annotated[
    str, typer.Option("--older-than", help="How long nothing has happened: 90d, 12h, 30m, 2w.", metavar="AGE")
]
KeepLast = Annotated[
    int | None,
    typer.Option("--keep-last", min=0, help="Keep each user's newest ones, whatever their age.", metavar="N"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count what would be deleted, and delete nothing.")]
Vacuum = Annotated[
    bool, typer.Option("--vacuum", help="Then give the room back, and with it the bytes that were in it.")
]


@dataclass(frozen=True)
class How:
    """What both commands do beside choosing what goes."""

    dry_run: DryRun = False
    vacuum: Vacuum = False
    yes: Yes = False

    def refuse_contradictions(self) -> None:
        """Raise BadParameter for an option that would be passed over."""
        if self.dry_run and self.vacuum:
            raise typer.BadParameter("nothing is deleted by --dry-run.", param_hint="--vacuum")


@app.command(epilog="Example:  agno-store prune --db-url sqlite:///agents.db --older-than 90d --dry-run")
@gathered(where=Where, how=How)
def prune(
    *, older_than: Age, where: Where, user: User = None, keep_last: KeepLast = None, how: How, json: Json = False
) -> None:
    """Delete the sessions in which nothing has happened for so long. May be interrupted, and run again."""
    rest = age(older_than, "--older-than")

    def remove(db: Any, **more: Any) -> Any:
        return db.prune(rest, keep_last=keep_last, user_id=user, **more)

    _remove(Output(json), where, how, remove)


@app.command("delete-user", epilog="Example:  agno-store delete-user mallory --db-url sqlite:///agents.db --dry-run")
@gathered(where=Where, how=How)
def delete_user(
    user: Annotated[str, typer.Argument(help="The user_id.", metavar="USER")],
    where: Where,
    how: How,
    json: Json = False,
) -> None:
    """Delete all that is a user's: sessions, and runs in other sessions. May be interrupted, and run again."""
    _remove(Output(json), where, how, lambda db, **more: db.delete_user(user, **more))


def _remove(output: Output, where: Where, how: How, remove: Callable[..., Removed]) -> None:
    """Say what goes, ask, and let it go."""
    how.refuse_contradictions()
    with closing(where.opened()) as db:
        db.schema_status().raise_unless_usable()  # or else to use it would make it
        planned = remove(db, dry_run=True)
        if how.dry_run:
            _answer(output, db, planned)
            return
        if planned.rows and not how.yes:
            confirm(output, f"Delete {rows_of(planned)} of {db.names}?")
        done = watched(output, db, ("deleting", "deleted"), partial(remove, db), Removed(), planned.rows)
        if how.vacuum:
            _vacuum(output, db, done)
        _answer(output, db, done, vacuumed=how.vacuum)


def _vacuum(output: Output, db: Any, removed: Removed) -> None:
    try:
        db.vacuum()
    except AgnoStoreError:
        output.note(f"{db.names}: {rows_of(removed)} deleted; what they took is not given back.")
        raise


def _answer(output: Output, db: Any, removed: Removed, **more: Any) -> None:
    output.document({"store": str(db.names), **removed._asdict(), **more})
    verb = "would be deleted" if removed.dry_run else "deleted"
    output.line(f"{db.names}: {rows_of(removed)} {verb}", None if removed.dry_run else "green")
    if removed.kept:
        output.line(f"  {counted(removed.kept, 'session')} kept, because something happened there meanwhile")
