"""Files that a database is in."""

from __future__ import annotations

import re
from pathlib import Path

_HEADER = b"SQLite format 3\x00"
_BESIDE = "-(wal|shm|journal)$"
"""How a file is called that a database has beside its own."""


def is_of_database(file: Path) -> bool:
    """Whether a file is a database, or is or would be the log of the one that stands beside it."""
    return any(_is_database(each) for each in (file, Path(re.sub(_BESIDE, "", str(file)))))


def _is_database(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_HEADER)) == _HEADER
