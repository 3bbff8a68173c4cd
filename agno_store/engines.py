"""Engines: one for each database, however many stores use it."""

from __future__ import annotations

import os
import threading
import uuid
from weakref import WeakKeyDictionary

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine

from agno_store.dialects import Dialect
from agno_store.dialects.own import MARK
from agno_store.dialects.pool import OwnPool
from agno_store.misread import refused_options
from agno_store.urls import bare


class _Shared:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.users = 0


_lock = threading.Lock()
_in_memory: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()
_shared: dict[tuple[str, bool, bool], _Shared] = {}


def acquire(url: URL, dialect: Dialect, *, pooled: bool, standby: bool = False) -> Engine:
    """Return the engine of ``url``, made at the first call. Sends no SQL. Each call needs its ``release``."""
    if not dialect.shares(url):
        return make(url, dialect, pooled=pooled, standby=standby)
    key = (url.render_as_string(hide_password=False), pooled, standby)
    with _lock:
        entry = _shared.get(key)
        if entry is None:
            entry = _shared[key] = _Shared(make(url, dialect, pooled=pooled, standby=standby))
        entry.users += 1
        return entry.engine


def release(engine: Engine) -> None:
    """Close the connections of an engine when its last user has released it."""
    with _lock:
        for key, entry in _shared.items():
            if entry.engine is engine:
                entry.users -= 1
                if entry.users:
                    return
                del _shared[key]
                break
    engine.dispose()


def make(url: URL, dialect: Dialect, *, pooled: bool, standby: bool) -> Engine:
    """Return a new engine of our own. Sends no SQL.

    Raises ConfigurationError for an option in the URL that the driver cannot read.
    """
    options = dialect.engine_options(url, pooled=pooled)
    if standby and dialect.standbys is not None:
        options = dialect.standbys.options(url, options)
    if not standby:
        options = {**options, "execution_options": {MARK: True}}
    # Conversations are private: no parameter of a statement belongs into a log or a traceback.
    try:
        engine = create_engine(url, hide_parameters=True, **options)
    except (TypeError, ValueError) as error:
        raise refused_options(url, error) from error
    dialect.prepare(engine)
    return engine


def identity(engine: Engine, dialect: Dialect) -> str:
    """Return what is the same for all engines of one URL; of a database in memory, only this engine's own."""
    if not dialect.shares(engine.url):
        return _in_memory.setdefault(engine, str(uuid.uuid4()))
    return place(engine.url, dialect)


def place(url: URL, dialect: Dialect) -> str:
    """Return what is the same for all URLs of one database, whoever connects with them and with which driver."""
    where = bare(url)._replace(drivername=dialect.names[0], username=None)
    return dialect.located(where).render_as_string()


def _forget_parents_connections() -> None:
    # A forked child must neither use nor close the sockets it shares with its parent, nor wait for a thread that
    # it has not got.
    global _lock
    _lock = threading.Lock()
    for entry in _shared.values():
        if isinstance(entry.engine.pool, OwnPool):
            entry.engine.pool.begin_anew()
        entry.engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_connections)
