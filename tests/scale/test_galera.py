"""Writers at several nodes of a Galera cluster, which see each other's locks only when they commit."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from agno_store import AgnoStoreError, MySQLDb
from tests.contract.database import dump, empty
from tests.contract.held import within
from tests.contract.processes import together
from tests.contract.samples import append, positions, run, session
from tests.scale.nodes import follow, opened
from tests.servers import Galera
from tests.servers.sql import wait_for

Told = Callable[[str, Any], None]

NODES = 3
WHOLE = bool(os.environ.get("TEST_ALL"))

# -- two writers of a session at two nodes -----------------------------------------------------------

WRITERS: dict[str, Callable[[Any, str], Any]] = {
    "save": lambda db, who: db.upsert_session(session("s", user_id="u", metadata={who: 1})),
    "save again": lambda db, _: db.upsert_session(session("s", user_id="u", metadata={"same": 1})),
    "rename": lambda db, who: db.rename_session("s", "agent", who),
    "state": lambda db, who: db.update_session_state("s", lambda state: {**state, who: 1}),
    "hand over": lambda db, who: db.reassign_session_owner("s", previous_user_id="u", user_id=who),
    "append": lambda db, who: db.upsert_run(run(f"new {who}"), "s"),
    "append once": lambda db, _: db.append_run_to_session_if_absent("s", run("new")),
    "save a run": lambda db, who: db.upsert_run(run(f"of {who}", "changed"), "s"),
    "change a run": lambda db, who: db.update_run_in_session("s", f"of {who}", {"content": "changed"}),
    "delete a run": lambda db, who: db.delete_run(f"of {who}", session_id="s"),
    "summary": lambda db, who: db.upsert_summary("s", {"summary": who}),
    "delete": lambda db, _: db.delete_session("s"),
    "prune": lambda db, _: db.prune("0s"),
}


PAIRS = [
    (first, second)
    for first, second in itertools.product(WRITERS, repeat=2)
    if WHOLE or first == second or "delete a run" in (first, second)
]


def furnished(one: Any, other: Any) -> None:
    """A session with runs that only one of two writers is after."""
    empty(one)
    one.upsert_session(session("s", user_id="u", session_data={}))
    for who in ("one", "other"):
        append(one, "s", f"of {who}")
    one.upsert_summary("s", {"summary": "old"})
    follow(other)


def second_commit(one: Any, other: Any, first: str, second: str) -> Exception | None:
    """Write at two nodes, commit both, and return what the second was told."""
    with one.db_engine.connect() as here, other.db_engine.connect() as there:
        with here.begin(), there.begin() as last, within(one, here), within(other, there):
            WRITERS[first](one, "one")
            WRITERS[second](other, "other")
            here.commit()
            try:
                last.commit()
            except DBAPIError as error:
                return error
        return None


def test_of_two_writers_of_a_session_at_two_nodes_the_second_is_run_again(
    fresh_urls: list[str], record_property: Told
) -> None:
    with opened(fresh_urls) as (one, other):
        met = 0
        for first, second in PAIRS:
            for _ in range(3 if WHOLE else 1):
                furnished(one, other)
                error = second_commit(one, other, first, second)
                assert isinstance(error, DBAPIError), f"{first} and {second} were both committed"
                assert one.dialect.is_transient(error)
                met += 1
    record_property("told", f"Galera: {met} pairs of writers of one session at two nodes, 0 both committed")


# -- many at once ------------------------------------------------------------------------------------


@pytest.fixture
def stores(backend: str) -> Iterator[tuple[Galera, list[MySQLDb]]]:
    """A store at each of three nodes, of a cluster of this test's own."""
    with Galera(size=NODES) as cluster, opened(cluster.urls) as found:
        yield cluster, found


def conflicts(caplog: pytest.LogCaptureFixture) -> int:
    """How often a store has said that it tries again."""
    return sum("trying again" in message for message in caplog.messages)


