"""Stores of both colours behind one face: a test is written once and run on the synchronous and asynchronous classes.

Where the colour is ``async``, the whole test runs in a greenlet of an event loop, as the asynchronous classes run
the synchronous ones: calls are awaited where they stand, and engines of asynchronous drivers can be used.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.util import await_only, greenlet_spawn

import agno_store
from agno_store.aio import AsyncDatabase
from agno_store.dialects.waiting import in_task
from tests.contract.sealing import CODEC

T = TypeVar("T")

VARIABLE = "AGNO_STORE_TEST_COLOUR"
"""Where processes that a test starts find its colour."""

SEALED = "sealed"
"""The colour of the synchronous classes with a codec."""

_loops: list[asyncio.AbstractEventLoop] = []


def is_async() -> bool:
    """Whether the test under way is for the asynchronous classes."""
    return os.environ.get(VARIABLE) == "async"


def run(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call something that uses a store or its engine, in the way of the colour."""
    if not is_async() or in_task():
        return work(*args, **kwargs)
    result: T = _awaited(greenlet_spawn(work, *args, **kwargs))
    return result


def together(*jobs: Callable[[], T]) -> list[T]:
    """Run each job in a task of its own; their results in the order given."""

    async def run_all() -> list[Any]:
        return await asyncio.gather(*(greenlet_spawn(job) for job in jobs), return_exceptions=True)

    results: list[T] = _awaited(run_all())
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def beside(work: Callable[[], T]) -> Callable[[], T]:
    """Begin a job in a task or a thread of its own; what is returned waits for its result, 10 seconds at the most."""
    if in_task():
        task = asyncio.ensure_future(greenlet_spawn(work))
        return lambda: await_only(asyncio.wait_for(task, 10))
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return lambda: future.result(10)


def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds, while others go on."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        if in_task():
            await_only(asyncio.sleep(0.01))
        else:
            time.sleep(0.01)


def _awaited(coroutine: Any) -> Any:
    if in_task():
        return await_only(coroutine)
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0].run_until_complete(coroutine)


def _each(stream: Any) -> Iterator[Any]:
    """What an asynchronous generator gives, one after the other."""
    try:
        while True:
            yield _awaited(anext(stream))
    except StopAsyncIteration:
        return


def end() -> None:
    """End the event loop in order."""
    while _loops:
        loop = _loops.pop()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class Awaited:
    """An asynchronous store whose methods are awaited where they are called."""

    cls: ClassVar[type[AsyncDatabase]]

    def __init__(self, *args: Any, **options: Any) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        if "db_engine" in options:
            options["db_engine"] = AsyncEngine(options["db_engine"])
        self.inner = self.cls(*args, **options)

    @property
    def db_engine(self) -> sa.Engine:
        return run(lambda: self.inner.db_engine.sync_engine)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        found = getattr(self.inner if hasattr(self.inner, name) else self.inner._model, name)
        if inspect.isasyncgenfunction(found):
            return lambda *args, **kwargs: _each(found(*args, **kwargs))
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: _awaited(found(*args, **kwargs))

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __deepcopy__(self, memo: Any) -> Awaited:
        assert copy.deepcopy(self.inner, memo) is copy.copy(self.inner) is self.inner
        return self


class AwaitedSqlite(Awaited):
    cls = agno_store.AsyncSqliteDb


class AwaitedPostgres(Awaited):
    cls = agno_store.AsyncPostgresDb


class AwaitedMySQL(Awaited):
    cls = agno_store.AsyncMySQLDb


SYNC: dict[str, Any] = {"sqlite": agno_store.SqliteDb, "postgresql": agno_store.PostgresDb, "mysql": agno_store.MySQLDb}
ASYNC: dict[str, Any] = {"sqlite": AwaitedSqlite, "postgresql": AwaitedPostgres, "mysql": AwaitedMySQL}


def class_of(backend: str) -> Any:
    """The class that keeps a store in a database of that kind."""
    return (ASYNC if is_async() else SYNC)[backend]


def open_db(url: str | URL, **options: Any) -> Any:
    """Open a store as ``agno_store.open_db`` does, or as ``open_async_db`` does."""
    if os.environ.get(VARIABLE) == SEALED:
        options.setdefault("codec", CODEC)
    if not is_async():
        return agno_store.open_db(url, **options)
    opened = agno_store.open_async_db(plain(url), **options)
    return next(cls for cls in ASYNC.values() if cls.cls is type(opened))(db_url=opened._url, **options)


def create_engine(url: str | URL, **options: Any) -> sa.Engine:
    """Make an engine such as a caller may have."""
    if is_async():
        cls = ASYNC[make_url(url).get_backend_name()].cls
        url = cls(db_url=plain(url))._url
    return sa.create_engine(url, **options)


def plain(url: str | URL) -> URL:
    """The URL without a driver, which each colour chooses for itself."""
    return make_url(url).set(drivername=make_url(url).get_backend_name())
