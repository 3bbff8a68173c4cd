"""The tables of one store, as this release declares them.

The declaration is what the statements are built from and what drift is measured against; the tables
themselves are only ever made by the revisions. A test keeps the two equal on every database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from agno_store import types
from agno_store.errors import ConfigurationError
from agno_store.names import Names

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision this release knows, in order; a test ties it to the script directory."""

HEAD = REVISIONS[-1]


class Tables(NamedTuple):
    """The tables of one store, for an application to add columns and indexes of its own to."""

    sessions: sa.Table
    runs: sa.Table
    summaries: sa.Table
    media: sa.Table


Extend = Callable[[Tables], None]
"""What an application declares: ``append_column`` and ``sa.Index`` on the tables it is given."""


@lru_cache(maxsize=64)
def metadata(n: Names, extend: Extend | None = None) -> sa.MetaData:
    """Return the tables of the store called ``n`` as they are made, with what ``extend`` adds.

    Raises ConfigurationError where that cannot work: a table or a constraint of its own, an index whose name
    could meet another store's, a column that has to be given with every row.
    """
    meta = _declared(n, types.ID)
    for each in meta.tables.values():
        each.dialect_kwargs.update(types.TABLE)
    if extend is not None:
        _add(n, meta, extend)
    return meta


def refuse_mistakes(n: Names, extend: Any) -> None:
    """Raise ConfigurationError for what cannot be a store's ``extend=``."""
    if extend is None:
        return
    if not callable(extend):
        raise ConfigurationError(
            f"extend= is given a {type(extend).__name__}: it must be a function that adds columns to the tables."
        )
    metadata(n, extend)


def _declared(n: Names, session_key: sa.types.TypeEngine[str]) -> sa.MetaData:
    meta = sa.MetaData()
    for declare in (_sessions, _runs, _summaries, _media):
        declare(n, meta, session_key)
    return meta


def _add(n: Names, meta: sa.MetaData, extend: Extend) -> None:
    ours = {
        table.name: (set(table.columns.keys()), set(table.indexes), set(table.constraints))
        for table in meta.tables.values()
    }
    extend(Tables(*(table for name in n.tables for table in meta.tables.values() if table.name == name)))
    for table in meta.tables.values():
        if table.name not in ours:
            raise ConfigurationError(f"extend= declares the table {table.name}; it may only add columns and indexes.")
        columns, indexes, constraints = ours[table.name]
        for column in table.columns:
            if column.name not in columns:
                _check_column(table, column)
        if table.constraints - constraints:
            raise ConfigurationError(
                f"extend= adds a constraint to {table.name}; it may only add columns and indexes. For a unique one: "
                f"sa.Index(f'uq_{{table.name}}_...', ..., unique=True)."
            )
        for index in table.indexes - indexes:
            if table.name not in str(index.name):
                raise ConfigurationError(
                    f"extend= declares an index {index.name!r} on {table.name}: its name must hold the table's, as in "
                    f"f'ix_{{table.name}}_...', because two stores of one database cannot share it."
                )


def _check_column(table: sa.Table, column: sa.Column[Any]) -> None:
    if not column.nullable and column.server_default is None and column.computed is None:
        raise ConfigurationError(
            f"extend= declares {table.name}.{column.name} as NOT NULL without a server_default: every row that "
            "agno_store writes would be refused. Make it nullable, or give it a server_default."
        )
    if column.primary_key or column.index or column.unique:
        raise ConfigurationError(
            f"extend= declares {table.name}.{column.name} with primary_key=, index= or unique=. Declare an index with "
            f"a name of its own instead: sa.Index(f'ix_{{table.name}}_{column.name}', table.c.{column.name})."
        )


def table(n: Names, name: str) -> sa.Table:
    """Return one table of the store called ``n`` by its full name."""
    return metadata(n).tables[_full(n, name)]


@lru_cache(maxsize=64)
def addressed(n: Names, session_key: sa.types.TypeEngine[str]) -> Tables:
    """Return the tables of the store called ``n`` for statements: ``session_key`` reads and writes their keys.

    They lack the options with which tables are made, over which SQLAlchemy imports all it has for MySQL.
    """
    meta = _declared(n, session_key)
    return Tables(*(meta.tables[_full(n, name)] for name in n.tables))


def _full(n: Names, name: str) -> str:
    return f"{n.schema}.{name}" if n.schema else name


def version_table(n: Names) -> sa.TableClause:
    """Return Alembic's own table for this store."""
    return sa.table(n.version, sa.column("version_num", sa.String()), schema=n.schema)


@lru_cache(maxsize=64)
def journal(n: Names) -> sa.Table:
    """Return the table in which upgrades note what they did; Alembic's own holds only where the store is.

    It is made before the first revision is run and outlives the last one taken back, so no revision makes it.
    """
    return sa.Table(
        n.upgrades,
        sa.MetaData(),
        sa.Column("entry", types.COUNT, nullable=False, autoincrement=False),
        sa.Column("revision", types.ID, nullable=False),
        sa.Column("what", types.ID, nullable=False),
        sa.Column("done_at", types.TIME, nullable=False),
        sa.Column("microseconds", types.COUNT),
        sa.Column("applied_by", types.ID, nullable=False),
        sa.Column("works_with", types.ID),
        sa.Column("reached", types.TEXT),
        sa.PrimaryKeyConstraint("entry", name=f"pk_{n.upgrades}"),
        schema=n.schema,
        **types.TABLE,
    )


