"""What agno warns of: it swallows a failed save and logs it, which no program may overlook."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

LOGGERS = ("agno", "agno-team", "agno-workflow")


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def none() -> Iterator[None]:
    """Fail where agno warned of anything."""
    handler = _Complaints()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    yield
    assert handler.messages == []
