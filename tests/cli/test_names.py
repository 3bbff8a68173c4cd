"""Tables and schemas may be called anything that every database can keep."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_store.names import Names
from agno_store.tables import HEAD
from tests.cli.program import run, run_installed
from tests.cli.stores import contents, dropped_at_the_end

ODD = [
    "two words",
    'it\'s "quoted" and /* ; -- */',
    "100% %(sure)s %s",
    "CamelCase",
    "select",
    "a:key:b ?",
    "[red]x[/red]",
    "back\\slash",
    "Gespräche 会话",
]


@pytest.mark.parametrize("table", ODD)
def test_a_store_may_have_an_odd_name(fresh_url: str, table: str) -> None:
    names = Names(table)
    at = ("--db-url", fresh_url, "--table", table)
    assert run("upgrade", *at).out.splitlines()[-1] == f"{table}: no tables -> {HEAD}"
    assert sorted(contents(fresh_url)) == sorted([*names.tables, names.version, names.upgrades])
    answer = run("check", "--drift", *at)
    assert (answer.code, answer.out, answer.err) == (0, f"{table} is at {HEAD}, in step\n", "")
    assert run("current", "--json", *at).document["table"] == table
    assert run("history", *at).out.strip().startswith(f"{table} at ")
    lost = run("downgrade", "--to", "base", "--yes", *at).out.splitlines()[: len(names.tables)]
    assert lost == [f"  {name} goes, and 0 rows with it" for name in names.tables]
    assert run("check", *at).complaint.startswith(f"{table} has no tables yet. Run: agno-store upgrade")


@pytest.fixture(params=['Odd "schema" 100% :x', "select"])
def schema(request: pytest.FixtureRequest, fresh_url: str) -> Iterator[str]:
    """The name of a schema that is not there yet."""
    name = f"{request.param} {uuid.uuid4().hex[:8]}"
    with dropped_at_the_end(fresh_url, name):
        yield name


@pytest.mark.backends("postgresql", "mysql")
def test_a_schema_is_made_where_it_is_missing_and_may_have_an_odd_name(fresh_url: str, schema: str) -> None:
    names = Names("Odd table", schema)
    at = ("--db-url", fresh_url, "--table", "Odd table", "--schema", schema)
    assert run("check", *at).code == 3
    assert run("upgrade", *at).out.splitlines()[-1] == f"{schema}.Odd table: no tables -> {HEAD}"
    assert sorted(contents(fresh_url, schema)) == sorted([*names.tables, names.version, names.upgrades])
    assert contents(fresh_url) == {}
    answer = run("check", "--drift", "--json", *at)
    assert (answer.code, answer.document["schema"], answer.document["differences"]) == (0, schema, [])
    assert run("upgrade", *at).out == f"{schema}.Odd table is at {HEAD} already\n"
    assert run("downgrade", "--to", "base", "--yes", *at).code == 0
    assert sorted(contents(fresh_url, schema)) == [names.version, names.upgrades]


@pytest.mark.parametrize(
    ("option", "name", "reason"),
    [
        ("--table", "a.b", "holds a dot"),
        ("--table", "", "must be a name"),
        ("--table", " ", "must be a name"),
        ("--table", " padded", "begins or ends with a space"),
        ("--table", "tick`", "backtick"),
        ("--table", "x" * 60, "60 bytes long; the limit is"),
        ("--schema", "y" * 64, "64 bytes long; the limit is"),
    ],
)
@pytest.mark.backends("postgresql")
def test_a_name_that_not_every_database_can_keep_is_a_usage_error(
    fresh_url: str, option: str, name: str, reason: str
) -> None:
    answer = run("upgrade", "--db-url", fresh_url, option, name)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.complaint
    assert contents(fresh_url) == {}


@pytest.mark.backends("sqlite")
def test_a_name_of_nothing_is_not_the_default_store(fresh_url: str) -> None:
    assert run("upgrade", "--db-url", fresh_url).code == 0
    assert run("prune", "--older-than", "0s", "--yes", "--db-url", fresh_url, "--table", "").code == 2
    for option in ("--from-table", "--to-table"):
        answer = run("copy", "--from-url", fresh_url, "--to-url", fresh_url, option, "")
        assert (answer.code, "table_name must be a name, not ''" in answer.complaint) == (2, True)


def test_the_command_that_is_advised_is_the_one_that_helps(fresh_url: str) -> None:
    at = ("--db-url", fresh_url, "--table", "it's odd")
    advice = run("check", *at).complaint.partition("Run: ")[2]
    program, *words = shlex.split(advice)
    assert program == "agno-store"
    assert run(*words).code == 0
    assert run("check", *at).code == 0


@pytest.mark.parametrize("words", [("--json",), ()])
@pytest.mark.backends("sqlite")
def test_a_terminal_that_knows_only_ascii_is_no_reason_to_fail(
    fresh_url: str, folder: Path, words: tuple[str, ...]
) -> None:
    at = ("--db-url", fresh_url, "--table", "Gespräche")
    answer = run_installed("upgrade", *at, *words, directory=folder, PYTHONIOENCODING="ascii")
    assert (answer.code, answer.err) == (0, "")
    assert "Traceback" not in answer.out
    if words:
        assert answer.document["table"] == "Gespräche"
