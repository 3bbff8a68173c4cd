"""Floors that go the way of a store: our tables and statements, a connection out of SQLAlchemy's pool for each call.

The least has JSON besides, by what ours writes it with, and nothing else: no value is looked at, no error told, no
object made, no transaction tried again. What it takes beyond the raw driver's is what tables, indexes and a pool cost
anybody.

The straight line does what a store is for, with this package's own records and checks, one after the other and in one
place: no hook, no tenant, no second attempt, no error that says what to do, no other way where a session is not as it
was read. What a turn of ours takes beyond that is how ours is built.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.util import greenlet_spawn

from agno_store import bridge, dialects, engines, rows, shapes
from agno_store.clock import now
from agno_store.history import Latest, Marks, Seen
from agno_store.plain import fastest
from agno_store.quick import RUN, Quick
from agno_store.records import SESSION_PAYLOADS, Run, Session
from agno_store.sending import say, takes_together
from bench.places import Place
from bench.stores import AsyncStore, Store

CHANGED = ("name_folded", "session_data", "version", "updated_at")

LAST = 5
"""The runs that a turn reads."""

COMMIT_EACH: dict[str, Any] = {
    "sqlite": lambda driver, _record: setattr(driver, "isolation_level", None),
    "postgresql": lambda driver, _record: setattr(driver, "autocommit", True),
}
"""How a connection is told to begin no transaction by itself, as the raw driver's does not."""


class Hand:
    """A turn in a store's tables, on an engine that the store does not use: the least."""

    adds: ClassVar[tuple[tuple[str, ...], bool]] = (CHANGED, True)
    """The columns of a session that are changed with a run, and whether only of one that is as it was read."""

    def __init__(self, like: sa.Engine, store: Any) -> None:
        dialect = dialects.of(like)
        self.engine = engines.make(like.url, dialect, pooled=False, standby=False)
        name = self.engine.dialect.name
        if name in COMMIT_EACH:
            event.listen(self.engine, "connect", COMMIT_EACH[name])
        self._sql, self._ask, self._together, quick = store.sql, store.ask, store.sending.together, Quick(store.sql)
        self._connect = self.engine.connect if name in COMMIT_EACH else partial(dialect.by_statement, self.engine)
        self._at_once = dialect.writes_two_tables
        adding = quick.adding_returned if self.engine.dialect.update_returning else quick.adding
        columns, as_read = self.adds
        self._add = (quick.adding_whole if self._at_once else adding)(columns, owned=True, as_read=as_read)
        self._insert = quick.inserting

    def turn(self, session_id: str, number: int, done: Mapping[str, Any]) -> None:
        row = self._read(session_id)
        data = json.loads(row["session_data"])
        data["session_state"]["turns"] = number + 1
        run = {**dict.fromkeys(RUN), **{name: done[name] for name in RUN if name in done}}
        run |= {
            "run_type": "agent",
            "run_data": fastest()(done),
            "updated_at": time.time_ns() // 1000,
        }
        self._write(row, session_id, fastest()(data), run)

    def _read(self, session_id: str) -> dict[str, Any]:
        with self._connect() as c:
            row: dict[str, Any] = self._ask(c, self._sql.session_with_marks, {"session_id": session_id}).first
        return row

    def _latest(self, row: Mapping[str, Any], count: int) -> list[Any]:
        """Return the last runs of a session in order."""
        this = {"session_id": row["session_id"], "session_created_at": row["created_at"], "reader": row["user_id"]}
        with self._connect() as c:
            return list(reversed(self._ask(c, self._sql.latest_runs, {**this, "count": count}).rows))

    def _write(self, read: Mapping[str, Any], name: str | None, data: str, run: Mapping[str, Any]) -> int:
        """Store a session's data and a run, and return the run's place."""
        values = {
            "key": read["session_id"], "was": read["version"], "made": read["created_at"],
            "touched": read["updated_at"], "owner": read["user_id"], "run_key": run["run_id"], "s_name_folded": name,
            "s_session_data": data, "s_version": read["version"] + 1, "s_updated_at": run["updated_at"],
        }  # fmt: skip
        return self._add_row(values, run)

    def _add_row(self, values: Mapping[str, Any], run: Mapping[str, Any]) -> int:
        """Change a session and add a run to it, and return the run's place."""
        with self._connect() as c:
            if self._at_once:
                whole = {**values, **{f"r_{name}": run[name] for name in RUN}}
                return int(self._ask(c, self._add, whole).first["run_index"])
            if takes_together(c):
                inserted = {"key": values["key"], **{f"r_{name}": run[name] for name in RUN}}
                counted, added = self._together(c, (self._add, values), (self._insert, inserted))
                assert added.matched
                return int(counted.last_id) - 1
            return self._in_turn(c, values, run)

    def _in_turn(self, c: sa.Connection, values: Mapping[str, Any], run: Mapping[str, Any]) -> int:
        is_begun = c.dialect.name not in COMMIT_EACH  # by the way that connections are had there
        if not is_begun:
            say(c, "BEGIN IMMEDIATE")
        answer = self._ask(c, self._add, values)
        place = answer.first["run_index"] if answer.first else answer.last_id - 1
        self._ask(c, self._sql.insert_run, {**run, "session_id": values["key"], "run_index": place})
        if not is_begun:
            say(c, "COMMIT")
        return int(place)


