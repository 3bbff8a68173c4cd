"""Many tasks of one event loop: what waits for the database lets the others go on."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import URL

from agno_store import AsyncSqliteDb, InvalidArgument, UpgradeLocked, open_async_db, open_db
from agno_store.migrations import Migrator
from tests.aio.test_loops import append, positions


def test_ten_slow_statements_take_about_as_long_as_one(run: Callable[..., Any], slow: Callable[..., Any]) -> None:
    async def work(db: Any) -> tuple[float, float]:
        await append(db, "r")
        await asyncio.gather(*(db.get_run("r") for _ in range(10)))  # ten connections are there now
        with slow(db, 0.4):
            times = []
            for many in (1, 10):
                began = time.monotonic()
                found = await asyncio.gather(*(db.get_run("r") for _ in range(many)))
                times.append(time.monotonic() - began)
                assert [one.run_id for one in found] == ["r"] * many
        return times[0], times[1]

    one, ten = run(work)
    assert one >= 0.4
    assert ten < 3 * one


def test_a_hundred_tasks_append_to_one_session_without_gap_or_double(run: Callable[..., Any]) -> None:
    async def work(db: Any) -> None:
        await append(db, *(f"r{n}" for n in range(100)))
        assert await positions(db) == list(range(100))

    run(work)


def test_a_hundred_increments_give_a_hundred(run: Callable[..., Any]) -> None:
    def increment(state: dict[str, Any]) -> dict[str, Any]:
        return {"n": state.get("n", 0) + 1}

    async def work(db: Any) -> None:
        await db.upsert_session({"session_id": "s", "session_type": "agent"})
        results = await asyncio.gather(*(db.update_session_state("s", fn=increment) for _ in range(100)))
        assert sorted(result["n"] for result in results) == list(range(1, 101))

    run(work)


def test_tasks_that_share_a_context_do_not_share_a_tenant(url: URL) -> None:
    async def work(db: Any) -> None:
        for n in range(20):
            await db.upsert_session({"session_id": f"s{n}", "metadata": {"of": db.tenant_id}})
            found = await db.get_session(f"s{n}", deserialize=False)
            assert found["metadata"] == {"of": db.tenant_id}

    async def main() -> None:
        tenants = [open_async_db(url, tenant_id=name) for name in ("acme", "globex")]
        await tenants[0].upgrade_schema()
        # Python 3.10 gives each task a context of its own.
        shared: Any = {"context": copy_context()} if sys.version_info >= (3, 11) else {}
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(work(db), **shared) for db in tenants))
        for db in tenants:
            assert {s.metadata["of"] for s in await db.get_sessions()} == {db.tenant_id}

    asyncio.run(main())


def test_fifty_tasks_at_once_build_the_tables_once(db: Any) -> None:
    sent: list[str] = []

    async def main() -> None:
        event.listen(db.db_engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
        await append(db, *(f"r{n}" for n in range(50)))
        assert await positions(db) == list(range(50))

    asyncio.run(main())
    made = [statement for statement in sent if "CREATE TABLE agent_sessions " in statement]
    assert len(made) == 1
    looks = [statement for statement in sent if "alembic_version" in statement and statement.startswith("SELECT")]
    assert len(looks) < 25, "one task was to look for all"


def test_many_stores_at_once_build_the_tables_once(url: URL) -> None:
    async def main() -> None:
        stores = [open_async_db(url) for _ in range(8)]
        await asyncio.gather(*(append(db, f"r{n}") for n, db in enumerate(stores)))
        assert await positions(stores[0]) == list(range(8))

    asyncio.run(main())


def test_in_memory_no_task_undoes_what_another_one_writes() -> None:
    async def main() -> None:
        db = AsyncSqliteDb(db_url="sqlite://")
        await append(db, *(f"r{n}" for n in range(100)))
        looks = (look() for _ in range(50) for look in (partial(db.table_exists, "x"), db.schema_status))
        await asyncio.gather(append(db, *(f"s{n}" for n in range(100))), *looks)
        assert await positions(db) == list(range(200))
        await db.close()

    asyncio.run(main())


def test_the_loop_goes_on_while_an_upgrade_waits_for_another_one(
    url: URL, fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks, sleep, here = 0, time.sleep, threading.get_ident()

    def awake(seconds: float) -> None:
        assert threading.get_ident() != here, "the event loop was put to sleep"
        sleep(seconds)

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        db = open_async_db(url, lock_timeout=1)
        with pytest.raises(UpgradeLocked):
            await db.upgrade_schema()
        ticking.cancel()

    with open_db(fresh_url) as holder:
        migrator = Migrator.of(holder)
        migrator.upgrade("0001")
        with migrator.running(), monkeypatch.context() as patch:
            patch.setattr(time, "sleep", awake)
            asyncio.run(main())
    assert ticks >= 10


def test_a_function_that_is_given_the_state_may_not_call_the_store_but_may_start_a_task(
    run: Callable[..., Any],
) -> None:
    async def work(db: Any) -> None:
        await db.upsert_session({"session_id": "s", "session_type": "agent"})
        started: list[asyncio.Task[Any]] = []
        core = db._here().core
        with pytest.raises(InvalidArgument, match="update_session_state"):
            await db.update_session_state("s", lambda state: core.get_session("s"))
        await db.update_session_state("s", lambda state: started.append(asyncio.create_task(db.get_session("s"))))
        assert (await started[0]).session_id == "s"

    run(work)


def test_an_upgrade_joins_the_transaction_of_an_async_connection(url: URL, backend: str) -> None:
    async def main() -> None:
        db = open_async_db(url)
        async with db.db_engine.connect() as connection, connection.begin() as transaction:
            assert await db.upgrade_schema(connection=connection)
            await transaction.rollback()
        assert (await db.schema_status()).state == "missing"
        async with db.db_engine.begin() as connection:
            done = await db.upgrade_schema(connection=connection)
        assert (await db.schema_status()).in_step
        assert done[0] == "0001"

    if backend == "mysql":
        with pytest.raises(ValueError, match="cannot be part"):
            asyncio.run(main())
    else:
        asyncio.run(main())
