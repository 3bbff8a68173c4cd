"""Columns that PyMySQL has described before: it takes an answer's apart one by one, in Python, each time it comes."""

from __future__ import annotations

import weakref
from functools import lru_cache
from typing import Any

from pymysql.connections import Connection
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

MOST = 1000
"""Columns that are remembered. A store has about a hundred."""


def remember(driver: Any, _record: object) -> None:
    """Take what was described once for what is described in the same bytes; for the event of a new connection."""
    this = weakref.ref(driver)

    def read(packet_type: Any = MysqlPacket) -> Any:
        plain: Any = Connection
        return plain._read_packet(this(), _described if packet_type is FieldDescriptorPacket else packet_type)

    driver._read_packet = read


@lru_cache(maxsize=MOST)
def _described(data: bytes, encoding: str) -> Any:
    return FieldDescriptorPacket(data, encoding)  # type: ignore[no-untyped-call,unused-ignore]
