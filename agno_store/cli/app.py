"""The program itself: its help, its version, and where its options come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from agno_store import __version__
from agno_store.cli import settings
from agno_store.cli.render import Output
from agno_store.urls import has_url, masked

EPILOG = "Exit codes: 0 in step, 1 failed, 2 usage, 3 behind, 4 ahead, 5 drifted, 6 locked, 7 unreachable."

ORDER = (
    *("upgrade", "check", "current", "history", "doctor", "sessions", "runs", "search", "stats", "schema"),
    *("export", "import", "copy", "prune", "delete-user", "backfill", "downgrade", "stamp", "lint"),
)
"""The commands as one comes to need them; those that are not named come last."""


Misuse: Any = typer.BadParameter.__base__
"""What Typer raises for a command line that makes no sense; it has no name of Typer's own."""


@contextmanager
def _told_without_secrets() -> Iterator[None]:
    """Hide what a usage error repeats of a URL: a password is on the command line where --db-url was forgotten."""
    try:
        yield
    except Misuse as error:
        said = error.format_message()
        command = getattr(error.ctx, "command", None)
        takes_one = any("--db-url" in option.opts for option in getattr(command, "params", ()))
        unexpected = takes_one and has_url(said) and not isinstance(error, typer.BadParameter)
        told = masked(said) + ". Did you mean --db-url?" * unexpected
        if told == said:
            raise
        raise Misuse(told, error.ctx) from None


class InOrder(TyperGroup):
    """Commands in that order, and not in the one in which their modules are imported."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the program's own options."""
        with _told_without_secrets():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read a command's options, and run it."""
        with _told_without_secrets():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names."""
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    cls=InOrder,
    name="agno-store",
    help="Look after the tables that keep the sessions, runs and summaries of your agents.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    context.default_map = {
        name: dict.fromkeys(command.commands, options) if hasattr(command, "commands") else options
        for name, command in group.commands.items()
    }
