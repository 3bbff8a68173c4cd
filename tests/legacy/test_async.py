"""An asynchronous store imports old tables, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agno_store import AgnoTables, open_async_db
from tests.contract.stores import plain
from tests.legacy.tables import Tables, run


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


def test_an_asynchronous_store_imports_old_tables(old: Tables, fresh_url: str) -> None:
    row = {"session_id": "s", "agent_id": "a", "memory": {"runs": [run("r1", "one"), run(None, "two")]}}
    old.sessions("1.x-agent", [row])

    async def bring() -> Any:
        async with open_async_db(plain(fresh_url)) as db:
            with AgnoTables(fresh_url) as tables:
                done = await db.import_from(tables, verify=True)
            return done, await db.get_session("s")

    done, session = asyncio.run(bring())
    assert (done.problems, done.verified, done.runs.inserted) == ([], 1, 2)
    assert [found.content for found in session.runs] == ["one", "two"]
