"""The tables of one store, as this release declares them.

The declaration is what the statements are built from and what drift is measured against; the tables
themselves are only ever made by the revisions. A test keeps the two equal on every database.
"""

from __future__ import annotations

from functools import lru_cache

import sqlalchemy as sa

from agno_store import types
from agno_store.names import Names

REVISIONS = ("0001", "0002", "0003")
"""Every revision this release knows, in order; a test ties it to the script directory."""

HEAD = REVISIONS[-1]


@lru_cache(maxsize=64)
def metadata(n: Names) -> sa.MetaData:
    """Return the tables of the store called ``n``."""
    meta = sa.MetaData()
    _sessions(n, meta)
    _runs(n, meta)
    _summaries(n, meta)
    return meta


def table(n: Names, name: str) -> sa.Table:
    """Return one table of the store called ``n`` by its full name."""
    return metadata(n).tables[f"{n.schema}.{name}" if n.schema else name]


def version_table(n: Names) -> sa.TableClause:
    """Return Alembic's own table for this store."""
    return sa.table(n.version, sa.column("version_num", sa.String()), schema=n.schema)


def _sessions(n: Names, meta: sa.MetaData) -> None:
    sa.Table(
        n.sessions,
        meta,
        sa.Column("session_id", types.ID, nullable=False),
        sa.Column("session_type", types.ID, nullable=False),
        sa.Column("agent_id", types.ID),
        sa.Column("team_id", types.ID),
        sa.Column("workflow_id", types.ID),
        sa.Column("user_id", types.ID),
        sa.Column("workflow_name", types.TEXT),
        sa.Column("name_folded", types.TEXT),
        sa.Column("session_data", types.JSON),
        sa.Column("agent_data", types.JSON),
        sa.Column("team_data", types.JSON),
        sa.Column("workflow_data", types.JSON),
        sa.Column("metadata", types.JSON),
        sa.Column("next_run_index", types.COUNT, nullable=False, server_default=sa.text("0")),
        sa.Column("version", types.COUNT, nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.Column("updated_at", types.TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=f"pk_{n.sessions}"),
        sa.Index(f"ix_{n.sessions}_created_at", "created_at", "session_id"),
        sa.Index(f"ix_{n.sessions}_user_id_created_at", "user_id", "created_at", "session_id"),
        schema=n.schema,
        **types.TABLE,
    )


def _runs(n: Names, meta: sa.MetaData) -> None:
    sa.Table(
        n.runs,
        meta,
        sa.Column("session_id", types.ID, nullable=False),
        sa.Column("run_index", types.COUNT, nullable=False, autoincrement=False),
        sa.Column("run_id", types.ID, nullable=False),
        sa.Column("run_type", types.ID, nullable=False),
        sa.Column("parent_run_id", types.ID),
        sa.Column("agent_id", types.ID),
        sa.Column("team_id", types.ID),
        sa.Column("workflow_id", types.ID),
        sa.Column("user_id", types.ID),
        sa.Column("status", types.ID),
        sa.Column("run_data", types.JSON, nullable=False),
        sa.Column("version", types.COUNT, nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.Column("updated_at", types.TIME, nullable=False),
        # The key is the order: the last runs of a session are one range of it.
        sa.PrimaryKeyConstraint("session_id", "run_index", name=f"pk_{n.runs}"),
        sa.UniqueConstraint("session_id", "run_id", name=f"uq_{n.runs}_session_id_run_id"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            [n.qualify(n.sessions, "session_id")],
            name=f"fk_{n.runs}_session_id",
            ondelete="CASCADE",
        ),
        sa.Index(f"ix_{n.runs}_run_id", "run_id"),
        schema=n.schema,
        **types.TABLE,
    )


def _summaries(n: Names, meta: sa.MetaData) -> None:
    sa.Table(
        n.summaries,
        meta,
        sa.Column("session_id", types.ID, nullable=False),
        sa.Column("summary", types.TEXT, nullable=False),
        sa.Column("topics", types.JSON),
        sa.Column("summary_data", types.JSON),
        sa.Column("run_index", types.COUNT),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.Column("updated_at", types.TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=f"pk_{n.summaries}"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            [n.qualify(n.sessions, "session_id")],
            name=f"fk_{n.summaries}_session_id",
            ondelete="CASCADE",
        ),
        schema=n.schema,
        **types.TABLE,
    )
