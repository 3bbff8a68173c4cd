"""A store that every test finds empty, and answers in our own records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_store import open_db
from tests.contract.database import empty
from tests.servers.plugin import fresh_database


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


@pytest.fixture(scope="session")
def shared(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One store for each backend: building a database takes longer than most tests."""
    with fresh_database(backend, tmp_path_factory.mktemp(backend)) as url, open_db(url) as store:
        store.upgrade_schema()
        yield store


@pytest.fixture
def db(shared: Any) -> Any:
    """A store without rows, its tables built and its version looked at."""
    empty(shared)
    return shared


@pytest.fixture
def opened(fresh_url: str) -> Iterator[Callable[..., Any]]:
    """Open stores in an empty database of the test's own: ``opened(table_name=...)``."""
    stores: list[Any] = []

    def open_one(**options: Any) -> Any:
        stores.append(open_db(fresh_url, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()
