"""listing indexes

Revision ID: 0006
Revises: 0005
"""

revision = "0006"
down_revision = "0005"
release = "0.2.0"
works_with = "0.1.0"


def upgrade(op, n):
    for name in ("agent_id", "team_id", "workflow_id"):
        columns = [name, "created_at", "session_id"]
        op.create_index(f"ix_{n.sessions}_{name}_created_at", n.sessions, columns, schema=n.schema)
    op.create_index(f"ix_{n.runs}_created_at", n.runs, ["created_at", "session_id", "run_index"], schema=n.schema)


def downgrade(op, n):
    op.drop_index(f"ix_{n.runs}_created_at", n.runs, schema=n.schema)
    for name in ("workflow_id", "team_id", "agent_id"):
        op.drop_index(f"ix_{n.sessions}_{name}_created_at", n.sessions, schema=n.schema)
