"""What every operation stands on: a way to read, and ways to write."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from typing import Any, TypeVar

from agno_store import filtering, rows, shapes
from agno_store.apart import Apart
from agno_store.clock import now
from agno_store.errors import (
    AgnoStoreError,
    EncodingError,
    InvalidArgument,
    NotFound,
    OwnerMismatch,
    PayloadTooLarge,
    StaleSession,
)
from agno_store.history import History
from agno_store.hooks import BeforeWrite
from agno_store.paging import Listing, Page, SessionFilter, is_count
from agno_store.records import Receipt, checked_type
from agno_store.store import Store

T = TypeVar("T")

REFUSALS = EncodingError, InvalidArgument, NotFound, OwnerMismatch, PayloadTooLarge, StaleSession
"""What a write raises that has stored nothing, and that is known."""


class Stream(Iterator[T]):
    """What a listing finds, one after the other, read a page at a time."""

    def __init__(self, pages: Iterator[Sequence[T]]) -> None:
        self.pages = pages
        self._each = chain.from_iterable(pages)

    def __next__(self) -> T:
        return next(self._each)


def session_filter(
    session_type: Any,
    user_id: str | None,
    component_id: str | None,
    session_name: str | None,
    start_timestamp: int | None,
    end_timestamp: int | None,
) -> SessionFilter:
    """Return which sessions are asked for. Raises InvalidArgument for what is no id, type or time."""
    return SessionFilter(
        session_type=None if session_type is None else checked_type(session_type),
        user_id=rows.owner_filter(user_id),
        component_id=None if component_id is None else rows.id_text(component_id, "component_id"),
        name_folded=None if session_name is None else rows.name_columns(session_name)["name_folded"],
        created_from=rows.second(start_timestamp, "start_timestamp"),
        created_before=rows.second(end_timestamp, "end_timestamp", after=True),
    )


def counted(at_once: Any) -> int:
    """Return how many rows a page of a stream has.

    Raises InvalidArgument for what is no number of rows.
    """
    if not is_count(at_once, 1):
        raise InvalidArgument(f"at_once={at_once!r}: it must be a whole number from 1 on.")
    return int(at_once)


def one_by_one(first: Page, read: Callable[[Page], Listing[T]]) -> Stream[T]:
    """Return what is on a page, and on all those behind it, each read when the one before is used up."""

    def pages() -> Iterator[Listing[T]]:
        page: Page | None = first
        while page is not None:
            found = read(page)
            page = None if found.next is None else page.behind(found.next)
            yield found

    return Stream(pages())


class Base(abc.ABC):
    """A store, and transactions on it."""

    on_conflict: str
    """What saving a session does where somebody else has saved it since it was read."""

    unstorable: str | None
    """What becomes of a value that cannot be stored: see ``docs/encoding.md``."""

    media_over: int | None = None
    """From how many bytes on a text of a run is kept beside it."""

    history_runs: int | None
    """How many runs a session comes with at the most: the last ones."""

    _store: Store

    _before_write: BeforeWrite | None = None
    """What is asked before anything is stored, if there is such a hook."""

    _history: History
    """What is known of the runs of sessions."""

    _origin: str
    """The same for all objects that open this store, and for no other store's: what was read tells where it was."""

    def _know(self, run: Mapping[str, Any], receipt: Receipt) -> None:
        """Know of a run that was stored: whoever reads its session next need not read it."""
        if receipt.is_new:
            self._history.add({**run, "run_index": receipt.run_index, "version": receipt.version}, self.history_runs)

    def _put_apart(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return a run's columns, what is kept beside it put into the store of objects, unless its session has it."""
        text, objects = run["run_data"], self._store.objects
        if objects is None or not isinstance(text, Apart):
            return run
        there = self._read(self._store.kept, run["session_id"], text)
        new = {digest: letters for digest, letters in text.parts.items() if digest not in there}
        return {**run, "run_data": Apart.of(text, text.parts, objects.put(run["session_id"], new))}

    @contextmanager
    def _taking_back(self, run: Mapping[str, Any]) -> Iterator[None]:
        """Delete, where a write of a run is refused, what was put into the store of objects for it."""
        try:
            yield
        except REFUSALS:
            self._take_back(run)
            raise

    def _take_back(self, run: Mapping[str, Any]) -> None:
        """Delete the objects that were put for a run which was not stored: no other one's row can name them."""
        text, objects = run["run_data"], self._store.objects
        places = list(text.places.values()) if isinstance(text, Apart) else []
        if objects is None or not places:
            return
        # What became of the run is what the caller has to know; what is left here prune() deletes.
        with suppress(AgnoStoreError):
            # An attempt before the last may have stored it, its connection having been lost in the COMMIT.
            named = self._read(self._store.named_places, places)
            objects.delete([place for place in places if place not in named])

    def _prepared_run(
        self, run: Any, session_id: str, user_id: str | None, unstorable: str | None = None
    ) -> dict[str, Any] | None:
        """Return a run's columns ready to be stored, or None for one that is not to be."""
        unstorable = unstorable or self.unstorable
        columns = shapes.prepared_run(run, session_id, user_id, now(), unstorable, self._before_write, self.media_over)
        return None if columns is None else self._put_apart(columns)

    def _part_of_session(self, session_id: str, user_id: str | None, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return of a part of a session's data what is to be stored."""
        if self._before_write is None:
            return part
        whose = {"session_id": session_id, "user_id": user_id}
        asked = filtering.part(self._before_write, filtering.SESSION, {"session_data": part}, **whose)
        data: Mapping[str, Any] = asked.get("session_data") or {}
        return data

    def _part_of_run(self, session_id: str, run_id: str, user_id: str | None, part: Mapping[str, Any]) -> Any:
        """Return of fields of a run what is to be stored."""
        whose = {"session_id": session_id, "run_id": run_id, "user_id": user_id}
        return filtering.part(self._before_write, filtering.RUN, part, **whose)

    @abc.abstractmethod
    def _calling_out(self) -> AbstractContextManager[None]:
        """Have calls of this store refused that a function of the caller's makes meanwhile: they would wait for it."""

    @abc.abstractmethod
    def _once(self, *args: Any) -> Any:
        """Make one attempt at a transaction."""

    @abc.abstractmethod
    def _read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    @abc.abstractmethod
    def _list(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Read what nobody decides upon, from where it may be a moment old."""

    @abc.abstractmethod
    def _write(
        self, work: Callable[..., T], *args: Any, quick: Callable[..., T | None] | None = None, **kwargs: Any
    ) -> T:
        """Write what must not be written twice; ``quick`` as with ``_put``."""

    @abc.abstractmethod
    def _put(self, work: Callable[..., T], *args: Any, quick: Callable[..., T | None] | None = None) -> T:
        """Write what may be written again where nobody knows whether it was.

        ``quick`` does the same where that is simple, and answers None, with nothing written, where it is not; it is
        one statement where the database commits that by itself.
        """
