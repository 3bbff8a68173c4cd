"""What differs between the drivers: aiomysql in asyncmy's place, and servers that do not greet."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from sqlalchemy.engine import URL

from agno_store import DatabaseUnreachable, open_async_db
from tests.aio.conftest import Connections
from tests.aio.test_loops import append, positions


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
