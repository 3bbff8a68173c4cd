"""Work for other processes and for many threads at once. Importable by a process that is spawned."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

from tests.contract import stores
from tests.contract.samples import append
from tests.servers import via

T = TypeVar("T")


def together(*jobs: Callable[[], T]) -> list[T]:
    """Run each job in a thread or task of its own, all starting at once; their results in the order given."""
    if stores.is_async():
        return stores.together(*jobs)
    ready = threading.Barrier(len(jobs))

    def start(job: Callable[[], T]) -> T:
        ready.wait(timeout=60)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(start, jobs))


def in_processes(work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """Call ``work`` once for each entry of ``arguments``, each in a process of its own."""
    with ProcessPoolExecutor(len(arguments), mp_context=multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(work, *entry) for entry in arguments]]


def append_runs(url: str, session_id: str, prefix: str, count: int) -> int:
    """Open the store at ``url`` and append so many runs to one session."""
    via.take()
    with stores.open_db(url) as db:
        append(db, session_id, *(f"{prefix}{n}" for n in range(count)))
    return count
