"""What a process knows of a session's last runs is what is stored, whoever has changed it, and is not read again."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import CorruptRow, SqliteDb
from agno_store.history import LAST, History, Known, Latest, Marks
from agno_store.records import Run
from agno_store.undecoded import own
from tests.contract.database import overwrite, statements
from tests.contract.processes import together
from tests.contract.samples import append, run, run_ids, session
from tests.contract.stores import open_db
from tests.contract.test_history import CHANGES

LIMIT = 3


@pytest.fixture
def kept(db: Any) -> Any:
    """A store that has read the last runs of a session of five."""
    db.upsert_session(session("s", user_id="u", session_data={"session_state": {}}))
    append(db, "s", "r0", "r1", "r2", "r3", "r4")
    seen(db)
    return db


def seen(db: Any, limit: int = LIMIT) -> Any:
    return db.get_session("s", runs_limit=limit)


def assert_true(*stores: Any) -> None:
    """What stores tell of the last runs is what one tells that knows nothing, in both forms and as often as asked."""
    with open_db(stores[0].db_engine.url, table_name=stores[0].table_name, history_cache_mb=0) as unknowing:
        for limit in (LIMIT, 1, LIMIT + 1, 0):
            stored, entries = seen(unknowing, limit), unknowing.get_session("s", None, None, False, limit)
            for db in [*stores, *stores]:
                assert seen(db, limit) == stored
                assert db.get_session("s", None, None, False, limit) == entries


@pytest.mark.variant
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_reader_sees_what_was(kept: Any, others: Any, change: Callable[[Any], object]) -> None:
    seen(others)
    change(others)

    assert_true(kept, others)


PASSED_OVER: dict[str, dict[str, Any]] = {
    **{status: {"status": status} for status in ("PAUSED", "CANCELLED", "ERROR", "REGENERATED")},
    "a member's": {"parent_run_id": "r4"},
    "without a status": {"status": None},
    "still running": {"status": "RUNNING"},
}


@pytest.mark.variant
@pytest.mark.parametrize("more", PASSED_OVER.values(), ids=PASSED_OVER.keys())
def test_a_run_of_its_own_is_known_as_the_database_tells_it(kept: Any, more: dict[str, Any]) -> None:
    append(kept, "s", "own", **more)

    assert_true(kept)


def test_a_run_changed_until_it_counts_is_there(kept: Any, others: Any) -> None:
    append(kept, "s", "r5", status="PAUSED")
    assert [one.run_id for one in seen(kept).runs] == ["r2", "r3", "r4"]
    others.upsert_run(run("r5"), "s")

    assert [one.run_id for one in seen(kept).runs] == ["r3", "r4", "r5"]


def turn(db: Any, run_id: str) -> None:
    """Store a session as it was read, changed, and a run with it."""
    found = seen(db)
    state = {"session_state": {"last": run_id}}
    db.upsert_session(replace(found, session_data={**found.session_data, **state}), run=run(run_id))


COSTS: dict[str, tuple[int, Callable[[Any, Any], object]]] = {
    "nothing new": (1, lambda own, others: None),
    "its own run": (1, lambda own, others: append(own, "s", "new")),
    "its own turn": (1, lambda own, others: turn(own, "new")),
    "another's session saved": (1, lambda own, others: others.upsert_session(session("s", user_id="u", metadata={}))),
    "another's run": (2, lambda own, others: append(others, "s", "new")),
    "another's turn": (2, lambda own, others: turn(others, "new")),
    "another's change": (2, lambda own, others: others.upsert_run(run("r3", "changed"), "s")),
    "fewer asked for": (1, lambda own, others: seen(own, 1)),
}


@pytest.mark.parametrize(("most", "done"), COSTS.values(), ids=COSTS.keys())
def test_only_what_is_not_known_is_asked_for(
    kept: Any, others: Any, most: int, done: Callable[[Any, Any], object]
) -> None:
    done(kept, others)
    with statements(kept.db_engine) as sent:
        seen(kept)
    with statements(kept.db_engine) as again:
        seen(kept)

    assert (len(sent), len(again)) == (most, 1), sent


def test_a_run_is_read_when_it_is_looked_at(kept: Any) -> None:
    first, *_ = seen(kept).runs
    assert "run_data" not in own(first)
    kinds = [copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first)), replace(first, status="x")]

    assert first.run_data == run("r2")
    assert first.run_data is first.run_data
    assert [one.run_data for one in kinds] == [run("r2")] * 4
    assert first == seen(kept).runs[0]
    assert repr(first) == repr(seen(kept).runs[0])
    with pytest.raises(AttributeError, match="run_data"):
        Run.run_data  # noqa: B018


def test_names_are_texts_and_nothing_more(kept: Any) -> None:
    entries, listed = kept.get_session("s", None, None, False, LIMIT), kept.get_sessions(deserialize=False)[0]
    (one,) = seen(kept, 1).runs
    found = [entries, *listed, *kept.get_runs(deserialize=False)[0], vars(one)]

    assert {type(name) for each in found for name in each} == {str}


def test_a_run_that_was_not_looked_at_is_all_there(kept: Any) -> None:
    first, second, third = seen(kept).runs
    assert "run_data" not in own(first)

    assert Run(**vars(first)) == first
    assert copy.copy(second).run_data is second.run_data
    assert third.__reduce_ex__(4)[2]["run_data"] == run("r4")


def test_what_a_caller_does_to_a_run_is_his_own(kept: Any) -> None:
    before = seen(kept)
    for _ in range(2):
        found = seen(kept)
        found.runs[0].run_data["content"] = "changed"
        found.runs.pop()

    assert seen(kept) == before
    assert before.runs[0].content == "hello"


def test_sessions_without_runs_take_room_too() -> None:
    history = History(0.01)
    for number in range(100):
        marks = Marks(number, 0, 0)
        history.keep((f"s{number}", LAST), Latest(marks, [], LIMIT))
        history.keep((f"s{number}", "agent"), Known(marks).grown(marks, [], None).as_told())
    found = [number for number in range(100) if history.latest(f"s{number}") or history.known((f"s{number}", "agent"))]

    assert found == list(range(found[0], 100))
    assert 1 < len(found) < 10


def test_threads_that_read_one_run_get_one_payload(kept: Any) -> None:
    # So many that all threads are at it before the first has ended.
    kept.upsert_run(run("r4", [Decimal(n) for n in range(20_000)]), "s")
    seen(kept, 1)
    (one,) = seen(kept, 1).runs
    assert "run_data" not in own(one)
    found: list[Any] = []
    together(*[lambda: found.append(one.run_data)] * 8)

    assert {id(payload) for payload in found} == {id(one.run_data)}


def test_a_damaged_run_is_named_each_time(kept: Any, others: Any) -> None:
    others.upsert_run(run("r3", "changed"), "s")
    overwrite(
        kept, "runs", "run_data", '{"content":{"$agno_store":"decimal","value":"ten"}}', session_id="s", run_id="r3"
    )
    for _ in range(2):
        with pytest.raises(CorruptRow, match="run 'r3' of session 's'"):
            seen(kept)
    kept.upsert_run(run("r3", "mended"), "s")

    assert [one.content for one in seen(kept).runs] == ["hello", "mended", "hello"]


def test_another_user_is_told_nothing_of_what_is_known(kept: Any) -> None:
    assert kept.get_session("s", user_id="v", runs_limit=LIMIT) is None
    assert run_ids(kept, "s", user_id="u", runs_limit=LIMIT) == ["r2", "r3", "r4"]


def test_a_tenant_is_told_nothing_of_what_another_knows(opened: Callable[..., Any]) -> None:
    stores = {tenant: opened(tenant_id=tenant) for tenant in (None, "one")}
    for _ in range(2):
        for tenant, store in stores.items():
            append(store, "s", f"{tenant}-{len(seen(store).runs) if seen(store) else 0}")
    assert {tenant: run_ids(store, "s", runs_limit=9) for tenant, store in stores.items()} == {
        None: ["None-0", "None-1"],
        "one": ["one-0", "one-1"],
    }


def test_readers_and_writers_at_once_in_one_store(kept: Any) -> None:
    def write(name: str) -> None:
        for n in range(10):
            turn(kept, f"{name}{n}")
            for changed in ("r4", f"{name}{n}"):
                kept.upsert_run(run(changed, n), "s")

    def look() -> None:
        last = 0
        for _ in range(30):
            found = [one.run_index for one in seen(kept).runs]
            assert found == sorted(found)
            assert found[-1] >= last
            last = found[-1]

    together(lambda: write("a"), lambda: write("b"), look, look)
    assert_true(kept)


@pytest.mark.backends("sqlite")
def test_a_run_that_comes_between_the_row_and_the_runs_is_known_once(fresh_url: str) -> None:
    with SqliteDb(db_url=fresh_url) as db:
        append(db, "s", "r0", "r1", "r2")
        stored, was_read = threading.Event(), threading.Event()
        writer = threading.Thread(target=append, args=(db, "s", "r3"))

        def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if " LIMIT " in statement.replace("\n", " ") and not stored.is_set():
                writer.start()
                assert stored.wait(60)

        def given_back(*_: Any) -> None:
            if threading.current_thread() is writer:
                stored.set()
                assert was_read.wait(60)

        sa.event.listen(db.db_engine, "before_cursor_execute", before)
        sa.event.listen(db.db_engine.pool, "checkin", given_back)
        assert run_ids(db, "s", runs_limit=LIMIT) == ["r1", "r2", "r3"]
        was_read.set()
        writer.join()
        assert run_ids(db, "s", runs_limit=LIMIT) == ["r1", "r2", "r3"]
