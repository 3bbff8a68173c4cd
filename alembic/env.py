"""Alembic's own command line: ``alembic history``, ``alembic upgrade head -x url=... -x table=...``."""

from alembic import context

from agno_store.migrations.environment import run

run(context)
