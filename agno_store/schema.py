"""Which revision a store is at, found with one SELECT and without importing Alembic."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from agno_store.dialects import Dialect
from agno_store.errors import SchemaBehind, SchemaConflict, SchemaMissing, SchemaTooNew
from agno_store.names import Names
from agno_store.statements import Statements
from agno_store.tables import HEAD, REVISIONS
from agno_store.urls import redacted

IN_STEP, MISSING, BEHIND, AHEAD = "in step", "missing", "behind", "ahead"


@dataclass(frozen=True)
class SchemaStatus:
    """Where a store's tables stand. ``state`` is 'in step', 'missing', 'behind' or 'ahead'.

    ``url`` is the database's, without its secrets.
    """

    table: str
    schema: str | None
    state: str
    current: str | None
    head: str
    pending: tuple[str, ...]
    url: str

    @classmethod
    def of(cls, names: Names, current: str | None, url: str) -> SchemaStatus:
        known = current is None or current in REVISIONS
        after = REVISIONS.index(current) + 1 if current in REVISIONS else 0
        pending = REVISIONS[after:] if known else ()
        state = AHEAD if not known else MISSING if current is None else BEHIND if pending else IN_STEP
        return cls(names.sessions, names.schema, state, current, HEAD, pending, url)

    @property
    def in_step(self) -> bool:
        return self.state == IN_STEP

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON can say it."""
        return {**asdict(self), "pending": list(self.pending)}

    def raise_unless_in_step(self) -> None:
        """Raise SchemaMissing, SchemaBehind or SchemaTooNew, with the command to run."""
        names = Names(self.table, self.schema)
        upgrade = names.command("upgrade", self.url)
        about: dict[str, Any] = {"store": str(names), "current": self.current, "head": self.head}
        if self.state == MISSING:
            raise SchemaMissing(f"{names} has no tables yet. Run: {upgrade}", **about)
        if self.state == BEHIND:
            raise SchemaBehind(
                f"{names} is at revision {self.current}; this release needs {self.head}. "
                f"Run: {upgrade}  (or set auto_upgrade_schema=True).",
                **about,
            )
        if self.state == AHEAD:
            raise SchemaTooNew(
                f"{names} is at revision {self.current}, which this release (up to {self.head}) does not know: a newer "
                "one has upgraded it. Nothing was changed. Run: pip install --upgrade agno-store",
                **about,
            )


def status(engine: Engine, dialect: Dialect, names: Names, sql: Statements) -> SchemaStatus:
    """Return where the tables stand. Writes nothing."""
    url = redacted(engine.url)
    if not dialect.is_there(engine.url):
        return SchemaStatus.of(names, None, url)
    try:
        return _read(engine, dialect, names, sql, url)
    except DBAPIError:
        # What the driver says of a table that is not there differs; whether it is there does not.
        with dialect.connected(engine) as connection:
            there = sa.inspect(connection).has_table(names.version, schema=names.schema)
        # It may be there by now, because another process has just made it.
        return _read(engine, dialect, names, sql, url) if there else SchemaStatus.of(names, None, url)


def _read(engine: Engine, dialect: Dialect, names: Names, sql: Statements, url: str) -> SchemaStatus:
    with dialect.transaction(engine, writes=False) as connection:
        dialect.refuse_lookalike(connection, names)
        return SchemaStatus.of(names, current(connection, names, sql), url)


def current(connection: Connection, names: Names, sql: Statements) -> str | None:
    """Return the revision in the version table, which must be there; None where it is empty.

    Raises SchemaConflict where it holds several.
    """
    found = sorted(revision for revision in connection.execute(sql.revisions).scalars() if revision is not None)
    if len(found) > 1:
        raise SchemaConflict(
            f"{names.version} says that {names} is at several revisions: {', '.join(found)}. Nothing was changed. "
            "Delete the rows that are wrong; agno-store stamp records the right one after looking at the tables.",
            store=str(names),
            head=HEAD,
        )
    return found[0] if found else None
