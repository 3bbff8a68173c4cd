"""runs

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa

from agno_store import types

revision = "0002"
down_revision = "0001"
release = "0.1.0"
works_with = "0.1.0"


def upgrade(op, n):
    op.create_table(
        n.runs,
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
        sa.PrimaryKeyConstraint("session_id", "run_index", name=f"pk_{n.runs}"),
        sa.UniqueConstraint("session_id", "run_id", name=f"uq_{n.runs}_session_id_run_id"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            [n.qualify(n.sessions, "session_id")],
            name=f"fk_{n.runs}_session_id",
            ondelete="CASCADE",
        ),
        schema=n.schema,
        **types.TABLE,
    )
    op.create_index(f"ix_{n.runs}_run_id", n.runs, ["run_id"], schema=n.schema)


def downgrade(op, n):
    op.drop_table(n.runs, schema=n.schema)
