"""What ``alembic/env.py`` does: serve Alembic's own command line with a store of your choice.

``-x url=... -x table=... -x schema=...`` choose the store. Without a URL it is a scratch store in memory,
brought to head first, so that ``alembic check`` compares the declared tables with what the revisions make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.operations import Operations
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from agno_store.dialects import Dialect, Scope, parse_url
from agno_store.migrations.context import options
from agno_store.migrations.migrator import Migrator
from agno_store.migrations.resume import Resumable
from agno_store.names import DEFAULT, Names

SCRATCH = "sqlite://"


def run(context: Any) -> None:
    """Run the command that Alembic was called with. ``context`` is its EnvironmentContext."""
    if getattr(context.config.cmd_opts, "cmd", [None])[0] is command.revision:
        raise CommandError("A revision that runs on every database is written by: agno-store history --new MESSAGE")
    x = context.get_x_argument(as_dictionary=True)
    names = Names(x.get("table", DEFAULT), x.get("schema"))
    url, dialect = parse_url(x.get("url", SCRATCH))
    more = options(names, render_as_batch=True)
    if context.is_offline_mode():
        context.configure(url=url, literal_binds=True, **more)
        _revisions(context, Operations, names)
        return
    with _connection(url, dialect, names) as connection:
        if dialect.ddl_rolls_back:
            more["transactional_ddl"] = True
        more["transaction_per_migration"] = dialect.scope(pooled=False) is Scope.REVISION
        context.configure(connection=connection, **more)
        dialect.correct_reflection(context.get_context(), names)
        _revisions(context, lambda context: Resumable(context, dialect), names)


def _revisions(context: Any, operations: Callable[[Any], Operations], names: Names) -> None:
    with context.begin_transaction():
        context.run_migrations(op=operations(context.get_context()), n=names)


@contextmanager
def _connection(url: sa.URL, dialect: Dialect, names: Names) -> Iterator[Connection]:
    """Give a connection that holds the upgrade lock and, like the migrator's, is in no transaction."""
    scratch = not dialect.shares(url)
    engine = sa.create_engine(url, **({"poolclass": StaticPool} if scratch else {}))
    if scratch:
        Migrator(engine, dialect, names).upgrade()
    with Migrator(engine, dialect, names).running() as running:
        running.commit()
        yield running.connection
    engine.dispose()
