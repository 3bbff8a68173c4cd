"""Runs in the background, polled by whoever asks, and runs that are cancelled."""

from __future__ import annotations

import asyncio

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run import RunContext, RunStatus
from agno.run.agent import RunCancelledEvent, RunContentEvent, RunOutput
from agno.run.base import CancellationStage
from agno.run.status_persist import RunPersistOutcome, apersist_run_status, apersist_run_transition

from tests.agno.polling import Gate, over
from tests.agno.scripted import Call


def test_a_background_run_can_be_polled_from_its_first_moment(assistant, reopen):
    async def talk():
        gate = Gate()
        run = await assistant(gate).arun("hi", session_id="s", background=True)
        poller = assistant(db=reopen())
        stati = [(await poller.aget_run_output(run.run_id, "s")).status]
        await gate.wait()
        stati.append((await poller.aget_run_output(run.run_id, "s")).status)
        gate.open.set()
        done = await over(poller, run.run_id)
        return [*stati, done.status], done

    stati, done = asyncio.run(talk())
    assert stati == [RunStatus.pending, RunStatus.running, RunStatus.completed]
    assert done.content == "late answer"
    assert [(message.role, message.content) for message in done.messages] == [
        ("user", "hi"),
        ("assistant", "late answer"),
    ]


def test_a_background_run_is_one_run_and_in_the_next_prompt(assistant, db):
    async def talk(agent):
        run = await agent.arun("hi", session_id="s", background=True)
        await over(agent, run.run_id)
        await agent.arun("and?", session_id="s")

    agent = assistant("Hello.")
    asyncio.run(talk(agent))
    rows, _ = db.get_runs("s", deserialize=False)
    assert [(row["run_index"], row["status"]) for row in rows] == [(0, "COMPLETED"), (1, "COMPLETED")]
    assert agent.model.turns[-1].conversation == [("user", "hi"), ("assistant", "Hello."), ("user", "and?")]


def test_a_background_run_that_fails_says_so_to_the_poller(assistant, reopen, complaints):
    async def talk():
        agent = assistant(RuntimeError("out of service"))
        run = await agent.arun("hi", session_id="s", background=True)
        return await over(assistant(db=reopen()), run.run_id)

    failed = asyncio.run(talk())
    assert failed.status == RunStatus.error
    complaints.take("out of service")


def test_a_background_stream_is_stored(assistant, db):
    async def talk(agent):
        parts = [part async for part in agent.arun("count", session_id="s", background=True, stream=True)]
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})  # agno is not done with the last part
        return parts

    parts = asyncio.run(talk(assistant("one two")))
    assert any("one" in part for part in parts)
    assert [(run.content, run.status) for run in db.get_session("s").runs] == [("one two", RunStatus.completed)]


def test_many_background_runs_of_one_session_are_all_stored(assistant, db):
    async def talk():
        agents = [assistant(f"answer {number}") for number in range(8)]
        runs = await asyncio.gather(*(agent.arun("hi", session_id="s", background=True) for agent in agents))
        return {run.run_id: (await over(agents[0], run.run_id)).content for run in runs}

    contents = asyncio.run(talk())
    assert sorted(contents.values()) == [f"answer {number}" for number in range(8)]
    rows, _ = db.get_runs("s", deserialize=False)
    assert [row["run_index"] for row in rows] == list(range(8))


# -- cancel --------------------------------------------------------------------------------------------


def stop(run_context: RunContext) -> str:
    """Cancel this very run."""
    Agent.cancel_run(run_context.run_id)
    return "stopping"


def test_a_cancelled_run_is_stored_as_cancelled_and_is_not_in_the_next_prompt(assistant, db):
    agent = assistant("Hello.", Call("stop"), "never said", tools=[stop])
    agent.run("hi", session_id="s")
    cancelled = agent.run("stop", session_id="s")
    assert db.get_run(cancelled.run_id).status == RunStatus.cancelled
    agent.run("and now?", session_id="s")
    assert agent.model.turns[-1].conversation == [("user", "hi"), ("assistant", "Hello."), ("user", "and now?")]


