"""What the documents say works: code, commands, settings and links.

A block is left out where an HTML comment stands directly before it: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
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
from tests.package.documents import DOCUMENTS, anchors, blocks, commands, links, prose, typed
from tests.package.source import FILES, ROOT, module_name

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


def test_the_readme_leads_to_every_document() -> None:
    led_to = {(ROOT / to.partition("#")[0]).resolve() for _, to in links(ROOT / "README.md")}
    # That of the errors is empty but on the site; they are listed in errors.py.
    assert {name(document) for document in set(DOCUMENTS) - led_to} == {"README.md", "docs/reference/errors.md"}


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


def test_every_module_stands_in_the_design() -> None:
    first = " ".join(cells((ROOT / "docs/design.md").read_text(encoding="utf-8")))
    named = {found.rstrip("/").partition("/")[0] for found in re.findall(r"`([\w/]+)`", first)}
    there = {module_name(file).partition(".")[0] for file in FILES} - {"", "__main__"}
    assert there - named == set()


ANSWERED = {
    "docs/quickstart.md": True,
    "docs/howto/look-inside.md": False,
    "docs/howto/moving-sessions.md": False,
    "docs/howto/tidy.md": False,
}
"""Documents whose commands are shown with their answers, and whether times, ids and revisions are the reader's own."""

YOURS = {
    "when": re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"),
    "run": re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    "revision": re.compile(r"\b0\d{3}\b"),
}


@pytest.mark.parametrize("document", ANSWERED)
def test_the_commands_of_a_document_answer_as_shown(document: str, at_a_desk: Path) -> None:
    if not saved_by_the_reader(ROOT / document, at_a_desk):
        test_the_python_of_a_document_runs(ROOT / document, at_a_desk)
    for block in blocks(ROOT / document):
        if block.language == "console" and block.not_run is None:
            answers = []
            for _, command in typed(block):
                shown = answer_to(command, at_a_desk).replace(os.path.realpath(at_a_desk), "/srv").splitlines()
                answers += [f"$ {command}", *(line.rstrip() for line in shown)]
            asked = without_what_is_yours if ANSWERED[document] else str
            assert [*map(asked, answers)] == [*map(asked, block.text.splitlines())], block.place


@pytest.fixture
def at_a_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the reader's own, and nothing in the environment that the reader has not."""
    monkeypatch.chdir(tmp_path)
    for variable in os.environ.keys() - environment().keys():
        monkeypatch.delenv(variable)
    return tmp_path


def answer_to(command: str, folder: Path) -> str:
    """Return what a command prints. Our own, where it is all there is, needs no process of its own."""
    # A server of the reader's is a file of ours.
    program, *words = shlex.split(re.sub(r"(postgresql|mysql)://\S+", r"sqlite:///\1.db", command))
    if program == "agno-store" and not set(words) & {"&&", "||"}:
        answer = run(*words)
    else:
        path = f"{Path(installed()).parent}{os.pathsep}{os.environ['PATH']}"
        answer = run_process("bash", "-c", f"exec 2>&1; {command}", directory=folder, PATH=path)
    assert (answer.code, answer.err) == (0, ""), (command, answer.out)
    return answer.out


def saved_by_the_reader(document: Path, folder: Path) -> list[str]:
    """Save the blocks that begin with the name of a file; return their names."""
    found = {}
    for block in blocks(document):
        first = re.match(r"# (\w+\.py)\n", block.text)
        if block.language == "python" and first:
            found[first[1]] = block.text
    for file, text in found.items():
        (folder / file).write_text(text, encoding="utf-8")
    return list(found)


def without_what_is_yours(line: str) -> str:
    for what, pattern in YOURS.items():
        line = pattern.sub(f"<{what}>", line)
    return line


NAMED = re.compile(r"(?<![\w/])(?:tests|agno|bench|examples)/[\w./*-]*\w")
"""A file or folder of this repository, or of agno as it is installed."""


@each_document
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    agno = Path(next(iter(find_spec("agno").submodule_search_locations))).parent  # type: ignore[arg-type, union-attr]
    named = [(place, path) for place, line in prose(document) for path in NAMED.findall(line)]
    missing = [(place, path) for place, path in named if not any((root / path).exists() for root in (ROOT, agno))]
    assert missing == []


def test_the_figures_of_the_readme_are_those_that_were_measured() -> None:
    [proof] = re.findall(r"## The proof\n(.*?)\n## ", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    measured = set(re.findall(r"\d[\d,]*", (ROOT / "docs/reliability.md").read_text(encoding="utf-8")))
    figures = set(re.findall(r"\d[\d,]*\d", proof))
    assert len(figures) > 5
    assert figures - measured == set()
