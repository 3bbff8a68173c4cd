"""What no store does for less: a turn with an asynchronous driver alone, and one with agno's objects over a driver."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from bench.payloads import AGENT
from bench.places import Place
from bench.raw import INSERT, LATEST, SESSION, UPDATE, Raw
from bench.stores import agnos, agnos_run, contract_turn


class RawAsync(Raw):
    """The raw driver's turn with aiosqlite, psycopg and asyncmy. Tables and sessions are made by ``Raw``."""

    name: ClassVar[str] = "raw driver, async"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._loop = asyncio.new_event_loop()
        self._there = self._loop.run_until_complete(_connected(place))
        self._hand = self._loop.run_until_complete(self._made())

    def close(self) -> None:
        self._loop.run_until_complete(self._left())
        self._loop.close()
        super().close()

    def turn(self, session_id: str, number: int, done: dict[str, Any]) -> None:
        """Read the session and its last 5 runs, then store the session and one run."""
        self._loop.run_until_complete(self._turn(session_id, number, done))

    async def _turn(self, session_id: str, number: int, done: dict[str, Any]) -> None:
        (found, _), *_ = await self._ask(self._json(SESSION), (session_id,))
        texts = await self._ask(self._json(LATEST), (session_id,))
        data, runs = json.loads(found), [json.loads(text) for (text,) in texts[::-1]]
        assert len(runs) == min(5, number), (len(runs), number)
        data["session_state"]["turns"] = number + 1
        text, moment = json.dumps(data, ensure_ascii=False), time.time_ns() // 1000
        await self._ask(self._begin)
        await self._ask(UPDATE, (text, moment, session_id))
        run = (done["run_id"], done["status"], json.dumps(done, ensure_ascii=False), done["created_at"])
        await self._ask(self._typed(INSERT), (*run, session_id))
        await self._ask("COMMIT")

    async def _ask(self, statement: str, values: Sequence[Any] = ()) -> Any:
        await self._hand.execute(statement.replace("?", self._marker), values)
        return list(await self._hand.fetchall()) if self._hand.description else ()

    async def _made(self) -> Any:
        if self.place.backend == "sqlite":
            return await self._there.cursor()
        return self._there.cursor()

    async def _left(self) -> None:
        closed = self._there.close()
        if closed is not None:
            await closed


async def _connected(place: Place) -> Any:
    """Return a connection of the driver that the asynchronous store takes, which commits by itself."""
    parts = place.parts
    if place.backend == "sqlite":
        connection = await importlib.import_module("aiosqlite").connect(place.file, isolation_level=None, timeout=30)
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            await connection.execute(f"PRAGMA {setting}")
        return connection
    if place.backend == "postgresql":
        found = await importlib.import_module("psycopg").AsyncConnection.connect(
            host=parts.host, port=parts.port, user=parts.username, dbname=parts.database, autocommit=True
        )
        found.prepare_threshold = 0
        return found
    return await importlib.import_module("asyncmy").connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, database=parts.database, charset="utf8mb4",
        autocommit=True,
    )  # fmt: skip


class Objects(Raw):
    """agno's turn with agno's objects and nothing else: one connection, no check, each run decoded once and kept."""

    name: ClassVar[str] = "raw driver under agno"
    _ROW = "SELECT user_id, {session_data}, runs, created_at, updated_at FROM raw_sessions WHERE session_id = ?"
    _MORE = "SELECT {run_data} FROM raw_runs WHERE session_id = ? AND run_index >= ? ORDER BY run_index"
    _PUT = "INSERT INTO raw_runs VALUES (?, ?, ?, ?, ?, ?)"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._session = importlib.import_module("agno.session.agent").AgentSession
        self._known: dict[str, list[Any]] = {}

    run = staticmethod(agnos_run)

    def turn(self, session_id: str, number: int, done: Any) -> None:
        """Do what agno does around one run."""
        contract_turn(self, session_id, number, done)

    def get_session(self, session_id: str, **_: Any) -> Any:
        ((user_id, text, count, created, updated),) = self._execute(self._json(self._ROW), (session_id,))
        known = self._known.setdefault(session_id, [])
        if len(known) < count:
            more = self._execute(self._json(self._MORE), (session_id, len(known)))
            known += [agnos(json.loads(run)) for (run,) in more]
        row = {"session_id": session_id, "user_id": user_id, "agent_id": AGENT, "session_data": json.loads(text)}
        session = self._session.from_dict({**row, "created_at": created, "updated_at": updated})
        session.runs = list(known)
        return session

    def upsert_session(self, session: Any) -> Any:
        found = session.to_dict(include_runs=False)
        text, moment = json.dumps(found["session_data"], ensure_ascii=False), time.time_ns() // 1000
        self._execute(UPDATE, (text, moment, session.session_id))
        return self._session.from_dict(found)

    def upsert_run(self, run: Any, session_id: str, run_index: int, **_: Any) -> None:
        found = run.to_dict()
        text = json.dumps(found, ensure_ascii=False)
        self._execute(self._PUT, (session_id, run_index, run.run_id, found["status"], text, run.created_at))
