"""Transactions of a caller, for an upgrade to be part of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from tests.migrations.sessions import session


def write(connection: Connection, number: int) -> None:
    connection.exec_driver_sql(f"INSERT INTO mine VALUES ({number})")


def mine(engine: Engine) -> list[int]:
    """Return the caller's rows, as another connection sees them."""
    url = engine.url.render_as_string(hide_password=False)
    with session(url) as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT id FROM mine ORDER BY id")]


def tables(engine: Engine, schema: str | None = None) -> set[str]:
    """Return the tables besides the caller's, as another connection sees them."""
    with session(engine.url.render_as_string(hide_password=False)) as connection:
        return set(sa.inspect(connection).get_table_names(schema=schema)) - {"mine"}


# -- ways to have a transaction ----------------------------------------------------------------------


@contextmanager
def engine_begin(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


@contextmanager
def connection_begin(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def autobegin(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection
        connection.commit()


WAYS = [engine_begin, connection_begin, autobegin]
Way = Callable[[Engine], Any]


class TakenBack(Exception):
    """The caller rolls back."""
