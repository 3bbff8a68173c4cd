"""A call that is interrupted by an error of anybody's, as a signal's handler raises one, and the calls behind it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa

import agno_store
from agno_store import sending
from agno_store.dialects import at_once, pymysql_driver, together
from agno_store.dialects.own import is_own
from tests.contract.samples import append, session

pytestmark = pytest.mark.backends("postgresql", "mysql")

OURS = {str(module.__file__) for module in (sending, at_once, pymysql_driver, together)}
DRIVERS = [f"{Path(path)}/" for name in ("pymysql", "psycopg") for path in __import__(name).__path__]


class TimeLimitExceeded(Exception):
    """What a queue's worker raises in a job that takes too long."""


def interrupted(call: Callable[[], object], at: int) -> bool:
    """Interrupt a call as it enters function ``at`` of the driver's and of ours above it; whether there are as many.

    There Python looks whether a signal has come. It does not before each line: not between a lock and its release.
    """
    left = at

    def entered(frame: FrameType, _event: str, _: Any) -> None:
        nonlocal left
        file = frame.f_code.co_filename
        if file in OURS or any(file.startswith(path) for path in DRIVERS):
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise TimeLimitExceeded

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        call()
    except (TimeLimitExceeded, agno_store.AgnoStoreError):
        pass
    finally:
        sys.settrace(before)
    return left <= 0


@pytest.fixture(params=["engine of its own", "engine of the caller's"])
def db(db: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    for name in ("ann", "bob"):
        db.upsert_session(session(f"of-{name}", user_id=name, session_data={"session_state": {"whose": name}}))
        append(db, f"of-{name}", f"run-of-{name}", user_id=name)
    if request.param == "engine of its own":
        yield db
        return
    # Each interruption costs a connection, and PyMySQL reads the certificates of all authorities for each.
    quick = {"ssl_disabled": True} if db.db_engine.dialect.driver == "pymysql" else {}
    engine = sa.create_engine(db.db_engine.url, connect_args=quick)
    yield type(db)(db_engine=engine)
    engine.dispose()


CALLS: dict[str, Callable[[Any, int], object]] = {
    "reads": lambda db, _: db.get_session("of-ann", user_id="ann", deserialize=False),
    "lists": lambda db, _: db.get_sessions(user_id="ann", deserialize=False),
    "writes a run": lambda db, n: append(db, "of-ann", f"r{n}", user_id="ann"),
    "writes a session": lambda db, n: db.upsert_session(
        session("of-ann", user_id="ann", session_data={"session_state": {"whose": "ann", "n": n}})
    ),
}


@pytest.fixture
def step(db: Any) -> int:
    """How many functions to go on: PyMySQL's own connections go through many, and one is lost each time."""
    is_long = db.db_engine.dialect.driver == "pymysql" and not is_own(db.db_engine)
    return 5 if is_long and not os.environ.get("TEST_ALL") else 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_the_next_call_gets_its_own_answer(db: Any, call: Callable[[Any, int], object], step: int) -> None:
    call(db, 0)  # what is built once is built
    at = 1
    while interrupted(partial(call, db, at), at):
        listed, _ = db.get_sessions(user_id="bob", deserialize=False)
        assert [found["session_data"]["session_state"] for found in listed] == [{"whose": "bob"}], at
        found = db.get_session("of-bob", user_id="bob", deserialize=False)
        assert [run["run_id"] for run in found["runs"]] == ["run-of-bob"], at
        assert db.get_session("of-ann", user_id="ann", deserialize=False)["user_id"] == "ann", at
        assert db.get_session("of-nobody") is None
        at += step
    assert at > 5
    runs = db.get_session("of-ann", user_id="ann", deserialize=False)["runs"]
    assert len({run["run_id"] for run in runs}) == len(runs)
