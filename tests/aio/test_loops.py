"""One store object in several event loops: each has connections of its own, which end with it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import URL

from agno_store import AsyncSqliteDb, loops, open_async_db
from tests.aio.conftest import Connections

RUN = {"run_id": "r", "agent_id": "a", "content": "hello"}


async def append(db: Any, *run_ids: str) -> None:
    """Store runs of session "s" at once."""
    await asyncio.gather(*(db.upsert_run({**RUN, "run_id": run_id}, "s") for run_id in run_ids))


async def positions(db: Any) -> list[int]:
    """The positions of the runs of session "s"."""
    rows, _ = await db.get_runs(session_id="s", deserialize=False)
    return [row["run_index"] for row in rows]


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_one_store_works_in_one_loop_after_the_other(db: Any, connections: Connections) -> None:
    for n in range(3):
        asyncio.run(append(db, f"{n}a", f"{n}b"))
        assert not connections.open, "the loop's connections were to end with it"
    assert asyncio.run(positions(db)) == list(range(6))


def test_one_store_works_in_the_loops_of_several_threads_at_once(db: Any, connections: Connections) -> None:
    asyncio.run(append(db, "first"))
    engines = []

    async def work(n: int) -> None:
        engines.append(db.db_engine)
        for m in range(5):
            await append(db, f"{n}-{m}")

    threads = [in_thread(lambda n=n: asyncio.run(work(n))) for n in range(4)]  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert len(set(map(id, engines))) == 4
    assert asyncio.run(positions(db)) == list(range(21))
    assert not connections.open


def test_stores_of_one_url_share_the_connections_of_a_loop_until_the_last_is_closed(
    url: URL, connections: Connections
) -> None:
    async def main() -> None:
        stores = [open_async_db(url, table_name=f"store_{n}") for n in range(2)]
        await asyncio.gather(*(append(db, "r") for db in stores))
        one, two = stores
        assert one.db_engine is two.db_engine
        await one.close()
        assert connections.open
        assert await positions(two) == [0]
        async with two:
            pass
        assert not connections.open
        assert await positions(one) == [0]  # a closed store opens itself again, as the others do

    asyncio.run(main())
    assert not connections.open


def test_fifty_stores_hold_no_more_connections_than_one_pool(url: URL, connections: Connections) -> None:
    async def main() -> None:
        stores = [open_async_db(url) for _ in range(50)]
        await append(stores[0], "first")
        await asyncio.gather(*(append(db, f"{n}-0", f"{n}-1") for n, db in enumerate(stores)))
        assert await positions(stores[0]) == list(range(101))

    asyncio.run(main())
    assert connections.most <= 15
    assert not connections.open


def test_a_store_closed_in_one_loop_lets_go_in_the_others(db: Any, connections: Connections) -> None:
    started, done = threading.Event(), threading.Event()

    async def elsewhere() -> None:
        await append(db, "r1")
        started.set()
        while not done.is_set():
            await asyncio.sleep(0.01)
        await append(db, "r2")

    thread = in_thread(lambda: asyncio.run(elsewhere()))
    started.wait(30)

    async def here() -> None:
        await append(db, "r0")
        await db.close()
        assert not connections.open

    asyncio.run(here())
    done.set()
    thread.join()
    assert asyncio.run(positions(db)) == [0, 1, 2]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_connections_of_a_loop_that_just_stopped_are_closed_when_the_next_one_comes(
    db: Any, connections: Connections
) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(append(db, "r0"))
    own = list(loops._loops[loop]._engines.values())
    assert [bool(one._open) for one in own] == [True]
    loop.close()
    asyncio.run(append(db, "r1"))
    assert [bool(one._open) for one in own] == [False]
    assert asyncio.run(positions(db)) == [0, 1]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_left_of_loops_that_just_stopped(db: Any) -> None:
    engines = []
    for n in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(append(db, f"r{n}"))
        loop.run_until_complete(db.get_session("s"))
        engines += [weakref.ref(own.engine.sync_engine) for own in loops._loops[loop]._engines.values()]
        loop.close()
    assert asyncio.run(positions(db)) == [0, 1, 2]
    del loop
    gc.collect()
    assert [engine() for engine in engines] == [None] * 3


def test_a_loop_may_be_run_again_and_again(db: Any, connections: Connections) -> None:
    loop = asyncio.new_event_loop()
    try:
        for n in range(3):
            loop.run_until_complete(append(db, f"r{n}"))
        opened = connections.most
        assert loop.run_until_complete(positions(db)) == [0, 1, 2]
        assert connections.most == opened
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    assert not connections.open


def test_memory_is_the_objects_own_in_every_loop(connections: Connections) -> None:
    db = AsyncSqliteDb(db_url="sqlite://")
    asyncio.run(append(db, "r0"))
    asyncio.run(append(db, "r1"))
    threads = [in_thread(lambda n=n: asyncio.run(append(db, *(f"{n}-{m}" for m in range(20))))) for n in range(4)]  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert asyncio.run(positions(db)) == list(range(82))
    assert connections.most == 1
    other = AsyncSqliteDb(db_url="sqlite://")
    assert other.id != db.id
    assert asyncio.run(other.get_session("s")) is None
    asyncio.run(db.close())
    assert len(connections.open) == 1
