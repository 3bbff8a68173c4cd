"""What the commands show: tables and sentences for people, JSON for programs. The only place that prints."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agno_store.errors import AgnoStoreError

JSON_VARIABLE = "AGNO_STORE_JSON"


def _console(*, stderr: bool = False) -> Console:
    # What is shown are names and messages: no number in them is to be coloured, no :word: made a picture.
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)


@dataclass(frozen=True)
class Output:
    """Where a command's answer goes: with ``as_json`` one document on stdout and no other word there."""

    as_json: bool = False
    out: Console = field(default_factory=lambda: _console())
    err: Console = field(default_factory=lambda: _console(stderr=True))

    @classmethod
    def of_arguments(cls, arguments: Sequence[str]) -> Output:
        """Return the output that a command line asks for."""
        return cls("--json" in arguments or os.environ.get(JSON_VARIABLE, "").lower() in ("1", "true", "yes", "on"))

    def document(self, value: Any) -> None:
        """Print a value for programs; nothing where people read."""
        if self.as_json:
            self.out.out(json.dumps(value, indent=2), highlight=False)

    def line(self, text: str, style: str | None = None) -> None:
        """Print a sentence for people; nothing where programs read."""
        if not self.as_json:
            self.out.print(escape(text), style=style)

    def table(self, title: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table for people; nothing where programs read."""
        if self.as_json:
            return
        table = Table(title=escape(title), title_justify="left", show_edge=False, pad_edge=False)
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.out.print(table)

    def text(self, text: str) -> None:
        """Print a text as it is, into a file always in UTF-8; nothing where programs read."""
        if self.as_json:
            return
        file = self.out.file  # rich would put spaces for tabs
        if isinstance(file, io.TextIOWrapper) and not file.isatty():
            file.reconfigure(encoding="utf-8")
        file.write(text)

    def note(self, text: str) -> None:
        """Print a sentence on stderr, for whoever watches."""
        self.err.print(escape(text))

    @contextmanager
    def progress(self, title: str, total: int, done: int) -> Iterator[Callable[[int, int], None]]:
        """Show on stderr how far long work is, its rate and the time left; give what is to be called as it goes on."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as shown:
            task = shown.add_task(escape(title), total=total, completed=done)
            yield lambda now, _total: shown.update(task, completed=now)

    def error(self, error: AgnoStoreError, code: int) -> dict[str, Any]:
        """Return a failure for programs."""
        return {"error": {"type": type(error).__name__, "message": str(error), "exit_code": int(code)}}

    def failure(self, error: AgnoStoreError, code: int) -> None:
        """Say on stderr what went wrong; with ``as_json`` on stdout too."""
        self.document(self.error(error, code))
        self.complaint(error)

    def complaint(self, error: AgnoStoreError) -> None:
        """Say on stderr what went wrong."""
        kind = "" if type(error) is AgnoStoreError else f"[bold red]{type(error).__name__}[/]: "
        self.err.print(kind + escape(str(error)))
