"""Every store of a database is found by its version table, and strangers' tables are left alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from agno_store import open_db
from agno_store.migrations import Migrator
from agno_store.migrations.stores import stores
from agno_store.names import LONGEST, Names
from agno_store.tables import HEAD
from tests.cli.program import Answer, run
from tests.cli.stores import connected, contents, execute
from tests.history import above
from tests.migrations.test_stores import drop_schemas

STORES = {
    "quo\"te's; per%c": "0001",
    "Capitals": "0002",
    "straße-日本": HEAD,
    "x" * LONGEST: "base",
    "a_alembic_version": "0001",
    "agent_sessions": "0002",
}
"""What stores are called, and where they are."""

HOSTS = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0001')",
)
STRANGERS = {
    "no revision of ours": ("version_num VARCHAR(32) NOT NULL PRIMARY KEY", "'ae1027a6acf'"),
    "numbered as ours are": ("version_num VARCHAR(32) NOT NULL PRIMARY KEY", "'0001'"),
    "numbered by a number": ("version_num INTEGER NOT NULL PRIMARY KEY", "1"),
    "more columns": ("version_num VARCHAR(32), note VARCHAR(9)", "'0001', ''"),
    "NULL": ("version_num VARCHAR(32)", "NULL"),
}


def stranger(url: str, columns: str, values: str) -> None:
    """Make the tables of another application that keeps its version as we do."""
    execute(
        url,
        *HOSTS,
        f"CREATE TABLE foo_alembic_version ({columns})",
        f"INSERT INTO foo_alembic_version VALUES ({values})",
        "CREATE TABLE foo (id INTEGER PRIMARY KEY, name VARCHAR(9))",
    )


def made(url: str, **options: Any) -> None:
    """Make all the stores."""
    for name, revision in STORES.items():
        with open_db(url, table_name=name, **options) as db:
            migrator = Migrator.of(db)
            migrator.upgrade("0001" if revision == "base" else revision)
            if revision == "base":
                migrator.downgrade("base")


def found(url: str, only: str | None = None) -> list[Names]:
    """Return the stores that are found."""
    with open_db(url) as db:
        return stores(db.db_engine, db.dialect, only)


def everywhere(url: str) -> dict[str, str]:
    """Return the revision of every store by ``current --all``."""
    answer = run("current", "--all", "--db-url", url, "--json")
    assert (answer.code, answer.err) == (0, "")
    return {store["table"]: store["current"] for store in answer.document["stores"]}


def upgrade(url: str, *words: str) -> Answer:
    """Upgrade all stores of a database."""
    return run("upgrade", "--all", "--db-url", url, "--json", *words)


def test_stores_of_any_name_and_revision_are_found_and_upgraded(fresh_url: str) -> None:
    made(fresh_url)
    execute(fresh_url, *HOSTS)
    assert {names.sessions for names in found(fresh_url)} == set(STORES)
    at = {name: None if revision == "base" else revision for name, revision in STORES.items()}
    assert everywhere(fresh_url) == at
    answer = upgrade(fresh_url)
    assert (answer.code, answer.err) == (0, "")
    assert {store["table"]: len(store["steps"]) for store in answer.document["stores"]} == {
        name: len(above(revision)) for name, revision in STORES.items()
    }
    assert everywhere(fresh_url) == dict.fromkeys(STORES, HEAD)


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_strangers_version_table_is_no_store(fresh_url: str, kind: str) -> None:
    stranger(fresh_url, *STRANGERS[kind])
    before = contents(fresh_url)
    assert found(fresh_url) == []
    answer = upgrade(fresh_url)
    assert (answer.code, answer.err, answer.document) == (0, "", {"stores": []})
    assert run("current", "--all", "--db-url", fresh_url).out.startswith("No store was found in ")
    assert contents(fresh_url) == before


def test_where_there_is_no_database_there_is_no_store(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/new/agents.db"
    assert found(url) == []
    assert upgrade(url).document == {"stores": []}
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def schemas(backend: str, fresh_url: str) -> Iterator[list[str]]:
    """The names of two schemas; on MySQL, where all tests share them, of this test's own."""
    names = [f"one {uuid.uuid4().hex[:6]}", f'two "s" %c {uuid.uuid4().hex[:6]}']
    yield names
    drop_schemas(backend, fresh_url, names)