class StraightHand(Hand):
    """The same turn with records, checks, what is known of the last runs, and the session given back as stored."""

    def __init__(self, like: sa.Engine, store: Any) -> None:
        super().__init__(like, store)
        self._known: dict[str, Latest] = {}

    def turn(self, session_id: str, number: int, done: Mapping[str, Any]) -> None:
        row = self._read(session_id)
        marks, known = Marks.taken(row), self._known.get(session_id)
        if known is None or known.marks != marks:
            known = Latest(marks, [Seen(run) for run in self._latest(row, LAST)], LAST)
        runs = [shapes._record(run) for run in known.runs]
        session = bridge.session_of_records(rows.session_dict(row), runs, rows.snapshot(row, ""))
        assert session.session_data is not None
        session.session_data["session_state"]["turns"] = number + 1
        self._save(session, row, known, done)

    def _save(self, session: Session, read: Mapping[str, Any], known: Latest, done: Mapping[str, Any]) -> Session:
        moment = now()
        columns = rows.session_columns(session, SESSION_PAYLOADS)
        changes = {name: value for name, value in columns.items() if value is not None and value != read.get(name)}
        changes |= {"version": read["version"] + 1, "updated_at": moment}
        run = rows.run_columns(Run.of(done), session.session_id, columns["user_id"], moment)
        place = self._write(read, changes["name_folded"], changes["session_data"], run)
        self._known[session.session_id] = known.with_run({**run, "run_index": place, "version": 1}, None)
        stored = {**read, **{name: value for name, value in changes.items() if name in read}}
        return bridge.session_of_records(rows.session_dict(stored), session.runs, rows.snapshot(stored, ""))


class Least(Store):
    """The least of a synchronous store."""

    name: ClassVar[str] = "the least of a store"
    hand: ClassVar[type[Hand]] = Hand

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._hand = self.hand(self.db.db_engine, self.db._store)
        self.turn = self._hand.turn  # type: ignore[method-assign]

    def close(self) -> None:
        self._hand.engine.dispose()
        super().close()


class Straight(Least):
    """The synchronous store in a straight line."""

    name: ClassVar[str] = "a store in a straight line"
    hand: ClassVar[type[Hand]] = StraightHand


class LeastAsync(AsyncStore):
    """The least of an asynchronous one."""

    name: ClassVar[str] = "the least of a store, async"
    hand: ClassVar[type[Hand]] = Hand

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._hand = self._loop.run_until_complete(self._made())

    async def _made(self) -> Hand:
        here = self.db._here()
        return self.hand(here.engine.sync_engine, here.core._store)

    async def _turn(self, session_id: str, number: int, done: Any) -> None:
        await greenlet_spawn(self._hand.turn, session_id, number, done)

    def close(self) -> None:
        self._loop.run_until_complete(greenlet_spawn(self._hand.engine.dispose))
        super().close()


class StraightAsync(LeastAsync):
    """The asynchronous store in a straight line."""

    name: ClassVar[str] = "a store in a straight line, async"
    hand: ClassVar[type[Hand]] = StraightHand
