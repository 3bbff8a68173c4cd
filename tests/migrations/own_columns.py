"""An application with columns of its own, at three points of its life."""

from __future__ import annotations

import sqlalchemy as sa

from agno_store import types
from agno_store.tables import Tables


def first(tables: Tables) -> None:
    """Columns of every kind, and indexes on one and on several."""
    sessions, runs = tables.sessions, tables.runs
    sessions.append_column(sa.Column("tenant", types.ID))
    sessions.append_column(sa.Column("plan", sa.String(30), nullable=False, server_default='it\'s 100% "free"'))
    sessions.append_column(sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("5")))
    sessions.append_column(sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.false()))
    sessions.append_column(sa.Column("seen_at", sa.DateTime, server_default=sa.func.now()))
    sessions.append_column(sa.Column("two words", types.ID, types.from_json("metadata", "it's", "100% sure")))
    sessions.append_column(sa.Column("customer", types.ID, types.from_json("metadata", "customer", "id")))
    runs.append_column(sa.Column("model", sa.String(20), types.from_json("run_data", "model")))
    runs.append_column(sa.Column("cost", sa.Numeric(12, 4)))
    sa.Index(f"ix_{sessions.name}_tenant", sessions.c.tenant, sessions.c.created_at, sessions.c.session_id)
    sa.Index(f"ix_{sessions.name}_customer", sessions.c.customer)
    sa.Index(f"uq_{runs.name}_model", runs.c.session_id, runs.c.model, unique=True)


def second(tables: Tables) -> None:
    """Some are altered, some are gone, one is new."""
    sessions, runs = tables.sessions, tables.runs
    sessions.append_column(sa.Column("tenant", sa.String(300), nullable=False, server_default="nobody's"))
    sessions.append_column(sa.Column("plan", sa.String(30), nullable=False, server_default="paid"))
    sessions.append_column(sa.Column("priority", sa.BigInteger))
    sessions.append_column(sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.true()))
    sessions.append_column(sa.Column("customer", types.ID, types.from_json("metadata", "customer", "id")))
    runs.append_column(sa.Column("model", sa.String(20), types.from_json("run_data", "model")))
    tables.summaries.append_column(sa.Column("rating", sa.SmallInteger, nullable=False, server_default="3"))
    sa.Index(f"ix_{sessions.name}_customer", sessions.c.customer, sessions.c.archived)
    sa.Index(f"ix_{tables.summaries.name}_rating", tables.summaries.c.rating)


def nothing(tables: Tables) -> None:
    """All are gone."""


LIFE = {"our columns": first, "some changes": second, "all away": nothing}
"""What is declared for each revision, by its message."""
