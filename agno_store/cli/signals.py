"""Being told to end by a container, a service manager or a terminal that is closed: everything is cleaned up first."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_NAMES = ("SIGTERM", "SIGHUP")


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Let the signals that end a program do it as Ctrl-C does, so that no half-written file of conversations is left.

    The exit code is the shell's for that signal. One that is ignored, as under nohup, stays so.
    """
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody handle them
        numbers = []
    caught = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _frame: object) -> NoReturn:
        for each in caught:  # timeout and others send it twice, which must not end the cleaning up
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
