"""runs changed

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa

from agno_store import types

revision = "0005"
down_revision = "0004"
release = "0.2.0"
works_with = "0.1.0"


def upgrade(op, n):
    runs_changed = sa.Column("runs_changed", types.COUNT, nullable=False, server_default=sa.text("0"))
    op.add_column(n.sessions, runs_changed, schema=n.schema)


def downgrade(op, n):
    op.drop_column(n.sessions, "runs_changed", schema=n.schema)
