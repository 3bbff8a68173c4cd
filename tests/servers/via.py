"""The same tests by another way: through a pooler, to whichever node of a cluster is next, or on partitions.

TEST_VIA is ``pgbouncer`` or ``galera`` and then the URLs of the servers, separated by spaces, or ``partitions``. Every
store that a test opens goes that way, also one of a process that the test starts, if that calls ``take()``.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from agno_store import dialects, engines
from agno_store.database import Database
from tests.scale.partitions import RUNS, partition
from tests.servers.sql import run, wait_for

VARIABLE = "TEST_VIA"

SESSIONS = 3
"""Those that PgBouncer has for one database."""

POOL = ("pool_pre_ping", "pool_recycle", "pool_size", "max_overflow", "pool_timeout", "pool_use_lifo", "poolclass")

# PgBouncer itself sets what its clients have said at their start.
LEFT = """
SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' AND lower(name) NOT IN
  ('application_name', 'client_encoding', 'datestyle', 'intervalstyle', 'standard_conforming_strings', 'timezone')
UNION ALL SELECT 'lock ' || objid FROM pg_locks JOIN pg_database ON pg_database.oid = database
  WHERE locktype = 'advisory' AND datname = current_database()
UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements"""


def chosen() -> tuple[str, list[str]]:
    """Return the way, empty for none, and the URLs of its servers."""
    name, *urls = os.environ.get(VARIABLE, "").split() or [""]
    return name, urls


@contextmanager
def by(url: str) -> Iterator[str]:
    """Yield the URL by which a test gets to a new database, and see that nothing is left behind on the way."""
    name, urls = chosen()
    found = [sa.make_url(server).set(database=sa.make_url(url).database) for server in urls]
    if name == "galera":
        wait_for(lambda: all(map(_is_there, found)))  # the other nodes have the database a moment later
    yield found[0].render_as_string(hide_password=False) if found else url
    if name == "pgbouncer":
        left = _left(found[0])
        if "callers_engine" in os.environ.get("PYTEST_CURRENT_TEST", ""):  # who has not said what is behind it
            left = {each for each in left if not each.startswith("statement ")}
        assert left == set(), left


def take() -> None:
    """Send every store of this process that way."""
    name, urls = chosen()
    if name == "pgbouncer":
        _through_a_pooler()
    elif name == "galera":
        _around_a_cluster([sa.make_url(url) for url in urls])
    elif name == "partitions":
        _into_partitions()


def _is_there(url: sa.URL) -> bool:
    try:
        return run(url.render_as_string(hide_password=False), "SELECT 1") == 1
    except DBAPIError:
        return False


def _left(url: sa.URL) -> set[str]:
    """Return what is set, locked or prepared in the sessions that a pooler has for a database."""
    engine = sa.create_engine(url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with ExitStack() as clients:
        connections = [clients.enter_context(engine.connect()) for _ in range(SESSIONS)]
        return {left for connection in connections for left in connection.exec_driver_sql(LEFT).scalars()}


def _through_a_pooler() -> None:
    usual = dialects.POSTGRESQL.engine_options
    dialects.POSTGRESQL.engine_options = lambda url, *, pooled: usual(url, pooled=True)  # type: ignore[method-assign]
    usual_scope = dialects.POSTGRESQL.scope
    dialects.POSTGRESQL.scope = lambda *, pooled: usual_scope(pooled=True)  # type: ignore[method-assign]


def _wait_for_the_others(driver: Any, _record: Any) -> None:
    """Let a connection read what was committed at any node."""
    driver.cursor().execute("SET SESSION wsrep_sync_wait = 15")


def _into_partitions() -> None:
    usual = Database._upgrade

    def upgrade(db: Database, *arguments: Any, **keywords: Any) -> list[str]:
        done = usual(db, *arguments, **keywords)
        if done and db.names.runs == RUNS and db.names.schema is None and db.dialect is dialects.POSTGRESQL:
            partition(db.db_engine)
        return done

    setattr(Database, "_upgrade", upgrade)  # noqa: B010  # mypy: it is a method


def _around_a_cluster(nodes: list[sa.URL]) -> None:
    turn, lock = itertools.cycle(nodes), threading.Lock()

    def elsewhere(_dialect: Any, _record: Any, _arguments: Any, keywords: dict[str, Any]) -> None:
        with lock:
            node = next(turn)
        keywords |= {"host": node.host, "port": node.port}

    def made(url: sa.URL, **options: Any) -> sa.Engine:
        if url.get_backend_name() not in dialects.MYSQL.names:
            return sa.create_engine(url, **options)
        kept = {name: value for name, value in options.items() if name not in POOL}
        engine = sa.create_engine(url, **kept, poolclass=NullPool)
        sa.event.listen(engine, "do_connect", elsewhere)
        sa.event.listen(engine, "connect", _wait_for_the_others)
        return engine

    setattr(engines, "create_engine", made)  # noqa: B010  # mypy: it is not the module's own
