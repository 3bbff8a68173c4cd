"""Revisions of an application, for stores that are killed in the middle of one."""

from __future__ import annotations

from pathlib import Path

FIRST = '''"""an application's first columns

Revision ID: a1
Revises:
"""

import sqlalchemy as sa

from agno_store import types

revision = "a1"
down_revision = None
branch_labels = ("application",)
requires = "0003"


def upgrade(op, n):
    op.add_column(n.sessions, sa.Column("tenant", types.ID), schema=n.schema)
    op.add_column(n.sessions, sa.Column("priority", sa.Integer(), server_default="0"), schema=n.schema)
    op.add_column(n.runs, sa.Column("note", types.TEXT), schema=n.schema)
    op.create_index(f"ix_{n.sessions}_tenant", n.sessions, ["tenant", "session_id"], schema=n.schema)


def downgrade(op, n):
    op.drop_index(f"ix_{n.sessions}_tenant", n.sessions, schema=n.schema)
    with op.batch_alter_table(n.runs, schema=n.schema) as batch_op:
        batch_op.drop_column("note")
    with op.batch_alter_table(n.sessions, schema=n.schema) as batch_op:
        batch_op.drop_column("priority")
        batch_op.drop_column("tenant")
'''

BATCH = '''"""changes that SQLite makes by copying the table

Revision ID: a2
Revises: a1
"""

import sqlalchemy as sa

from agno_store import types

revision = "a2"
down_revision = "a1"
requires = "0003"


def upgrade(op, n):
    with op.batch_alter_table(n.sessions, schema=n.schema) as batch_op:
        batch_op.add_column(sa.Column("region", types.ID))
        batch_op.alter_column(
            "priority",
            existing_type=sa.Integer(),
            type_=sa.BigInteger(),
            existing_nullable=True,
            existing_server_default="0",
        )
        batch_op.create_index(f"ix_{n.sessions}_region", ["region", "priority"])
    with op.batch_alter_table(n.runs, schema=n.schema) as batch_op:
        batch_op.drop_column("note")


def downgrade(op, n):
    op.add_column(n.runs, sa.Column("note", types.TEXT), schema=n.schema)
    op.drop_index(f"ix_{n.sessions}_region", n.sessions, schema=n.schema)
    with op.batch_alter_table(n.sessions, schema=n.schema) as batch_op:
        batch_op.alter_column(
            "priority",
            existing_type=sa.BigInteger(),
            type_=sa.Integer(),
            existing_nullable=True,
            existing_server_default="0",
        )
        batch_op.drop_column("region")
'''


def written(folder: Path, *revisions: str) -> Path:
    """Write revisions into files of a folder, and return it."""
    for number, text in enumerate(revisions, start=1):
        (folder / f"a{number}.py").write_text(text, encoding="utf-8")
    return folder
