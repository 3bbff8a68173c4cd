"""The asynchronous classes bring sessions as the others do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agno_store import InvalidArgument, open_async_db
from tests.contract.database import content
from tests.contract.samples import append
from tests.contract.stores import plain
from tests.transfer.conftest import Opened


def test_a_store_is_copied_and_exported_in_an_event_loop(
    source: Any, target: Any, backend: str, opened: Opened, tmp_path: Path
) -> None:
    append(source, "s", *(f"r{n}" for n in range(60)))
    third = opened(backend)

    async def transfers() -> None:
        stores = [open_async_db(plain(db.db_engine.url)) for db in (source, target, third)]
        one, two, three = stores
        assert (await two.import_from(one, verify=True)).runs.inserted == 60
        assert (await two.export(tmp_path / "x.jsonl")).runs == 60
        assert (await three.import_from(tmp_path / "x.jsonl")).runs.inserted == 60
        assert (await three.import_from(source)).runs.kept == 60
        with pytest.raises(InvalidArgument, match="another asynchronous store only"):
            target.import_from(one)
        for store in stores:
            await store.close()

    asyncio.run(transfers())
    assert content(source) == content(target) == content(third)
