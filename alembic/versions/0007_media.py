"""media

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa

from agno_store import types

revision = "0007"
down_revision = "0006"
release = "0.2.0"
works_with = "0.1.0"


def upgrade(op, n):
    op.create_table(
        n.media,
        sa.Column("session_id", types.ID, nullable=False),
        sa.Column("digest", types.ID, nullable=False),
        sa.Column("size", types.COUNT, nullable=False),
        sa.Column("data", types.TEXT),
        sa.Column("place", types.TEXT),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "digest", name=f"pk_{n.media}"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            [n.qualify(n.sessions, "session_id")],
            name=f"fk_{n.media}_session_id",
            ondelete="CASCADE",
        ),
        schema=n.schema,
        **types.TABLE,
    )


def downgrade(op, n):
    op.drop_table(n.media, schema=n.schema)
