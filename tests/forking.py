"""Children that are forked while other threads of their parent are at work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def in_child(work: Callable[[], object], seconds: int = 20) -> Callable[[], int]:
    """Do this in a child, which is killed where it takes longer; return what waits for its exit code: 0, if it could.

    Whatever happens to it there, it is no second run of the tests.
    """
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
