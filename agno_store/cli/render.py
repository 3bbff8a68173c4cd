"""What the commands show: tables and sentences for people, JSON for programs. The only place that prints."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

from rich.console import Console
from rich.markup import escape
from rich.pager import SystemPager
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from agno_store.errors import AgnoStoreError
from agno_store.urls import masked

JSON_VARIABLE = "AGNO_STORE_JSON"

UNBOUND = 1_000_000
"""Columns of what is no window."""

_COMMANDING = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
"""What would move the cursor, colour, rename or reverse what is shown, or cannot be sent at all."""


def printable(text: str) -> str:
    """Return a text that a terminal shows and never obeys: what would command it is written as an escape."""
    return re.sub(_COMMANDING, lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def in_a_line(text: str) -> str:
    """The same without ends of lines and tabs."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(number: int, what: str) -> str:
    """Return how many of something there are: ``1 summary``, ``2 summaries``."""
    many = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
    return f"{number} {what if number == 1 else many}"


def of_each(sessions: int, runs: int, summaries: int) -> str:
    """Return how many of each there are, in words."""
    return f"{counted(sessions, 'session')}, {counted(runs, 'run')} and {counted(summaries, 'summary')}"


def is_stdout(file: str) -> bool:
    """Whether a path is a name of stdout, in which nothing may stand beside what is written there."""
    from agno_store.transfer.files import descriptor

    return descriptor(file) == 1


def _console(*, stderr: bool = False) -> Console:
    # What is shown are names and messages: no number in them is to be coloured, no :word: made a picture.
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal:
        console.width = UNBOUND  # what a program reads is cut nowhere, however narrow nobody's window is
    return console


class _Rate(ProgressColumn):
    """How many in a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@dataclass(frozen=True)
class Output:
    """Where a command's answer goes: with ``as_json`` one document on stdout and no other word there."""

    as_json: bool = False
    in_lines: bool = False
    """Whether each value for programs is a line of its own."""
    out: Console = field(default_factory=lambda: _console())
    err: Console = field(default_factory=lambda: _console(stderr=True))

    @classmethod
    def of_arguments(cls, arguments: Sequence[str]) -> Output:
        """Return the output that a command line asks for."""
        in_lines = "--jsonl" in arguments
        asked = "--json" in arguments or os.environ.get(JSON_VARIABLE, "").lower() in ("1", "true", "yes", "on")
        return cls(asked or in_lines, in_lines)

    def document(self, value: Any) -> None:
        """Print a value for programs; nothing where people read."""
        if self.as_json:
            self.out.out(json.dumps(value, indent=None if self.in_lines else 2), highlight=False)

    def line(self, text: str, style: str | None = None) -> None:
        """Print a sentence for people; nothing where programs read."""
        if not self.as_json:
            self.out.print(Text(printable(text), style or ""))

    def table(self, title: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table for people; nothing where programs read."""
        if self.as_json:
            return
        if title:  # of its own, for it would be folded where the table is narrower
            self.line(title, "italic")
        table = Table(show_edge=False, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(in_a_line(cell)) for cell in row))
        self.out.print(table, soft_wrap=False)

    def listing(
        self, title: str, columns: Iterable[str], documents: Sequence[Any], rows: Iterable[Sequence[str]]
    ) -> None:
        """Print a page of a listing, and where the next one begins: a table, a document, or a line for each."""
        place = getattr(documents, "next", None)
        if self.in_lines:
            for document in documents:
                self.document(document)
        else:
            self.document({title: documents, "next": place})
        with self.paged():
            self.table("", columns, rows)
        if place is not None and not self.as_json:
            self.note(f"There may be more: --after {place}")

    def bar(self, count: int, most: int, width: int) -> str:
        """Return a bar for a number, of a width for the largest; any but 0 is seen."""
        mark = "#" if self.out.options.ascii_only else "\u2588"
        return mark * (max(1, round(count * width / most)) if count else 0)

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
        self.err.print(Text(printable(text)))

    @contextmanager
    def paged(self) -> Iterator[None]:
        """Show what is printed meanwhile in a pager, where a person reads it and it is longer than the terminal."""
        if self.as_json or not self.out.is_terminal:
            yield
            return
        with self.out.capture() as captured:
            yield
        shown = captured.get()
        if shown.count("\n") < self.out.height:
            self.out.file.write(shown)
        else:
            os.environ.setdefault("LESS", "FRX")  # colours are shown, and what fits is not held
            SystemPager().show(shown)

    @property
    def given(self) -> IO[bytes]:
        """What bytes are read from in the place of a file. Raises AgnoStoreError where that is closed."""
        if sys.stdin is None:
            raise AgnoStoreError("stdin is closed: there is nothing to read.")
        return sys.stdin.buffer

    @property
    def bytes(self) -> IO[bytes]:
        """What bytes are written to in the place of an answer. Raises AgnoStoreError where that is closed."""
        if sys.stdout is None:
            raise AgnoStoreError("stdout is closed: there is nothing to write to.")
        file = self.out.file
        return cast("IO[bytes]", getattr(file, "buffer", file))

    @contextmanager
    def progress(self, title: str, total: int | None, done: int) -> Iterator[Callable[[int, int | None], None]]:
        """Show on stderr how far long work is, its rate and the time left; give what is to be called as it goes on."""
        name, rate = TextColumn("{task.description}"), _Rate()
        columns = (name, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as shown:
            task = shown.add_task(escape(title), total=total, completed=done)
            yield lambda now, whole: shown.update(task, completed=now, total=whole)

    def error(self, error: AgnoStoreError, code: int) -> dict[str, Any]:
        """Return a failure for programs."""
        return {"error": {"type": type(error).__name__, "message": masked(str(error)), "exit_code": int(code)}}

    def failure(self, error: AgnoStoreError, code: int) -> None:
        """Say on stderr what went wrong; with ``as_json`` on stdout too."""
        self.document(self.error(error, code))
        self.complaint(error)

    def complaint(self, error: AgnoStoreError) -> None:
        """Say on stderr what went wrong."""
        kind = "" if type(error) is AgnoStoreError else f"[bold red]{type(error).__name__}[/]: "
        self.err.print(kind + escape(printable(masked(str(error)))))
