"""What docs/howto/scale-out.md has Citus do with the tables: all of them, the parent first, by the same column.

Citus itself is not here. A function of its name and arguments takes the place of its own, and notes what it is told;
what Citus asks of a table that it distributes is looked up in the tables that a store has made.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from agno_store import PostgresDb
from agno_store.names import Names
from agno_store.tables import metadata
from tests.package.documents import blocks
from tests.scale.partitions import RECIPE

pytestmark = pytest.mark.backends("postgresql")

NOTED = """
CREATE TABLE noted (nr INT GENERATED ALWAYS AS IDENTITY, name TEXT, by TEXT, beside TEXT);
CREATE FUNCTION create_distributed_table(table_name REGCLASS, distribution_column TEXT, colocate_with TEXT DEFAULT NULL)
RETURNS VOID LANGUAGE SQL AS 'INSERT INTO noted (name, by, beside) VALUES ($1, $2, $3)';
"""

WITHOUT = """
SELECT indexrelid::regclass::text FROM pg_index JOIN noted ON indrelid = name::regclass
WHERE indisunique AND NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = indrelid AND attname = by AND attnum = ANY (indkey))
"""
"""The unique keys that do not hold the column that their table is distributed by."""


def test_every_table_of_rows_is_distributed_beside_its_parent_by_a_column_of_its_keys(fresh_url: str) -> None:
    (told,) = (each.text for each in blocks(RECIPE) if "create_distributed_table" in each.text)
    with PostgresDb(fresh_url) as db:
        db.upgrade_schema()
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql(NOTED)
            for statement in filter(str.strip, told.split(";\n")):
                connection.exec_driver_sql(statement)
            noted = connection.execute(sa.text("SELECT name, by, beside FROM noted ORDER BY nr")).all()
            without = connection.scalars(sa.text(WITHOUT)).all()
    parent, *others = metadata(Names()).sorted_tables
    assert noted[0] == (parent.name, "session_id", None)
    assert sorted(noted[1:]) == sorted((table.name, "session_id", parent.name) for table in others)
    assert without == []
