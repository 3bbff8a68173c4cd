"""Telling of the runs that were added, once each is stored and never within a transaction."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from agno_store.attempts import Attempts
from agno_store.dialects.waiting import awaited
from agno_store.hooks import Appended, OnAppend

T = TypeVar("T")
log = logging.getLogger("agno_store")


class _Call:
    """What a call of a store has found out about runs so far."""

    def __init__(self) -> None:
        self.added: dict[tuple[str, str], Appended] = {}
        self.there: set[tuple[str, str]] = set()
        """Those that were there before it could have stored them."""
        self.may_be_stored = False
        """Whether the connection was lost in a COMMIT of it: then a run that is there may be its own."""


_under_way: ContextVar[_Call | None] = ContextVar("agno_store_appends", default=None)


class Appends:
    """Notes what a transaction adds, and tells of it after its end."""

    def __init__(self, on_append: OnAppend, tenant_id: str | None) -> None:
        self._on_append, self._tenant_id = on_append, tenant_id

    def note(self, run: Mapping[str, Any], run_index: int, *, was_there: bool = False) -> None:
        """Note a run that was inserted, or that was there."""
        call, key = _under_way.get(), (run["session_id"], run["run_id"])
        if call is None:
            return
        if was_there and (key in call.there or not call.may_be_stored):
            call.there.add(key)
            return
        names = ("session_id", "run_id", "run_type", "user_id")
        given = {name: run[name] for name in names}
        call.added[key] = Appended(**given, run_index=run_index, tenant_id=self._tenant_id)

    def once(self, attempt: Callable[..., T]) -> Callable[..., T]:
        """Return an attempt that forgets what one before it has added, and looks for it where it may be stored."""

        @functools.wraps(attempt)
        def run(attempts: Attempts, *args: Any) -> T:
            call = _under_way.get()
            if call is not None:
                call.added.clear()
                call.may_be_stored = attempts.unknown
            return attempt(attempts, *args)

        return run

    def told(self, write: Callable[..., T]) -> Callable[..., T]:
        """Return a write that tells, when it has succeeded, of what it has added."""

        @functools.wraps(write)
        def run(*args: Any, **kwargs: Any) -> T:
            call = _Call()
            token = _under_way.set(call)
            try:
                done = write(*args, **kwargs)
            finally:
                _under_way.reset(token)
            for appended in call.added.values():
                self._tell(appended)
            return done

        return run

    def _tell(self, appended: Appended) -> None:
        try:
            self._on_append(appended)
        except Exception:  # the program's own code; raised by the call, it would say that the run is not stored
            log.exception(
                "on_append raised for run %r of session %r, which is stored", appended.run_id, appended.session_id
            )


class Awaiting:
    """A hook as one that an asynchronous store calls in the middle of its work: what it returns to be awaited is."""

    def __init__(self, on_append: OnAppend) -> None:
        self._on_append = on_append

    def __call__(self, appended: Appended) -> object:
        # A function, a method, an object that is called or a lambda may make one: only what is made tells.
        done = self._on_append(appended)
        return awaited(done) if inspect.iscoroutine(done) else done
