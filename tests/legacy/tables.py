"""Tables as agno's releases make them, with whatever a test wants to find in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

FIRST = ("memory", "session_data", "extra_data")
DATA = ("session_data", "agent_data", "team_data", "workflow_data", "metadata", "summary")
RUN_IDS = ("agent_id", "team_id", "workflow_id", "user_id", "parent_run_id", "status")

PAYLOADS = {
    "1.x-agent": (*FIRST, "agent_data"),
    "1.x-team": (*FIRST, "team_data"),
    "1.x-workflow": (*FIRST, "workflow_data"),
    "1.x-workflow_v2": (*FIRST, "workflow_data", "runs"),
    "2.x": (*DATA, "runs"),
    "3.x": DATA,
}
IDS = {
    "1.x-agent": ("agent_id", "team_session_id"),
    "1.x-team": ("team_id", "team_session_id"),
    "1.x-workflow": ("workflow_id",),
    "1.x-workflow_v2": ("workflow_id", "workflow_name"),
    "2.x": ("session_type", "agent_id", "team_id", "workflow_id"),
    "3.x": ("session_type", "agent_id", "team_id", "workflow_id"),
}


def run(run_id: Any = None, content: str = "Hello", **more: Any) -> dict[str, Any]:
    """A run of an agent as agno 2.x and 3.x keep it."""
    named = {} if run_id is None else {"run_id": run_id}
    return {**named, "agent_id": "a", "content": content, "status": "COMPLETED", "created_at": 1_700_000_000, **more}


def twice(value: Any) -> str:
    """A payload as agno 2.x writes it on SQLite: JSON of a text that is JSON."""
    return json.dumps(json.dumps(value))


class Tables:
    """The old tables in one database. Payloads are given as values, or as the text that stands there."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, poolclass=NullPool)

    def sessions(
        self, layout: str, rows: Sequence[Mapping[str, Any]] = (), name: str = "agno_sessions", *, keyed: bool = True
    ) -> sa.Table:
        """Make a session table, and fill it. Of agno 2.0 it has no primary key where rows had none."""
        key = sa.Column("session_id", sa.String(255), primary_key=keyed, nullable=not keyed)
        ids = [sa.Column(name, sa.String(255)) for name in ("user_id", *IDS[layout])]
        payloads = [sa.Column(name, sa.Text().with_variant(sa.JSON(), "postgresql")) for name in PAYLOADS[layout]]
        times = [sa.Column(name, sa.BigInteger()) for name in ("created_at", "updated_at")]
        table = sa.Table(name, sa.MetaData(), key, *ids, *payloads, *times)
        table.create(self.engine)
        self.insert(table, rows)
        return table

    def runs(self, rows: Sequence[Mapping[str, Any]] = (), name: str = "agno_runs") -> sa.Table:
        """Make a table of runs, and fill it."""
        ids = [sa.Column(name, sa.String(255)) for name in ("session_id", "run_type", *RUN_IDS)]
        data = sa.Column("run_data", sa.Text().with_variant(sa.JSON(), "postgresql"))
        numbers = [sa.Column(name, sa.BigInteger()) for name in ("run_index", "created_at", "updated_at")]
        key = sa.Column("run_id", sa.String(255), primary_key=True)
        table = sa.Table(name, sa.MetaData(), key, *ids, data, *numbers)
        table.create(self.engine)
        self.insert(table, rows)
        return table

    def insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows."""
        moments = {"created_at": 1_700_000_000, "updated_at": 1_700_000_100}
        with self.engine.begin() as connection:
            for row in rows:
                connection.execute(table.insert(), {**moments, **self._as_stored(row)})

    def update(self, table: sa.Table, session_id: str, **values: Any) -> None:
        """Change a row."""
        with self.engine.begin() as connection:
            changed = table.update().where(table.c.session_id == session_id)
            connection.execute(changed.values(self._as_stored(values)))

    def _as_stored(self, row: Mapping[str, Any]) -> dict[str, Any]:
        is_text = self.engine.dialect.name != "postgresql"
        return {
            name: json.dumps(value) if is_text and isinstance(value, (dict, list)) else value
            for name, value in row.items()
        }

    def contents(self) -> dict[str, list[Any]]:
        """Every row of every table there is that is not ours."""
        found = sa.MetaData()
        found.reflect(self.engine, only=lambda name, _: not name.startswith("agent_sessions"))
        with self.engine.connect() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(sa.select(table)))) for table in found.sorted_tables
            }
