"""A task that is cancelled takes back what it has not committed, keeps no connection and hurts nobody else."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from agno_store import AsyncSqliteDb, open_async_db, open_db
from agno_store.migrations import Migrator
from tests.aio.test_loops import RUN, append, positions
from tests.contract.stores import ASYNC
from tests.contract.test_costs import AT_ONCE

SWEEP = 300 if os.environ.get("TEST_ALL") else 20


def in_use(engine: Any) -> int:
    """How many connections are not in the pool."""
    return int(engine.pool.checkedout())


async def contents(db: Any) -> tuple[Any, Any]:
    """All that is stored."""
    return await db.get_sessions(deserialize=False), await db.get_runs(deserialize=False)


async def cancelled(task: asyncio.Task[Any], times: int = 1) -> None:
    """Cancel a task, and again while it is still cleaning up."""
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)


WRITES: dict[str, Callable[[Any], Coroutine[Any, Any, Any]]] = {
    "a run": lambda db: db.upsert_run({**RUN, "run_id": "new"}, "s"),
    "a session and a summary": lambda db: db.upsert_session({"session_id": "new", "session_type": "agent"}),
    "a change of state": lambda db: db.update_session_state("s", lambda state: {"n": 1}),
}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_write_cancelled_at_any_statement_leaves_no_trace(
    run: Callable[..., Any],
    slow: Callable[..., Any],
    write: Callable[[Any], Coroutine[Any, Any, Any]],
    times: int,
    backend: str,
    record_property: Callable[[str, object], None],
) -> None:
    async def work(db: Any) -> int:
        await append(db, "r")
        before = await contents(db)
        statement = 0
        while True:
            statement += 1
            with slow(db, 0.2, lambda number, _text, wanted=statement: number == wanted) as slowed:
                task = asyncio.create_task(write(db))
                reached = asyncio.create_task(slowed.reached.wait())
                await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
                if not slowed.reached.is_set():
                    reached.cancel()
                    await task
                    return statement - 1
                await cancelled(task, times)
            assert in_use(db.db_engine) == 0
            assert await contents(db) == before

    statements = run(work)
    assert statements >= (AT_ONCE[backend] if write is WRITES["a run"] else 2)
    record_property("told", f"{statements} statements of a write cancelled, {times} times each, nothing written")


def test_writes_cancelled_at_any_moment_are_there_once_or_not_at_all(
    run: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    generator = random.Random(4)

    async def work(db: Any) -> tuple[int, int]:
        acknowledged, given_up = [], 0
        for n in range(SWEEP):
            tasks = {name: asyncio.create_task(append(db, name)) for name in (f"{n}-{m}" for m in range(4))}
            await asyncio.sleep(generator.random() * 0.02)
            for name in list(tasks)[:3]:
                tasks[name].cancel()
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
            acknowledged += [name for name, result in zip(tasks, results, strict=True) if result is None]
            given_up += sum(isinstance(result, asyncio.CancelledError) for result in results)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
            assert in_use(db.db_engine) == 0
        rows, _ = await db.get_runs(session_id="s", deserialize=False)
        there = [row["run_id"] for row in rows]
        assert len(there) == len(set(there))
        assert set(acknowledged) <= set(there)
        assert await positions(db) == list(range(len(there)))
        return len(acknowledged), given_up

    acknowledged, given_up = run(work)
    assert acknowledged >= SWEEP
    assert given_up > 0
    record_property("told", f"{given_up} writes cancelled at random, {acknowledged} acknowledged, 0 of those lost")


def test_a_timeout_ends_a_call_that_waits_for_a_connection(url: URL, backend: str, slow: Callable[..., Any]) -> None:
    async def main() -> None:
        async with open_async_db(url) as own:
            await append(own, "r")
            engine = create_async_engine(own.db_engine.url, pool_size=1, max_overflow=0)
        db = ASYNC[backend].cls(db_engine=engine)
        await positions(db)
        with slow(db, 1):
            first = asyncio.create_task(db.get_run("r"))
            await asyncio.sleep(0.1)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(db.get_run("r"), 0.2)
            assert (await first).run_id == "r"
        assert await positions(db) == [0]
        assert in_use(engine) == 0
        await engine.dispose()

    asyncio.run(main())


def test_a_first_use_that_is_cancelled_is_finished_by_the_next(url: URL, slow: Callable[..., Any]) -> None:
    async def main() -> int:
        statement = 0
        while True:
            statement += 10
            db = open_async_db(url)
            with slow(db, 0.1, lambda number, _text, wanted=statement: number == wanted) as slowed:
                task = asyncio.create_task(append(db, f"r{statement}"))
                waiting = [asyncio.create_task(append(db, f"r{statement}-{n}")) for n in range(3)]
                reached = asyncio.create_task(slowed.reached.wait())
                await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
                reached.cancel()
                if slowed.reached.is_set() and not task.done():
                    await cancelled(task)
                await asyncio.gather(*waiting)
            assert (await db.schema_status()).in_step
            assert in_use(db.db_engine) == 0
            if not slowed.reached.is_set():
                return statement
            with open_db(url) as empty:
                Migrator.of(empty).downgrade("base")

    assert asyncio.run(main()) >= 20


def test_a_call_that_waits_for_the_upgrade_lock_can_be_cancelled(url: URL, fresh_url: str) -> None:
    async def main() -> None:
        db = open_async_db(url, lock_timeout=30)
        task = asyncio.create_task(db.upgrade_schema())
        await asyncio.sleep(0.5)
        assert not task.done()
        await cancelled(task)
        assert in_use(db.db_engine) == 0

    with open_db(fresh_url) as holder:
        migrator = Migrator.of(holder)
        migrator.upgrade("0001")
        with migrator.running():
            asyncio.run(main())
        holder.upgrade_schema()


def test_in_memory_a_task_that_is_cancelled_while_it_waits_for_its_turn_lets_the_next_one_in() -> None:
    async def main() -> None:
        db = AsyncSqliteDb(db_url="sqlite://")
        await append(db, "first")
        generator = random.Random(4)
        for n in range(30):
            tasks = [asyncio.create_task(append(db, f"{n}-{m}")) for m in range(6)]
            await asyncio.sleep(generator.random() * 0.005)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        places = await positions(db)
        assert places == list(range(len(places)))
        assert len(places) >= 91
        await db.close()

    asyncio.run(main())
