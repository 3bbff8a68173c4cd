"""The systems that are compared with the floor: this package, synchronous and not, and agno's own stores."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa

from agno_store import Listing, encoding, open_async_db, open_db, rows, tables
from agno_store.clock import SECOND
from agno_store.records import Run
from bench.gauges import Sent
from bench.payloads import AGENT, START, USER, run, session_data
from bench.places import Place

AT_ONCE = 1000
"""Rows of one INSERT that fills a table."""


class Store:
    """This package's synchronous store."""

    name: ClassVar[str] = "agno_store"

    def __init__(self, place: Place) -> None:
        self.place, self.sent = place, Sent()
        self.db: Any = open_db(place.url)

    def make(self) -> None:
        """Make the tables."""
        self.db.upgrade_schema()

    def close(self) -> None:
        self.db.close()

    def watch(self) -> None:
        """Count from now on."""
        self.sent.watch(self.db.db_engine)

    def fill(self, session_ids: Iterable[str], runs: int, user_id: str = USER) -> None:
        """Store sessions with so many runs each, past the store: it is not what is measured."""
        names, ids = self.db.names, list(session_ids)
        with self.db.db_engine.begin() as connection:
            for table, found in (
                (names.sessions, (_session_row(one, n, runs, user_id) for n, one in enumerate(ids))),
                (names.runs, (_run_row(one, number) for one in ids for number in range(runs))),
            ):
                for some in _batches(found):
                    connection.execute(sa.insert(tables.table(names, table)), some)

    run = staticmethod(run)

    def turn(self, session_id: str, number: int, done: Any) -> None:
        """Read the session and its last 5 runs, then store the session and one run."""
        session = self.db.get_session(session_id, runs_limit=5)
        assert len(session.runs) == min(5, number), (len(session.runs), number)
        session.session_data["session_state"]["turns"] = number + 1
        self.db.upsert_session(session, run=done)

    def newest(self, user_id: str, count: int, after: str | None = None) -> Listing[Any]:
        """Return a page of a user's sessions, the newest first."""
        found: Listing[Any] = self.db.get_sessions(user_id=user_id, limit=count, after=after, include_runs=False)
        return found


class AsyncStore:
    """This package's asynchronous store."""

    name: ClassVar[str] = "agno_store, async"

    def __init__(self, place: Place) -> None:
        self.place, self.sent = place, Sent()
        self._loop = asyncio.new_event_loop()
        self.db: Any = open_async_db(place.parts.set(drivername=place.backend))  # with the driver that suits it

    def close(self) -> None:
        self._loop.run_until_complete(self.db.close())
        self._loop.close()

    run = staticmethod(run)

    def turn(self, session_id: str, number: int, done: Any) -> None:
        """Read the session and its last 5 runs, then store the session and one run."""
        self._loop.run_until_complete(self._turn(session_id, number, done))

    async def _turn(self, session_id: str, number: int, done: Any) -> None:
        session = await self.db.get_session(session_id, runs_limit=5)
        assert len(session.runs) == min(5, number), (len(session.runs), number)
        session.session_data["session_state"]["turns"] = number + 1
        await self.db.upsert_session(session, run=done)


class Contract(Store):
    """This package, called as agno calls it and with agno's objects."""

    name: ClassVar[str] = "agno_store under agno"

    def __init__(self, place: Place) -> None:
        importlib.import_module("agno.agent")
        super().__init__(place)

    @staticmethod
    def run(session_id: str, number: int) -> Any:
        """Return a run as agno's object."""
        return agnos_run(session_id, number)

    def turn(self, session_id: str, number: int, done: Any) -> None:
        """Do what agno does around one run: read the session, look at 5 runs, store the session, store the run."""
        contract_turn(self.db, session_id, number, done)


class AgnosOwn:
    """agno's own store, called as agno calls it."""

    name: ClassVar[str] = "agno's own store"
    CLASSES: ClassVar = {"sqlite": "SqliteDb", "postgresql": "PostgresDb", "mysql": "MySQLDb"}
    MODULES: ClassVar = {"sqlite": "agno.db.sqlite", "postgresql": "agno.db.postgres", "mysql": "agno.db.mysql"}

    def __init__(self, place: Place) -> None:
        self.place, self.sent = place, Sent()
        cls = getattr(importlib.import_module(self.MODULES[place.backend]), self.CLASSES[place.backend])
        schema = {"postgresql": "public", "mysql": place.parts.database}.get(place.backend)
        self.db: Any = cls(db_url=place.url, **({"db_schema": schema, "create_schema": False} if schema else {}))

    def make(self) -> None:
        """Make the tables."""
        self.db._create_all_tables()

    def close(self) -> None:
        self.db.close()

    def watch(self) -> None:
        """Count from now on."""
        self.sent.watch(self.db.db_engine)

    def fill(self, session_ids: Iterable[str], runs: int, user_id: str = USER) -> None:
        """Store sessions with so many runs each, through its own calls."""
        from agno.session.agent import AgentSession

        for one in session_ids:
            data = session_data(one, runs)
            self.db.upsert_session(
                AgentSession(session_id=one, agent_id=AGENT, user_id=user_id, session_data=data, created_at=START)
            )
            for number in range(runs):
                self.db.upsert_run(agnos_run(one, number), one, user_id=user_id, run_index=number)

    @staticmethod
    def run(session_id: str, number: int) -> Any:
        """Return a run as agno's object."""
        return agnos_run(session_id, number)

    def turn(self, session_id: str, number: int, done: Any) -> None:
        """Do what agno does around one run: read the session, look at 5 runs, store the session, store the run."""
        contract_turn(self.db, session_id, number, done)


def agnos_run(session_id: str, number: int) -> Any:
    """Return a run as agno's object."""
    return agnos(run(session_id, number))


def agnos(run: dict[str, Any]) -> Any:
    """Return agno's object of a run's dictionary."""
    from agno.run.agent import RunOutput

    return RunOutput.from_dict(run)


def contract_turn(db: Any, session_id: str, number: int, done: Any) -> None:
    """Call a store as agno's Agent does in one run, with agno's objects. What agno does in memory is not repeated."""
    from agno.db.base import SessionType

    session = db.get_session(session_id=session_id, session_type=SessionType.AGENT, user_id=USER, runs_limit=None)
    assert len(session.runs) == number, (len(session.runs), number)
    assert all(len(before.messages) == 4 for before in session.runs[-5:])
    session.runs.append(done)
    session.session_data["session_state"]["turns"] = number + 1
    db.upsert_session(session=session)
    db.upsert_run(run=done, session_id=session_id, user_id=USER, run_index=number)


def _session_row(session_id: str, number: int, runs: int, user_id: str) -> dict[str, Any]:
    data = session_data(session_id, runs)
    moment = (START + number) * SECOND
    return {
        "session_id": session_id,
        "session_type": "agent",
        "agent_id": AGENT,
        "user_id": user_id,
        "session_data": encoding.encode(data, "session_data"),
        **rows.name_columns(data["session_name"]),
        "next_run_index": runs,
        "created_at": moment,
        "updated_at": moment,
    }


def _run_row(session_id: str, number: int) -> dict[str, Any]:
    moment = START * SECOND + number
    return {**rows.run_columns(Run.of(run(session_id, number)), session_id, USER, moment), "run_index": number}


def _batches(found: Iterable[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in found:
        batch.append(row)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
