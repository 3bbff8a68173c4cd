"""What a session says, as a few letters: the same in every database, whatever its rows look like.

Times of writing, versions and what stays of a row that is replaced are no part of it: they differ where a session was
merged with one that was there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from agno_store import escapes
from agno_store.transfer.columns import ID, KEPT, PAYLOAD, RUN, SESSION, SUMMARY, columns
from agno_store.transfer.conversation import Content, Row

_OF_WRITING = ("updated_at", "version")


@dataclass(frozen=True)
class Part:
    """A session's row, its summary or one of its runs: what it says, and when it was written."""

    name: str
    digest: bytes
    updated_at: int
    version: int

    def is_newer(self, than: Part) -> bool:
        """Whether it was written later than another one."""
        return (self.updated_at, self.version) > (than.updated_at, than.version)


def parts(content: Content) -> Iterator[Part]:
    """Give the parts of a session, its runs in their order."""
    yield _part("its row", SESSION, content.session)
    if content.summary is not None:
        yield _part("its summary", SUMMARY, content.summary)
    for piece in content.runs:
        for run in piece:
            yield _part(f"run {run['run_id']!r}", RUN, run)


def digest(content: Content) -> str:
    """Return the digest of a whole session."""
    whole = sha256()
    for part in parts(content):
        whole.update(part.digest)
    return whole.hexdigest()


def _part(name: str, part: str, row: Row) -> Part:
    left_out = (*_OF_WRITING, *KEPT[part])
    said = [_canonical(each.kind, row.get(each.name)) for each in columns(part).values() if each.name not in left_out]
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return Part(name, digest, row["updated_at"], row.get("version") or 1)


def _canonical(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == PAYLOAD:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # it travels as it is
            return {"unreadable": value}
    return escapes.escape(value) if kind == ID else value
