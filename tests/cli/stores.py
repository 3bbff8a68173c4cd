"""Making stores, looking into databases, and doing by hand what the program must cope with."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from agno_store import Run, Session, Summary, open_db
from agno_store.dialects import SQLITE, parse_url
from agno_store.dialects.writer import LOCKS
from agno_store.names import Names
from agno_store.tables import table
from tests.cli.program import run

NAMES = Names()


def at(url: str, revision: str) -> None:
    """Make a store that is at ``revision``; 'missing' makes none."""
    if revision != "missing":
        answer = run("upgrade", "--db-url", url, "--to", revision)
        assert answer.code == 0, answer


def filled(url: str) -> None:
    """Make a store with two sessions, three runs and a summary."""
    with open_db(url) as db:
        for session_id, runs in (("one", 2), ("two", 1)):
            db.upsert_session(Session(session_id=session_id, session_type="agent"))
            for number in range(runs):
                db.upsert_run(Run(run_id=f"{session_id}-{number}", run_data={"number": number}), session_id)
        db.upsert_session(Session(session_id="one", session_type="agent", summary=Summary("short")))


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Give a connection in a transaction that is committed at the end."""
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def execute(url: str, *statements: str) -> None:
    """Run statements as they are, % and : included."""
    with connected(url) as connection:
        connection.execution_options(no_parameters=True)
        for statement in statements:
            connection.exec_driver_sql(statement)


def contents(url: str, schema: str | None = None) -> dict[str, tuple[list[str], list[str], list[Any]]]:
    """Return every table of a database with its columns, its indexes and its rows."""
    with connected(url) as connection:
        look = sa.inspect(connection)
        return {
            name: (
                sorted(column["name"] for column in look.get_columns(name, schema=schema)),
                sorted(str(index["name"]) for index in look.get_indexes(name, schema=schema)),
                sorted(map(repr, connection.execute(_all_of(name, schema)))),
            )
            for name in sorted(look.get_table_names(schema=schema))
        }


def _all_of(name: str, schema: str | None) -> Any:
    return sa.select(sa.text("*")).select_from(sa.table(name, schema=schema))


@contextmanager
def dropped_at_the_end(url: str, schema: str) -> Iterator[None]:
    """Drop a schema, which on MySQL is a database of its own, that the test has made."""
    try:
        yield
    finally:
        with connected(url) as connection:
            if sa.inspect(connection).has_schema(schema):
                cascade = connection.dialect.name == "postgresql"
                connection.execute(sa.schema.DropSchema(schema, cascade=cascade))


def set_version(url: str, revision: str) -> None:
    """Write a revision into the version table, as a release that knows it would."""
    execute(url, f"UPDATE {NAMES.version} SET version_num = '{revision}'")


def drop_an_index(url: str) -> str:
    """Drop an index of the runs table and return its name."""
    index = next(iter(table(NAMES, NAMES.runs).indexes))
    with connected(url) as connection:
        index.drop(connection)
    return str(index.name)


@contextmanager
def locked(url: str) -> Iterator[str]:
    """Hold the upgrade lock of a store; give what the program can say of the holder."""
    parsed, dialect = parse_url(url)
    engine = sa.create_engine(parsed, poolclass=NullPool)
    with engine.connect() as connection:
        if dialect is SQLITE:
            # What any program may do that writes into the file.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield f"process {os.getpid()} " if LOCKS.exists() else "another process"
            return
        holder = connection.scalar(sa.text(_OWN_ID[parsed.get_backend_name()]))
        connection.rollback()
        with dialect.upgrading(connection, NAMES, timeout=0, scope=dialect.scope(pooled=False)):
            yield str(holder)


_OWN_ID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}


@contextmanager
def locked_for(url: str, seconds: float) -> Iterator[None]:
    """Hold the upgrade lock meanwhile, but not longer than some seconds."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(url):
            held.set()
            over.wait(seconds)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(20)
    try:
        yield
    finally:
        over.set()
        holder.join()
