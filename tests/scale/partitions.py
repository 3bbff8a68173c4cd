"""A store's runs, partitioned as the documents say."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

RECIPE = Path(__file__).parent.parent.parent / "docs" / "howto" / "scale-out.md"
RUNS = "agent_sessions_runs"
KIND = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('agent_sessions_runs')"


def recipe() -> str:
    """The statements of the document, without the borders of their transaction."""
    block = RECIPE.read_text(encoding="utf-8").partition("```sql\nBEGIN;\n")[2].partition("COMMIT;")[0]
    assert "PARTITION BY HASH (session_id)" in block
    return block


def is_partitioned(connection: sa.Connection) -> bool:
    return connection.exec_driver_sql(KIND).scalar() == "p"


def partition(engine: sa.Engine) -> None:
    """Partition the runs of the store ``agent_sessions``; nothing where they are so already."""
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
        connection.exec_driver_sql("LOCK TABLE agent_sessions_runs IN ACCESS EXCLUSIVE MODE")
        if not is_partitioned(connection):
            # Of a store that was dropped the schema is left, without its partitions.
            connection.exec_driver_sql("DROP SCHEMA IF EXISTS agent_sessions_partitions")
            # By the driver: SQLAlchemy gives it parameters, be it none, and then a % is the beginning of one.
            cursor = connection.connection.cursor()
            cursor.execute(recipe())
            cursor.close()
