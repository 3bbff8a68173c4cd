"""Where a store is, in the words of OpenTelemetry's conventions for databases."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import Engine

from agno_store.names import Names


def place(engine: Engine, names: Names) -> dict[str, str | int]:
    """Return the database, the namespace and the table of a store. A MariaDB server is known when it was connected to.

    Of a SQLite file the name alone is told: its folders are named after people.
    """
    kind, url = engine.dialect.name, engine.url
    if kind == "sqlite":
        namespace = Path(url.database or ":memory:").name
    elif kind == "postgresql":
        namespace = "|".join(part for part in (url.database, names.schema) if part)
    else:
        namespace = names.schema or url.database or ""
        kind = "mariadb" if getattr(engine.dialect, "is_mariadb", False) else "mysql"
    told: dict[str, str | int] = {"db.system.name": kind, "db.collection.name": names.sessions}
    told |= {"db.namespace": namespace} if namespace else {}
    told |= {"server.address": url.host} if url.host else {}
    return told | ({"server.port": url.port} if url.port else {})
