"""The least that a store does: our tables and statements, a connection out of SQLAlchemy's pool for each call, JSON.

No value is looked at, no error told, no object made, no transaction tried again: what a turn of ours takes beyond this
is what a store is for. What this takes beyond the raw driver's is what tables, indexes and a pool cost anybody.
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

from agno_store import dialects, engines
from agno_store.quick import RUN, Quick
from agno_store.sending import say, takes_together
from bench.places import Place
from bench.stores import AsyncStore, Store

CHANGED = ("name_folded", "session_data", "version", "updated_at")

COMMIT_EACH: dict[str, Any] = {
    "sqlite": lambda driver, _record: setattr(driver, "isolation_level", None),
    "postgresql": lambda driver, _record: setattr(driver, "autocommit", True),
}
"""How a connection is told to begin no transaction by itself, as the raw driver's does not."""


class Hand:
    """A turn in a store's tables, on an engine that the store does not use."""

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
        self._add = (quick.adding_whole if self._at_once else adding)(CHANGED, owned=True, as_read=True)
        self._insert = quick.inserting

    def turn(self, session_id: str, number: int, done: Mapping[str, Any]) -> None:
        with self._connect() as c:
            row = self._ask(c, self._sql.session_with_marks, {"session_id": session_id}).first
        data = json.loads(row["session_data"])
        data["session_state"]["turns"] = number + 1
        moment = time.time_ns() // 1000
        run = {**dict.fromkeys(RUN), **{name: done[name] for name in RUN if name in done}}
        run |= {"run_type": "agent", "run_data": json.dumps(done, ensure_ascii=False), "updated_at": moment}
        values = {
            "key": session_id, "was": row["version"], "made": row["created_at"], "touched": row["updated_at"],
            "owner": row["user_id"], "run_key": done["run_id"], "s_name_folded": session_id,
            "s_session_data": json.dumps(data, ensure_ascii=False), "s_version": row["version"] + 1,
            "s_updated_at": moment,
        }  # fmt: skip
        with self._connect() as c:
            if self._at_once:
                assert self._ask(c, self._add, values | {f"r_{name}": run[name] for name in RUN}).first
            elif takes_together(c):
                inserted = {"key": session_id, **{f"r_{name}": run[name] for name in RUN}}
                assert self._together(c, (self._add, values), (self._insert, inserted))[1].matched
            else:
                self._in_turn(c, session_id, values, run)

    def _in_turn(self, c: sa.Connection, session_id: str, values: dict[str, Any], run: dict[str, Any]) -> None:
        is_begun = c.dialect.name not in COMMIT_EACH  # by the way that connections are had there
        if not is_begun:
            say(c, "BEGIN IMMEDIATE")
        answer = self._ask(c, self._add, values)
        place = answer.first["run_index"] if answer.first else answer.last_id - 1
        self._ask(c, self._sql.insert_run, {"session_id": session_id, "run_index": place, **run})
        if not is_begun:
            say(c, "COMMIT")


class Least(Store):
    """The least of a synchronous store."""

    name: ClassVar[str] = "the least of a store"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._hand = Hand(self.db.db_engine, self.db._store)
        self.turn = self._hand.turn  # type: ignore[method-assign]

    def close(self) -> None:
        self._hand.engine.dispose()
        super().close()


class LeastAsync(AsyncStore):
    """The least of an asynchronous one."""

    name: ClassVar[str] = "the least of a store, async"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._hand = self._loop.run_until_complete(self._made())

    async def _made(self) -> Hand:
        here = self.db._here()
        return Hand(here.engine.sync_engine, here.core._store)

    async def _turn(self, session_id: str, number: int, done: Any) -> None:
        await greenlet_spawn(self._hand.turn, session_id, number, done)

    def close(self) -> None:
        self._loop.run_until_complete(greenlet_spawn(self._hand.engine.dispose))
        super().close()
