"""Processes that are killed in the middle of what they do.

Each is forked from one that has imported what it needs and has never opened anything: to start Python and import
takes longer than most of what is killed here.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

IMPORTED = (
    "agno_store.dialects.mysql",
    "agno_store.dialects.postgresql",
    "agno_store.dialects.sqlite",
    "agno_store.migrations.migrator",
    "agno_store.transfer.bringing",
    "agno_store.transfer.legacy.source",
    "psycopg",
    "pymysql",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
)

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["__main__", __name__, *IMPORTED])


def until_killed(program: Callable[..., T], *arguments: Any, timeout: float = 120) -> T | None:
    """Call a function of a module in a process of its own; return what it returns, None if the process was killed."""
    answers, ours = _context.Pipe(duplex=False)
    process = _context.Process(target=_answered, args=(ours, program, arguments), daemon=True)
    process.start()
    ours.close()
    try:
        assert answers.poll(timeout), f"no answer within {timeout} seconds"
        result, failure = answers.recv()
    except EOFError:
        result, failure = None, "it ended without an answer"
    finally:
        answers.close()
        process.join(10)
    if process.exitcode == -signal.SIGKILL:
        return None
    assert failure is None, failure
    found: T = result
    return found


def _answered(answer: Connection, program: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        answer.send((program(*arguments), None))
    except Exception:
        answer.send((None, traceback.format_exc()))
        raise
