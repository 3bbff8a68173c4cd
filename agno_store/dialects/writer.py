"""Which process is writing to a SQLite file, where the operating system tells.

SQLite's locks are locks on bytes of the file: the writer holds byte 120 of the write-ahead log's index
(https://www.sqlite.org/walformat.html#wal_locks) or, with a rollback journal, the byte after the first 2^30
(https://www.sqlite.org/lockingv3.html). Linux lists them in /proc/locks. To ask for them by fcntl() instead
would mean to open the file, and to close it drops the locks this process may hold on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy.engine import Connection

LOCKS = Path("/proc/locks")

_BYTES = (("-shm", 120), ("", 2**30 + 1))


def writer(connection: Connection) -> str:
    """Say who writes to the file that a connection is on."""
    file = connection.exec_driver_sql("PRAGMA database_list").fetchall()[0][2]
    for pid in _holders(file):
        with suppress(OSError):
            since = datetime.fromtimestamp(Path(f"/proc/{pid}").stat().st_ctime, timezone.utc)
            return f"process {pid} (running since {since:%Y-%m-%d %H:%M:%S} UTC)"
    return "another process"


def _holders(file: str) -> Iterator[int]:
    if not LOCKS.exists():
        return
    locks = [line.split() for line in LOCKS.read_text().splitlines()]
    for suffix, byte in _BYTES:
        with suppress(OSError):
            found = os.stat(file + suffix)
            inode = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
            for words in locks:  # 1: POSIX ADVISORY WRITE 1234 fe:01:5678 120 120
                if "->" not in words and words[-3] == inode and words[-5] == "WRITE" and _covers(words, byte):
                    yield int(words[-4])


def _covers(words: list[str], byte: int) -> bool:
    first, last = words[-2:]
    return int(first) <= byte and (last == "EOF" or byte <= int(last))
