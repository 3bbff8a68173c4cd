"""Waiting for runs in the background: bounded, and without a guess of how long they take."""

from __future__ import annotations

import asyncio
import time

from agno.run import RunStatus

PATIENCE = 20  # seconds


async def over(component, run_id, session_id="s"):
    """Ask for a run until it is over, as a client does that polls, and return it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        run = await component.aget_run_output(run_id, session_id)
        if run is not None and run.status not in (RunStatus.pending, RunStatus.running):
            return run
        assert time.monotonic() < deadline, f"still {run and run.status} after {PATIENCE} s"
        await asyncio.sleep(0.01)


class Gate:
    """A reply that tells when the model is asked, and is given when the test says so."""

    def __init__(self, reply="late answer"):
        self.reply = reply
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, _turn):
        self.reached.set()
        await asyncio.wait_for(self.open.wait(), PATIENCE)
        return self.reply

    async def wait(self):
        await asyncio.wait_for(self.reached.wait(), PATIENCE)
