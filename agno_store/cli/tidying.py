"""The commands that keep a store tidy: prune, delete-user."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

import typer

from agno_store.cli.app import app
from agno_store.cli.gathering import gathered
from agno_store.cli.options import Json, Where, Yes
from agno_store.cli.render import Output, counted, of_each
from agno_store.cli.reporting import confirm
from agno_store.cli.which import User
from agno_store.errors import AgnoStoreError
from agno_store.records import Removed

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


@app.command(epilog="Example:  agno-store prune --db-url sqlite:///agents.db --older-than 90d --dry-run")
@gathered(where=Where)
def prune(
    older_than: Age,
    where: Where,
    user: User = None,
    keep_last: KeepLast = None,
    dry_run: DryRun = False,
    vacuum: Vacuum = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete the sessions in which nothing has happened for so long. May be interrupted, and run again."""

    def remove(db: Any, **how: Any) -> Removed:
        done: Removed = db.prune(older_than, keep_last=keep_last, user_id=user, **how)
        return done

    with closing(where.opened()) as db:
        _remove(Output(json), db, remove, dry_run=dry_run, vacuum=vacuum, yes=yes)


@app.command("delete-user", epilog="Example:  agno-store delete-user mallory --db-url sqlite:///agents.db --dry-run")
@gathered(where=Where)
def delete_user(
    user: Annotated[str, typer.Argument(help="The user_id.")],
    where: Where,
    dry_run: DryRun = False,
    vacuum: Vacuum = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete all that is a user's: sessions, and runs in other sessions. May be interrupted, and run again."""

    def remove(db: Any, **how: Any) -> Removed:
        done: Removed = db.delete_user(user, **how)
        return done

    with closing(where.opened()) as db:
        _remove(Output(json), db, remove, dry_run=dry_run, vacuum=vacuum, yes=yes)


def _remove(output: Output, db: Any, remove: Callable[..., Removed], *, dry_run: bool, vacuum: bool, yes: bool) -> None:
    if dry_run and vacuum:
        raise typer.BadParameter("nothing is deleted by --dry-run.", param_hint="--vacuum")
    db.schema_status().raise_unless_usable()  # or else to use it would make it
    planned = remove(db, dry_run=True)
    if dry_run:
        _answer(output, db, planned)
        return
    if planned.rows and not yes:
        confirm(output, f"Delete {_said(planned)} of {db.names}?")
    done = _watched(output, db, remove, planned.rows)
    if vacuum:
        db.vacuum()
    _answer(output, db, done, vacuumed=vacuum)


def _watched(output: Output, db: Any, remove: Callable[..., Removed], total: int) -> Removed:
    """Remove it, and say how far that came where it does not come to its end."""
    done = Removed()
    try:
        with output.progress(f"{db.names}: deleting", total, 0) as advance:

            def note(removed: Removed) -> None:
                nonlocal done
                done = removed
                advance(removed.rows, total)

            return remove(db, on_progress=note)
    except (KeyboardInterrupt, AgnoStoreError):
        output.note(f"{db.names}: stopped after {_said(done)}. They stay deleted; run it again to go on.")
        raise


def _answer(output: Output, db: Any, removed: Removed, **more: Any) -> None:
    output.document({"store": str(db.names), **removed._asdict(), **more})
    verb = "would be deleted" if removed.dry_run else "deleted"
    output.line(f"{db.names}: {_said(removed)} {verb}", None if removed.dry_run else "green")
    if removed.kept:
        output.line(f"  {counted(removed.kept, 'session')} kept, because something happened there meanwhile")


def _said(removed: Removed) -> str:
    return of_each(removed.sessions, removed.runs, removed.summaries)
