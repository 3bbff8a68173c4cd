"""A TCP proxy in front of a server that cuts, freezes and refuses, at the byte that a test says."""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

PIECE = 65536
ANSWER = 5.0
"""Seconds to wait for a server's answer, which is then thrown away."""


class Proxy:
    """A proxy for the server of a URL, as a context manager; ``through()`` takes the URL of a database there.

    It serves all connections in one thread, one piece after the other, so that ``forwarded`` bytes mean the
    same moment of a conversation each time that it is held.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._selector = selectors.DefaultSelector()
        self._other: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.forwarded = 0
        self.ways = 0
        """How often a client has said something, which may be long, since it was answered."""
        self.cuts = 0
        self._last_byte: int | None = None
        self._word: tuple[bytes, bool] | None = None
        self._frozen = self._refusing = self._is_asked = False

    def through(self, url: str) -> str:
        """Return a URL that leads to the same database, through the proxy."""
        parts = urlsplit(url)
        user, _, _ = parts.netloc.rpartition("@")
        # To make a context for TLS takes PyMySQL 40 ms, for each of thousands of connections.
        query = f"{parts.query}&ssl_disabled=true" if "pymysql" in parts.scheme else parts.query
        return parts._replace(netloc=f"{user}@127.0.0.1:{self.port}", query=query).geturl()

    # -- faults -------------------------------------------------------------------------------

    def cut_after(self, count: int) -> None:
        """Cut the connection that carries the byte of that number from now on, once."""
        with self._lock:
            self.forwarded, self._last_byte = 0, count

    def cut_at(self, word: bytes, *, arrives: bool) -> None:
        """Cut the connection whose client says a word, once: before the server hears it, or before it answers."""
        with self._lock:
            self._word = (word, arrives)

    def cut(self) -> None:
        """Cut every connection now."""
        with self._lock:
            for client in list(self._clients):
                self._cut(client)

    def freeze(self) -> None:
        """Forward nothing more, and leave all connections open."""
        with self._lock:
            self._frozen = True

    def refuse(self) -> None:
        """Cut every connection, and each new one."""
        with self._lock:
            self._refusing = True
            self.cut()

    def restore(self) -> None:
        """Forward all again."""
        with self._lock:
            self._last_byte = self._word = None
            self._frozen = self._refusing = False

    # -- life ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cut()
        self._listener.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            ready = self._selector.select(0.02)
            with self._lock:
                for key, _ in ready:
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    if source is self._listener:
                        self._accept()
                    elif source in self._other and not self._frozen:
                        self._forward(source)
            if self._frozen:
                self._over.wait(0.02)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._server, timeout=5)
        except OSError:
            _reset(client)
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(30)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._other[one] = other
            self._selector.register(one, selectors.EVENT_READ)
        self._clients.add(client)
        if self._refusing:
            self._cut(client)

    def _forward(self, source: socket.socket) -> None:
        try:
            piece = source.recv(PIECE)
            self.ways += source in self._clients and not self._is_asked
            self._is_asked = source in self._clients
            if not piece:
                self._cut(source)
            elif source in self._clients and self._word and self._word[0] in piece:
                arrives, self._word = self._word[1], None
                if arrives:
                    self._other[source].sendall(piece)
                    select.select([self._other[source]], [], [], ANSWER)
                self.cuts += 1
                self._cut(source)
            else:
                self._pass_on(source, piece)
        except OSError:
            self._cut(source)

    def _pass_on(self, source: socket.socket, piece: bytes) -> None:
        if self._last_byte is not None and self.forwarded + len(piece) >= self._last_byte:
            piece = piece[: self._last_byte - self.forwarded]
            self._last_byte = None
            self._other[source].sendall(piece)
            self.cuts += 1
            self._cut(source)
        else:
            self._other[source].sendall(piece)
        self.forwarded += len(piece)

    def _cut(self, end: socket.socket) -> None:
        for one in (end, self._other.get(end)):
            if one is not None and self._other.pop(one, None) is not None:
                self._selector.unregister(one)
                self._clients.discard(one)
                _reset(one)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
