"""The sessions of old tables on their way into a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from agno_store.legacy import AGENTS
from agno_store.schema import MISSING
from agno_store.transfer.conversation import Content, Conversation, Problem
from agno_store.transfer.legacy.content import content
from agno_store.transfer.legacy.first_runs import KEPT
from agno_store.transfer.legacy.reading import Found
from agno_store.transfer.legacy.source import OldTable, Source
from agno_store.transfer.statements import Which

TypeOf = Callable[[str], "str | None"]
"""Tells the type of a session that the target has; None where it has none of that id."""


def type_in(db: Any) -> TypeOf:
    """Return what tells the type of a session in a store; one without tables is not given any by this."""
    s = db._store.sql.sessions.c
    is_it = (s.session_id == sa.bindparam("session_id"), db._store.sql.is_there)
    asked = sa.select(s.session_type).where(*is_it)

    def type_of(session_id: str) -> str | None:
        if not made and db.schema_status().state == MISSING:
            return None
        made.append(True)
        found: str | None = db._read(lambda c: c.execute(asked, {"session_id": session_id}).scalar())
        return found

    made: list[bool] = []
    return type_of


class AgnoTables:
    """The session tables that agno's own storage classes have made in one database, to import from.

        with AgnoTables("postgresql://...", schema="ai") as tables:
            db.import_from(tables, verify=True)

    Tables of agno 1.x, 2.x and 3.x are known by their columns. They are only read: the connections cannot write. A
    call in an event loop reads them with the synchronous driver, and the loop waits meanwhile.
    """

    def __init__(self, url: str | URL, tables: Sequence[str] = (), *, schema: str | None = None) -> None:
        """Name a database, and its tables, where not all that are agno's are meant. Sends no SQL.

        ``schema`` is where they are; without it the connection's own is looked through, and ``ai``, which is agno's.
        Raises ConfigurationError for a URL of no such database, DatabaseUnreachable for a file that is not there.
        """
        self.source = Source(url, schema)
        self._wanted = tuple(tables)

    def close(self) -> None:
        """Close the connections."""
        self.source.close()

    def __enter__(self) -> AgnoTables:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def found(self) -> list[OldTable]:
        """Return the tables. Writes nothing.

        Raises NotFound where there is none, SchemaConflict for one that is none of agno's session tables.
        """
        return self.source.tables(self._wanted)

    def into(self, db: Any, which: Which) -> OldSessions:
        """Return their sessions on the way into a store."""
        return OldSessions(self.source, self.found(), which, type_in(db))


@dataclass
class OldSessions:
    """The sessions of old tables that are meant, each read when its turn has come, in a transaction of its own."""

    source: Source
    tables: Sequence[OldTable]
    which: Which
    type_of: TypeOf
    passed: int = 0
    _total: int | None = None

    @property
    def total(self) -> int:
        """How many sessions there are."""
        if self._total is None:
            self._total = sum(self.source.count(table) for table in self.tables)
        return self._total

    def conversations(self) -> Iterator[Conversation | Problem]:
        """Give each session; none of them has been read yet. Those that come meanwhile may be among them."""
        self.passed = 0
        # A member's session has its team's id where agno 1.x kept both, and the team's is the one to have it.
        for table in sorted(self.tables, key=lambda table: table.layout is AGENTS):
            for what in self.source.lost(table):
                yield Problem(str(table), what)
            for session_id in self.source.ids(table):
                self.passed += 1
                place = f"session {session_id!r} of {table}"
                yield Conversation(str(session_id), place, partial(self._read, table, session_id))

    def _read(self, table: OldTable, session_id: str) -> Content | None:
        found = self.source.read(table, session_id)
        if found is None:
            return None
        ready = content(_beside(found, self.type_of) if table.layout.is_first else found)
        return ready if self.which.fits(ready.session) else None


def _beside(found: Found, type_of: TypeOf) -> Found:
    """Return a session under an id of its own where the target has another one under it, of another type."""
    session = found.session
    if type_of(session.session_id) in (None, session.session_type):
        return found
    data = dict(session.session_data or {})
    data[KEPT] = {**data.get(KEPT, {}), "session_id": session.session_id}
    return replace(
        found, session=replace(session, session_id=f"{session.session_id}:{session.session_type}", session_data=data)
    )
