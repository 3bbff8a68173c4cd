"""``agno-store upgrade --sql``: what is written, from where to where, and that nothing is done."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest

from agno_store import __version__
from agno_store.dialects import parse_url
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run, run_installed
from tests.cli.stores import at, contents, set_version

DIALECTS = ("postgresql", "mysql", "mariadb", "sqlite")


@pytest.fixture
def disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody connect to a server."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("somebody connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("psycopg.connect", refuse)
    monkeypatch.setattr("psycopg.Connection.connect", refuse)


def revisions_in(text: str) -> list[str]:
    """Return the revisions in the order in which a script runs them; those it takes back with a minus."""
    found = re.findall(r"^-- (Revision|Back from revision) (\w+): .+$", text, re.MULTILINE)
    return [("" if way == "Revision" else "-") + revision for way, revision in found]


@pytest.mark.usefixtures("disconnected")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_with_a_dialect_no_database_is_asked(folder: Path, dialect: str) -> None:
    url = f"sqlite:///{folder}/a.db" if dialect == "sqlite" else f"{dialect}://me:secret@127.0.0.1:9/app"
    answer = run("upgrade", "--dialect", dialect, "--db-url", url)
    assert (answer.code, answer.err) == (0, "")
    assert revisions_in(answer.out) == list(REVISIONS)
    assert list(folder.iterdir()) == []
    assert "secret" not in answer.out
    assert run("upgrade", "--sql", "--dialect", dialect).out == answer.out


@pytest.mark.parametrize("start", ["base", *REVISIONS[:-1]])
def test_a_connection_only_tells_where_the_store_is(backend: str, fresh_url: str, start: str) -> None:
    at(fresh_url, start)
    before = contents(fresh_url)
    answer = run("upgrade", "--sql", "--db-url", fresh_url)
    assert (answer.code, answer.err) == (0, "")
    assert revisions_in(answer.out) == [revision for revision in REVISIONS if revision > start or start == "base"]
    assert contents(fresh_url) == before
    assert parse_url(fresh_url)[1].client in answer.out
    assert f"-- agno_store {__version__}: agent_sessions from {start} to {HEAD}, for " in answer.out
    if backend != "mysql":  # of MySQL and MariaDB the connection also tells which it is
        assert run("upgrade", "--dialect", backend, "--from", start).out == answer.out


WAYS: dict[tuple[str, str], list[str]] = {
    ("base", "0.1.0"): ["0001", "0002", "0003"],
    ("base", "0.1"): ["0001", "0002", "0003"],
    ("0001", "0002"): ["0002"],
    ("0.1.0", "0001"): ["-0003", "-0002"],
    ("head", "base"): [f"-{revision}" for revision in reversed(REVISIONS)],
    ("0002", "base"): ["-0002", "-0001"],
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_from_and_to_may_be_releases_and_lead_back(way: tuple[str, str], dialect: str) -> None:
    start, target = way
    answer = run("upgrade", "--sql", "--dialect", dialect, "--from", start, "--to", target)
    assert (answer.code, revisions_in(answer.out)) == (0, WAYS[way])


def test_from_is_believed_whatever_the_store_says(fresh_url: str) -> None:
    at(fresh_url, "0001")
    answer = run("upgrade", "--sql", "--db-url", fresh_url, "--from", "0002", "--to", "base")
    assert (answer.code, revisions_in(answer.out)) == (0, ["-0002", "-0001"])


@pytest.mark.backends("postgresql", "mysql")
def test_a_schema_is_made_by_a_script_that_begins_at_nothing(backend: str) -> None:
    words = ("upgrade", "--sql", "--dialect", backend, "--schema", "own Schema")
    assert "CREATE SCHEMA" in run(*words).out
    assert "CREATE SCHEMA" not in run(*words, "--from", "0001").out


def test_as_json_it_is_one_document() -> None:
    words = ("upgrade", "--sql", "--dialect", "postgresql")
    answer = run(*words, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document == {"sql": run(*words).out}


def test_the_text_is_not_for_the_terminal_to_change(folder: Path) -> None:
    words = ("upgrade", "--sql", "--dialect", "sqlite", "--table", "[red]x[/red] :smile: 日本")
    answer = run_installed(*words, directory=folder, PYTHONIOENCODING="latin-1", COLUMNS="30")
    assert answer.code == 0
    assert 'CREATE TABLE "[red]x[/red] :smile: 日本_runs" (\n' in answer.out
    assert answer.out == run(*words).out == run(*words, "--json").document["sql"]


def test_a_file_that_is_not_there_is_not_made(folder: Path) -> None:
    answer = run("upgrade", "--sql", "--db-url", f"sqlite:///{folder}/new/agents.db")
    assert (answer.code, revisions_in(answer.out)) == (0, list(REVISIONS))
    assert list(folder.iterdir()) == []


def test_a_store_ahead_of_this_release_is_left_alone(fresh_url: str) -> None:
    at(fresh_url, "head")
    set_version(fresh_url, "9999")
    answer = run("upgrade", "--sql", "--db-url", fresh_url)
    assert (answer.code, answer.out) == (4, "")


@pytest.mark.parametrize(
    "words",
    [
        ("--dialect", "oracle"),
        ("--dialect", "sqlite", "--schema", "x"),
        ("--dialect", "sqlite", "--to", "9999"),
        ("--dialect", "sqlite", "--from", "9999"),
        ("--dialect", "postgresql", "--to", "0.0.9"),
        ("--dialect", "postgresql", "--to", "99.0"),
        ("--dialect", "mysql", "--table", "a.b"),
        ("--dialect", "mysql", "--from", "head"),
        (),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(words: tuple[str, ...]) -> None:
    answer = run("upgrade", "--sql", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err