@pytest.mark.backends("mysql")
def test_writers_at_three_nodes_lose_and_double_nothing(
    stores: tuple[Galera, list[MySQLDb]], caplog: pytest.LogCaptureFixture, record_property: Told
) -> None:
    caplog.set_level(logging.INFO, "agno_store")
    each, threads = (50, 2) if WHOLE else (10, 2)
    _, nodes = stores

    def write(db: MySQLDb, name: str) -> None:
        for n in range(each):
            append(db, "s", f"{name}-{n}")
            db.update_session_state("s", lambda state: {"n": state.get("n", 0) + 1})

    together(*(partial(write, db, f"{place}.{t}") for place, db in enumerate(nodes) for t in range(threads)))
    total = NODES * threads * each
    for db in nodes:
        follow(db)
        places = positions(db, "s")
        assert list(places.values()) == list(range(total))
        assert set(places) == {f"{p}.{t}-{n}" for p in range(NODES) for t in range(threads) for n in range(each)}
        assert db.get_session("s").session_data == {"session_state": {"n": total}}
    found = f"{total} appends and {total} increments at {NODES} nodes, {conflicts(caplog)} attempts in vain"
    record_property("told", f"Galera, one session: {found}, 0 lost or doubled")


class Writer(threading.Thread):
    """Appends runs at a node until it is told to stop, and knows which of them were acknowledged."""

    def __init__(self, db: MySQLDb, name: str, session_id: str) -> None:
        super().__init__()
        self.name = name
        self.acknowledged: list[str] = []
        self.failed: list[AgnoStoreError] = []
        self.over = threading.Event()
        self._db, self._session_id = db, session_id

    def run(self) -> None:
        for n in itertools.count():
            if self.over.is_set():
                return
            run_id = f"{self.name}-{n}"
            try:
                append(self._db, self._session_id, run_id)
                self.acknowledged.append(run_id)
            except AgnoStoreError as error:
                self.failed.append(error)
                time.sleep(0.05)


@pytest.mark.backends("mysql")
def test_a_node_that_is_killed_under_load_takes_nothing_along(
    stores: tuple[Galera, list[MySQLDb]], record_property: Told
) -> None:
    cluster, nodes = stores
    writers = [Writer(db, f"{p}.{t}", t) for p, db in enumerate(nodes) for t in ("shared", f"own{p}")]
    for writer in writers:
        writer.start()
    try:
        time.sleep(2)
        cluster.nodes[-1].kill()
        before = [len(writer.acknowledged) for writer in writers]
        time.sleep(8 if WHOLE else 5)
        survivors = slice(0, 2 * (NODES - 1))
        # On a busy machine the others take longer to find out that one is gone.
        wait_for(
            lambda: all(len(w.acknowledged) > n for w, n in zip(writers[survivors], before[survivors], strict=True))
        )
    finally:
        for writer in writers:
            writer.over.set()
        for writer in writers:
            writer.join()
    after = [len(writer.acknowledged) for writer in writers]
    assert all(now > then for now, then in zip(after[survivors], before[survivors], strict=True)), (before, after)
    assert all(writer.failed for writer in writers[2 * (NODES - 1) :])
    for db in nodes[: NODES - 1]:
        follow(db)
        rows = dump(db)["runs"]
        for session_id in ("shared", *(f"own{p}" for p in range(NODES))):
            of_session = [row for row in rows if row["session_id"] == session_id]
            assert [row["run_index"] for row in of_session] == list(range(len(of_session)))
        stored = [row["run_id"] for row in rows]
        assert len(stored) == len(set(stored))
        assert {run_id for writer in writers for run_id in writer.acknowledged} <= set(stored)
    refused = sum(len(writer.failed) for writer in writers[survivors])
    record_property(
        "told", f"Galera, a node killed: {sum(after)} acknowledged, 0 lost or doubled; {refused} refused at the others"
    )
