"""The characters that a database refuses, written as ones that it takes, and back.

PostgreSQL stores no NUL, and UTF-8 has no lone surrogates. Both are written behind U+001A (SUBSTITUTE): NUL as
U+001A ``0``, a surrogate as U+001A and its four hexadecimal digits, U+001A itself twice.
"""

from __future__ import annotations

import re
from typing import Any

SEPARATOR = "\x1a:"
"""What stands between a tenant and the id of its session in a key: the one sequence that ``escape`` never makes."""

ESCAPE = "\x1a"
"""What every escaped character begins with: a text without it stands as it is."""

# Patterns as text: few texts need one, and re keeps those it has compiled.
_UNSTORABLE = "[\x00\x1a\ud800-\udfff]"
_ESCAPED = "\x1a(?:(0)|(\x1a)|(d[89a-f][0-9a-f]{2}))"
# In JSON text: `\\.` takes every other escape whole, so that the `u0000` of `\\u0000` is not one.
_REFUSED = "\\\\u0000|\\\\u001a|\\\\.|[\ud800-\udfff]"
_PROTECTED = r"\\u001a(?:(0)|(\\u001a)|(d[89a-f][0-9a-f]{2}))|\\."
# A U+001A takes what follows it along, so that the second one of an escaped U+001A begins nothing.
_SEPARATED = "(?:[^\x1a]|\x1a[^:])*\x1a:"


class Damaged(str):
    """An id of which bytes are stored, and no text: what is no UTF-8 stands there as ``\\xff``."""

    @classmethod
    def of(cls, stored: Any) -> Damaged:
        return cls(bytes(stored).decode("utf-8", "backslashreplace"))


class AsStored(str):
    """A key that is kept as it stands in the database, because it holds a tenant."""


def is_separated(stored: str) -> bool:
    """Whether a stored key holds a tenant."""
    return SEPARATOR in stored and re.match(_SEPARATED, stored) is not None


def escape(text: str) -> str:
    """Return an id as text that every database stores unchanged."""
    if text.isascii() and "\x00" not in text and ESCAPE not in text:
        return text
    return re.sub(_UNSTORABLE, _escaped, text)


def unescape(text: str) -> str:
    """Return the id that ``escape`` was given."""
    return re.sub(_ESCAPED, _unescaped, text) if ESCAPE in text else text


def protect(text: str) -> str:
    """Return JSON text whose strings every database stores unchanged."""
    if "\\u0000" not in text and "\\u001a" not in text and _is_utf8(text):
        return text
    return re.sub(_REFUSED, _protected, text)


def unprotect(text: str) -> str:
    """Return the JSON text that ``protect`` was given; it may hold lone surrogates as they are."""
    return re.sub(_PROTECTED, _unprotected, text) if "\\u001a" in text else text


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _protected(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\\u0000":
        return "\\u001a0"
    if found == "\\u001a":
        return "\\u001a\\u001a"
    return found if found[0] == "\\" else f"\\u001a{ord(found):04x}"


def _unprotected(match: re.Match[str]) -> str:
    nul, escape_itself, surrogate = match.groups()
    if surrogate:
        # The character itself, not its \u escape: json would join two neighbours into one character.
        return chr(int(surrogate, 16))
    return "\\u0000" if nul else "\\u001a" if escape_itself else match[0]


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\x00":
        return f"{ESCAPE}0"
    return ESCAPE * 2 if found == ESCAPE else f"{ESCAPE}{ord(found):04x}"


def _unescaped(match: re.Match[str]) -> str:
    nul, _, surrogate = match.groups()
    return chr(int(surrogate, 16)) if surrogate else "\x00" if nul else ESCAPE
