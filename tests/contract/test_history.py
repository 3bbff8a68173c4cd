"""What a process knows of a session's runs is what is stored, whoever has changed it, and is not read again.

agno reads a session with all of its runs before each run. Here the objects are agno's.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import agno.agent  # the program uses it
import pytest
import sqlalchemy as sa
from agno.run.agent import RunOutput
from agno.session import AgentSession, WorkflowSession

from agno_store import ConfigurationError, CorruptRow
from agno_store.transfer import Reading, bring
from tests.contract.database import overwrite, quoted, statements, stored, tables
from tests.contract.processes import together
from tests.contract.samples import append, run, session
from tests.contract.stores import is_async, open_db
from tests.contract.test_hardening import meanwhile
from tests.package.documents import blocks
from tests.package.source import ROOT

assert agno.agent


@pytest.fixture(autouse=True)
def records() -> None:
    """The other tests of this folder answer as it is without agno."""


@pytest.fixture
def kept(db: Any) -> Any:
    """A store that has read a session of five runs."""
    db.upsert_session(session("s", user_id="u", session_data={"session_state": {}}))
    append(db, "s", "r0", "r1", "r2", "r3", "r4")
    read(db)
    return db


def read(db: Any, session_id: str = "s", kind: str = "agent") -> Any:
    """Read a session as agno does."""
    return db.get_session(session_id=session_id, session_type=kind, user_id=None, runs_limit=None)


def seen(db: Any, session_id: str = "s", kind: str = "agent") -> list[dict[str, Any]] | None:
    """All that is in its runs, but for their times, which agno makes up where a run has none."""
    found = read(db, session_id, kind)
    return None if found is None else [{**one.to_dict(), "created_at": None} for one in found.runs]


def contents(db: Any, session_id: str = "s") -> list[Any]:
    return [one.content for one in read(db, session_id).runs]


def assert_true(*stores: Any) -> None:
    """What stores tell of a session is what one tells that knows nothing."""
    with open_db(stores[0].db_engine.url, table_name=stores[0].table_name, history_cache_mb=0) as unknowing:
        stored = seen(unknowing)
    for db in [*stores, *stores]:
        assert seen(db) == stored


# -- what others do --------------------------------------------------------------------------------------


def delete_and_make_anew(db: Any, content: str = "of another session") -> None:
    made = read(db).created_at
    db.delete_session("s")
    db.upsert_session(session("s", created_at=made))
    append(db, "s", "r0", "r1", "r2", "r3", "r4", content=content)


def forget_a_user(db: Any) -> None:
    overwrite(db, "runs", "user_id", "w", session_id="s", run_id="r2")
    assert db.delete_user("w").runs == 1


def as_an_older_release(db: Any) -> None:
    """Change a run as releases did that did not know of revision 0005."""
    overwrite(
        db, "runs", "run_data", '{"run_id":"r1","agent_id":"helper","content":"old"}', session_id="s", run_id="r1"
    )
    overwrite(db, "runs", "version", 2, session_id="s", run_id="r1")
    overwrite(db, "sessions", "updated_at", stored(db, "sessions", "updated_at", session_id="s") + 1, session_id="s")


def as_an_older_release_and_saved_since(db: Any) -> None:
    as_an_older_release(db)
    db.upsert_session(session("s", user_id="u", metadata={"saved": True}))
    append(db, "s", "r5")


def past_the_store(db: Any) -> None:
    """Change a run so that it is at the version and time that it was, and tell of it as the guide says."""
    overwrite(
        db, "runs", "run_data", '{"run_id":"r1","agent_id":"helper","content":"past"}', session_id="s", run_id="r1"
    )
    (told,) = (block.text for block in blocks(ROOT / "docs/howto/long-sessions.md") if block.language == "sql")
    with db.db_engine.begin() as connection:
        connection.exec_driver_sql(told.replace("agent_sessions", quoted(db, db.table_name)).replace("...", "s"))


CHANGES: dict[str, Callable[[Any], object]] = {
    "a new run": lambda db: append(db, "s", "new"),
    "several new runs": lambda db: append(db, "s", "new", "newer", "newest"),
    "the first run changed": lambda db: db.upsert_run(run("r0", "changed"), "s"),
    "the last run changed": lambda db: db.upsert_run(run("r4", "changed"), "s"),
    "a run changed twice": lambda db: [db.upsert_run(run("r2", text), "s") for text in ("once", "twice")],
    "a run patched": lambda db: db.update_run_in_session("s", "r3", {"content": "patched"}),
    "a run patched with its session": lambda db: db.update_run_in_session(
        "s", "r3", {"content": "patched"}, session_data={"session_state": {"n": 1}}
    ),
    "a run that waited cancelled": lambda db: (
        db.upsert_run(run("r4", status="PENDING"), "s"),
        db.cancel_pending_run("r4", session_id="s", reason="no"),
    ),
    "the first run deleted": lambda db: db.delete_run("r0", session_id="s"),
    "the last run deleted": lambda db: db.delete_run("r4", session_id="s"),
    "every run deleted": lambda db: db.delete_runs([f"r{n}" for n in range(5)], session_id="s"),
    "a run deleted and stored anew": lambda db: [db.delete_run("r1", session_id="s"), db.upsert_run(run("r1"), "s")],
    "a run changed and another one new": lambda db: [db.upsert_run(run(one, "changed"), "s") for one in ("r1", "new")],
    "the session saved": lambda db: db.upsert_session(session("s", user_id="u", metadata={"n": 1})),
    "the session saved with a time of its own": lambda db: (
        db.upsert_run(run("r1", "changed"), "s"),
        db.upsert_sessions([session("s", user_id="u", updated_at=7)], preserve_updated_at=True),
    ),
    "the session renamed": lambda db: db.rename_session("s", "agent", "new name"),
    "the state changed": lambda db: db.update_session_state("s", lambda state: {"n": 1}),
    "a summary": lambda db: db.upsert_summary("s", {"summary": "text"}),
    "the session handed over": lambda db: db.reassign_session_owner("s", previous_user_id="u", user_id="v"),
    "a user's run forgotten": forget_a_user,
    "the session deleted": lambda db: db.delete_session("s"),
    "the session deleted and made anew": delete_and_make_anew,
    "a run changed past the store": past_the_store,
    "a run changed by an older release": as_an_older_release,
    "a run changed by an older release, and what is new since": as_an_older_release_and_saved_since,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_reader_sees_what_was(kept: Any, others: Any, change: Callable[[Any], object]) -> None:
    read(others)
    change(others)

    assert_true(kept, others)


def test_what_is_brought_from_another_store_is_seen(kept: Any, others: Any, fresh_url: str) -> None:
    with open_db(fresh_url) as elsewhere:
        bring(_core(elsewhere), Reading(_core(kept)))
        for said in ("brought", "again", "anew"):  # each at the same place, version and time
            text = f'{{"run_id":"r1","agent_id":"helper","content":"{said}"}}'
            overwrite(elsewhere, "runs", "run_data", text, run_id="r1")
            others.delete_run("r1", session_id="s") if said == "brought" else others.delete_session("s")
            bring(_core(others), Reading(_core(elsewhere)))
            assert contents(kept)[1] == said
    assert_true(kept, others)


def _core(db: Any) -> Any:
    """The synchronous store, which is what sessions are brought into."""
    return db.inner._here().core if is_async() else db


def test_a_run_stored_by_two_processes_in_turn_is_there_each_time(kept: Any, others: Any) -> None:
    for n in range(6):
        append((kept, others)[n % 2], "s", f"new{n}")
        assert [one.run_id for one in read(kept).runs][5:] == [f"new{m}" for m in range(n + 1)]
        assert_true(others)


def test_a_time_set_back_hides_no_change(kept: Any, others: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = stored(kept, "sessions", "updated_at", session_id="s")
    for name in ("agno_store.store.now", "agno_store.operations.runs.now"):
        monkeypatch.setattr(name, lambda: moment)
    for n in range(3):
        others.upsert_run(run("r1", f"changed {n}"), "s")
        assert contents(kept)[1] == f"changed {n}"
        kept.update_run_in_session("s", "r2", {"content": f"patched {n}"})
        assert contents(others)[2] == f"patched {n}"
    assert stored(kept, "sessions", "updated_at", session_id="s") == moment
    for content in ("of another session", "of a third one"):
        delete_and_make_anew(others, content)
        assert contents(kept) == [content] * 5
        assert_true(kept, others)


def test_what_a_caller_does_to_a_session_is_his_own(kept: Any) -> None:
    before = seen(kept)
    found = read(kept)
    found.runs[0].content = "changed"
    found.runs[1].messages = ["changed"]
    found.runs.pop()
    vars(found.runs[2])["content"] = "changed"

    assert seen(kept) == before


def test_each_type_of_session_has_the_runs_that_agno_reads_as_its(kept: Any) -> None:
    kept.upsert_run({"run_id": "w", "workflow_id": "w", "content": "of a workflow"}, "s")
    for _ in range(2):
        agents, workflows = read(kept), read(kept, kind="workflow")
        assert (type(agents), [one.run_id for one in agents.runs]) == (AgentSession, [f"r{n}" for n in range(5)])
        assert (type(workflows), [one.run_id for one in workflows.runs]) == (WorkflowSession, ["w"])
    append(kept, "s", "r5")
    assert [one.run_id for one in read(kept).runs] == [f"r{n}" for n in range(6)]
    assert [one.run_id for one in read(kept, kind="workflow").runs] == ["w"]


def test_a_damaged_run_is_named_each_time(kept: Any, others: Any) -> None:
    others.upsert_run(run("r2", "changed"), "s")
    overwrite(
        kept, "runs", "run_data", '{"content":{"$agno_store":"decimal","value":"ten"}}', session_id="s", run_id="r2"
    )
    for _ in range(2):
        with pytest.raises(CorruptRow, match="run 'r2' of session 's'"):
            read(kept)
    kept.upsert_run(run("r2", "mended"), "s")
    assert contents(kept)[2] == "mended"


def test_another_user_is_told_nothing_of_what_is_known(kept: Any) -> None:
    assert kept.get_session("s", "agent", user_id="v") is None
    assert len(kept.get_session("s", "agent", user_id="u").runs) == 5


@pytest.mark.backends("postgresql", "mysql")
@pytest.mark.parametrize("limit", [None, 5])
def test_a_session_handed_over_while_it_is_read_is_not_known_to_be_without_runs(
    opened: Callable[..., Any], limit: int | None
) -> None:
    db, other = opened(), opened()
    other.upsert_session(session("s", user_id="u"))
    append(other, "s", "r0", "r1", user_id="u")
    meanwhile(
        db, "agent_sessions_summaries", lambda: other.reassign_session_owner("s", previous_user_id="u", user_id="v")
    )
    for user, runs in (("u", []), ("v", ["r0", "r1"]), ("v", ["r0", "r1"])):
        found = db.get_session("s", "agent", user_id=user, runs_limit=limit)
        assert [one.run_id for one in found.runs] == runs


def test_readers_and_writers_at_once_in_one_store(kept: Any) -> None:
    def write() -> None:
        for n in range(15):
            kept.upsert_run(run("r1", n), "s")
            append(kept, "s", f"new{n}")

    def look() -> None:
        last = -1
        for _ in range(30):
            found = read(kept).runs
            number = found[1].content if isinstance(found[1].content, int) else -1
            assert number >= last
            assert [one.run_id for one in found][5:] == [f"new{n}" for n in range(len(found) - 5)]
            last = number

    together(write, look, look)
    assert_true(kept)


# -- what it costs ---------------------------------------------------------------------------------------

COSTS: dict[str, tuple[int, Callable[[Any, Any], object]]] = {
    "nothing new": (1, lambda own, others: None),
    "its own run": (1, lambda own, others: append(own, "s", "new")),
    "its own session saved": (1, lambda own, others: own.upsert_session(read(own))),
    "another's run": (2, lambda own, others: append(others, "s", "new")),
    "another's session saved": (1, lambda own, others: others.upsert_session(read(others))),
    "another's change": (3, lambda own, others: others.upsert_run(run("r3", "changed"), "s")),
    "another's deletion": (2, lambda own, others: others.delete_run("r1", session_id="s")),
}


@pytest.mark.parametrize(("most", "done"), COSTS.values(), ids=COSTS.keys())
def test_only_what_is_new_is_asked_for(kept: Any, others: Any, most: int, done: Callable[[Any, Any], object]) -> None:
    done(kept, others)
    with statements(kept.db_engine) as sent:
        read(kept)
    with statements(kept.db_engine) as again:
        read(kept)

    assert len(sent) == most, sent
    assert len(again) == 1, again


def turn(db: Any, session_id: str, number: int) -> int:
    """Do what agno does around one run, and return how many runs it found."""
    found = read(db, session_id)
    count = len(found.runs)
    assert all(one.content == "hello" for one in found.runs[-5:])
    done = RunOutput(run_id=f"new{number}", agent_id="helper", session_id=session_id, content="hello")
    found.runs.append(done)
    found.session_data["session_state"]["turns"] = number
    db.upsert_session(session=found)
    db.upsert_run(run=done, session_id=session_id, user_id=None, run_index=count)
    return count


def fill(db: Any, session_id: str, count: int) -> None:
    """Store a session with so many runs, past the store."""
    db.upsert_session(session(session_id, session_data={"session_state": {}}))
    runs = tables(db)["runs"]
    text = '{"run_id":"%s","agent_id":"helper","content":"hello","status":"COMPLETED"}'
    with db.db_engine.begin() as connection:
        for start in range(0, count, 1000):
            rows = [
                {"session_id": session_id, "run_id": f"r{n}", "run_index": n, "run_type": "agent"}
                | {"run_data": text % f"r{n}", "created_at": n, "updated_at": n}
                for n in range(start, min(count, start + 1000))
            ]
            connection.execute(sa.insert(runs), rows)
    overwrite(db, "sessions", "next_run_index", count, session_id=session_id)


def test_a_turn_after_ten_thousand_runs_sends_what_the_first_does(db: Any) -> None:
    sent = {}
    for count in (0, 10_000):
        fill(db, f"s{count}", count)
        turn(db, f"s{count}", 0)
        with statements(db.db_engine) as sent[count]:
            assert turn(db, f"s{count}", 1) == count + 1

    assert sent[10_000] == sent[0]


def test_what_is_known_takes_no_more_memory_than_it_may(opened: Callable[..., Any]) -> None:
    db, letters = opened(history_cache_mb=2), "x" * 50_000
    for number in range(20):
        append(db, f"s{number}", *(f"r{n}" for n in range(5)), content=letters)
    read(db, "s0")
    tracemalloc.start()
    try:
        for number in range(20):
            assert len(read(db, f"s{number}").runs) == 5
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken < 3_000_000
    for number, most in ((19, 1), (0, 2)):
        with statements(db.db_engine) as sent:
            read(db, f"s{number}")
        assert len(sent) == most


def test_a_session_that_is_larger_than_the_memory_is_read_each_time(opened: Callable[..., Any]) -> None:
    db = opened(history_cache_mb=0.1)
    append(db, "s", *(f"r{n}" for n in range(15)), content="x" * 10_000)
    for _ in range(2):
        with statements(db.db_engine) as sent:
            assert len(read(db).runs) == 15
    assert len(sent) == 2


# -- the last runs alone -----------------------------------------------------------------------------------


@pytest.fixture
def last_three(kept: Any) -> Iterator[Any]:
    with open_db(kept.db_engine.url, table_name=kept.table_name, history_runs=3) as store:
        yield store


def test_a_session_comes_with_its_last_runs_alone(kept: Any, last_three: Any) -> None:
    for _ in range(2):
        assert [one.run_id for one in read(last_three).runs] == ["r2", "r3", "r4"]
    for form in (last_three.get_session("s"), last_three.get_session("s", "agent", deserialize=True)):
        assert [one.run_id for one in form.runs] == ["r2", "r3", "r4"]
    entries = last_three.get_session("s", deserialize=False)["runs"]
    assert [entry["run_id"] for entry in entries] == ["r2", "r3", "r4"]
    assert len(last_three.get_session("s", runs_limit=4).runs) == 4
    assert len(last_three.get_runs(session_id="s")) == 5


def test_the_last_runs_are_those_that_are_last_now(kept: Any, last_three: Any) -> None:
    append(last_three, "s", "r5")
    assert [one.run_id for one in read(last_three).runs] == ["r3", "r4", "r5"]
    append(kept, "s", "r6")
    assert [one.run_id for one in read(last_three).runs] == ["r4", "r5", "r6"]
    kept.delete_run("r5", session_id="s")
    assert [one.run_id for one in read(last_three).runs] == ["r3", "r4", "r6"]
    kept.upsert_run(run("r3", "changed"), "s")
    with statements(last_three.db_engine) as sent:
        assert [one.content for one in read(last_three).runs] == ["changed", "hello", "hello"]
    assert [" LIMIT " in " ".join(statement.split()) for statement in sent] == [False, True, False]


def test_a_session_with_its_last_runs_is_saved_without_harm_to_the_others(kept: Any, last_three: Any) -> None:
    found = read(last_three)
    found.runs.append(RunOutput(run_id="r5", agent_id="helper", content="new"))
    found.metadata = {"n": 1}
    last_three.upsert_session(found)
    last_three.upsert_run(found.runs[-1], "s", run_index=3)

    assert [one.run_id for one in read(kept).runs] == [f"r{n}" for n in range(6)]
    assert read(kept).metadata == {"n": 1}


@pytest.mark.parametrize("options", [{"history_runs": 0}, {"history_runs": True}, {"history_runs": 2.5}])
def test_a_number_of_runs_that_is_none_is_refused(fresh_url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="history_runs="):
        open_db(fresh_url, **options)


@pytest.mark.parametrize("size", [-1, True, "64", float("nan"), float("inf")])
def test_a_memory_that_is_none_is_refused(fresh_url: str, size: Any) -> None:
    with pytest.raises(ConfigurationError, match="history_cache_mb="):
        open_db(fresh_url, history_cache_mb=size)
