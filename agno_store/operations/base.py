"""What every operation stands on: a way to read, and ways to write."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeVar

from agno_store.store import Store

T = TypeVar("T")


class Base(abc.ABC):
    """A store, and transactions on it."""

    on_conflict: str
    """What saving a session does where somebody else has saved it since it was read."""

    unstorable: str | None
    """What becomes of a value that cannot be stored: see ``docs/encoding.md``."""

    _store: Store

    _origin: str
    """The same for all objects that open this store, and for no other store's: what was read tells where it was."""

    @abc.abstractmethod
    def _read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    @abc.abstractmethod
    def _list(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Read what nobody decides upon, from where it may be a moment old."""

    @abc.abstractmethod
    def _write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Write what must not be written twice."""

    @abc.abstractmethod
    def _put(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Write what may be written again where nobody knows whether it was."""
