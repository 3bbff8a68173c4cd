"""How much a database takes at once, and the error for more, raised before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from agno_store.errors import PayloadTooLarge

SMALL = 8192
"""Characters that every database takes, so that for fewer nothing needs to be asked or counted."""

OVERHEAD = 4096
"""Bytes of a statement besides its texts, more than any has."""

_WIDEST = 4
"""Bytes of one character in UTF-8 at the most; an escaped one has two."""

_ESCAPED = "[\x00\n\r\x1a\"'\\\\]"
"""What drivers of MySQL write as two characters: https://dev.mysql.com/doc/refman/8.4/en/string-literals.html"""


def are_small(*sent: Mapping[str, Any]) -> bool:
    """Whether the texts of all these values together are not over what every database takes."""
    return sum([len(value) for values in sent for value in values.values() if type(value) is str]) <= SMALL


class Limit(NamedTuple):
    """So many bytes in one statement, with all its values."""

    size: int
    called: str = ""
    """What the limit is called where it is set."""

    escapes: bool = False
    """Whether the driver writes the values into the statement."""

    def refuse(self, texts: Mapping[str, str]) -> None:
        """Raise PayloadTooLarge where the texts of one statement are over the limit."""
        if self.is_far(sum(map(len, texts.values()))):
            return
        sizes = {name: self._bytes(text) for name, text in texts.items()}
        size = sum(sizes.values()) + OVERHEAD
        if size <= self.size:
            return
        largest = max(sizes, key=lambda name: sizes[name])
        called = f" ({self.called})" if self.called else ""
        raise PayloadTooLarge(
            f"{_row(texts)}: with its {largest} a statement would have {size:,} bytes, and the database takes "
            f"{self.size:,}{called}. Nothing was written. Store less in it, such as a reference to a file, or raise "
            "the limit.",
            size=size,
            limit=self.size,
        )

    def is_far(self, length: int) -> bool:
        """Whether so many characters are not over the limit, whatever they are."""
        return length * _WIDEST + OVERHEAD <= self.size

    def _bytes(self, text: str) -> int:
        size = len(text.encode("utf-8", "surrogatepass"))
        return size + len(re.findall(_ESCAPED, text)) + 2 if self.escapes else size


def _row(texts: Mapping[str, str]) -> str:
    session_id = texts.get("session_id", texts.get("key"))
    run_id = texts.get("run_id", texts.get("run_key"))
    return f"Session {session_id!r}" if run_id is None else f"Run {run_id!r} of session {session_id!r}"
