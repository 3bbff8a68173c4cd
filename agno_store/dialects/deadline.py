"""An end to waiting for a server that hangs: its connection is shut down, and the driver raises an error.

A driver waits as long as the connection is there, and a server that hangs keeps it. One thread watches over all
that is waited for: a ``threading.Timer`` for each would take longer than a short statement does.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from agno_store.errors import DatabaseUnreachable


class _Watch:
    """The deadlines of this process, and the thread that wakes up when the next one has come."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked child must: the thread stays with its parent."""
        self._changed = threading.Condition()
        self._deadlines: dict[socket.socket, float] = {}
        self._thread: threading.Thread | None = None
        self._sleeps_until = 0.0

    def add(self, handle: socket.socket, deadline: float) -> None:
        with self._changed:
            self._deadlines[handle] = deadline
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="agno_store deadlines", daemon=True)
                self._thread.start()
            elif deadline < self._sleeps_until:
                self._changed.notify()

    def remove(self, handle: socket.socket) -> bool:
        """Forget a deadline; False where it is over."""
        with self._changed:
            return self._deadlines.pop(handle, None) is not None

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for handle in [handle for handle, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[handle]
                    with suppress(OSError):  # the server was faster
                        handle.shutdown(socket.SHUT_RDWR)
                self._sleeps_until = min(self._deadlines.values(), default=threading.TIMEOUT_MAX)
                self._changed.wait(min(self._sleeps_until - now, threading.TIMEOUT_MAX))


_watch = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.forget)


@contextmanager
def within(seconds: float, connection: Connection) -> Iterator[None]:
    """Shut a connection down where its server has not answered in time.

    Raises DatabaseUnreachable in place of what the driver says then.
    """
    driver: Any = connection.connection.driver_connection
    # A handle of its own: the driver may close its own at any time, and its number be another connection's.
    with socket.socket(fileno=os.dup(driver.fileno())) as handle:
        _watch.add(handle, time.monotonic() + seconds)
        try:
            yield
        except DBAPIError as error:
            if not _watch.remove(handle):
                raise DatabaseUnreachable(f"it has not answered within {seconds:g} seconds") from error
            raise
        finally:
            _watch.remove(handle)
