"""Texts that are too long for a row, told apart from the payload in which they stand, and what is left of it.

In the place of each stands a mark, ``{"$agno_store":"bytes","value":{"media":"<SHA-256>","size":<bytes>}}``, which no
value of a caller's is written as: in a payload a key ``$agno_store`` is only ever the encoder's. Releases that know no
marks take it for bytes, and find that they cannot read them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType

MARK = '{"$agno_store":"bytes","value":{"media":"'
"""What every mark begins with; in a text it is nothing else, since there its quotation marks would be escaped."""

DIGEST, SIZE = "media", "size"

# Patterns as text: few programs keep texts apart, and re keeps what it has compiled.
_MARKS = re.escape(MARK) + r'([0-9a-f]{64})","size":\d+\}\}'
_STRINGS = r'"([^"\\]*(?:\\.[^"\\]*)*)"(:?)'
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Apart(str):
    """A payload with marks, and what they stand for as far as that is there.

    ``parts`` are the letters that stood between the quotation marks, by their digests.
    """

    __slots__ = ("parts", "places")

    parts: Mapping[str, str]
    places: Mapping[str, str]
    """The keys of those that have been put into a store of objects."""

    @classmethod
    def of(cls, text: str, parts: Mapping[str, str], places: Mapping[str, str] = _NOTHING) -> Apart:
        """Return a payload with what its marks stand for."""
        made = cls(text)
        made.parts, made.places = parts, places
        return made


def parted(text: str, over: int | None) -> str:
    """Return a payload without its strings of more bytes than ``over``, as ``Apart``; as it is, where it has none."""
    if over is None or _size(text) <= over:
        return text
    parts: dict[str, str] = {}

    def marked(found: re.Match[str]) -> str:
        letters, is_key = found.groups()
        if is_key or len(letters) * 4 <= over:
            return found[0]
        data = letters.encode()
        if len(data) <= over:
            return found[0]
        digest = sha256(data).hexdigest()
        parts[digest] = letters
        return f'{MARK}{digest}","{SIZE}":{len(data)}}}}}'

    left = re.sub(_STRINGS, marked, text)
    return Apart.of(left, parts) if parts else text


def row(text: str) -> str:
    """Return what of a payload is stored in its row."""
    return str.__str__(text)


def whole(text: str) -> str:
    """Return a payload with all that stands beside it back in its place."""
    parts = parts_of(text)
    if not parts:
        return text
    return re.sub(_MARKS, lambda mark: f'"{parts[mark[1]]}"' if mark[1] in parts else mark[0], text)


def parts_of(text: str) -> Mapping[str, str]:
    """Return what stands beside a payload."""
    return text.parts if isinstance(text, Apart) else _NOTHING


def size(text: str) -> int:
    """Return how many bytes of memory a payload takes, with what stands beside it."""
    parts = parts_of(text)
    return sys.getsizeof(text) + (sum(map(sys.getsizeof, parts.values())) if parts else 0)


def digests(text: object) -> Iterable[str]:
    """Return what a stored payload has marks of; nothing of what SQLite may keep in its place."""
    return dict.fromkeys(re.findall(_MARKS, text)) if isinstance(text, str) and MARK in text else ()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
