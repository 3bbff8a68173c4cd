"""The one place where a driver's error becomes ours, without a secret in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agno_store.errors import DatabaseError, DatabaseUnreachable

if TYPE_CHECKING:
    from agno_store.db import _Db

_SECRET = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)


@contextmanager
def translated(db: _Db) -> Iterator[None]:
    """Turn what the driver and the pool raise into DatabaseError."""
    where = f"{db.names} in {db.dialect.title} at {redacted(db.db_engine.url)}"
    try:
        yield
    except DBAPIError as error:
        said = without_secrets(str(error.orig).strip(), db.db_engine.url)
        if isinstance(error, OperationalError) and error.statement is None and not error.connection_invalidated:
            raise DatabaseUnreachable(
                f"{where}: no connection could be had: {said}. Is the server running and the URL right?"
            ) from error
        raise DatabaseError(f"{where}: the database refused: {type(error.orig).__name__}: {said}") from error
    except PoolTimeout as error:
        raise DatabaseError(
            f"{where}: every connection of the pool is in use, and none came back in time. Use fewer threads, or "
            "give db_engine= with a larger pool_size."
        ) from error


def redacted(url: URL) -> str:
    """Return a URL as text with its password, and what looks like one in its query, hidden."""
    query = {name: "***" if _SECRET.search(name) else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def without_secrets(text: str, url: URL) -> str:
    """Return what a driver says, with the URL's secrets hidden."""
    hidden = [str(url.password)] if url.password else []
    hidden += [str(value) for name, value in url.query.items() if _SECRET.search(name)]
    for secret in hidden:
        text = text.replace(secret, "***")
    return text
