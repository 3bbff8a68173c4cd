"""Several processes write to one session, and a reader that knows its runs never tells what was."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

import agno.agent  # the program uses it
import pytest

from tests.contract.processes import change_runs
from tests.contract.samples import run, session
from tests.contract.stores import open_db

assert agno.agent

Told = Callable[[str, Any], None]
Runs = list[tuple[str, int]]
"""The ids of a session's runs, and the number of the change that each is of: it grows with every change."""

WRITERS = 3
CHANGES = 1_000 if os.environ.get("TEST_ALL") else 60
WINDOW = 4


@pytest.fixture(autouse=True)
def records() -> None:
    """The other tests of this folder answer as it is without agno."""


def seen(db: Any, limit: int | None = None) -> Runs:
    found = db.get_session(session_id="s", session_type="agent", user_id=None, runs_limit=limit)
    return [] if found is None else [(one.run_id, one.content) for one in found.runs]


class Truth:
    """What a reader that knows nothing has seen so far."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.stayed = 0

    def check(self, before: Runs, told: Runs, after: Runs, last: int = 0) -> None:
        """Raise AssertionError where something is told that was over before; of the ``last`` runs, if not of all."""
        was = dict(before)
        for run_id, number in told:
            assert number >= was[run_id] if run_id in was else number > self.newest.get(run_id, 0), (
                before,
                told,
                after,
            )
        for runs in (before, told, after):
            for run_id, number in runs:
                self.newest[run_id] = max(number, self.newest.get(run_id, 0))
        # What was there all the time, in its order.
        stayed = [entry for entry in before if entry in after]
        assert last or [entry for entry in told if entry in stayed] == stayed
        self.stayed += len(stayed)


def test_a_reader_never_tells_what_was(fresh_url: str, record_property: Told) -> None:
    truth, count = Truth(), 0
    with (
        open_db(fresh_url) as knowing,
        open_db(fresh_url, history_runs=WINDOW) as window,
        open_db(fresh_url) as latest,
        open_db(fresh_url, history_cache_mb=0) as unknowing,
        ProcessPoolExecutor(WRITERS, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        knowing.upsert_session(session("s", created_at=1))
        writers: list[Future[int]] = [pool.submit(change_runs, fresh_url, number, CHANGES) for number in range(WRITERS)]
        done = False
        while not done:
            done = not wait(writers, timeout=0).not_done
            before, told = seen(unknowing), seen(knowing)
            between, some = seen(unknowing), seen(window)
            after, last = seen(unknowing), seen(latest, WINDOW)
            later = seen(unknowing)
            truth.check(before, told, between)
            truth.check(between, some, after, WINDOW)
            truth.check(after, last, later, WINDOW)
            count += 1
            if count % 3 == 0:  # of its own, and behind what it knows or not
                latest.upsert_run(run(f"own-{count % 4}", count, created_at=1), "s")
        written = sum(writer.result() for writer in writers)
        assert seen(knowing) == seen(unknowing)
        assert seen(window) == seen(latest, WINDOW) == seen(unknowing)[-WINDOW:]

    record_property("told", f"{WRITERS} writers of one session: {written} changes, {count} reads, 0 of them stale")
    assert truth.stayed > 0