def test_a_cancelled_stream_keeps_what_was_said_until_then(assistant, db):
    agent = assistant("one two three")
    events = []
    for event in agent.run("count", session_id="s", stream=True, stream_events=True):
        events.append(type(event))
        if isinstance(event, RunContentEvent):
            agent.cancel_run(event.run_id)
    assert events.count(RunContentEvent) == 1
    assert RunCancelledEvent in events
    (stored,) = db.get_runs("s")
    assert stored.status == RunStatus.cancelled
    assert stored.content.startswith("one")
    assert "three" not in stored.content


def test_a_background_run_is_cancelled_while_it_works(assistant, db):
    async def talk():
        gate = Gate()
        agent = assistant(gate)
        run = await agent.arun("hi", session_id="s", background=True)
        await gate.wait()
        assert await agent.acancel_run(run.run_id)
        gate.open.set()
        return await over(agent, run.run_id)

    assert asyncio.run(talk()).status == RunStatus.cancelled
    assert [row["status"] for row in db.get_runs("s", deserialize=False)[0]] == ["CANCELLED"]


def test_a_background_run_is_cancelled_before_it_begins(assistant):
    async def talk(agent):
        run = await agent.arun("hi", session_id="s", background=True)
        assert await agent.acancel_run(run.run_id)
        return await over(agent, run.run_id)

    agent = assistant()
    cancelled = asyncio.run(talk(agent))
    assert (cancelled.status, cancelled.cancellation_stage) == (RunStatus.cancelled, CancellationStage.pending)
    assert agent.model.turns == []


# -- agno's own door for changes of status ---------------------------------------------------------------


def persisted(agent, run_id, status, **options):
    return asyncio.run(apersist_run_status(agent, "agent", "s", run_id, {"status": status}, **options))


def test_a_late_change_of_status_does_not_open_a_finished_run(assistant, db):
    agent = assistant("Hello.")
    run = agent.run("hi", session_id="s")
    assert persisted(agent, run.run_id, "RUNNING") is RunPersistOutcome.TERMINAL_REFUSED
    stored = db.get_run(run.run_id)
    assert (stored.status, stored.content) == (RunStatus.completed, "Hello.")


def test_a_change_of_status_of_no_run_says_so(assistant, db):
    agent = assistant()
    agent.run("hi", session_id="s")
    assert persisted(agent, "no such run", "RUNNING") is RunPersistOutcome.MISSING
    assert len(db.get_runs("s")) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_a_run_that_broke_off_is_stored_with_what_was_said_until_then(assistant, db, stored):
    agent = assistant()
    if stored:
        db.upsert_run({"run_id": "r", "agent_id": "assistant", "status": "RUNNING"}, "s")
    broken = RunOutput(run_id="r", agent_id="assistant", session_id="s", status=RunStatus.error)
    broken.messages = [Message(role="user", content="hi")]
    asyncio.run(apersist_run_transition(agent, "agent", "s", broken, full_run=True))
    (found,) = db.get_session("s").runs
    assert (found.status, [message.content for message in found.messages]) == (RunStatus.error, ["hi"])


def test_a_change_of_status_touches_no_run_of_another_user(assistant, db):
    agent = assistant(Call("stop"), tools=[stop])
    run = agent.run("stop", session_id="s", user_id="ada")
    assert persisted(agent, run.run_id, "ERROR", user_id="bob") is RunPersistOutcome.MISSING
    assert db.get_run(run.run_id).status == RunStatus.cancelled


def test_an_outdated_worker_cannot_write_over_the_later_attempt(assistant, db):
    agent = assistant(RuntimeError("down"))
    run_id = "r"
    db.upsert_run({"run_id": run_id, "agent_id": "assistant", "status": "RUNNING", "queue_attempt": 2}, "s")
    assert persisted(agent, run_id, "ERROR", expected_attempt=1) is RunPersistOutcome.STALE_ATTEMPT
    assert persisted(agent, run_id, "ERROR", expected_attempt=2) is RunPersistOutcome.UPDATED
    assert db.get_run(run_id).status == RunStatus.error
