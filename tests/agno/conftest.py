"""What the tests with the real agno share."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["AGNO_TELEMETRY"] = "false"  # before agno is imported: nothing here may call home

from agno.agent import Agent

from agno_store import open_db
from tests.agno.scripted import scripted

ROOT = Path(__file__).resolve().parents[2]
AGNO_LOGGERS = ("agno", "agno-team", "agno-workflow")


class Complaints(logging.Handler):
    """What agno warned of. It swallows a failed save of its db and logs it: no test may overlook one.

    That AgentOS refused a request with a 4xx is left out: the answer says so.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not message.startswith("HTTP exception: 4"):
            self.messages.append(message)

    def take(self, part: str) -> list[str]:
        """Return the messages that hold ``part``, of which there must be one, and forget them."""
        taken = [message for message in self.messages if part in message]
        assert taken, f"agno did not say {part!r} but {self.messages}"
        self.messages = [message for message in self.messages if part not in message]
        return taken


@pytest.fixture(autouse=True)
def complaints() -> Iterator[Complaints]:
    """Fail the test for every warning of agno's that the test does not take."""
    handler = Complaints()
    for name in AGNO_LOGGERS:
        logging.getLogger(name).addHandler(handler)
    yield handler
    for name in AGNO_LOGGERS:
        logging.getLogger(name).removeHandler(handler)
    assert handler.messages == []


@pytest.fixture
def assistant(db: Any) -> Callable[..., Agent]:
    """Make an agent that gives these replies and is told what was said before in its session."""

    def make(*replies: Any, **options: Any) -> Agent:
        defaults = {"id": "assistant", "name": "Assistant", "db": db, "add_history_to_context": True}
        return Agent(model=scripted(*replies), **{**defaults, **options})

    return make


@pytest.fixture
def reopen(fresh_url: str) -> Iterator[Callable[[], Any]]:
    """Open the database of the test once more, as another process would: a new store object."""
    opened: list[Any] = []

    def open_again() -> Any:
        opened.append(open_db(fresh_url))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def python() -> Callable[..., str]:
    """Run a program in a fresh interpreter and return what it printed, without the space around it."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run
