"""sessions

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa

from agno_store import types

revision = "0001"
down_revision = None
release = "0.1.0"
works_with = "0.1.0"


def upgrade(op, n):
    op.create_table(
        n.sessions,
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
        schema=n.schema,
        **types.TABLE,
    )
    op.create_index(f"ix_{n.sessions}_created_at", n.sessions, ["created_at", "session_id"], schema=n.schema)
    op.create_index(
        f"ix_{n.sessions}_user_id_created_at",
        n.sessions,
        ["user_id", "created_at", "session_id"],
        schema=n.schema,
    )


def downgrade(op, n):
    op.drop_table(n.sessions, schema=n.schema)
