"""What a plan says of locks, held against the databases themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from agno_store.dialects import ALL
from agno_store.dialects.locks import MARIADB, MYSQL, POSTGRESQL, Change
from agno_store.migrations.chain import chain
from agno_store.migrations.record import recorded, sql_dialects
from agno_store.migrations.wording import change_of
from agno_store.names import Names
from tests.migrations.conftest import fill
from tests.migrations.revisions import write

RUNS = Names().runs

OPERATIONS: dict[Change, str] = {
    Change.ADD_COLUMN: 'op.add_column(n.runs, sa.Column("x", types.COUNT, server_default=sa.text("0")))',
    Change.ADD_FILLED_COLUMN: 'op.add_column(n.runs, sa.Column("x", sa.Float(), server_default=sa.text("random()")))',
    Change.DROP_COLUMN: 'op.drop_column(n.runs, "status")',
    Change.RENAME_COLUMN: 'op.alter_column(n.runs, "status", new_column_name="state")',
    Change.CHANGE_TYPE: 'op.alter_column(n.runs, "run_index", type_=sa.Integer())',
    Change.FORBID_NULL: 'op.alter_column(n.runs, "user_id", nullable=False)',
    Change.CHANGE_COLUMN: 'op.alter_column(n.runs, "status", server_default="new")',
    Change.RENAME_TABLE: 'op.rename_table(n.runs, "moved")',
    Change.BUILD_INDEX: 'op.create_index("ix", n.runs, ["status"])',
    Change.DROP_INDEX: 'op.drop_index(f"ix_{n.runs}_run_id", n.runs)',
    Change.ADD_KEY: 'op.create_unique_constraint("uq", n.runs, ["session_id", "run_index"])',
    Change.ADD_FOREIGN_KEY: 'op.create_foreign_key("fk", n.runs, n.sessions, ["session_id"], ["session_id"])',
    Change.ADD_CHECK: 'op.create_check_constraint("ck", n.runs, sa.text("run_index >= 0"))',
    Change.DROP_CONSTRAINT: 'op.drop_constraint(f"fk_{n.runs}_session_id", n.runs, type_="foreignkey")',
    Change.WRITE_ROWS: 'op.execute(f"UPDATE {n.runs} SET version = 2")',
}

AT_THE_MOMENT = 'op.add_column(n.runs, sa.Column("x", sa.DateTime(), server_default=sa.func.now()))'
"""A default that is the same for every row, though no constant."""

STORED = 'op.add_column(n.runs, sa.Column("x", types.COUNT, sa.Computed("run_index + 1", persisted=True)))'

_HELD = sa.text("SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = :oid AND granted")

_MODES = ("AccessShare", "RowExclusive", "ShareUpdateExclusive", "Share", "ShareRowExclusive", "AccessExclusive")
"""PostgreSQL's, weakest first."""


@pytest.fixture
def filled(db: Any) -> Any:
    """A store in which everything that a NOT NULL or a check may look at complies."""
    fill(db)
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {RUNS} SET user_id = 'ada'")
    return db


def do(connection: Connection, upgrade: str, folder: Path) -> Change:
    """Do what the body of an upgrade says, and return which change a plan takes it for."""
    [script] = chain(write(folder / "versions", upgrade)).application
    change = told(script, connection.dialect)
    script.module.upgrade(Operations(MigrationContext.configure(connection)), Names())
    return change


def told(script: Script, sql_dialect: SqlDialect) -> Change:
    """Return which change a plan takes the only operation of a revision for."""
    [kept] = recorded(script, Names(), sql_dialect)
    return change_of(kept.operation)


@pytest.mark.parametrize("change", [*OPERATIONS, Change.OTHER], ids=lambda change: change.name)
def test_an_operation_is_taken_for_the_change_that_it_makes(tmp_path: Path, change: Change) -> None:
    [script] = chain(write(tmp_path, OPERATIONS.get(change, 'op.execute("ANALYZE")'))).application
    for sql_dialect in (sql_dialect for dialect in ALL for sql_dialect in sql_dialects(dialect)):
        assert told(script, sql_dialect) is change


def strongest(connection: Connection, oid: int) -> str:
    """Return the strongest lock that the connection's transaction holds on a table, as PostgreSQL's manual calls it."""
    held = [mode.removesuffix("Lock") for mode in connection.scalars(_HELD, {"oid": oid})]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", max(held, key=_MODES.index)).upper()