@pytest.mark.backends("postgresql", "mysql")
def test_stores_in_several_schemas_are_found(backend: str, fresh_url: str, schemas: list[str]) -> None:
    for schema in (None, *schemas):
        with open_db(fresh_url, table_name="Talks", db_schema=schema) as db:
            Migrator.of(db).upgrade("0001")
    for schema in schemas:
        assert found(fresh_url, schema) == [Names("Talks", schema)]
    assert [store["schema"] for store in upgrade(fresh_url, "--schema", schemas[0]).document["stores"]] == [schemas[0]]
    every = [None, *schemas] if backend == "postgresql" else [None]  # on MySQL the others are databases of their own
    assert set(found(fresh_url)) == {Names("Talks", schema) for schema in every}
    answer = upgrade(fresh_url)
    assert answer.code == 0
    assert {store["schema"]: len(store["steps"]) for store in answer.document["stores"]} == {
        schema: 0 if schema == schemas[0] else len(above("0001")) for schema in every
    }


@pytest.mark.backends("postgresql")
def test_what_a_role_may_not_read_keeps_it_from_nothing(fresh_url: str) -> None:
    role = f"role_{uuid.uuid4().hex[:8]}"
    execute(fresh_url, f"CREATE ROLE {role} LOGIN", "CREATE SCHEMA own", f"GRANT ALL ON SCHEMA own TO {role}")
    try:
        stranger(fresh_url, *STRANGERS["numbered as ours are"])
        with open_db(fresh_url, table_name="theirs") as db:
            db.upgrade_schema()
        execute(fresh_url, "CREATE SCHEMA hidden", "CREATE TABLE hidden.a_alembic_version (version_num VARCHAR(32))")
        url = make_url(fresh_url).set(username=role).render_as_string()
        with open_db(url, table_name="mine", db_schema="own") as db:
            Migrator.of(db).upgrade("0001")
        assert set(found(url)) == {Names("mine", "own"), Names("theirs")}
        answer = run("current", "--all", "--db-url", url, "--json")
        assert (answer.code, answer.document["stores"][0]["current"]) == (1, "0001")
        answer = upgrade(url)
        assert answer.code == 1
        mine, theirs = answer.document["stores"]
        assert (mine["table"], mine["current"]) == ("mine", HEAD)
        assert (theirs["table"], theirs["error"]["type"]) == ("theirs", "AccessDenied")
    finally:
        execute(fresh_url, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


FAILING = {
    "ahead": ("UPDATE b_store_alembic_version SET version_num = '9999'", 4, "SchemaTooNew"),
    "conflict": ("CREATE TABLE b_store_summaries (id INTEGER)", 1, "SchemaConflict"),
    "two revisions": ("INSERT INTO b_store_alembic_version VALUES ('0002')", 1, "SchemaConflict"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_store_that_fails_keeps_no_other_from_its_upgrade(fresh_url: str, kind: str) -> None:
    statement, code, error = FAILING[kind]
    for name in ("a_store", "b_store", "c_store"):
        with open_db(fresh_url, table_name=name) as db:
            Migrator.of(db).upgrade("0001")
    execute(fresh_url, statement)
    before = {name: table for name, table in contents(fresh_url).items() if name.startswith("b_store")}
    answer = upgrade(fresh_url)
    assert answer.code == code
    a, b, c = answer.document["stores"]
    assert [(store["table"], store["current"]) for store in (a, c)] == [("a_store", HEAD), ("c_store", HEAD)]
    assert (b["table"], b["error"]["type"], b["error"]["exit_code"]) == ("b_store", error, code)
    assert b["error"]["message"] in answer.complaint
    assert {name: table for name, table in contents(fresh_url).items() if name.startswith("b_store")} == before
    assert upgrade(fresh_url).code == code


def test_all_can_be_rehearsed(backend: str, fresh_url: str) -> None:
    made(fresh_url)
    before = contents(fresh_url)
    answer = upgrade(fresh_url, "--rehearse")
    assert answer.code == (2 if backend == "mysql" else 0)
    if backend != "mysql":
        steps = {store["table"]: len(store["rehearsed"]) for store in answer.document["stores"]}
        assert steps == {name: len(above(at)) for name, at in STORES.items()}
    assert contents(fresh_url) == before


def test_a_store_whose_session_table_is_gone_is_still_one(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        Migrator.of(db).upgrade("0001")
    with connected(fresh_url) as connection:
        connection.execute(sa.text("DROP TABLE agent_sessions"))
    assert found(fresh_url) == [Names()]
    assert upgrade(fresh_url).code != 0
