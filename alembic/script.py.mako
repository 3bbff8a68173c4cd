"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

import sqlalchemy as sa

from agno_store import types
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(op, n):
    ${upgrades if upgrades else "pass"}


def downgrade(op, n):
    ${downgrades if downgrades else "pass"}
