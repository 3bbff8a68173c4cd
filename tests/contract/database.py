"""Looking into a store's tables from outside, past the store's own reading and writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from agno_store.tables import metadata

Dump = dict[str, list[dict[str, Any]]]


def tables(db: Any) -> dict[str, sa.Table]:
    """The store's tables as 'sessions', 'runs', 'summaries' and 'media'."""
    found = {table.name: table for table in metadata(db.names).sorted_tables}
    return {short: found[getattr(db.names, short)] for short in ("sessions", "runs", "summaries", "media")}


def dump(db: Any) -> Dump:
    """Every row of every table, each table by its key: what "nothing was written" is measured by."""
    with db.db_engine.connect() as connection:
        return {
            short: [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]
            for short, table in tables(db).items()
        }


def empty(db: Any) -> None:
    """Delete every row."""
    with db.db_engine.begin() as connection:
        for table in reversed(metadata(db.names).sorted_tables):
            connection.execute(table.delete())


def stored(db: Any, table: str, column: str, **key: Any) -> Any:
    """One value as it stands in the database: payloads still text, times in microseconds."""
    source = tables(db)[table]
    conditions = [source.c[name] == value for name, value in key.items()]
    with db.db_engine.connect() as connection:
        return connection.execute(sa.select(source.c[column]).where(*conditions)).scalar_one()


def overwrite(db: Any, table: str, column: str, value: Any, **key: Any) -> None:
    """Put a value there behind the store's back."""
    source = tables(db)[table]
    conditions = [source.c[name] == value for name, value in key.items()]
    with db.db_engine.begin() as connection:
        connection.execute(source.update().where(*conditions).values({column: value}))


def ask(db: Any, sql: str, **values: Any) -> list[Any]:
    """The first column of what a statement returns."""
    with db.db_engine.connect() as connection:
        return list(connection.execute(sa.text(sql), values).scalars())


def quoted(db: Any, name: str) -> str:
    """A name as the database wants to read it."""
    return str(db.db_engine.dialect.identifier_preparer.quote(name))


@contextmanager
def statements(engine: sa.Engine | type[sa.Engine]) -> Iterator[list[str]]:
    """Collect what is sent, except for the borders of transactions."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split()[0].upper() not in ("BEGIN", "COMMIT", "ROLLBACK"):
            sent.append(statement)

    listened: Any = engine
    before = listened._has_events
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
        # SQLAlchemy does not take it back: every later statement, of a class in every later test, would go another way.
        listened._has_events = before


def content(db: Any) -> Dump:
    """The same but for what is another number in each store: it tells one making of a session from another."""
    found = dump(db)
    return {**found, "sessions": [{**row, "runs_changed": None} for row in found["sessions"]]}
