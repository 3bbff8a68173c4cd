"""What the upgrades of a store have noted: when which revision was applied, by which release, how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agno_store import release
from agno_store.clock import SECOND
from agno_store.dialects import Dialect
from agno_store.names import Names
from agno_store.tables import journal

UP, DOWN, STAMP, BACKFILL = "up", "down", "stamp", "backfill"


@dataclass(frozen=True)
class Entry:
    """One line of the journal. ``seconds`` is None where nobody measured, as in a script run by hand."""

    revision: str
    what: str
    done_at: datetime
    seconds: float | None
    applied_by: str


class Journal:
    """The journal of one store."""

    def __init__(self, names: Names, dialect: Dialect, *, measured: bool = True) -> None:
        self._measured = measured
        self.table = journal(names)
        self.clock: sa.ColumnClause[Any] = sa.literal_column(dialect.clock)

    def is_there(self, connection: Connection) -> bool:
        """Whether an upgrade by a release with a journal has been here."""
        return sa.inspect(connection).has_table(self.table.name, schema=self.table.schema)

    def ensure(self, connection: Connection) -> None:
        """Make the journal where it is missing."""
        self.table.create(connection, checkfirst=True)

    def noting(self, what: str, revision: str, works_with: str | None, seconds: float | None) -> sa.Insert:
        """Return the statement that adds a line, with the server's time. Two of them may not run at once."""
        j = self.table.c
        values: dict[Any, Any] = {
            j.entry: sa.func.coalesce(sa.func.max(j.entry), 0) + 1,
            j.revision: sa.literal(revision, j.revision.type),
            j.what: sa.literal(what, j.what.type),
            j.done_at: self.clock,
            j.microseconds: sa.null() if seconds is None or not self._measured else sa.literal(round(seconds * SECOND)),
            j.applied_by: sa.literal(release.__version__, j.applied_by.type),
            j.works_with: sa.null() if works_with is None else sa.literal(works_with, j.works_with.type),
        }
        named = [value.label(column.name) for column, value in values.items()]
        return sa.insert(self.table).from_select(list(values), sa.select(*named).select_from(self.table))

    def entries(self, connection: Connection) -> list[Entry]:
        """Return every line, oldest first. Writes nothing."""
        if not self.is_there(connection):
            return []
        found = connection.execute(sa.select(self.table).order_by(self.table.c.entry)).mappings()
        return [
            Entry(
                row["revision"],
                row["what"],
                datetime.fromtimestamp(row["done_at"] / SECOND, timezone.utc),
                None if row["microseconds"] is None else row["microseconds"] / SECOND,
                row["applied_by"],
            )
            for row in found
            if row["what"] in (UP, DOWN, STAMP)
        ]

    def last(self, connection: Connection) -> dict[str, Entry]:
        """Return the last line of each revision that was applied or stamped. Writes nothing."""
        return {entry.revision: entry for entry in self.entries(connection) if entry.what != DOWN}
