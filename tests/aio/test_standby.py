"""Listings of an asynchronous store from a standby: what this process wrote is in them, in every event loop."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from agno_store import AsyncPostgresDb
from tests.aio.conftest import Connections
from tests.aio.test_loops import append, positions
from tests.contract.database import statements
from tests.servers.sql import caught_up


@contextmanager
def sent(db: Any) -> Iterator[list[str]]:
    """Collect what is sent to the standby in the running loop."""
    with statements(db.read_engine.sync_engine) as found:
        yield found


def test_listings_are_read_at_the_standby_in_every_loop(replicated: tuple[str, str], connections: Connections) -> None:
    primary, standby = replicated
    db = AsyncPostgresDb(primary, read_url=standby)
    asyncio.run(append(db, "r0"))
    caught_up(primary, standby)

    async def look(store: Any) -> None:
        with sent(store) as found:
            await store.get_session("s")
            assert found == []
            assert [session.session_id for session in await store.get_sessions()] == ["s"]
            assert found

    for store in (db, db, pickle.loads(pickle.dumps(db))):
        asyncio.run(look(store))
    assert not connections.open


def test_what_this_process_wrote_is_in_a_listing_at_once(replicated: tuple[str, str]) -> None:
    primary, standby = replicated

    async def main() -> None:
        async with AsyncPostgresDb(primary, read_url=standby) as db:
            for n in range(10):
                await append(db, *(f"{n}-{m}" for m in range(3)))
                assert await positions(db) == list(range(3 * n + 3))

    asyncio.run(main())


def test_an_engine_of_the_callers_may_have_a_standby(replicated: tuple[str, str], connections: Connections) -> None:
    primary, standby = replicated

    async def main() -> None:
        engine = create_async_engine(primary)
        read_url = make_url(standby).set(drivername="postgresql+psycopg_async")
        async with AsyncPostgresDb(db_engine=engine, read_url=read_url) as db:
            await append(db, "r")
            assert await positions(db) == [0]
            assert db.db_engine is engine
            with sent(db) as found:
                await db.get_sessions()
            assert found
        await engine.dispose()

    asyncio.run(main())
    assert not connections.open
