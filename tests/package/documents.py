"""The documents, read as blocks of code, commands and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.package.source import ROOT

DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
_BETWEEN = "();<>|&"
SHELLS = ("console", "bash", "sh", "shell")

_FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
_NOT_RUN = re.compile(r"^\s*<!-- *not run: *(?P<reason>.+?) *-->\s*$")
_LINK = re.compile(r"!?\[(?:[^][]|\[[^][]*\])*\]\(<?(?P<to>[^)\s>]+)>?(?: +\"[^\"]*\")?\)|^\[[^\]]+\]: *(?P<named>\S+)")
_CODE = re.compile(r"(?P<marks>`+)(?P<text>.+?)(?P=marks)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line of its first line, its text, and why it is not run."""

    document: Path
    language: str
    line: int
    text: str
    not_run: str | None

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    found, opened, reason = [], None, None
    lines = document.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, first = fence, number
        elif opened and fence and fence["marks"].startswith(opened["marks"]) and not fence["language"]:
            indent = len(opened["indent"])
            text = "\n".join(inside[indent:] for inside in lines[first : number - 1])
            found.append(Block(document, opened["language"], first + 1, text + "\n", reason))
            opened = reason = None
        elif opened is None and line.strip():
            mark = _NOT_RUN.match(line)
            reason = mark["reason"] if mark else None
    assert opened is None, f"{document}: a block is not closed"
    return found


def prose(document: Path) -> Iterator[tuple[int, str]]:
    """Give the lines of a document that are in no block, with their numbers."""
    lines = document.read_text(encoding="utf-8").splitlines()
    inside = {
        number
        for block in blocks(document)
        for number in range(block.line - 1, block.line + len(block.text.splitlines()) + 1)
    }
    return ((number, line) for number, line in enumerate(lines, 1) if number not in inside)


def links(document: Path) -> Iterator[tuple[str, str]]:
    """Give each relative link of a document with its place."""
    for number, line in prose(document):
        for match in _LINK.finditer(_CODE.sub("``", line)):
            to = match["to"] or match["named"]
            if not re.match(r"[a-z]+:|//", to):
                yield f"{document.relative_to(ROOT)}:{number}", to


def anchors(document: Path) -> set[str]:
    """Return what GitHub calls the headings of a document."""
    headings = [line.lstrip("#") for _, line in prose(document) if re.match("#{1,6} ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Give the words after each ``agno-store`` of a document, in its blocks for a shell and in its prose."""
    for block in blocks(document):
        if block.language in SHELLS and block.not_run is None:
            for number, line in typed(block):
                for words in _of_ours(line):
                    yield f"{document.relative_to(ROOT)}:{block.line + number}", words
    for number, line in prose(document):
        for code in _CODE.finditer(line):
            for words in _of_ours(code["text"]):
                yield f"{document.relative_to(ROOT)}:{number}", words


def typed(block: Block) -> Iterator[tuple[int, str]]:
    """Give what is typed: the lines behind a $ where there are any, else all; continued ones as one."""
    lines = block.text.replace("\\\n", "  ").splitlines()
    prompted = any(line.startswith("$ ") for line in lines)
    for number, line in enumerate(lines):
        if line.startswith("$ ") or not prompted:
            yield number, line.removeprefix("$ ")


def _of_ours(line: str) -> Iterator[list[str]]:
    if "agno-store" not in line and "-m agno_store" not in line:
        return
    command: list[str] = []
    for word in [*_words(line.replace("python -m agno_store", "agno-store")), ";"]:
        if word and set(word) <= set(_BETWEEN):
            if "agno-store" in command and "install" not in command:
                after = command[command.index("agno-store") + 1 :]
                yield [one for one in after if one not in ("...", "…")]
            command = []
        else:
            command.append(word)


def _words(line: str) -> list[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=_BETWEEN)
    words.whitespace_split = True
    try:
        return list(words)
    except ValueError:  # an apostrophe in prose
        return line.split()
