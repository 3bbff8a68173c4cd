"""tenants

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa

from agno_store import types

revision = "0004"
down_revision = "0003"
release = "0.2.0"
works_with = "0.1.0"


def upgrade(op, n):
    op.add_column(n.sessions, sa.Column("tenant_id", types.ID), schema=n.schema)
    op.create_index(
        f"ix_{n.sessions}_tenant_id_created_at",
        n.sessions,
        ["tenant_id", "created_at", "session_id"],
        schema=n.schema,
    )


def downgrade(op, n):
    op.drop_index(f"ix_{n.sessions}_tenant_id_created_at", n.sessions, schema=n.schema)
    op.drop_column(n.sessions, "tenant_id", schema=n.schema)
