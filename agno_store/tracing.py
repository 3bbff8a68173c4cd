"""Calls as spans of OpenTelemetry's, named after its conventions for databases. The only importer of its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from agno_store.errors import ConfigurationError
from agno_store.release import __version__
from agno_store.watching import Call, TracerProvider

try:
    from opentelemetry import trace
except ImportError as missing:
    raise ConfigurationError(
        'tracing= needs OpenTelemetry\'s API, which is not installed. Run: pip install "agno-store[otel]"'
    ) from missing


class Spans:
    """Makes a span of each call of a store."""

    def __init__(self, provider: bool | TracerProvider, about: Callable[[], Mapping[str, str | int]]) -> None:
        if provider is not True and not hasattr(provider, "get_tracer"):
            raise ConfigurationError(f"tracing={provider!r}: it must be True, False, or a tracer provider.")
        source = trace if provider is True else provider
        self._tracer: trace.Tracer = source.get_tracer("agno_store", __version__)  # type: ignore[union-attr]
        self._about = about

    @contextmanager
    def span(self, call: Call) -> Iterator[None]:
        """Trace a call. What it failed with is told by its type alone: a message names sessions."""
        about = {**self._about(), "db.operation.name": call.name}
        with self._tracer.start_as_current_span(
            f"{call.name} {about['db.collection.name']}",
            kind=trace.SpanKind.CLIENT,
            attributes=about,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR)
                span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
                raise
            finally:
                span.set_attribute("db.response.returned_rows", call.returned)
                span.set_attribute("agno_store.rows", call.rows)
                span.set_attribute("agno_store.bytes", call.bytes)
                span.set_attribute("agno_store.attempts", call.attempts)
