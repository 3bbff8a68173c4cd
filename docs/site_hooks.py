"""What the site holds beside the pages in this folder: those at the top of the repository, and the commands.

Links are written for the repository, where they lead from file to file. Here they are made to lead to the pages that
these files have become; a file that is no page is put beside them as it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from agno_store.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = Path(__file__).parent.name

TOP = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
"""Files that are pages, and what they are called there."""

SAID_BY = {"agno_store/errors.py": "reference/errors.md"}
"""Files of which a page tells what they hold."""

_FENCE = re.compile(r"^ *(`{3,}|~{3,})")
_LINK = re.compile(r"(?P<before>\]\(<?|\bsrc=\")(?P<to>[^)>\s\"#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in this folder."""
    for source, page in TOP.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links lead to pages of the site."""
    here = page.file.src_uri
    repository = next((source for source, one in TOP.items() if one == here), f"{DOCS}/{here}")

    def led(link: re.Match[str]) -> str:
        return link["before"] + _led(link["to"], repository, here, config, files)

    lines, fence = [], ""
    for line in markdown.splitlines():
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        lines.append(line if fence else _LINK.sub(led, line))
    return "\n".join(lines)


def _led(to: str, repository: str, here: str, config: MkDocsConfig, files: Files) -> str:
    """Return what leads from a page to what a link in the repository leads to; a link elsewhere as it is."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(repository), to))
    if re.match(r"[a-z]+:|//", to) or not (ROOT / target).is_file():
        return to
    inside = TOP.get(target) or SAID_BY.get(target)
    if inside is None and target.startswith(f"{DOCS}/"):
        inside = target.removeprefix(f"{DOCS}/")
    if inside is None:
        inside = f"files/{target}"
        if files.get_file_from_path(inside) is None:
            files.append(File.generated(config, inside, abs_src_path=str(ROOT / target)))
    return posixpath.relpath(inside, posixpath.dirname(here) or ".")


def _commands() -> str:
    """Return the page about the command line: what ``--help`` says of each command."""
    return "\n\n".join(["# The command line", *_told(typer.main.get_command(app), "agno-store", 1)])


def _told(command: Any, name: str, level: int) -> Iterator[str]:
    """Give the paragraphs about a command, and behind it those about each that it has."""
    context = typer.Context(command, info_name=name)
    names = command.list_commands(context) if hasattr(command, "list_commands") else ()
    inner = {f"{name} {one}": command.commands[one] for one in names}
    if level > 1:
        yield f"{'#' * level} `{name}`"
    yield command.help
    if inner:
        yield "\n".join(f"- [`{one}`](#{one.replace(' ', '-')}): {about.help}" for one, about in inner.items())
    else:
        yield f"```console\n$ {command.get_usage(context).removeprefix('Usage: ')}\n```"
        records = (parameter.get_help_record(context) for parameter in command.params)
        yield "\n".join(f"- `{words}`: {about}" for words, about in filter(None, records))
    yield command.epilog or ""
    for one, about in inner.items():
        yield from _told(about, one, level + 1)
