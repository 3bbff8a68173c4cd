"""Connections as a call of a store has them: from the pool, in no transaction, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection, Engine

from agno_store.errors import DatabaseUnreachable
from agno_store.misread import refused_options
from agno_store.urls import redacted, without_secrets


class Connected:
    """A connection of an engine, given back at the end. A class, because every call of a store needs one."""

    __slots__ = ("_connection", "_engine")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Connection:
        engine = self._engine
        try:
            self._connection = engine.connect()
        except (TypeError, AttributeError, ValueError, OSError, RuntimeError) as error:
            if isinstance(error, (TypeError, AttributeError)) and engine.url.query:
                # An option or a character set that the driver does not know.
                raise refused_options(engine.url, error) from error
            said = without_secrets(f"{type(error).__name__}: {error}", engine.url)
            raise DatabaseUnreachable(
                f"{redacted(engine.url)}: no connection could be had: {said}. Is the URL right, with its options?"
            ) from error
        if self._connection.in_transaction():
            self._begun_by_another()
        return self._connection

    def _begun_by_another(self) -> None:
        try:
            self._connection.rollback()
        except BaseException:
            self._connection.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@contextmanager
def telling(failed: Callable[[Exception], None]) -> Iterator[None]:
    """Tell somebody of an error before it goes on."""
    try:
        yield
    except Exception as error:
        failed(error)
        raise
