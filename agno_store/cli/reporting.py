"""What the commands that change a store say of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from agno_store.cli.render import Output, of_each
from agno_store.counts import Rekeyed, Removed
from agno_store.errors import AgnoStoreError
from agno_store.names import Names
from agno_store.schema import SchemaStatus

if TYPE_CHECKING:
    from agno_store.migrations import Step
    from agno_store.migrations.running import Report

Rows = TypeVar("Rows", Removed, Rekeyed)


def reporting(output: Output, steps: list[dict[str, Any]], verb: str) -> Report:
    """Return what says each revision when it is done, and keeps it in ``steps``."""

    def report(step: Step, seconds: float) -> None:
        steps.append({"revision": step.revision, "message": step.message, "seconds": round(seconds, 3)})
        output.line(f"  {step.revision}  {step.message}: {verb} in {seconds:.2f} s")

    return report


def changed(before: SchemaStatus, after: SchemaStatus, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return for programs where a store was, where it is now, and what was done."""
    return {**after.to_dict(), "from": before.current, "to": after.current, "steps": steps}


def say_changed(output: Output, before: SchemaStatus, after: SchemaStatus) -> None:
    """Say where a store was and where it is now."""
    was, now = (_place(status) for status in (before, after))
    name = str(Names(after.table, after.schema))
    stays = f"{name} is at {now} already" if after.current else f"{name} has no tables"
    output.line(f"{name}: {was} -> {now}" if was != now else stays, "green")


def confirm(output: Output, question: str) -> None:
    """Ask a person; refuse where there is none to be asked."""
    if output.as_json or sys.stdin is None or not sys.stdin.isatty():
        raise AgnoStoreError("Nothing was changed. Add --yes to do it without being asked.")
    if not typer.confirm(question, default=False):
        raise AgnoStoreError("Nothing was changed.")


def watched(
    output: Output, db: Any, verbs: tuple[str, str], work: Callable[..., Rows], done: Rows, total: int | None
) -> Rows:
    """Do what takes many transactions, and say how far that came where it does not come to its end.

    ``verbs`` say what it is doing, and what the rows stay then; ``done`` is nothing yet.
    """
    doing, stay = verbs
    try:
        with output.progress(f"{db.names}: {doing}", total, 0) as advance:

            def note(so_far: Rows) -> None:
                nonlocal done
                done = so_far
                advance(so_far.rows, total)

            return work(on_progress=note)
    except (KeyboardInterrupt, SystemExit, AgnoStoreError):
        if done.rows:
            output.note(f"{db.names}: stopped after {rows_of(done)}. They stay {stay}; run it again to go on.")
        raise


def rows_of(done: Removed | Rekeyed) -> str:
    """Return how many rows of each table that was, in words."""
    return of_each(done.sessions, done.runs, done.summaries)


def _place(status: SchemaStatus) -> str:
    if status.current is None:
        return "no tables"
    return status.current if status.application is None else f"{status.current} and {status.application}"
