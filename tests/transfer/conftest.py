"""Two stores of one kind of database, and more of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agno_store import open_db
from tests.servers.plugin import fresh_database

Opened = Callable[..., Any]


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Open a store in an empty database of its own: ``opened(backend, table_name=...)``."""
    with ExitStack() as stack:

        def open_one(backend: str, **options: Any) -> Any:
            url = stack.enter_context(fresh_database(backend, tmp_path))
            return stack.enter_context(open_db(url, **options))

        yield open_one


@pytest.fixture
def source(backend: str, opened: Opened) -> Any:
    """A store to take from."""
    return opened(backend)


@pytest.fixture
def target(backend: str, opened: Opened) -> Any:
    """A store to bring to, in another database."""
    return opened(backend)
