"""PyMySQL as a store uses it: what it would do again and again for the same result, it does once."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import pymysql
from pymysql import connections
from pymysql.constants import SERVER_STATUS
from pymysql.converters import escape_string
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

MOST = 1000
"""Columns that are remembered. A store has about a hundred."""

LONG = 200
"""Letters from which on a text is escaped one character after the other: a seventh of what PyMySQL's table takes."""


class Connection(connections.Connection):  # type: ignore[type-arg,unused-ignore]
    """A connection of PyMySQL's that takes what a column is, and how it encrypts, from what it knows."""

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        plain: Any = super()
        return plain._read_packet(_described if packet_type is FieldDescriptorPacket else packet_type)

    def _escape_string(self, s: str) -> Any:
        this: Any = self
        plain: Any = super()
        unlike = type(s) is not str or this.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
        if len(s) < LONG or unlike:  # a text of a kind of its own may replace otherwise, as that of markup does
            return plain._escape_string(s)
        for character, escaped in _escapes():
            if character in s:
                s = s.replace(character, escaped)
        return s

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        plain: Any = super()
        return plain._create_ssl_ctx(sslp) if sslp else _unverified()


def connect(*args: Any, **kwargs: Any) -> Any:
    """Connect; with what somebody has put in the place of PyMySQL's own function, as those who trace drivers do."""
    replaced: Any = pymysql.connect
    return (Connection if replaced is connections.Connection else replaced)(*args, **kwargs)


@cache
def module() -> ModuleType:
    """Return PyMySQL with these connections, for ``create_engine(module=...)``."""
    found = ModuleType(pymysql.__name__)
    found.__dict__.update({**vars(pymysql), "connect": connect})
    return found


@cache
def _escapes() -> Sequence[tuple[str, str]]:
    """Return the characters that PyMySQL escapes, with what it writes for them; first the one that it escapes with."""
    found = [(character, escape_string(character)) for character in map(chr, range(128))]
    return sorted(((old, new) for old, new in found if old != new), key=lambda pair: pair[0] != "\\")


@lru_cache(maxsize=MOST)
def _described(data: bytes, encoding: str) -> Any:
    return FieldDescriptorPacket(data, encoding)  # type: ignore[no-untyped-call,unused-ignore]


@cache
def _unverified() -> ssl.SSLContext:
    """Return what encrypts where a server offers it and nothing was said, as newer releases of PyMySQL do.

    It verifies nobody's certificate then, but reads those of all authorities for each connection: some 25 ms.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
