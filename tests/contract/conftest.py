"""A store that every test finds empty, and answers in our own records. Every test that has one runs in both colours."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.contract import stores
from tests.contract.database import empty
from tests.servers.plugin import fresh_database

SEALED = {"test_conflicts", "test_runs", "test_sessions", "test_summaries", "test_turns"}
"""The files that are run over a store with a codec, too."""

SAMPLE = {"test_summaries", "test_turns"}
"""Those of them that are where not all is tried, and on SQLite alone: nothing of it differs between databases."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        colours = getattr(metafunc.module, "COLOURS", ("sync", "async"))
        if metafunc.module.__name__.rpartition(".")[2] in (SEALED if os.environ.get("TEST_ALL") else SAMPLE):
            colours = (*colours, stores.SEALED)
        metafunc.parametrize("colour", colours, scope="session", indirect=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clear: about what stands in the database, or names that are looked for there")
    config.addinivalue_line("markers", "variant: one of several alike, which both colours run with TEST_ALL alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave variants to the synchronous colour, which runs the same code, where not all is tried."""
    left_out = {item for item in items if _colour(item) == stores.SEALED and item.get_closest_marker("clear")}
    if not os.environ.get("TEST_ALL"):
        left_out |= {item for item in items if item.get_closest_marker("variant") and _colour(item) == "async"}
        left_out |= {item for item in items if _colour(item) == stores.SEALED and _backend(item) != "sqlite"}
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _colour(item: pytest.Item) -> str:
    return str(_parameter(item, "colour", "sync"))


def _backend(item: pytest.Item) -> str:
    return str(_parameter(item, "backend", ""))


def _parameter(item: pytest.Item, name: str, without: str) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name, without) if callspec else without


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let the colour be that of the test, from its first fixture to its last, and of no test elsewhere."""
    os.environ[stores.VARIABLE] = _colour(item)
    try:
        return (yield)
    finally:
        del os.environ[stores.VARIABLE]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test, and not only its calls of a store, in the way of its colour."""
    if not stores.is_async():
        return None
    names = pyfuncitem._fixtureinfo.argnames
    stores.run(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    return True


@pytest.fixture(scope="session", autouse=True)
def colour(request: pytest.FixtureRequest) -> Iterator[str]:
    """The colour of the stores under test; that of a test without a database is ``sync``."""
    yield getattr(request, "param", "sync")
    stores.end()


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


@pytest.fixture(scope="session")
def shared(backend: str, colour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One store for each backend: building a database takes longer than most tests."""
    with fresh_database(backend, tmp_path_factory.mktemp(backend)) as url, stores.open_db(url) as store:
        store.upgrade_schema()
        yield store


@pytest.fixture
def db(shared: Any) -> Any:
    """A store without rows, its tables built and its version looked at."""
    stores.run(empty, shared)
    return shared


@pytest.fixture
def opened(fresh_url: str) -> Iterator[Callable[..., Any]]:
    """Open stores in an empty database of the test's own: ``opened(table_name=...)``."""
    made: list[Any] = []

    def open_one(**options: Any) -> Any:
        made.append(stores.open_db(fresh_url, **options))
        return made[-1]

    yield open_one
    for store in made:
        store.close()


@pytest.fixture
def beside(db: Any) -> Iterator[Callable[..., Any]]:
    """Open the store of the test again, with other options: ``beside(codec=...)``."""
    url, made = stores.plain(db.db_engine.url), list[Any]()

    def open_one(**options: Any) -> Any:
        made.append(stores.open_db(url, **options))
        return made[-1]

    yield open_one
    for store in made:
        store.close()


@pytest.fixture
def others(kept: Any) -> Iterator[Any]:
    """The store that a test has ``kept``, as another process has it."""
    with stores.open_db(kept.db_engine.url, table_name=kept.table_name) as store:
        yield store
