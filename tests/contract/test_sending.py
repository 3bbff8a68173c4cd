"""Statements reach the driver by a short way, and nobody who listens, logs or rewrites misses one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.contract import stores
from tests.contract.database import statements, tables
from tests.contract.samples import append, run, run_ids, session


def turn(db: Any, run_id: str) -> None:
    """Read a session, and store it with a run."""
    found = db.get_session("s")
    db.upsert_session(replace(found, metadata={"last": run_id}), run=run(run_id))


@pytest.fixture
def over(fresh_url: str, backend: str, opened: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A store with a session, over an engine of the caller's with these options."""
    append(opened(), "s", "first")
    engines: list[sa.Engine] = []

    def make(options: dict[str, Any] | None = None, **execution: Any) -> Any:
        engines.append(stores.create_engine(fresh_url, **(options or {})))
        return stores.class_of(backend)(db_engine=engines[-1].execution_options(**execution))

    yield make
    for engine in engines:
        stores.run(engine.dispose)


def test_who_listens_to_statements_hears_all(over: Callable[..., Any]) -> None:
    db = over()
    heard: list[Any] = []
    event.listen(db.db_engine, "before_execute", lambda _c, statement, *_: heard.append(statement))
    with statements(db.db_engine) as sent:
        turn(db, "r")

    written = {table.name for statement in heard for table in sa.sql.util.find_tables(statement, include_crud=True)}
    assert {db.names.sessions, db.names.runs} <= written
    assert len(sent) >= 3
    assert run_ids(db, "s") == ["first", "r"]


@pytest.mark.backends("sqlite", "postgresql")
def test_schemas_are_translated(over: Callable[..., Any], backend: str) -> None:
    schema = {"sqlite": "main", "postgresql": "public"}[backend]
    db = over(schema_translate_map={None: schema})
    turn(db, "r")
    with statements(db.db_engine) as sent:
        turn(db, "r2")

    assert [statement for statement in sent if f"{schema}.{db.names.runs}" not in statement][1:] == []
    assert run_ids(db, "s") == ["first", "r", "r2"]


def test_an_engine_that_logs_logs_every_statement(over: Callable[..., Any], caplog: Any) -> None:
    db = over()
    db.get_session("s")
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        turn(db, "r")

    logged = [record.getMessage() for record in caplog.records if record.name.startswith("sqlalchemy.engine")]
    assert [text for text in logged if "UPDATE" in text]
    assert [text for text in logged if "INSERT" in text]


def test_an_error_of_the_driver_is_sqlalchemys(db: Any) -> None:
    db.upsert_session(session("s"))
    append(db, "s", "r")
    sql, ask = core(db).sql, core(db).ask

    def twice() -> None:
        with db.db_engine.connect() as connection, connection.begin():
            row = ask(connection, sql.one_run, {"key": "s", "run_key": "r"}).first
            ask(connection, sql.insert_run, row)

    with pytest.raises(sa.exc.IntegrityError) as raised:
        stores.run(twice)
    assert raised.value.statement is not None
    assert "hello" not in str(raised.value)
    with db.db_engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables(db)["runs"])) == 1


def test_the_error_of_a_closed_connection_is_sqlalchemys(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    sql, ask = core(db).sql, core(db).ask

    def close_and_ask() -> None:
        with db.db_engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            driver.close()
            with pytest.raises(sa.exc.DBAPIError):
                ask(connection, sql.session, {"session_id": "s"})
            assert connection.invalidated

    stores.run(close_and_ask)
    assert run_ids(db, "s") == ["r"]


def core(db: Any) -> Any:
    """The store's own operations on a connection."""
    return stores.run(lambda: db.inner._here().core._store) if stores.is_async() else db._store
