"""Options come from the command line, else from AGNO_STORE_..., else from [tool.agno-store] of pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agno_store import open_db
from agno_store.tables import REVISIONS
from tests.cli.program import Answer, run, run_installed
from tests.cli.stores import at, locked

SOURCES = ("flag", "variable", "pyproject", "parent's pyproject")


def url_of(folder: Path, name: str) -> str:
    """The URL of a SQLite file in the folder."""
    return f"sqlite:///{folder}/{name}.db"


def write(folder: Path, **options: object) -> Path:
    """Write a pyproject.toml with these options of ours."""
    file = folder / "pyproject.toml"
    lines = [f"{name.replace('_', '-')} = {value!r}" for name, value in options.items()]
    file.write_text("\n".join(["[project]", "name = 'app'", "[tool.agno-store]", *lines, ""]))
    return file


def run_with(source: str, *words: str, **options: object) -> Answer:
    """Run a command with options that come from one of the SOURCES."""
    if source == "flag":
        flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        return run(*words, *flags)
    here = Path.cwd()
    if source != "variable":
        write(here if source == "pyproject" else here.parent, **options)
        return run(*words)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            patch.setenv(f"AGNO_STORE_{name.upper()}", str(value))
        return run(*words)


@pytest.mark.parametrize("source", SOURCES)
def test_url_and_table_may_come_from_anywhere(folder: Path, source: str) -> None:
    url = url_of(folder, "agents")
    assert run_with(source, "upgrade", db_url=url, table="talks").code == 0
    document = run("current", "--db-url", url, "--table", "talks", "--json").document
    assert document["state"] == "in step"
    document = run_with(source, "current", "--json", db_url=url, table="talks").document
    assert (document["table"], document["state"]) == ("talks", "in step")
    assert document["url"].endswith("agents.db")


@pytest.mark.parametrize("source", SOURCES)
def test_the_schema_may_come_from_anywhere(folder: Path, source: str) -> None:
    answer = run_with(source, "check", db_url=url_of(folder, "agents"), schema="ai")
    assert answer.code == 2
    assert "SQLite has no schemas" in answer.complaint


@pytest.mark.parametrize("source", SOURCES)
def test_the_tenant_may_come_from_anywhere(folder: Path, source: str) -> None:
    url = url_of(folder, "agents")
    for tenant in ("one", "two"):
        with open_db(url, tenant_id=tenant) as db:
            db.upsert_session({"session_id": f"of {tenant}", "agent_id": "a"})
    assert "1 session," in run_with(source, "export", "of_one.jsonl", db_url=url, tenant="one").out
    answer = run_with(source, "sessions", "list", "--json", db_url=url, tenant="one")
    assert [session["session_id"] for session in answer.document["sessions"]] == ["of one"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_pooler_may_come_from_anywhere(folder: Path, source: str) -> None:
    for words in (("check",), ("sessions", "list")):
        answer = run_with(source, *words, db_url=url_of(folder, "agents"), pooler="transaction")
        assert answer.code == 2
        assert "SQLite has no poolers" in answer.complaint


@pytest.mark.parametrize("source", SOURCES)
def test_the_lock_timeout_may_come_from_anywhere(folder: Path, source: str) -> None:
    url = url_of(folder, "agents")
    at(url, REVISIONS[0])
    with locked(url):
        answer = run_with(source, "upgrade", db_url=url, lock_timeout=0.25)
    assert answer.code == 6
    assert "0.25 seconds" in answer.complaint


def test_a_flag_wins_over_a_variable_and_a_variable_over_pyproject(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(*words: str) -> tuple[str, str]:
        document = run("current", "--json", *words).document
        return Path(document["url"]).stem, document["table"]

    write(folder, db_url=url_of(folder, "pyproject"), table="from_pyproject")
    assert used() == ("pyproject", "from_pyproject")
    monkeypatch.setenv("AGNO_STORE_DB_URL", url_of(folder, "variable"))
    assert used() == ("variable", "from_pyproject")
    monkeypatch.setenv("AGNO_STORE_TABLE", "from_variable")
    assert used() == ("variable", "from_variable")
    assert used("--db-url", url_of(folder, "flag")) == ("flag", "from_variable")
    assert used("--db-url", url_of(folder, "flag"), "--table", "from_flag") == ("flag", "from_flag")


def test_an_empty_variable_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, db_url=url_of(folder, "pyproject"))
    monkeypatch.setenv("AGNO_STORE_DB_URL", "")
    assert run("current", "--json").document["url"].endswith("pyproject.db")


def test_only_the_nearest_pyproject_counts(folder: Path) -> None:
    write(folder.parent, db_url=url_of(folder, "far"))
    assert run("current").code == 0
    (folder / "pyproject.toml").write_text("[project]\nname = 'app'\n")
    answer = run("current")
    assert (answer.code, answer.out) == (2, "")
    assert "say which database" in answer.complaint


def test_an_unknown_key_in_pyproject_is_named_with_its_file_and_the_known_ones(folder: Path) -> None:
    file = write(folder, db_url=url_of(folder, "agents"), tabel="typo")
    answer = run("current", "--json")
    assert answer.code == 2
    assert answer.document["error"]["type"] == "ConfigurationError"
    for part in (str(file), "does not know tabel", "db-url, table, schema, tenant, pooler, lock-timeout"):
        assert part in answer.complaint


UNUSABLE = {
    "no TOML": "[tool.agno-store",
    "no table": "[tool]\nagno-store = 5",
    "no tool table": "tool = 5",
    "a list for a name": "[tool.agno-store]\ntable = ['a']",
    "a number for a name": "[tool.agno-store]\ntable = 5",
    "a list for the URL": "[tool.agno-store]\ndb-url = ['a', 'b']",
    "a word for a number": "[tool.agno-store]\nlock-timeout = 'soon'",
    "a boolean for a number": "[tool.agno-store]\nlock-timeout = true",
    "bytes that are no UTF-8": "\udcff",
}


@pytest.mark.parametrize("mistake", UNUSABLE)
def test_a_pyproject_that_cannot_be_used_is_a_usage_error_that_names_it(folder: Path, mistake: str) -> None:
    (folder / "pyproject.toml").write_text(UNUSABLE[mistake], errors="surrogateescape")
    answer = run("upgrade", "--db-url", url_of(folder, "agents"))
    assert (answer.code, answer.out) == (2, "")
    key = mistake.startswith("a ") and UNUSABLE[mistake].splitlines()[1].partition(" ")[0]
    assert (key or "pyproject.toml") in answer.complaint
    assert [file.name for file in folder.iterdir()] == ["pyproject.toml"]


def test_the_program_itself_reads_variables_and_the_working_directory(folder: Path) -> None:
    write(folder.parent, table="talks")
    answer = run_installed("current", "--json", directory=folder, AGNO_STORE_DB_URL="sqlite:///agents.db")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document["table"] == "talks"
    assert os.path.realpath(answer.document["url"].partition(":///")[2]) == os.path.realpath(folder / "agents.db")


def test_the_variable_for_json_leaves_answers_alone_that_are_no_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(folder, "agents")
    at(url, REVISIONS[-1])
    commands = (("export", "-", "--db-url", url), *(("schema", form) for form in ("--svg", "--erd", "--markdown")))
    expected = [run_installed(*words, directory=folder) for words in commands]
    monkeypatch.setenv("AGNO_STORE_JSON", "1")
    for words, answer in zip(commands, expected, strict=True):
        assert answer.code == 0
        assert run_installed(*words, directory=folder, AGNO_STORE_JSON="1") == answer
        assert run(*words, "--json").code == 2
    assert run("export", "x.jsonl", "--db-url", url).document["sessions"] == 0
    assert "tables" in run("schema").document
