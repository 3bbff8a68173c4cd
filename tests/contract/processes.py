"""Work for other processes and for many threads at once. Importable by a process that is spawned."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

from tests.contract import stores
from tests.contract.samples import append, run, session
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


def change_runs(url: str, writer: int, count: int) -> int:
    """Change runs of its own in a session that others share: add, change, patch, delete; now and then delete it.

    The content of a run is the number of the change that it is of.
    """
    via.take()
    chance = random.Random(writer)
    with stores.open_db(url) as db:
        for number in range(1, count + 1):
            run_id = f"w{writer}-{chance.randrange(4)}"
            act = chance.choice(("add", "add", "change", "change", "patch", "delete", "save", "start anew"))
            if act == "patch":
                db.update_run_in_session("s", run_id, {"content": number})
            elif act == "delete":
                db.delete_run(run_id, session_id="s")
            elif act == "save":
                db.upsert_session(session("s", metadata={f"w{writer}": number}))
            elif act == "start anew" and chance.random() < 0.3:
                db.delete_session("s")
                # Made in the same second, whoever makes it.
                db.upsert_session(session("s", created_at=1))
            else:
                db.upsert_run(run(f"{run_id}{'-more' if act == 'add' else ''}", number, created_at=1), "s")
    return count
