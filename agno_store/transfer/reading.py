"""The sessions of a store, one after the other, each read when its turn has come and in pieces.

They come in the order of their keys, so what is written meanwhile moves none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import Connection

from agno_store import apart
from agno_store.schema import SchemaStatus
from agno_store.store import Store
from agno_store.transfer.conversation import Content, Conversation, Malformed, Problem, Row, Stamp
from agno_store.transfer.statements import Statements, Which

T = TypeVar("T")

EVERYTHING = Which()

KEYS_AT_ONCE = 200
"""How many sessions are looked for in one statement."""

BYTES_AT_ONCE = 2_000_000
"""About so many characters of runs are read in one statement."""

_FIRST, _MOST = 50, 1000
"""Runs in one statement, before anything is known about their size, and at the most."""


class Db(Protocol):
    """What is read from and written to: a store, whose transactions may be repeated."""

    _store: Store

    def _read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    def _put(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    def schema_status(self) -> SchemaStatus: ...


class Source(Protocol):
    """Where conversations come from."""

    @property
    def total(self) -> int | None:
        """How much there is, in whatever it is counted in; None where that is not known."""

    @property
    def passed(self) -> int:
        """How much of that was given by now."""

    def conversations(self) -> Iterator[Conversation | Problem]:
        """Give each conversation, and in its place what cannot be read of it. May be called again."""


def stamps(c: Connection, sql: Statements, session_ids: Sequence[str]) -> dict[str, Stamp]:
    """Return the stamps of those sessions that are there. Writes nothing."""
    found = c.execute(sql.stamps, {"session_ids": session_ids}).all()
    return _with_runs(c, sql, [tuple(row) for row in found])


def _with_runs(c: Connection, sql: Statements, sessions: Sequence[tuple[Any, ...]]) -> dict[str, Stamp]:
    session_ids = [row[0] for row in sessions]
    counted = c.execute(sql.run_stamps, {"session_ids": session_ids}).all() if session_ids else []
    of_runs = {row[0]: (row[1], int(row[2]), row[3]) for row in counted}
    return {row[0]: Stamp(*row[1:], *of_runs.get(row[0], ())) for row in sessions}


@dataclass
class Reading:
    """The conversations of a store that are meant."""

    db: Db
    which: Which = EVERYTHING
    passed: int = 0
    _runs_at_once: int = _FIRST

    def __post_init__(self) -> None:
        self._sql = Statements(self.db._store)
        self._total: int | None = None

    @property
    def tenant_id(self) -> str | None:
        """Whose sessions these are, and to whom what is sealed in them is bound."""
        return self.db._store.tenant_id

    @property
    def total(self) -> int:
        if self._total is None:
            self._total = int(self.db._read(lambda c: c.execute(self._sql.count(self.which)).scalar_one()))
        return self._total

    def conversations(self) -> Iterator[Conversation | Problem]:
        """Give each session; none of them has been read yet."""
        after: str | None = None
        self.passed = 0
        while True:
            page = self.db._read(self._page, after)
            for session_id, stamp in page.items():
                self.passed += 1
                yield self._conversation(session_id, stamp)
                after = session_id
            if len(page) < KEYS_AT_ONCE:
                return

    def _page(self, c: Connection, after: str | None) -> dict[str, Stamp]:
        found = c.execute(self._sql.page(self.which, after, KEYS_AT_ONCE)).all()
        return _with_runs(c, self._sql, [tuple(row) for row in found])

    def _conversation(self, session_id: str, stamp: Stamp) -> Conversation:
        def read() -> Content | None:
            content = self.content(session_id)
            # Made anew since, it may be another user's.
            if content is None or content.session["created_at"] != stamp.created_at:
                return None
            return content if self.which.fits(content.session) else None

        return Conversation(session_id, f"session {session_id!r}", read, stamp)

    def content(self, session_id: str) -> Content | None:
        """Return what is in a session; None where there is none."""
        session, summary = self.db._read(self._rows, session_id)
        return None if session is None else Content(session, summary, _Pieces(self, session))

    def _rows(self, c: Connection, session_id: str) -> tuple[Row | None, Row | None]:
        # The summary first: where the session is made anew meanwhile, its row tells that this was another one's.
        found = [
            c.execute(statement, {"session_id": session_id}).mappings().first()
            for statement in (self._sql.summary, self._sql.session)
        ]
        opened = self.db._store.sending.open
        summary, session = (None if row is None else opened(dict(row), session_id) for row in found)
        return session, summary

    def has(self, session: Row) -> bool:
        """Whether a session is still there, and none that was handed over to somebody who is not meant."""
        asked = {"session_id": session["session_id"]}
        row = self.db._read(lambda c: c.execute(self._sql.session, asked).mappings().first())
        return (
            row is not None
            and row["created_at"] == session["created_at"]
            and self.which.user_id in (None, row["user_id"])
        )

    def piece(self, session: Row, after: int) -> tuple[list[dict[str, Any]], bool]:
        """Return the runs behind a place, as many as fit into the memory they are given, and whether there are more."""
        asked = {
            "session_id": session["session_id"],
            "session_created_at": session["created_at"],
            "reader": self.which.user_id,
            "after": after,
            "count": self._runs_at_once,
        }
        found = self.db._read(self._piece, asked)
        if found:
            size = sum(len(row["run_data"]) for row in found) // len(found) + 1
            self._runs_at_once = max(1, min(_MOST, BYTES_AT_ONCE // size))
        return found, len(found) == asked["count"]

    def _piece(self, c: Connection, asked: dict[str, Any]) -> list[dict[str, Any]]:
        key, opened = {"session_id": asked["session_id"]}, self.db._store.sending.open

        def read() -> list[dict[str, Any]]:
            return [opened({**key, **row}) for row in c.execute(self._sql.piece, asked).mappings()]

        # Whole: what is kept beside a run here may stand in it there, and a file is read by people.
        return [{**run, "run_data": apart.whole(run["run_data"])} for run in self.db._store.whole(c, read)]


@dataclass(frozen=True)
class _Pieces:
    """The runs of one session, read whenever they are gone through."""

    reading: Reading
    session: Row

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        after, more, pieces = -1, True, 0
        while more:
            piece, more = self.reading.piece(self.session, after)
            if piece:
                yield piece
                after = piece[-1]["run_index"]
                pieces += 1 + more
        # What comes in one piece was there at that moment; of more, the last ones may be gone with their session.
        if pieces != 1 and not self.reading.has(self.session):
            raise Malformed("it was deleted or handed over while it was read")
