"""Stores behind a proxy, and servers that may be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_store import open_db
from tests.contract.database import empty
from tests.faults.proxy import Proxy
from tests.servers.plugin import SERVERS, fresh_database, server_url
from tests.servers.process import Server

THOROUGH = bool(os.environ.get("TEST_ALL"))


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


@pytest.fixture(scope="module")
def database(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one database with a store in it, for all the tests of a module."""
    with fresh_database(backend, tmp_path_factory.mktemp(backend)) as url:
        with open_db(url) as store:
            store.upgrade_schema()
        yield url


@pytest.fixture
def proxy(backend: str) -> Iterator[Proxy]:
    """A proxy in front of this run's server."""
    with Proxy(server_url(backend)) as between:
        yield between


@pytest.fixture
def opened() -> Iterator[Callable[..., Any]]:
    """Open stores that are closed after the test."""
    stores: list[Any] = []

    def open_one(url: str, **options: Any) -> Any:
        stores.append(open_db(url, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def beside(database: str, opened: Callable[..., Any]) -> Any:
    """The store of this module, without rows, past all faults."""
    db = opened(database)
    empty(db)
    return db


@pytest.fixture
def told(record_property: Callable[[str, Any], None]) -> Callable[[str], None]:
    """Have the summary of the test run say what was counted."""
    return lambda text: record_property("told", text)


@pytest.fixture(scope="module")
def durable(backend: str) -> Iterator[Server]:
    """A server of these tests' own that keeps what it has acknowledged, and may be killed and reconfigured."""
    with SERVERS[backend](durable=True) as server:
        yield server
