"""Revisions that leave rows to be filled later, and stores with such rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from agno_store import open_db
from agno_store.migrations import Migrator
from tests.migrations import revisions

VARIABLES = """
revision = "app1"
down_revision = None
branch_labels = ("application",)
requires = "0003"
backfills = "{table}"


def backfill(connection, n, keys):
    key = {key}
    columns = [*(sa.column(name, type_) for name, type_ in key.items()), sa.column("filled")]
    t = sa.table(n.{table}, *columns, schema=n.schema)
    counted = sa.update(t).values(filled=sa.func.coalesce(t.c.filled, 0) + 1)
    for values in keys:
        connection.execute(counted.where(*(t.c[name] == value for name, value in zip(key, values, strict=True))))
"""
UPGRADE = """
    op.add_column(n.{table}, sa.Column("filled", sa.Integer), schema=n.schema)
"""
DOWNGRADE = """
def downgrade(op, n):
    with op.batch_alter_table(n.{table}, schema=n.schema) as batch:
        batch.drop_column("filled")
"""
KEYS = {
    "sessions": '{"session_id": types.ID}',
    "runs": '{"session_id": types.ID, "run_index": types.COUNT}',
}
IDS = ("a", "A", "a ", "ä", "日本", "it's", 'quo"te', "100%", "\x00", "\ud800", "\\", "\U0001f600", "~" * 255)
"""Ids of every kind; their order is that of the database."""


def written(folder: Path, table: str = "sessions", **more: str) -> Path:
    """Write a revision that counts how often its backfill was given each row of a table."""
    variables = VARIABLES.replace("{table}", table).replace("{key}", KEYS[table]) + more.get("more", "")
    upgrade, downgrade = UPGRADE.replace("{table}", table), DOWNGRADE.replace("{table}", table)
    return revisions.write(folder / "versions", upgrade, variables=variables, downgrade=downgrade)


def filled(url: str, versions: Path, plain: int = 0, **options: Any) -> Migrator:
    """Make a store with odd and with plain rows, upgraded to where they are to be filled."""
    with open_db(url, **options) as db:
        short = [name for name in IDS if len(name) < 100 or "tenant_id" not in options]
        for name in [*short, *(f"plain{n:03}" for n in range(plain))]:
            db.upsert_session({"session_id": name})
        for name in IDS[:5]:
            for run in range(3):
                db.upsert_run({"run_id": f"r{run}", "agent_id": "a"}, session_id=name)
    migrator = Migrator.of(open_db(url, versions=versions, **options))
    migrator.upgrade()
    return migrator


def counts(migrator: Migrator, table: str = "sessions") -> list[int | None]:
    """Return how often each row was filled."""
    names = migrator.names
    t = sa.table(getattr(names, table), sa.column("filled"), schema=names.schema)
    with migrator.dialect.connected(migrator.engine) as connection:
        return list(connection.execute(sa.select(t.c.filled)).scalars())
