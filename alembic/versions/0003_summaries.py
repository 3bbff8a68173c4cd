"""summaries

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa

from agno_store import types

revision = "0003"
down_revision = "0002"
release = "0.1.0"
works_with = "0.1.0"


def upgrade(op, n):
    op.create_table(
        n.summaries,
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


def downgrade(op, n):
    op.drop_table(n.summaries, schema=n.schema)