def _sessions(n: Names, meta: sa.MetaData, session_key: sa.types.TypeEngine[str]) -> None:
    sa.Table(
        n.sessions,
        meta,
        sa.Column("session_id", session_key, nullable=False),
        sa.Column("session_type", types.ID, nullable=False),
        sa.Column("agent_id", types.ID),
        sa.Column("team_id", types.ID),
        sa.Column("workflow_id", types.ID),
        sa.Column("user_id", types.ID),
        sa.Column("workflow_name", types.TEXT),
        sa.Column("name_folded", types.TEXT),
        sa.Column("session_data", types.JSON),
        sa.Column("agent_data", types.JSON),
        sa.Column("team_data", types.JSON),
        sa.Column("workflow_data", types.JSON),
        sa.Column("metadata", types.JSON),
        sa.Column("next_run_index", types.COUNT, nullable=False, server_default=sa.text("0")),
        sa.Column("version", types.COUNT, nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", types.TIME, nullable=False),
        # Before updated_at: MySQL sets columns one after the other, in this order, and this one needs the old time.
        sa.Column("runs_changed", types.COUNT, nullable=False, server_default=sa.text("0")),
        sa.Column("updated_at", types.TIME, nullable=False),
        sa.Column("tenant_id", types.ID),
        sa.PrimaryKeyConstraint("session_id", name=f"pk_{n.sessions}"),
        sa.Index(f"ix_{n.sessions}_created_at", "created_at", "session_id"),
        sa.Index(f"ix_{n.sessions}_tenant_id_created_at", "tenant_id", "created_at", "session_id"),
        sa.Index(f"ix_{n.sessions}_user_id_created_at", "user_id", "created_at", "session_id"),
        sa.Index(f"ix_{n.sessions}_agent_id_created_at", "agent_id", "created_at", "session_id"),
        sa.Index(f"ix_{n.sessions}_team_id_created_at", "team_id", "created_at", "session_id"),
        sa.Index(f"ix_{n.sessions}_workflow_id_created_at", "workflow_id", "created_at", "session_id"),
        schema=n.schema,
    )


def _runs(n: Names, meta: sa.MetaData, session_key: sa.types.TypeEngine[str]) -> None:
    sa.Table(
        n.runs,
        meta,
        sa.Column("session_id", session_key, nullable=False),
        sa.Column("run_index", types.COUNT, nullable=False, autoincrement=False),
        sa.Column("run_id", types.ID, nullable=False),
        sa.Column("run_type", types.ID, nullable=False),
        sa.Column("parent_run_id", types.ID),
        sa.Column("agent_id", types.ID),
        sa.Column("team_id", types.ID),
        sa.Column("workflow_id", types.ID),
        sa.Column("user_id", types.ID),
        sa.Column("status", types.ID),
        sa.Column("run_data", types.JSON, nullable=False),
        sa.Column("version", types.COUNT, nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.Column("updated_at", types.TIME, nullable=False),
        # The key is the order: the last runs of a session are one range of it.
        sa.PrimaryKeyConstraint("session_id", "run_index", name=f"pk_{n.runs}"),
        sa.UniqueConstraint("session_id", "run_id", name=f"uq_{n.runs}_session_id_run_id"),
        _of_session(n, n.runs),
        sa.Index(f"ix_{n.runs}_run_id", "run_id"),
        sa.Index(f"ix_{n.runs}_created_at", "created_at", "session_id", "run_index"),
        schema=n.schema,
    )


def _summaries(n: Names, meta: sa.MetaData, session_key: sa.types.TypeEngine[str]) -> None:
    sa.Table(
        n.summaries,
        meta,
        sa.Column("session_id", session_key, nullable=False),
        sa.Column("summary", types.TEXT, nullable=False),
        sa.Column("topics", types.JSON),
        sa.Column("summary_data", types.JSON),
        sa.Column("run_index", types.COUNT),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.Column("updated_at", types.TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=f"pk_{n.summaries}"),
        _of_session(n, n.summaries),
        schema=n.schema,
    )


def _media(n: Names, meta: sa.MetaData, session_key: sa.types.TypeEngine[str]) -> None:
    sa.Table(
        n.media,
        meta,
        sa.Column("session_id", session_key, nullable=False),
        sa.Column("digest", types.ID, nullable=False),
        sa.Column("size", types.COUNT, nullable=False),
        sa.Column("data", types.TEXT),
        sa.Column("place", types.TEXT),
        sa.Column("created_at", types.TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "digest", name=f"pk_{n.media}"),
        # What deletes a session need not know of this table: a release before it, or SQL by hand.
        _of_session(n, n.media),
        schema=n.schema,
    )


def _of_session(n: Names, table: str) -> sa.ForeignKeyConstraint:
    """What goes with its session."""
    whose = [n.qualify(n.sessions, "session_id")]
    return sa.ForeignKeyConstraint(["session_id"], whose, name=f"fk_{table}_session_id", ondelete="CASCADE")
