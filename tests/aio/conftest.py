"""Asynchronous stores in an empty database of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.pool import Pool

from agno_store import open_async_db
from tests.contract.stores import plain

SLOW = {"sqlite": "SELECT slow({})", "postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


@pytest.fixture
def url(fresh_url: str) -> URL:
    """The URL of an empty database, which each class can open."""
    return plain(fresh_url)


@pytest.fixture
def db(url: URL) -> Any:
    """A store; whoever runs an event loop with it need not close it."""
    return open_async_db(url)


@pytest.fixture
def run(db: Any) -> Callable[..., Any]:
    """Run ``work(db)`` in an event loop of its own, for a minute at the most, after the tables were built."""

    def run_one(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            await db.upgrade_schema()
            return await asyncio.wait_for(work(db), 60)

        return asyncio.run(main())

    return run_one


class Connections:
    """How many connections are open, and how many were at the most."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.most = 0

    def opened(self, driver: Any, _record: object) -> None:
        self.open.add(id(driver))
        self.most = max(self.most, len(self.open))

    def closed(self, driver: Any, _record: object) -> None:
        self.open.discard(id(driver))


@pytest.fixture
def connections() -> Iterator[Connections]:
    """The connections that are opened while the test runs."""
    counted = Connections()
    event.listen(Pool, "connect", counted.opened)
    event.listen(Pool, "close", counted.closed)
    yield counted
    event.remove(Pool, "connect", counted.opened)
    event.remove(Pool, "close", counted.closed)


class Slow:
    """Makes statements of an engine slow: each waits for the database so long before it is sent."""

    def __init__(self, engine: Any, backend: str, seconds: float, only: Callable[[int, str], bool]) -> None:
        self.engine, self.statement, self.only = engine.sync_engine, SLOW[backend].format(seconds), only
        self.sent: list[str] = []
        self.reached = asyncio.Event()

    def __enter__(self) -> Slow:
        event.listen(self.engine, "checkout", self._can_wait)
        event.listen(self.engine, "before_cursor_execute", self._before)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._before)
        event.remove(self.engine, "checkout", self._can_wait)

    def _can_wait(self, driver: Any, *_: object) -> None:
        if self.statement.startswith("SELECT slow"):
            driver.create_function("slow", 1, time.sleep)

    def _before(self, connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement in (self.statement, "COMMIT"):  # whether what is cancelled then is there, nobody can say
            return
        self.sent.append(statement)
        if self.only(len(self.sent), statement):
            self.reached.set()
            connection.exec_driver_sql(self.statement)


@pytest.fixture
def slow(backend: str) -> Callable[..., Slow]:
    """Make the statements of a store slow: all of them, or those for which ``only(number, text)`` is true."""

    def make(db: Any, seconds: float, only: Callable[[int, str], bool] = lambda _number, _text: True) -> Slow:
        return Slow(db.db_engine, backend, seconds, only)

    return make
