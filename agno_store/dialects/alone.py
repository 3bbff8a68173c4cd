"""Connections on which each statement is committed by itself: no BEGIN and COMMIT on their way of their own.

One that is given back stays so, since to switch takes long: psycopg as long as to prepare a statement, and others a
way to the server. Whoever asks the pool for a connection otherwise gets one with transactions, as SQLAlchemy's dialect
has them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import Pool

from agno_store.dialects.connected import Connected
from agno_store.dialects.own import is_silent
from agno_store.dialects.pool import OwnPool, Staying


class _Asking:
    """Whether a store asks for a connection. It has none: who is interrupted may leave it behind."""

    is_asking = False


_asking: ContextVar[_Asking | None] = ContextVar("agno_store asks a pool for a connection", default=None)

_IS_ALONE = "agno_store has left it committing each statement"

OURS = 2
"""Who is asked when a connection is handed out, if nobody but us: ``own.watch_idle``, and this."""


Switch = Callable[[Any, Any, bool], None]
"""Has a driver's connection, whose record of the pool comes with it, commit each statement, or not."""


def keep(pool: Pool, switch: Switch) -> None:
    """Have the connections of a pool of ours stay as they are, and handed out as they are asked for."""
    event.listen(pool, "connect", _as_made)
    event.listen(pool, "checkout", partial(_as_asked, switch))


def is_possible(engine: Engine) -> bool:
    """Whether nobody else is asked as a connection of an engine of ours is handed out, and might begin something."""
    heard: Any = engine
    return len(heard.pool.dispatch.checkout) == OURS and not heard.dispatch.engine_connect


def _as_made(_driver: object, _record: object) -> None:
    _is_asked_alone()  # whoever listens to that may ask for a connection himself


def _as_asked(switch: Switch, driver: Any, record: Any, _proxy: object) -> None:
    alone = _is_asked_alone()
    if alone is not record.info.get(_IS_ALONE, False):
        switch(driver, record, alone)
        record.info[_IS_ALONE] = alone


def _is_asked_alone() -> bool:
    """Whether it is a store that asks, for such a connection; once for each time that it does."""
    asking = _asking.get()
    alone = asking is not None and asking.is_asking
    if asking is not None:
        asking.is_asking = False
    return alone


class Alone(Staying):
    """A connection that commits each statement, unless somebody is asked who might begin a transaction on it.

    One that stays does so as it is, and is taken for as long as its server says nothing.
    """

    __slots__ = ()

    asked = OURS

    def __enter__(self) -> Connection:
        stayed = self._stayed()
        if stayed is not None:
            if is_silent(stayed.connection.dbapi_connection):
                return stayed
            stayed.close()  # the pool looks at it again, and replaces it
        asking = _Asking()
        before = _asking.set(asking)
        try:
            asking.is_asking = is_possible(self._engine)
            return Connected.__enter__(self)
        finally:
            asking.is_asking = False  # a task that was begun meanwhile has the same context for as long as it lives
            _asking.reset(before)

    def _is_idle(self, pool: OwnPool) -> bool:
        # One that was made for this call has transactions: the pool switches it as it is handed out the next time.
        return super()._is_idle(pool) and bool(self._connection.info.get(_IS_ALONE))
