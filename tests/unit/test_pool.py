"""The pool of a store's own engine: who gets which connection, and who waits for one."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.queue import Empty

from agno_store import Session, open_db
from agno_store.dialects.pool import POOL, OwnPool, _Idle, _IdleAsync


def test_the_last_connection_that_came_back_is_the_first_to_go(tmp_path: Path) -> None:
    with open_db(f"sqlite:///{tmp_path}/agents.db") as db:
        pool: Any = db.db_engine.pool
        assert isinstance(pool, OwnPool)
        made = [db.db_engine.connect() for _ in range(3)]
        drivers = [connection.connection.dbapi_connection for connection in made]
        for n in (1, 0, 2):
            made[n].close()
        with db.db_engine.connect() as first, db.db_engine.connect() as second:
            assert [each.connection.dbapi_connection for each in (first, second)] == [drivers[2], drivers[0]]
            assert pool.status() == (
                "Pool size: 15  Connections in pool: 1 Current Overflow: -12 Current Checked out connections: 2"
            )
        db.db_engine.dispose()
        assert pool.recreate()._pool.use_lifo
        assert pool.checkedin() == 0


def test_no_more_connections_are_made_than_the_pool_holds(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db", poolclass=OwnPool, **{**POOL, "pool_timeout": 0.1})
    connections = [engine.connect() for _ in range(POOL["pool_size"])]
    began = time.monotonic()
    with pytest.raises(sa.exc.TimeoutError, match="QueuePool limit of size 15 overflow 0 reached"):
        engine.connect()
    assert time.monotonic() - began >= 0.1
    for connection in connections:
        connection.close()
    engine.dispose()


def test_no_more_are_kept_where_the_pool_was_disposed_of_while_they_were_out(tmp_path: Path) -> None:
    with open_db(f"sqlite:///{tmp_path}/agents.db") as db:
        pool: Any = db.db_engine.pool
        out = [db.db_engine.connect() for _ in range(POOL["pool_size"])]
        pool.dispose()
        out += [db.db_engine.connect() for _ in range(POOL["pool_size"])]
        for connection in out:
            connection.close()
        assert pool.checkedin() == POOL["pool_size"]


def test_who_waits_gets_the_next_one_that_comes_back() -> None:
    idle, got = _Idle(1), []
    threads = [threading.Thread(target=lambda: got.append(idle.get(timeout=60))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for item in "abc":
        time.sleep(0.05)
        idle.put(item)
    for thread in threads:
        thread.join(10)
    assert sorted(got) == ["a", "b", "c"]
    with pytest.raises(Empty):
        idle.get(block=False)
    with pytest.raises(Empty):
        idle.get(timeout=0.01)


def test_who_has_waited_for_long_goes_before_those_who_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_store.dialects.pool.LONG", 0.01)
    idle, got = _Idle(1), []
    waiter = threading.Thread(target=lambda: got.append(idle.get(timeout=10)))
    waiter.start()
    while not idle.waiting:
        time.sleep(0.01)
    time.sleep(0.02)
    idle.put("x")
    with pytest.raises(Empty):  # as one does who has just given it back, and asks again
        idle.get(block=False)
    waiter.join(5)
    assert got == ["x"]


def test_tasks_have_connections_in_their_turn() -> None:
    async def main() -> None:
        idle: Any = _IdleAsync(2)
        waiters = [asyncio.ensure_future(greenlet_spawn(idle.get, timeout=10)) for _ in range(3)]
        await asyncio.sleep(0)
        idle.put("a")
        with pytest.raises(Empty):
            idle.get(block=False)
        idle.put("b")
        waiters[1].cancel()  # who has been handed it, and does not know yet
        assert await waiters[0] == "a"
        assert await waiters[2] == "b"
        assert waiters[1].cancelled()
        assert not idle.waiting
        with pytest.raises(Empty):
            await greenlet_spawn(idle.get, timeout=0.01)
        assert not idle.waiting

    asyncio.run(main())


def test_one_who_is_interrupted_as_he_is_told_leaves_it_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, got = _Idle(1), []
    wait = threading.Condition.wait

    def interrupted(self: threading.Condition, timeout: float | None = None) -> bool:
        told = wait(self, timeout)
        if threading.current_thread() is first:
            raise ArithmeticError("a signal's handler")
        return told

    monkeypatch.setattr(threading.Condition, "wait", interrupted)

    def take() -> None:
        with pytest.raises(ArithmeticError):
            idle.get(timeout=10)

    first = threading.Thread(target=take)
    second = threading.Thread(target=lambda: got.append(idle.get(timeout=10)))
    first.start()
    while not idle.waiting:
        time.sleep(0.01)
    second.start()
    while len(idle.waiting) < 2:
        time.sleep(0.01)
    time.sleep(0.05)  # so that both wait
    idle.put("x")
    second.join(5)
    assert got == ["x"]
    first.join(5)


def test_many_threads_share_a_few_and_none_is_lost_or_had_twice() -> None:
    idle, out, most = _Idle(3), set[int](), 0
    for item in range(3):
        idle.put(item)
    guard = threading.Lock()

    def use() -> None:
        nonlocal most
        for _ in range(300):
            item = idle.get(timeout=30)
            with guard:
                assert item not in out
                out.add(item)
                most = max(most, len(out))
            time.sleep(0.0001)  # so that another one has its turn
            with guard:
                out.remove(item)
            idle.put(item)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not out
    assert most > 1
    assert sorted(idle.get(block=False) for _ in range(3)) == [0, 1, 2]


# -- the connection that stays as it is from call to call ------------------------------------------------


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Any]:
    """A store on SQLite with a session, of which a connection has stayed."""
    with open_db(f"sqlite:///{tmp_path}/agents.db") as store:
        store.upsert_session(Session("s"))
        store.get_session("s", runs_limit=5)
        pool: Any = store.db_engine.pool
        assert len(pool._kept) == 1
        yield store


def test_who_begins_to_wait_as_a_connection_is_about_to_stay_gets_it(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, waiting = db.db_engine.pool, threading.Event()
    taken = [db.db_engine.connect() for _ in range(POOL["pool_size"] - 1)]

    class Slow(deque[Any]):
        def append(self, item: Any, /) -> None:
            waiter.start()
            assert waiting.wait(10)
            super().append(item)

    wait = threading.Condition.wait

    def wait_noted(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread() is waiter and waiter.is_alive() and pool._pool.waiting:
            waiting.set()
        return wait(self, timeout)

    monkeypatch.setattr(threading.Condition, "wait", wait_noted)
    pool._kept = Slow()
    waiter = threading.Thread(target=lambda: taken.append(db.db_engine.connect()))
    with db.dialect.connected(db.db_engine):
        pass
    waiter.join(5)  # of the 30 seconds that it would wait
    assert not waiter.is_alive()
    for connection in taken:
        connection.close()


def test_one_that_was_switched_is_as_it_was_for_whoever_is_next(db: Any) -> None:
    db.vacuum()
    connections = [db.db_engine.connect() for _ in range(POOL["pool_size"])]
    assert {each.connection.dbapi_connection.isolation_level for each in connections} == {""}
    for connection in connections:
        connection.close()


@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/fd").exists(), reason="not on this system")
def test_a_child_has_no_more_files_open_than_its_parent(db: Any) -> None:
    def left(generation: int) -> int:
        """Return how many files a child's child, and so on, has open in the end, each with a call of its own."""
        child = os.fork()
        if child == 0:
            db.get_session("s", runs_limit=5)
            if generation > 1:
                os._exit(left(generation - 1))
            gc.collect()
            os._exit(len(os.listdir("/proc/self/fd")))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert left(10) - left(1) < 10


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not tell which files are open")
def test_nothing_is_open_once_the_store_is_closed(db: Any) -> None:
    file = Path(str(db.db_engine.url.database)).name

    def is_open() -> bool:
        return any(file in os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())

    assert is_open()
    pool = db.db_engine.pool
    db.db_engine.dispose()
    assert not pool._kept
    assert not is_open()
    db.get_session("s")
    db.close()
    assert not is_open()
