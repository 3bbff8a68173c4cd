"""What PyMySQL is told of columns is taken apart once, and again where it is something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.samples import append

COLOURS = ("sync",)

pytestmark = pytest.mark.backends("mysql")


def described(db: Any, statement: str) -> tuple[Any, list[Any]]:
    """How a statement's columns are described, and what the driver has made of it."""
    with db.db_engine.connect() as connection:
        result = connection.exec_driver_sql(statement)
        return result.cursor.description, connection.connection.driver_connection._result.fields


def test_a_column_is_taken_apart_once(opened: Callable[..., Any]) -> None:
    db, other = opened(), opened(table_name="other")
    for store in (db, other):
        append(store, "s", "r")
    statement = f"SELECT session_id, run_index FROM {db.names.runs}"
    first, second = described(db, statement), described(db, statement)

    assert first[0] == second[0]
    assert [column[:2] for column in first[0]] == [("session_id", 253), ("run_index", 8)]
    assert [id(field) for field in first[1]] == [id(field) for field in second[1]]
    assert [field.org_table for field in described(other, "SELECT session_id FROM other_runs")[1]] == ["other_runs"]


def test_a_column_that_was_changed_is_another_one(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    statement = f"SELECT status AS found FROM {db.names.runs}"
    before, _ = described(db, statement)
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {db.names.runs} MODIFY status VARBINARY(300)")
    after, _ = described(db, statement)

    assert before != after
    with db.db_engine.connect() as connection:
        assert connection.exec_driver_sql(statement).scalar() == b"COMPLETED"