@pytest.mark.backends("postgresql")
@pytest.mark.parametrize("upgrade", [*OPERATIONS.values(), AT_THE_MOMENT, STORED])
def test_postgresql_takes_the_lock_that_is_told_and_writes_the_table_anew_where_that_is_told(
    filled: Any, tmp_path: Path, upgrade: str
) -> None:
    with filled.db_engine.connect() as connection:
        oid = connection.scalar(sa.text(f"SELECT '{RUNS}'::regclass::oid"))
        file = sa.text("SELECT relfilenode FROM pg_class WHERE oid = :oid")
        before = connection.scalar(file, {"oid": oid})
        connection.rollback()
        change = do(connection, upgrade, tmp_path)
        words = POSTGRESQL[change]
        assert upgrade in (OPERATIONS[change], AT_THE_MOMENT, STORED)
        assert f"({strongest(connection, oid)})" in words
        written_anew = connection.scalar(file, {"oid": oid}) != before
        assert written_anew is ("written anew" in words)


@pytest.mark.backends("postgresql")
def test_postgresql_locks_the_table_that_a_new_one_refers_to(filled: Any, tmp_path: Path) -> None:
    key = 'sa.ForeignKeyConstraint(["tag"], [n.qualify(n.sessions, "session_id")])'
    upgrade = f'op.create_table("tags", sa.Column("tag", types.ID), {key})'
    with filled.db_engine.connect() as connection:
        oid = connection.scalar(sa.text("SELECT 'agent_sessions'::regclass::oid"))
        connection.rollback()
        do(connection, upgrade, tmp_path)
        assert f"({strongest(connection, oid)})" in POSTGRESQL[Change.CREATE_REFERRING_TABLE]


IN_MYSQL: dict[Change, str] = {
    Change.ADD_COLUMN: "ADD COLUMN x BIGINT NOT NULL DEFAULT 0",
    Change.ADD_FILLED_COLUMN: "ADD COLUMN x BIGINT AS (run_index + 1) STORED",
    Change.DROP_COLUMN: "DROP COLUMN status",
    Change.RENAME_COLUMN: "RENAME COLUMN status TO state",
    Change.CHANGE_TYPE: "MODIFY run_index INTEGER NOT NULL",
    Change.FORBID_NULL: "MODIFY {user_id} NOT NULL",
    Change.CHANGE_COLUMN: "ALTER COLUMN status SET DEFAULT 'new'",
    Change.RENAME_TABLE: "RENAME TO moved",
    Change.BUILD_INDEX: "ADD INDEX ix (status)",
    Change.DROP_INDEX: f"DROP INDEX ix_{RUNS}_run_id",
    Change.ADD_KEY: "ADD UNIQUE uq (session_id, run_index)",
    Change.ADD_FOREIGN_KEY: "ADD CONSTRAINT fk FOREIGN KEY (session_id) REFERENCES agent_sessions (session_id)",
    Change.ADD_CHECK: "ADD CONSTRAINT ck CHECK (run_index >= 0)",
    Change.DROP_CONSTRAINT: f"DROP FOREIGN KEY fk_{RUNS}_session_id",
}


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("change", IN_MYSQL, ids=lambda change: change.name)
def test_mysql_and_mariadb_change_a_table_in_the_way_that_is_told(filled: Any, change: Change) -> None:
    with filled.db_engine.connect() as connection:
        is_mariadb = getattr(connection.dialect, "is_mariadb", False)
        words = (MARIADB if is_mariadb else MYSQL)[change]
        at_once = "ALGORITHM=INSTANT"
        if change is Change.DROP_INDEX or (change is Change.DROP_CONSTRAINT and not is_mariadb):
            at_once = f"ALGORITHM={'NOCOPY' if is_mariadb else 'INPLACE'}, LOCK=NONE"
        ways = {"wait for a moment": at_once, "ALGORITHM=COPY": None}
        wanted = next((way for part, way in ways.items() if part in words), "ALGORITHM=INPLACE, LOCK=NONE")
        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        user_id = f"user_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {collation}"
        statement = f"ALTER TABLE {RUNS} {IN_MYSQL[change].format(user_id=user_id)}"
        if wanted is not None:
            connection.exec_driver_sql(f"{statement}, {wanted}")
            return
        with pytest.raises(sa.exc.DBAPIError, match="is not supported"):
            connection.exec_driver_sql(f"{statement}, ALGORITHM=INPLACE, LOCK=NONE")
        connection.exec_driver_sql(f"{statement}, ALGORITHM=COPY, LOCK=SHARED")
