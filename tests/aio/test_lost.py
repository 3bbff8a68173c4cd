"""Connections that the server cuts under an asynchronous store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tests.aio.test_loops import append, positions
from tests.contract.test_costs import AT_ONCE

pytestmark = pytest.mark.backends("postgresql", "mysql")

OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


@pytest.fixture
def cut(fresh_url: str, backend: str) -> Callable[[], int]:
    """End every connection to the test's database; return how many there were."""

    def end() -> int:
        engine = sa.create_engine(fresh_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            others = list(connection.exec_driver_sql(OTHERS[backend]).scalars())
            for other in others:
                connection.exec_driver_sql(KILL[backend].format(other))
        return len(others)

    return end


def test_idle_connections_that_were_cut_are_made_anew(run: Callable[..., Any], cut: Callable[[], int]) -> None:
    async def work(db: Any) -> None:
        await append(db, *(f"a{n}" for n in range(10)))
        assert await asyncio.to_thread(cut) > 1
        await append(db, *(f"b{n}" for n in range(10)))
        assert await asyncio.to_thread(cut) > 1
        assert await positions(db) == list(range(20))

    run(work)


def test_the_server_is_asked_only_after_connections_that_have_news(
    run: Callable[..., Any], cut: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(db: Any) -> None:
        await append(db, "before")
        dialect, asked = db.db_engine.dialect, []
        usual = dialect.do_ping

        def ask(driver: Any) -> Any:
            asked.append(driver)
            return usual(driver)

        monkeypatch.setattr(dialect, "do_ping", ask)
        await append(db, "a", "b")
        assert asked == []
        assert await asyncio.to_thread(cut) > 0
        await asyncio.sleep(1)  # until the end of each has arrived here
        await append(db, "c")
        assert asked

    run(work)


@pytest.mark.backends("postgresql")
def test_a_pool_full_of_connections_that_cannot_write_is_made_anew(
    run: Callable[..., Any], slow: Callable[..., Any], cut: Callable[[], int], fresh_url: str
) -> None:
    def only_reads(value: str) -> None:
        itself = {"options": "-c default_transaction_read_only=off"}
        engine = sa.create_engine(fresh_url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=itself)
        with engine.connect() as connection:
            name = engine.url.database
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")

    async def work(db: Any) -> None:
        await append(db, "r0")
        only_reads("on")
        cut()
        with slow(db, 0.2):
            await asyncio.gather(*(db.get_run("r0") for _ in range(5)))
        assert db.db_engine.pool.checkedin() == 5
        only_reads("off")
        await append(db, "r1")
        assert await positions(db) == [0, 1]

    run(work)


def test_a_write_whose_connection_is_cut_is_stored_once(
    run: Callable[..., Any], slow: Callable[..., Any], cut: Callable[[], int], backend: str
) -> None:
    async def work(db: Any) -> None:
        await append(db, "before")
        statement, reached = 0, True
        while reached:
            statement += 1
            with slow(db, 1, lambda number, _text, wanted=statement: number == wanted) as slowed:
                writing = asyncio.create_task(append(db, f"r{statement}"))
                waiting = asyncio.create_task(slowed.reached.wait())
                await asyncio.wait({writing, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
                reached = slowed.reached.is_set()
                if not reached:
                    waiting.cancel()
                    await writing
                    continue
                await asyncio.sleep(0.1)
                assert await asyncio.to_thread(cut) >= 1
                await writing
                assert len(slowed.sent) > statement, "the attempt was to be cut, and another one to be made"
        assert statement > AT_ONCE[backend]
        assert await positions(db) == list(range(statement + 1))
        assert db.db_engine.pool.checkedout() == 0

    run(work)
