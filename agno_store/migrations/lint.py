"""Revisions read before they are run: what would lock a table, lose data, or meet another store.

A finding is allowed by a comment on its line, or on the lines directly above it, that says why:
``# allow drop-column: nothing uses it since 0.4.0``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alembic.script import Script

from agno_store import schema
from agno_store.dialects import ALL
from agno_store.migrations.advice import ADVICE, ON_MARKERS, message
from agno_store.migrations.record import sql_dialects
from agno_store.migrations.rules import Broken, in_operations, in_text
from agno_store.migrations.scripts import read, script_directory
from agno_store.migrations.source import Source

_MARKER = re.compile(r"#\s*allow\s+(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)\s*(?::(?P<reason>.*))?$")


@dataclass(frozen=True)
class Finding:
    """One rule that is broken in one line; ``message`` says what is dangerous, why, and what to write instead."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Marker:
    """A comment that allows to break rules; ``line`` is the one that it is about."""

    line: int
    rules: tuple[str, ...]
    reason: str


def revisions(versions: Path | None = None, *, own: bool) -> list[Script]:
    """Return the revisions to read: ours, and those in an application's folder.

    Raises ConfigurationError where Alembic cannot make sense of the folder.
    """
    every = read(script_directory(versions), versions)
    ours = [script for script in every if schema.is_own(script.revision)]
    return [*(ours if own else ()), *(script for script in every if script not in ours)]


def lint(versions: Path | None = None, *, own: bool = True) -> list[Finding]:
    """Return what is wrong with the revisions, by file and line. Touches no database.

    Raises ConfigurationError where Alembic cannot make sense of the folder.
    """
    known = [script.revision for script in revisions(own=True)]
    return [finding for script in revisions(versions, own=own) for finding in of(script, known)]


def of(script: Script, known: Sequence[str]) -> list[Finding]:
    """Return what is wrong with one revision, by line; ``known`` are our own revisions."""
    source = Source(script.path)
    broken = set(in_text(script, source, known))
    for sql_dialect in itertools.chain.from_iterable(map(sql_dialects, ALL)):
        broken |= set(in_operations(script, sql_dialect, up=True))
        if source.can_be_undone():
            broken |= set(in_operations(script, sql_dialect, up=False))
    return sorted(_judged(script.path, source, broken), key=lambda f: (f.line, f.rule, f.message))


def _judged(file: str, source: Source, broken: set[Broken]) -> Iterator[Finding]:
    """Give what no marker allows, and the markers that are wrong."""
    used: set[tuple[int, str]] = set()
    markers = list(_markers(source))
    allowed = {(line, rule) for marker, lines in markers for line in lines for rule in marker.rules}
    for line, rule, what in broken:
        if (line, rule) in allowed:
            used.add((line, rule))
        else:
            yield Finding(file, line, rule, message(rule, what))
    for marker, lines in markers:
        for wrong, rule in _wrong(marker, {rule for line, rule in used if line in lines}):
            yield Finding(file, marker.line, wrong, ON_MARKERS[wrong].format(rule=rule))


def _wrong(marker: Marker, used: set[str]) -> Iterator[tuple[str, str]]:
    """Give what is wrong with a marker, and for which of its rules."""
    for rule in marker.rules:
        if rule not in ADVICE:
            yield "unknown-rule", rule
        elif rule not in used:
            yield "unused-marker", rule
        elif not marker.reason:
            yield "marker-without-reason", rule


def _markers(source: Source) -> Iterator[tuple[Marker, tuple[int, ...]]]:
    """Give each marker with the lines that it is for: its own, or the one below a block of comments."""
    comments = list(source.comments())
    alone = {comment.line for comment in comments if comment.alone}
    for comment in comments:
        match = _MARKER.search(comment.text)
        if match is None:
            continue
        line = comment.line
        while line in alone:
            line += 1
        rules = tuple(rule.strip() for rule in match["rules"].split(","))
        yield Marker(comment.line, rules, (match["reason"] or "").strip()), (line,)
