"""Stores at the nodes of one cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agno_store import MySQLDb

WAIT = "SET SESSION wsrep_sync_wait = 15"


@contextmanager
def opened(urls: list[str], **options: Any) -> Iterator[list[MySQLDb]]:
    """A store at each node, of the same tables."""
    stores = [MySQLDb(url, **options) for url in urls]
    try:
        stores[0].upgrade_schema()
        for store in stores:
            follow(store)
        yield stores
    finally:
        for store in stores:
            store.close()


def follow(db: MySQLDb) -> None:
    """Return when this node has what the others have committed."""
    with db.db_engine.connect() as connection:
        connection.exec_driver_sql(WAIT)
        connection.exec_driver_sql("SELECT 1")
        connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 0")
