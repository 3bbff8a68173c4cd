"""A database that is only to be read: the server, or SQLite itself, refuses to write through these engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine

from agno_store.dialects.base import Dialect
from agno_store.errors import ConfigurationError, DatabaseUnreachable


def reader(url: URL, dialect: Dialect) -> Engine:
    """Return an engine for reading what is somebody else's. Sends no SQL.

    What is read in one transaction is from one moment; no lock is taken that a writer would wait for. Raises
    ConfigurationError for a database in memory, DatabaseUnreachable for a SQLite file that is not there.
    """
    if not dialect.shares(url):
        raise ConfigurationError("A database in memory is its own process's alone, and cannot be read from outside.")
    if not dialect.is_there(url):
        raise DatabaseUnreachable(f"There is no file {url.database}. Is the URL right?")
    made: Engine = _MADE[dialect.names[0]](url, dialect.engine_options(url, pooled=False))
    return made


def _sqlite(url: URL, options: dict[str, Any]) -> Engine:
    # Without the set-up of our own connections, which switches a file to the write-ahead log.
    name = str(url.database)
    name = name if name.startswith("file:") else f"file:{quote(str(Path(name).absolute()))}"
    given = dict(url.query) if "uri" in url.query else {}
    query = {"mode": "ro"} | {key: str(value) for key, value in given.items() if key in ("immutable", "vfs")}

    def connect() -> sqlite3.Connection:
        driver: sqlite3.Connection = sqlite3.connect(f"{name}?{urlencode(query)}", uri=True, **options["connect_args"])
        # SQLite takes any bytes for a text; one that is no UTF-8 must not keep the rest from being read.
        driver.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        return driver

    return create_engine(url, creator=connect, hide_parameters=True, poolclass=options["poolclass"])


def _postgresql(url: URL, options: dict[str, Any]) -> Engine:
    reads = {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}}
    return create_engine(url, hide_parameters=True, **{**options, **reads})


def _mysql(url: URL, options: dict[str, Any]) -> Engine:
    engine = create_engine(url, hide_parameters=True, **{**options, "isolation_level": "REPEATABLE READ"})
    event.listen(engine, "connect", _read_only)
    return engine


def _read_only(driver: Any, _record: object) -> None:
    with driver.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


_MADE: dict[str, Callable[[URL, dict[str, Any]], Engine]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mysql": _mysql,
}
