"""Bytes in a SQLite file that are no text: read as bytes, from the first time on that the driver fails over some.

A function for it takes longer than the driver itself, so a connection gets one only then.
"""

from __future__ import annotations

import sys

from sqlalchemy.exc import OperationalError

from agno_store.dialects.pool import Staying
from agno_store.dialects.sqlite_driver import own

TELLS_CODES = sys.version_info >= (3, 11)
"""Whether an error of Python's driver has SQLite's code."""

MENDED = "(the connection reads such bytes as bytes from now on)"
"""A detail of the error after which it does."""


def is_no_text(error: BaseException | None) -> bool:
    """Whether the driver could not make a text of what is stored.

    That is Python's own error, the only one of its kind without a code of SQLite's; before Python 3.11 none has one.
    """
    if not isinstance(error, OperationalError) or not TELLS_CODES:
        return False
    return not hasattr(error.orig, "sqlite_errorcode") and getattr(error.orig, "__cause__", None) is None


class Reading(Staying):
    """A connection that stays, and reads on in the next attempt."""

    __slots__ = ()

    def _mend(self, error: BaseException | None) -> None:
        if isinstance(error, OperationalError) and is_no_text(error) and not self._connection.invalidated:
            own(self._connection).text_factory = _text_or_bytes
            error.add_detail(MENDED)


def _text_or_bytes(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored
