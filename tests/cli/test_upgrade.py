"""``agno-store upgrade``: what it does, what it says, and what it leaves alone."""

from __future__ import annotations

import ast
import re

import pytest

from agno_store.names import Names
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.cli.stores import NAMES, at, contents, execute, filled, set_version
from tests.package.source import REVISIONS as FILES
from tests.package.source import tree

KEYS = ["table", "schema", "state", "current", "head", "pending", "url"]
KEYS += ["works_with", "application", "for_release", "usable", "from", "to", "steps", "backfills"]
MESSAGES = [str(ast.get_docstring(tree(file))).splitlines()[0] for file in FILES]
ALL_TABLES = sorted([*NAMES.tables, NAMES.version, NAMES.upgrades])


def test_upgrade_says_each_revision_and_where_it_came_from_and_to(fresh_url: str) -> None:
    answer = run("upgrade", "--db-url", fresh_url)
    assert (answer.code, answer.err) == (0, "")
    *steps, last = answer.out.splitlines()
    expected = [f"{revision}  {message}" for revision, message in zip(REVISIONS, MESSAGES, strict=True)]
    assert [re.sub(r": applied in \d+\.\d\d s$", "", step).strip() for step in steps] == expected
    assert last == f"agent_sessions: no tables -> {HEAD}"
    assert sorted(contents(fresh_url)) == ALL_TABLES


def test_upgrade_answers_with_one_document(fresh_url: str) -> None:
    at(fresh_url, REVISIONS[0])
    answer = run("upgrade", "--db-url", fresh_url, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.document) == KEYS
    assert answer.document["table"] == "agent_sessions"
    assert answer.document["schema"] is None
    assert (answer.document["from"], answer.document["to"]) == (REVISIONS[0], HEAD)
    assert (answer.document["state"], answer.document["current"], answer.document["pending"]) == ("in step", HEAD, [])
    assert [(step["revision"], step["message"]) for step in answer.document["steps"]] == list(
        zip(REVISIONS[1:], MESSAGES[1:], strict=True)
    )
    assert all(isinstance(step["seconds"], float) for step in answer.document["steps"])


def test_second_upgrade_changes_nothing(fresh_url: str) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    answer = run("upgrade", "--db-url", fresh_url)
    assert (answer.code, answer.out, answer.err) == (0, f"agent_sessions is at {HEAD} already\n", "")
    document = run("upgrade", "--db-url", fresh_url, "--json").document
    assert (document["from"], document["to"], document["steps"]) == (HEAD, HEAD, [])
    assert contents(fresh_url) == before


@pytest.mark.parametrize("revision", REVISIONS)
def test_upgrade_stops_where_it_is_told_to(fresh_url: str, revision: str) -> None:
    assert run("upgrade", "--db-url", fresh_url, "--to", revision).code == 0
    status = run("current", "--db-url", fresh_url, "--json").document
    assert status["current"] == revision
    assert run("upgrade", "--db-url", fresh_url, "--to", "head").code == 0
    assert run("check", "--db-url", fresh_url, "--drift").code == 0


def test_upgrade_does_not_go_back(fresh_url: str) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    for target in (REVISIONS[0], "base"):
        assert run("upgrade", "--db-url", fresh_url, "--to", target).code == 0
    assert contents(fresh_url) == before


def test_upgrade_to_base_says_that_there_are_no_tables(fresh_url: str) -> None:
    answer = run("upgrade", "--db-url", fresh_url, "--to", "base")
    assert answer.code == 0
    assert re.match("agent_sessions has no tables", answer.out)


@pytest.mark.parametrize("revision", ["9999", "", "000", "no such", "0001:0002", "+1"])
@pytest.mark.parametrize("words", [("upgrade", "--to"), ("downgrade", "--yes", "--to"), ("stamp",)])
@pytest.mark.backends("sqlite")
def test_an_unknown_or_ambiguous_revision_is_a_usage_error(
    fresh_url: str, words: tuple[str, ...], revision: str
) -> None:
    at(fresh_url, "head")
    before = contents(fresh_url)
    answer = run(*words, revision, "--db-url", fresh_url)
    assert (answer.code, answer.out) == (2, "")
    assert f"There is no revision or release {revision!r}" in answer.complaint
    assert f"base, {', '.join(REVISIONS)}, head" in answer.complaint
    assert contents(fresh_url) == before


@pytest.mark.parametrize("words", [("upgrade",), ("downgrade", "--to", "base", "--yes"), ("stamp", "head")])
def test_a_schema_of_a_newer_release_is_left_alone(fresh_url: str, words: tuple[str, ...]) -> None:
    filled(fresh_url)
    set_version(fresh_url, "9999")
    before = contents(fresh_url)
    answer = run(*words, "--db-url", fresh_url, "--json")
    assert answer.code == 4
    assert answer.document["error"]["type"] == "SchemaTooNew"
    assert answer.document["error"]["exit_code"] == 4
    for part in ("9999", HEAD, "Nothing was changed", "pip install --upgrade agno-store"):
        assert part in answer.complaint
    assert contents(fresh_url) == before


def test_stores_of_one_database_are_upgraded_one_by_one(fresh_url: str) -> None:
    other = Names("other")
    execute(fresh_url, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    assert run("upgrade", "--db-url", fresh_url).code == 0
    assert run("upgrade", "--db-url", fresh_url, "--table", "other", "--to", REVISIONS[0]).code == 0
    assert sorted(contents(fresh_url)) == sorted(
        [*ALL_TABLES, "alembic_version", other.sessions, other.version, other.upgrades]
    )
    assert run("check", "--db-url", fresh_url).code == 0
    assert run("check", "--db-url", fresh_url, "--table", "other").code == 3
