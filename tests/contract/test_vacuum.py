"""The room of what was deleted is given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import AccessDenied, DatabaseError
from tests.cli.program import run
from tests.contract import stores
from tests.contract.database import dump
from tests.contract.old import aged, many
from tests.contract.samples import append, positions
from tests.contract.samples import run as run_of
from tests.migrations.roles import Roles, roles

ODD = ("plain", "odd % name", 'a "quoted" one', "it's :odd")


@pytest.mark.parametrize("name", ODD)
def test_a_vacuum_changes_no_row(opened: Callable[..., Any], name: str) -> None:
    db = opened(table_name=name)
    aged(db, "old", 100, "a", "b", summary={"summary": "text"})
    append(db, "new", "a", "b")
    db.prune("90d")
    before = stores.run(dump, db)

    assert db.vacuum() is None
    assert stores.run(dump, db) == before
    append(db, "new", "c")
    assert len(positions(db, "new")) == 3


@pytest.mark.backends("sqlite")
def test_a_store_in_memory_can_be_vacuumed() -> None:
    with stores.open_db("sqlite://") as db:
        append(db, "s", "a")
        db.vacuum()
        assert positions(db, "s") == {"a": 0}


@pytest.mark.backends("sqlite")
def test_a_file_is_as_small_as_what_is_in_it(opened: Callable[..., Any], fresh_url: str) -> None:
    db, file = opened(), Path(fresh_url.removeprefix("sqlite:///"))
    db.upgrade_schema()
    stores.run(many, db, 50, 2, 100, content='"' + "x" * 5000 + '"')
    db.prune("90d")
    assert file.stat().st_size + Path(f"{file}-wal").stat().st_size > 500_000
    db.vacuum()
    with stores.open_db(f"{fresh_url}.empty") as empty:
        empty.upgrade_schema()
        empty.vacuum()
    assert file.stat().st_size == Path(f"{file}.empty").stat().st_size
    assert Path(f"{file}-wal").stat().st_size == 0


@pytest.mark.backends("sqlite")
@pytest.mark.variant  # half a minute is waited for the reader
def test_somebody_who_goes_on_reading_is_told_of(fresh_url: str) -> None:
    file = fresh_url.removeprefix("sqlite:///")
    url = f"{fresh_url}?timeout=0.2"
    with stores.open_db(url) as db:
        append(db, "s", "a")
        with closing(sqlite3.connect(file, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM agent_sessions").fetchall()
            with pytest.raises(DatabaseError, match=r"reading the write-ahead log|has been writing"):
                db.vacuum()
            reader.execute("COMMIT")
        db.vacuum()
        assert positions(db, "s") == {"a": 0}


@pytest.fixture
def owned(backend: str, fresh_url: str) -> Iterator[Roles]:
    """The guide's roles, and a store that the owner has made."""
    with roles(backend, fresh_url) as granted:
        with granted.open("owner") as db:
            append(db, "s", "a")
        yield granted


@pytest.mark.own_pool
@pytest.mark.backends("postgresql")
@pytest.mark.parametrize("role", ["app", "reader"])
def test_on_postgresql_it_is_for_the_owner_and_for_nobody_else(owned: Roles, role: str) -> None:
    with owned.open(role) as db, pytest.raises(AccessDenied, match="only the owner may VACUUM it"):
        db.vacuum()
    with owned.open("owner") as db:
        db.vacuum()
    engine = sa.create_engine(owned.root)
    with engine.connect() as connection:
        told = sa.text("SELECT count(*) FROM pg_stat_user_tables WHERE schemaname = :schema AND vacuum_count > 0")
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        assert connection.scalar(told, {"schema": owned.schema}) == len(db.names.tables)
    engine.dispose()


@pytest.mark.own_pool
@pytest.mark.backends("postgresql")
@pytest.mark.variant
def test_what_was_deleted_before_a_vacuum_that_may_not_be_is_said(owned: Roles) -> None:
    words = ["delete-user", "u", "--yes", "--vacuum", "--db-url", owned.url("app"), *owned.words]
    with owned.open("owner") as db:
        db.upsert_run(run_of("b"), "t", user_id="u")
    answer = run(*words)
    assert (answer.code, "only the owner may VACUUM it. No room was given back." in answer.complaint) == (1, True)
    assert answer.err.startswith(f"{owned.schema}.agent_sessions: 1 session, 1 run and 0 summaries deleted;")
