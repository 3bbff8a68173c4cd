"""What the documents say works: code, commands, settings and links.

A block is left out where an HTML comment stands directly before it: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import typer

from agno_store.cli import app
from agno_store.cli.settings import KEYS
from agno_store.migrations.scripts import script_directory
from agno_store.names import Names
from agno_store.tables import REVISIONS, journal, metadata
from tests.cli.program import environment, installed, run, run_process
from tests.package.documents import DOCUMENTS, anchors, blocks, commands, links, typed
from tests.package.source import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RUNNER = Path(__file__).with_name("run_blocks.py")


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


def test_there_are_documents() -> None:
    assert ROOT / "README.md" in DOCUMENTS


@each_document
def test_the_python_of_a_document_runs(document: Path, tmp_path: Path) -> None:
    to_run = [
        {"document": name(document), "line": block.line, "text": block.text}
        for block in blocks(document)
        if block.language in ("python", "py") and block.not_run is None
    ]
    if not to_run:
        return
    done = subprocess.run(
        [sys.executable, str(RUNNER)],
        input=json.dumps(to_run),
        cwd=tmp_path,
        env={**environment(), "AGNO_TELEMETRY": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each_document
def test_a_document_names_only_commands_and_options_that_exist(document: Path) -> None:
    unknown = [
        f"{place}: agno-store {' '.join(words)}: {problem}"
        for place, words in commands(document)
        if (problem := wrong(words))
    ]
    assert unknown == []


def wrong(words: list[str]) -> str | None:
    """Say what of a command line does not exist."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if word.startswith("-"):
            if word.partition("=")[0] not in options(command):
                return f"no option {word}"
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
    return None


def options(command: Any) -> set[str]:
    """Return what a command's options are called."""
    helped = {"-h", "--help"}
    return helped | {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("", True),
        ("--version", True),
        ("upgrade --db-url=sqlite:// --to head", True),
        ("downgrade --to 0001 -y", True),
        ("upgrade --plan", True),
        ("sessions list --user ada", True),
        ("bogus", False),
        ("sessions bogus", False),
        ("sessions list --bogus", False),
        ("--json history", False),
    ],
)
def test_a_command_line_that_does_not_exist_is_found(line: str, right: bool) -> None:
    assert (wrong(line.split()) is None) == right


@each_document
def test_the_settings_in_a_document_exist(document: Path) -> None:
    for block in blocks(document):
        if block.language == "toml" and block.not_run is None:
            settings = tomllib.loads(block.text).get("tool", {}).get("agno-store", {})
            assert set(settings) <= set(KEYS), block.place


@each_document
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    broken = [f"{place}: {to}" for place, to in links(document) if not leads_somewhere(document, to)]
    assert broken == []


def leads_somewhere(document: Path, to: str) -> bool:
    """Whether a file and, in a document, a heading are there."""
    path, _, anchor = to.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def cells(text: str) -> list[str]:
    """Return the first cell of each row of the tables in a text."""
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("table", [*metadata(Names()).tables.values(), journal(Names())], ids=str)
def test_every_column_and_index_of_a_table_is_documented(table: sa.Table) -> None:
    sections = (ROOT / "docs/schema.md").read_text(encoding="utf-8").split("\n## ")
    [section] = [text for text in sections if text.splitlines()[0] == table.name]
    described = [name.strip("`") for cell in cells(section) for name in cell.split(", ") if name != "column"]
    assert sorted(described) == sorted(table.columns.keys())
    for index in table.indexes:
        columns = ", ".join(index.columns.keys())
        assert f"`({columns})`" in section or f"`{columns}`" in section


def test_every_revision_is_documented() -> None:
    text = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
    documented = [cell for cell in cells(text) if cell.split()[0] in REVISIONS]
    scripts = reversed(list(script_directory().walk_revisions()))
    assert documented == [f"{script.revision} {script.doc}" for script in scripts]


@pytest.mark.parametrize(("form", "file"), [("--markdown", "schema.md"), ("--svg", "schema.svg")])
def test_what_is_said_of_the_tables_is_what_the_program_writes(form: str, file: str) -> None:
    written = run("schema", form)
    assert (written.code, written.err) == (0, "")
    assert (ROOT / "docs" / file).read_text(encoding="utf-8") == written.out, (
        f"run: agno-store schema {form} > docs/{file}"
    )


def test_every_table_and_column_says_what_it_holds() -> None:
    found = run("schema", "--json").document["tables"]
    said = {f"{table['name']}.{one['name']}": one["what"] for table in found for one in table["columns"]}
    assert [
        name for name, what in {**said, **{table["name"]: table["what"] for table in found}}.items() if not what
    ] == []


def test_the_commands_that_look_inside_answer_as_shown(tmp_path: Path) -> None:
    document = ROOT / "docs/howto/look-inside.md"
    test_the_python_of_a_document_runs(document, tmp_path)
    path = f"{Path(installed()).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks(document):
        if block.language == "console":
            answers = []
            for _, command in typed(block):
                answer = run_process("bash", "-c", command, directory=tmp_path, PATH=path)
                assert (answer.code, answer.err) == (0, ""), command
                shown = answer.out.replace(os.path.realpath(tmp_path), "/srv").splitlines()
                answers += [f"$ {command}", *(line.rstrip() for line in shown)]
            assert answers == block.text.splitlines(), block.place
