"""Alembic's own command line: ``alembic history``, ``alembic upgrade head -x url=... -x table=...``."""

from agno_store.migrations.environment import run
from alembic import context

run(context)
