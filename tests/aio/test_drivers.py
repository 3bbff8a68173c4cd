"""What differs between the drivers: aiomysql in asyncmy's place, and servers that do not greet."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.connectors import asyncio as adapted
from sqlalchemy.engine import URL

from agno_store import DatabaseUnreachable, open_async_db
from agno_store.sending import say
from tests.aio.conftest import Connections
from tests.aio.test_loops import RUN, append, positions


@pytest.mark.backends("mysql")
def test_aiomysql_does_as_well(
    url: URL, connections: Connections, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, asked = open_async_db(url.set(drivername="mysql+aiomysql")), list[Any]()

    async def work(prefix: str) -> None:
        monkeypatch.setattr(db.db_engine.dialect, "do_ping", asked.append)  # of a loop's own engine
        await append(db, *(f"{prefix}{n}" for n in range(20)))

    for prefix in "ab":
        asyncio.run(work(prefix))
        assert not connections.open
    assert asyncio.run(positions(db)) == list(range(40))
    assert (caplog.messages, asked) == ([], [])


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+asyncmy", "mysql+aiomysql"])
def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        db = open_async_db(f"{scheme}://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2")
        began = time.monotonic()
        with pytest.raises(DatabaseUnreachable) as refused:
            asyncio.run(db.get_session("s"))
    assert time.monotonic() - began < 30
    assert "s3cret" not in str(refused.value)


@pytest.mark.backends("mysql")
def test_runs_are_stored_where_asyncmy_prepares_statements(url: URL) -> None:
    prepared = url.set(drivername="mysql+asyncmy").update_query_dict({"stmt_cache_size": "10"})

    async def work() -> list[int]:
        db = open_async_db(prepared)
        await append(db, *(f"r{n}" for n in range(5)))
        await db.close()
        return await positions(open_async_db(url.set(drivername="mysql+asyncmy")))

    assert asyncio.run(work()) == list(range(5))


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("driver", ["asyncmy", "aiomysql"])
def test_a_turn_makes_no_task_and_no_cursor_of_sqlalchemys(
    url: URL, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    usual = adapted.AsyncAdapt_dbapi_cursor.__init__

    def note(self: Any, *args: Any) -> None:
        made.append(self)
        usual(self, *args)

    async def work() -> None:
        db = open_async_db(url.set(drivername=f"mysql+{driver}"))
        for n in range(3):
            if n:
                monkeypatch.setattr(adapted.AsyncAdapt_dbapi_cursor, "__init__", note)
                asyncio.get_running_loop().set_task_factory(lambda *_, **__: pytest.fail("a task was made"))
            session = (await db.get_session("s")) or {"session_id": "s"}
            await db.upsert_session(session, run={**RUN, "run_id": f"r{n}"})
        asyncio.get_running_loop().set_task_factory(None)

    asyncio.run(work())
    assert made == []
    assert asyncio.run(positions(open_async_db(url))) == [0, 1, 2]


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("driver", ["asyncmy", "aiomysql"])
def test_warnings_are_neither_asked_for_nor_given(
    url: URL, driver: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    connection = importlib.import_module(f"{driver}.connection").Connection
    monkeypatch.setattr(connection, "show_warnings", lambda _: pytest.fail("warnings were asked for"))

    def warned(sync: sa.Connection) -> None:
        say(sync, "DROP TABLE IF EXISTS missing")

    async def work() -> None:
        db = open_async_db(url.set(drivername=f"mysql+{driver}"))
        async with db.db_engine.connect() as c:
            await c.run_sync(warned)

    asyncio.run(work())
    assert [str(each.message) for each in recwarn] == []


@pytest.mark.backends("postgresql")
def test_a_turn_makes_no_cursor_of_sqlalchemys(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(db: Any) -> None:
        await append(db, "a")
        monkeypatch.setattr(adapted.AsyncAdapt_dbapi_cursor, "__init__", lambda *_: pytest.fail("a cursor was made"))
        await db.upsert_session(await db.get_session("s", runs_limit=5), run={**RUN, "run_id": "b"})

    run(work)


@pytest.mark.backends("mysql")
def test_an_answer_that_does_not_come_is_given_up_and_no_other(url: URL) -> None:
    async def work() -> None:
        db = open_async_db(url.update_query_dict({"read_timeout": "1"}))
        await append(db, "a")
        identity = "SELECT CONNECTION_ID()"
        async with db.db_engine.connect() as connection:
            mine = (await connection.exec_driver_sql(identity)).scalar()
        await asyncio.sleep(1.5)  # longer than an answer that came may take
        async with db.db_engine.connect() as connection:
            assert (await connection.exec_driver_sql(identity)).scalar() == mine
            began = time.monotonic()
            with pytest.raises(sa.exc.OperationalError, match="did not answer within 1 seconds"):
                await connection.exec_driver_sql("SELECT SLEEP(20)")
            assert connection.invalidated
        assert 0.9 < time.monotonic() - began < 10
        await append(db, "b")
        assert await positions(db) == [0, 1]

    asyncio.run(work())


@pytest.mark.backends("mysql")
def test_an_answer_that_a_blocked_loop_finds_late_has_come(url: URL) -> None:
    async def work() -> None:
        db = open_async_db(url.update_query_dict({"read_timeout": "1"}))
        async with db.db_engine.connect() as connection:
            asyncio.get_running_loop().call_later(0.1, time.sleep, 1.5)
            assert (await connection.exec_driver_sql("SELECT SLEEP(0.5)")).scalar() == 0
            assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1

    asyncio.run(work())


@pytest.mark.backends("mysql")
def test_a_connection_that_asyncmy_has_closed_by_itself_is_replaced(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(db: Any) -> None:
        await append(db, "a")
        left = [AttributeError("'NoneType' object has no attribute 'write'")]  # as older releases say it
        asyncmy = importlib.import_module("asyncmy.connection")
        usual = asyncmy.Connection.cursor

        def cursor(self: Any, *args: Any) -> Any:
            if left:
                raise left.pop()
            return usual(self, *args)

        monkeypatch.setattr(asyncmy.Connection, "cursor", cursor)
        assert await positions(db) == [0]
        assert left == []

    run(work)
