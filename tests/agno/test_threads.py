"""One store object, many threads: agno calls it from worker threads, executors and event loops at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from agno_store import SqliteDb
from tests.agno.scripted import Call, put

THREADS = 16
PATIENCE = 60  # seconds


def together(work):
    """Call ``work(number)`` in that many threads at the same moment and return what they returned."""
    start = Barrier(THREADS)

    def begin(number):
        start.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS), timeout=PATIENCE))


def test_agents_in_threads_keep_their_sessions_apart(assistant, db):
    def talk(number):
        agent = assistant("hello", lambda turn: str(turn.conversation))
        agent.run(f"I am {number}.", session_id=f"s{number}", user_id=f"u{number}")
        return agent.run("Who am I?", session_id=f"s{number}", user_id=f"u{number}").content

    answers = together(talk)
    for number, answer in enumerate(answers):
        assert answer == str([("user", f"I am {number}."), ("assistant", "hello"), ("user", "Who am I?")])
    sessions, total = db.get_sessions(deserialize=False)
    assert total == THREADS
    assert {len(session["runs"]) for session in sessions} == {2}


def test_the_very_first_runs_may_come_from_all_threads_at_once(assistant, db):
    together(lambda number: assistant().run("hi", session_id=f"s{number}"))
    assert len(db.get_runs()) == THREADS


def test_runs_of_one_session_from_all_threads_get_a_position_each(assistant, db):
    run_ids = together(lambda number: assistant().run(f"question {number}", session_id="s").run_id)
    rows, _ = db.get_runs("s", deserialize=False)
    assert [row["run_index"] for row in rows] == list(range(THREADS))
    assert {row["run_id"] for row in rows} == set(run_ids)
    later = assistant(num_history_runs=THREADS)
    later.run("all of you?", session_id="s")
    assert len(later.model.turns[0].conversation) == 2 * THREADS + 1


def test_event_loops_in_threads_share_a_store(assistant, db):
    def talk(number):
        agent = assistant(Call("put", item=str(number)), "ok", tools=[put])
        return asyncio.run(agent.arun("put it", session_id=f"s{number}")).content

    assert together(talk) == ["ok"] * THREADS
    baskets = [db.get_session(f"s{number}").session_data["session_state"]["basket"] for number in range(THREADS)]
    assert baskets == [[str(number)] for number in range(THREADS)]


def test_a_store_in_memory_serves_all_threads(assistant):
    with SqliteDb(db_url="sqlite://") as memory:
        together(lambda number: assistant(f"answer {number}", db=memory).run("hi", session_id="s"))
        assert {run.content for run in memory.get_runs("s")} == {f"answer {number}" for number in range(THREADS)}
