"""How a payload that a codec has sealed stands in its column: a JSON string, with the id of the key in front.

    "agno_store:sealed:2026-01:kVUwZ..."

Columns of payloads hold objects and lists otherwise, so nothing else is taken for it, databases find valid JSON, and a
release that knows of no codec finds a payload that it cannot read, and leaves it as it is. The text of a summary may be
any; there the same stands behind U+001A ``:``, which no escaped text holds.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from agno_store.errors import ConfigurationError
from agno_store.escapes import SEPARATOR

BEGINNING = '"agno_store:sealed:'
"""What every sealed payload begins with, or holds behind the separator."""

TEXT = "summary"
"""The one column of them that holds a text as it is."""

LONGEST_KEY_ID = 200

_KEY_ID = rf"[!#-\[\]-~]{{1,{LONGEST_KEY_ID}}}"


class Sealed(ValueError):
    """A payload that could not be opened, sealed with the key ``key_id``. Its text is the end of a sentence."""

    def __init__(self, text: str) -> None:
        self.key_id = key_of(text)
        why = getattr(text, "why", "this store has no codec=")
        super().__init__(f"is sealed with the key {self.key_id!r}, and {why}")


class Unopened(str):
    """A sealed payload as it is stored, and why it could not be opened."""

    why: str

    @classmethod
    def of(cls, text: str, why: str) -> Unopened:
        """Return a payload that could not be opened."""
        unopened = cls(text)
        unopened.why = why
        return unopened


def unread(text: str, column: str) -> ValueError:
    """Return what is raised for a text that is not the payload that was looked for."""
    return Sealed(text) if is_closed(text, column) else ValueError("it is no JSON object")


def checked_key_id(key_id: Any) -> str:
    """Return the id of a key. Raises ConfigurationError for what cannot stand in front of a payload."""
    if not isinstance(key_id, str) or not re.fullmatch(_KEY_ID, key_id):
        raise ConfigurationError(
            f"key_id={key_id!r}: it must be 1 to {LONGEST_KEY_ID} letters, digits and signs of ASCII, without quotes, "
            "backslashes and spaces."
        )
    return key_id


def closed(data: bytes, key_id: str, column: str) -> str:
    """Return sealed bytes as they stand in a column."""
    return f'{under(checked_key_id(key_id), column)}{base64.b64encode(data).decode()}"'


def is_closed(text: Any, column: str = "") -> bool:
    """Whether what stands in a column is a sealed payload."""
    return isinstance(text, str) and text.startswith(SEPARATOR + BEGINNING if column == TEXT else BEGINNING)


def key_of(text: str) -> str:
    """Return the id of the key that a payload is sealed with."""
    return _content(text).rpartition(":")[0]


def data_of(text: str) -> bytes:
    """Return the bytes that a codec has made. Raises ValueError where they are damaged."""
    content = _content(text)
    if not content.endswith('"'):
        raise ValueError("its end is missing")
    return base64.b64decode(content.rpartition(":")[2][:-1], validate=True)


def under(key_id: str, column: str) -> str:
    """Return what each payload in a column begins with that is sealed with a key."""
    return f"{SEPARATOR * (column == TEXT)}{BEGINNING}{key_id}:"


def _content(text: str) -> str:
    return text.removeprefix(SEPARATOR).removeprefix(BEGINNING)
