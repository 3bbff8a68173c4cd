"""Calls that are watched: every public method of a store, in one place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

from sqlalchemy.engine import Engine

from agno_store import watching
from agno_store.names import Names
from agno_store.operations.base import Base, Stream
from agno_store.store import Store
from agno_store.urls import redacted

UNWATCHED = frozenset(
    {"close", "to_dict", "update_approval_run_status", "get_latest_schema_version", "upsert_schema_version"}
)
"""Methods that do nothing with a database."""


class WatchedOperations(Base):
    """A store whose calls can be watched."""

    names: Names
    dialect: Any
    _engine: Engine

    def _watch(self, slow_operation_ms: float | None, tracing: bool | watching.TracerProvider) -> None:
        """Watch the calls of this store, if that is asked for.

        Raises ConfigurationError for what is no such number or no provider of tracers, and where OpenTelemetry's API
        is not installed.
        """
        slow = watching.slow_from(slow_operation_ms)
        if slow is None and tracing is False:
            return
        self._store = Store(self.names, self._store.tenant_id, watching.Counting())
        where = f"{self.names} in {self.dialect.title} at {redacted(self._engine.url)}"
        watcher = watching.Watcher(where, slow, None if tracing is False else self._spans(tracing))
        for name in _public(type(self)):
            # On the object, so that all other stores have the methods of their class as they are.
            vars(self)[name] = _watched(watcher, name, getattr(self, name))

    def _spans(self, provider: bool | watching.TracerProvider) -> watching.Tracing:
        from agno_store import tracing
        from agno_store.dialects.places import place

        return tracing.Spans(provider, lambda: place(self._engine, self.names))


def _public(cls: type) -> set[str]:
    """Return the names of our own public methods, whoever may have overridden them, and none of agno's."""
    ours = ("agno_store.operations", "agno_store.database")
    methods = {
        name
        for base in cls.__mro__
        if base.__module__.startswith(ours)
        for name, member in vars(base).items()
        if isinstance(member, FunctionType) and not name.startswith("_") and member.__module__.startswith(ours)
    }
    return methods - UNWATCHED


def _watched(watcher: watching.Watcher, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return watcher.call(name, method, *args, **kwargs)

    @functools.wraps(method)
    def stream(*args: Any, **kwargs: Any) -> Stream[Any]:
        return Stream(_pages(watcher, name, method(*args, **kwargs)))

    return stream if name.startswith("iter_") else call


def _pages(watcher: watching.Watcher, name: str, stream: Stream[Any]) -> Iterator[Sequence[Any]]:
    """Give the pages of a stream, each of them a call: what its reader does in between is none of the store's."""
    while (page := watcher.call(name, next, stream.pages, None)) is not None:
        yield page
