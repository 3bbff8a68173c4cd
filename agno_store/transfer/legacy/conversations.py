"""The sessions of old tables on their way into a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from agno_store.legacy import AGENTS
from agno_store.schema import MISSING
from agno_store.transfer.conversation import Content, Conversation, Malformed, Problem
from agno_store.transfer.legacy.content import content
from agno_store.transfer.legacy.first_runs import KEPT
from agno_store.transfer.legacy.reading import Found
from agno_store.transfer.legacy.source import OldTable, Skipped, Source

TypeOf = Callable[[str], "str | None"]
"""Tells the type of a session that the target has; None where it has none of that id."""


def type_in(db: Any) -> TypeOf:
    """Return what tells the type of a session in a store; one without tables is not given any by this."""
    s = db._store.sql.sessions.c
    asked = sa.select(s.session_type).where(s.session_id == sa.bindparam("session_id"))

    def type_of(session_id: str) -> str | None:
        if not made and db.schema_status().state == MISSING:
            return None
        made.append(True)
        found: str | None = db._read(lambda c: c.execute(asked, {"session_id": session_id}).scalar())
        return found

    made: list[bool] = []
    return type_of


@dataclass
class OldSessions:
    """The sessions of one or several old tables, each read when its turn has come, in a transaction of its own.

    ``problems`` are what could not be read of sessions that could, such as one of their runs.
    """

    source: Source
    tables: Sequence[OldTable]
    type_of: TypeOf
    passed: int = 0
    problems: dict[Problem, None] = field(default_factory=dict)
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
                yield Conversation(str(session_id), _place(table, session_id), partial(self._read, table, session_id))

    def _read(self, table: OldTable, session_id: str) -> Content | None:
        found = self.source.read(table, session_id)
        if found is None:
            return None
        if isinstance(found, Skipped):
            raise Malformed(found.reason)
        if table.layout.is_first:
            found = _beside(found, self.type_of)
        ready = content(found)
        self.problems |= dict.fromkeys(Problem(_place(table, session_id), reason) for reason in found.problems)
        return ready


def _place(table: OldTable, session_id: str) -> str:
    return f"session {session_id!r} of {table}"


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
