"""Looking at a database as it is, and stores that are at an older revision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store.migrations import Migrator
from agno_store.names import Names


def snapshot(engine: sa.Engine, names: Names) -> dict[str, Any]:
    """Return all that can be reflected of a store's tables, and the revision in its version table."""
    with engine.connect() as connection:
        look = sa.inspect(connection)
        found: dict[str, Any] = {}
        for table in names.tables:
            if look.has_table(table, schema=names.schema):
                found[table] = {
                    "columns": [
                        (c["name"], str(c["type"]), c["nullable"], str(c["default"]))
                        for c in look.get_columns(table, schema=names.schema)
                    ],
                    "primary key": look.get_pk_constraint(table, schema=names.schema),
                    "foreign keys": look.get_foreign_keys(table, schema=names.schema),
                    "indexes": sorted(
                        (str(i["name"]), i["column_names"], i["unique"])
                        for i in look.get_indexes(table, schema=names.schema)
                    ),
                }
        if look.has_table(names.version, schema=names.schema):
            version = sa.table(names.version, sa.column("version_num"), schema=names.schema)
            found["revision"] = sorted(connection.execute(sa.select(version)).scalars())
        return found


def advisory_locks(connection: sa.Connection) -> int:
    """Return how many advisory locks PostgreSQL holds in this database; other tests hold theirs in others."""
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    found = connection.exec_driver_sql(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {here}")
    return int(found.scalar_one())


def fill(db: Any, sessions: int = 3, runs: int = 2) -> None:
    """Store some sessions with runs and summaries."""
    for s in range(sessions):
        session = {"session_id": f"s{s}", "user_id": "ada", "session_data": {"session_name": f"Nr {s}", "\x00": "é"}}
        db.upsert_session(session)
        for r in range(runs):
            db.upsert_run({"run_id": f"r{r}", "agent_id": "a", "content": f"{s}/{r}"}, session_id=f"s{s}")
        db.upsert_summary(f"s{s}", {"summary": f"about {s}"})


def contents(db: Any) -> list[Any]:
    """Return all that a store holds, times aside."""
    sessions, _ = db.get_sessions(deserialize=False, sort_by="session_id", sort_order="asc")
    for session in sessions:
        del session["updated_at"], session["version"]
    return list(sessions)


@pytest.fixture
def migrator(db: Any) -> Migrator:
    """The migrator of the store under test."""
    return Migrator.of(db)


@pytest.fixture
def insert_old(db: Any) -> Callable[[str, dict[str, Any]], None]:
    """Insert a row with plain SQL, as an older release would have."""

    def insert(table: str, values: dict[str, Any]) -> None:
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in values]
        with db.db_engine.begin() as connection:
            connection.execute(sa.insert(sa.table(table, *columns)).values(values))

    return insert
