"""Several stores in one database, with any names, each at its own revision."""

from __future__ import annotations

from typing import Any

import pytest

from agno_store import open_db
from agno_store.migrations import Migrator
from agno_store.names import LONGEST
from agno_store.tables import HEAD, REVISIONS
from tests.migrations.conftest import contents, fill

ODD = ["odd Name", "quo\"te's", "per%cent %s", "Capitals", "select", "straße-日本", "x" * LONGEST]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_a_store_may_be_called(fresh_url: str, name: str) -> None:
    with open_db(fresh_url, table_name=name) as db:
        fill(db)
        migrator = Migrator.of(db)
        assert [session["session_id"] for session in contents(db)] == ["s0", "s1", "s2"]
        assert migrator.drift() == []
        assert migrator.downgrade("base") == [*reversed(REVISIONS)]


def test_two_stores_of_one_database_never_meet(fresh_url: str) -> None:
    with open_db(fresh_url, table_name="one") as one, open_db(fresh_url, table_name="one_runs_") as two:
        fill(one, sessions=1)
        Migrator.of(two).upgrade("0001")
        assert (one.schema_status().current, two.schema_status().current) == (HEAD, "0001")
        Migrator.of(one).downgrade("base")
        assert (one.schema_status().current, two.schema_status().current) == (None, "0001")
        two.upgrade_schema()
        fill(two, sessions=2)
        assert len(contents(two)) == 2


def test_a_schema_is_made_and_kept_apart(backend: str, fresh_url: str) -> None:
    if backend == "sqlite":
        with pytest.raises(ValueError, match="SQLite has no schemas"):
            open_db(fresh_url, db_schema="ai")
        return
    schemas = ["own Schema", "per%cent"]
    try:
        for n, schema in enumerate(schemas, start=1):
            with open_db(fresh_url, db_schema=schema) as db:
                fill(db, sessions=n)
                assert Migrator.of(db).drift() == []
        for n, schema in enumerate(schemas, start=1):
            with open_db(fresh_url, db_schema=schema) as db:
                assert len(contents(db)) == n
    finally:
        drop_schemas(backend, fresh_url, schemas)


def drop_schemas(backend: str, url: str, schemas: list[str]) -> None:
    # On MySQL a schema is a database of its own, and outlives the one made for this test.
    if backend == "mysql":
        with open_db(url) as db, db.db_engine.begin() as connection:
            quote: Any = connection.dialect.identifier_preparer.quote
            for schema in schemas:
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quote(schema)}")
