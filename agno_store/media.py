"""What a store may be told of long texts: from how many bytes on they are kept beside the runs that hold them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from agno_store.errors import ConfigurationError

LEAST = 1_000
"""Bytes: what is shorter than that is cheaper in its row, and ids and statuses stay where they are."""


class MediaStore(Protocol):
    """What a store's ``media_store=`` has: a bucket, a folder. An asynchronous store awaits what is to be awaited.

    Each key is put once. What these raise comes as MediaUnavailable.
    """

    def put(self, key: str, data: bytes) -> Any:
        """Keep ``data``, for good when this returns."""

    def get(self, key: str) -> Any:
        """Return the bytes. Raises LookupError, such as KeyError, for a key that is not there."""

    def delete(self, keys: Sequence[str]) -> Any:
        """Delete these; one that is not there is no error."""

    def keys(self, prefix: str) -> Any:
        """Return the keys that begin with ``prefix``, as any iterable."""


class Awaited(NamedTuple):
    """What an asynchronous store was given as its ``media_store=``: its methods may be coroutine functions."""

    store: Any


def checked_store(media_store: Any, *, awaits: bool = False) -> MediaStore:
    """Return a store of objects.

    Raises ConfigurationError for what lacks a method, and for coroutine functions where nobody ``awaits``.
    """
    if isinstance(media_store, Awaited):
        return checked_store(media_store.store, awaits=True)
    methods = [getattr(media_store, name, None) for name in ("put", "get", "delete", "keys")]
    if all(map(callable, methods)) and (awaits or not any(map(inspect.iscoroutinefunction, methods))):
        store: MediaStore = media_store
        return store
    # And no word of what it is: it may have a key to the bucket.
    raise ConfigurationError(
        f"media_store= is given a {type(media_store).__name__}: it must have put(), get(), delete() and keys(), as a "
        "MediaStore" + ("." if awaits else ", and none may be a coroutine function: those are for Async classes.")
    )


def checked_size(media_over: Any) -> int | None:
    """Return from how many bytes on a text of a run is kept beside it.

    Raises ConfigurationError for what is no whole number from 1,000 on.
    """
    if media_over is not None and not (type(media_over) is int and media_over >= LEAST):
        raise ConfigurationError(
            f"media_over={media_over!r}: it must be a whole number of bytes, from {LEAST:,} on, or be left out."
        )
    return media_over


class Vanished(Exception):
    """Objects are not there: their rows may be gone since the transaction began. It never leaves the package."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__(keys)
        self._keys = keys

    @contextmanager
    def known(self) -> Iterator[None]:
        """Take those that a row still names for lost: a key is given once, and none comes back."""
        token = lost.set(lost.get() | self._keys)
        try:
            yield
        finally:
            lost.reset(token)


lost: ContextVar[frozenset[str]] = ContextVar("agno_store_lost", default=frozenset())
