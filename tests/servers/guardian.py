"""Clean up after a test process, however it ends: `python guardian.py DIRECTORY...`.

The test process holds the other end of standard input and writes there the id of each server it starts, and 0
when it has stopped it. End of file means that it is done or dead, of SIGKILL too, which no atexit survives.
Started as a program of its own, so that it outlives the one it watches; it imports nothing of the project.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

PATIENCE = 10.0  # seconds


def wait_for_the_end(lines: Iterable[str]) -> int:
    """Return the id of the server that still runs when the test process has gone, or 0."""
    server = 0
    for line in lines:
        server = int(line)
    return server


def end(server: int) -> None:
    """Stop the server; SIGQUIT lets PostgreSQL take its children along, SIGKILL is for one that hangs."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS does not permit it for a zombie
            os.killpg(server, number)
        deadline = time.monotonic() + PATIENCE
        while is_running(server) and time.monotonic() < deadline:
            time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether the process exists and is not a zombie, which not every container's init clears away."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    return True


def remove(directory: Path) -> None:
    """Remove the directory, again if something was written into it meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while directory.exists() and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # sent to everyone when a session or a service is stopped
    if last := wait_for_the_end(sys.stdin):
        end(last)
    for argument in sys.argv[1:]:
        remove(Path(argument))
