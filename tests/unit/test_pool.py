"""The pool of a store's own engine: who gets which connection, and who waits for one."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util.queue import Empty

from agno_store import open_db
from agno_store.dialects.pool import POOL, OwnPool, _Idle


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


def test_one_who_is_interrupted_as_he_is_told_leaves_it_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, got = _Idle(1), []
    wait = idle._more.wait

    def interrupted(seconds: float) -> bool:
        told = wait(seconds)
        if threading.current_thread() is first:
            raise ArithmeticError("a signal's handler")
        return told

    monkeypatch.setattr(idle._more, "wait", interrupted)

    def take() -> None:
        with pytest.raises(ArithmeticError):
            idle.get(timeout=10)

    first = threading.Thread(target=take)
    second = threading.Thread(target=lambda: got.append(idle.get(timeout=10)))
    first.start()
    while not idle._waiting:
        time.sleep(0.01)
    second.start()
    while idle._waiting < 2:
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
            time.sleep(0)
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
