"""What a call took, for whoever wants to know: a line in the log where it was slow, a span where calls are traced.

Only the methods of a store that is watched are wrapped, and only its statements are counted; any other pays for
nothing. Neither line nor span holds an id of a user's or a session's, or anything that was stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agno_store import settings
from agno_store.errors import ConfigurationError
from agno_store.sending import Answer, Row, Sending, Statement

T = TypeVar("T")
log = logging.getLogger("agno_store.slow")


class TracerProvider(Protocol):
    """What OpenTelemetry's tracers come from."""

    def get_tracer(self, instrumenting_module_name: str, instrumenting_library_version: str | None = None) -> Any:
        """Return a tracer."""


class Call:
    """A call under way, and what it took until now."""

    __slots__ = ("attempts", "bytes", "name", "of", "returned", "rows")

    def __init__(self, name: str, of: object) -> None:
        self.name = name
        self.of = of
        """What watches the store that was called."""
        self.rows = 0
        """Rows that were read, written or deleted."""
        self.returned = 0
        """Rows that were read."""
        self.bytes = 0
        """Bytes of the texts in them."""
        self.attempts = 1
        """How often the transaction was tried that had to be tried most."""

    def received(self, rows: list[Row]) -> None:
        """Count rows that were read."""
        self.rows += len(rows)
        self.returned += len(rows)
        self.bytes += sum(_size(row.values()) for row in rows)

    def sent(self, rows: int, values: Mapping[str, Any]) -> None:
        """Count rows that were written."""
        self.rows += rows
        self.bytes += _size(values.values())


class Tracing(Protocol):
    """What makes a span of a call, and ends it with what the call took."""

    def span(self, call: Call) -> AbstractContextManager[None]:
        """Trace a call."""


_under_way: ContextVar[Call | None] = ContextVar("agno_store_call", default=None)


def tried(attempts: int) -> None:
    """Note that a transaction of the call under way, if one is watched, is tried once more."""
    call = _under_way.get()
    if call is not None:
        call.attempts = max(call.attempts, attempts)


class Counting(Sending):
    """The texts of a store that is watched, and what goes to and fro with them."""

    def send(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Answer:
        """Execute a statement with these values, and count it for the call under way."""
        answer = super().send(c, statement, values)
        call = _under_way.get()
        if call is not None:
            if isinstance(statement, sa.Select):
                call.received(answer.rows)
            else:
                call.sent(max(answer.matched, len(answer.rows)), values)
        return answer

    def named(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Iterator[Row]:
        """Give the rows that a statement brings, and count them for the call under way."""
        found = list(super().named(c, statement, values))
        call = _under_way.get()
        if call is not None:
            call.received(found)
        return iter(found)


def _size(values: Iterable[Any]) -> int:
    return sum(
        len(value) if isinstance(value, bytes) or value.isascii() else len(value.encode(errors="surrogatepass"))
        for value in values
        if isinstance(value, (str, bytes))
    )


class Watcher:
    """Watches the calls of one store."""

    def __init__(self, where: str, slow: float | None, tracing: Tracing | None) -> None:
        self._where = where
        self._slow = slow
        """From how many milliseconds on a call is slow."""
        self._tracing = tracing

    def call(self, name: str, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a method of the store; a call that it makes of the same store is a part of it."""
        outer = _under_way.get()
        if outer is not None and outer.of is self:
            return method(*args, **kwargs)
        call = Call(name, self)
        token = _under_way.set(call)
        began, failure = time.perf_counter(), None
        try:
            with nullcontext() if self._tracing is None else self._tracing.span(call):
                result = method(*args, **kwargs)
                # Of many transactions, and of statements of their own, the result says how many rows it was about.
                call.rows += getattr(result, "rows", 0)
                return result
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            _under_way.reset(token)
            if self._slow is not None:
                self._say_if_slow(call, time.perf_counter() - began, failure)

    def _say_if_slow(self, call: Call, seconds: float, failure: str | None) -> None:
        if self._slow is None or seconds * 1000 < self._slow:
            return
        took = {"operation": call.name, "store": self._where, "seconds": seconds, "rows": call.rows}
        took |= {"bytes": call.bytes, "attempts": call.attempts, "error": failure}
        log.warning(
            "%s: %s took %.3f s (rows %d, bytes %d, attempts %d)%s",
            self._where,
            call.name,
            seconds,
            call.rows,
            call.bytes,
            call.attempts,
            "" if failure is None else f", and failed with {failure}",
            extra={"agno_store": took},
        )


def slow_from(milliseconds: float | None) -> float | None:
    """Return from how many milliseconds on a call is slow, which the environment overrules; None where none is.

    Raises ConfigurationError for what is no such number.
    """
    said = settings.slow_operation_ms()
    if said is not None or milliseconds is None:
        return said
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)) or not milliseconds >= 0:
        raise ConfigurationError(f"slow_operation_ms={milliseconds!r}: it must be milliseconds, from 0 on.")
    return float(milliseconds)
