"""Alembic's own command line works in a checkout, for whoever writes revisions."""

from __future__ import annotations

import sys
import uuid

import pytest
from sqlalchemy import make_url

from agno_store.names import Names
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import Answer, run, run_process
from tests.cli.stores import contents, dropped_at_the_end
from tests.package.source import ROOT

NAMES = Names("some talks")


def alembic(*words: str) -> Answer:
    """Run ``alembic`` in the checkout."""
    answer = of_alembic(*words)
    assert answer.code == 0, answer.err
    return answer


def of_alembic(*words: str) -> Answer:
    return run_process(sys.executable, "-m", "alembic", *words, directory=ROOT)


def test_history_and_heads_are_one_line_of_revisions() -> None:
    said = [line.partition(",")[0] for line in alembic("history").out.splitlines()]
    steps = [f"{before} -> {after}" for before, after in zip(("<base>", *REVISIONS), REVISIONS, strict=False)]
    assert said == [*reversed([f"{step} (head)" if step.endswith(HEAD) else step for step in steps])]


def test_check_finds_the_declared_tables_to_be_what_the_revisions_make() -> None:
    assert "No new upgrade operations detected." in alembic("check").out


def test_upgrade_current_and_downgrade_of_a_store(fresh_url: str) -> None:
    at = ("-x", f"url={fresh_url}", "-x", f"table={NAMES.sessions}")
    ours = ("--db-url", fresh_url, "--table", NAMES.sessions)
    alembic(*at, "upgrade", "head")
    assert sorted(contents(fresh_url)) == sorted([*NAMES.tables, NAMES.version])
    assert run("check", "--drift", *ours).code == 0
    assert alembic(*at, "current").out.split() == [HEAD, "(head)"]
    alembic(*at, "downgrade", "base")
    assert sorted(contents(fresh_url)) == [NAMES.version]
    assert run("check", *ours).code == 3


@pytest.mark.backends("postgresql", "mysql")
def test_upgrade_makes_the_schema_of_a_store(fresh_url: str) -> None:
    schema = f"Talks {uuid.uuid4().hex[:8]}"
    with dropped_at_the_end(fresh_url, schema):
        alembic("-x", f"url={fresh_url}", "-x", f"schema={schema}", "upgrade", "head")
        assert run("check", "--drift", "--db-url", fresh_url, "--schema", schema).code == 0
        assert contents(fresh_url) == {}


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb", "sqlite"])
def test_upgrade_offline_writes_sql_for_a_store_with_its_names(scheme: str) -> None:
    url = "sqlite://" if scheme == "sqlite" else f"{scheme}://host/app"
    sql = alembic("-x", f"url={url}", "-x", f"table={NAMES.sessions}", "upgrade", "head", "--sql").out
    quote = make_url(url).get_dialect()().identifier_preparer.quote
    for table in (*NAMES.tables, NAMES.version):
        assert f"CREATE TABLE {quote(table)} (" in sql
    assert f"INSERT INTO {quote(NAMES.version)} (version_num) VALUES ('{REVISIONS[0]}')" in sql
    assert f"SET version_num='{HEAD}'" in sql


def test_the_folder_of_the_scripts_never_hides_the_package() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()
    program = "import alembic.command, alembic; print(alembic.__version__)"
    assert run_process(sys.executable, "-c", program, directory=ROOT).code == 0


@pytest.mark.parametrize("words", [("revision", "-m", "x"), ("revision", "--autogenerate", "-m", "x")])
def test_it_writes_no_revision_that_would_not_run_everywhere(words: tuple[str, ...]) -> None:
    before = sorted((ROOT / "alembic").rglob("*.py"))
    answer = of_alembic(*words)
    assert answer.code != 0
    assert "agno-store history --new" in answer.out + answer.err
    assert sorted((ROOT / "alembic").rglob("*.py")) == before
