"""What a reader of a how-to types, typed here: every command of a document in order, on each database.

A document is run where it sets ``AGNO_STORE_DB_URL``; the test puts a URL of its own there. A command is to
succeed, or to exit as the comment behind it says: ``# exits 3``.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import environment
from tests.package.documents import DOCUMENTS, Block, blocks, typed
from tests.package.source import ROOT
from tests.package.test_docs import each_document, name, wrong

EXPORT = re.compile(r"^export AGNO_STORE_DB_URL=\S+")


def of_a_console(document: Path) -> list[str]:
    """Return the commands of a document, from the one on that sets the URL."""
    shown = [block for block in blocks(document) if block.language == "console" and block.not_run is None]
    lines = [line for block in shown for _, line in typed(block)]
    return list(itertools.dropwhile(lambda line: not EXPORT.match(line), lines))


WALKED = [document for document in DOCUMENTS if of_a_console(document)]


def test_the_how_tos_of_an_operator_are_walked() -> None:
    walked = {document.stem for document in WALKED}
    assert {"deploy-pipelines", "zero-downtime", "recover"} <= walked


@pytest.mark.parametrize("document", WALKED, ids=name)
def test_the_commands_of_a_document_do_what_it_says(document: Path, fresh_url: str, tmp_path: Path) -> None:
    lines = ["set -u"]
    for command in of_a_console(document):
        expected = re.search(r"# exits (\d)", command)
        lines.append(EXPORT.sub(f"export AGNO_STORE_DB_URL='{fresh_url}'", command))
        right = expected[1] if expected else 0
        lines.append(f'code=$?; [ $code = {right} ] || {{ echo "exit $code of: {quoted(command)}"; exit 99; }}')
    scripts = sysconfig.get_path("scripts")
    done = subprocess.run(
        ["bash"],
        input="\n".join(lines),
        env={**environment(), "PATH": f"{scripts}:{environment()['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def quoted(command: str) -> str:
    return re.sub(r'(["$`\\])', r"\\\1", command)


@each_document
def test_the_yaml_of_a_document_is_yaml_and_its_commands_exist(document: Path) -> None:
    for block in blocks(document):
        if block.language in ("yaml", "yml") and block.not_run is None:
            unknown = [f"{block.place}: {words}" for words in in_yaml(block) if wrong(words)]
            assert unknown == []


def in_yaml(block: Block) -> Iterator[list[str]]:
    """Give the words after ``agno-store`` in the steps and containers of a file."""

    def walk(value: Any) -> Iterator[list[str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "run" and str(inner).startswith("agno-store "):
                    yield str(inner).split()[1:]
                elif key == "command" and inner[0] == "agno-store":
                    yield inner[1:]
                else:
                    yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for document in yaml.safe_load_all(block.text):
        yield from walk(document)


def test_the_commands_in_yaml_are_found() -> None:
    document = ROOT / "docs" / "howto" / "deploy-pipelines.md"
    found = [words for block in blocks(document) if block.language == "yaml" for words in in_yaml(block)]
    assert ["upgrade", "--wait-for-db", "60"] in found
    assert ["check", "--wait", "300"] in found
