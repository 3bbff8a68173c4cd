"""Whatever happens to a session while a model is at work is still there when the run has been saved."""

from __future__ import annotations

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from agno.agent import Agent
from agno.run import RunContext
from agno.session.agent import AgentSession
from agno.team import Team
from agno.workflow import Step, Workflow
from sqlalchemy import create_engine

from agno_store import Summary
from agno_store.db import CLASSES
from tests.agno.scripted import Call, scripted

OVERLAPPING = 20
PATIENCE = 60  # seconds


def note(run_context: RunContext, key: str, value: str) -> str:
    """Note something in the session's state."""
    run_context.session_state[key] = value
    return "noted"


def while_thinking(act, reply="done"):
    """A reply of the model that takes its time: ``act`` happens meanwhile."""

    def think(_turn):
        act()
        return reply

    return think


def agent(db, *replies):
    return Agent(id="a", model=scripted(*replies), db=db, tools=[note])


def team(db, *replies):
    return Team(id="t", members=[Agent(id="m", model=scripted())], model=scripted(*replies), db=db, tools=[note])


def workflow(db, *replies):
    return Workflow(id="w", db=db, steps=[Step(agent=Agent(id="m", model=scripted(*replies), tools=[note]))])


KINDS = pytest.mark.parametrize("make", [agent, team, workflow])


@KINDS
def test_a_rename_during_a_run_survives(db, make):
    make(db, "hello").run("hi", session_id="s")
    rename = while_thinking(lambda: db.rename_session("s", None, "Holidays"))
    make(db, Call("note", key="mine", value="1"), rename).run("plan", session_id="s")
    found = db.get_session("s", deserialize=False)

    assert found["session_data"]["session_name"] == "Holidays"
    assert found["session_data"]["session_state"]["mine"] == "1"
    assert len([run for run in found["runs"] if run.get("parent_run_id") is None]) == 2


@KINDS
@pytest.mark.parametrize("first", [True, False])
def test_a_run_inside_a_run_loses_no_state_of_either(db, make, first):
    """Both have read the session before either saved it; with ``first`` there was none to read."""
    if not first:
        make(db, "hello").run("hi", session_id="s", session_state={"before": "0"})

    def other():
        make(db, Call("note", key="theirs", value="2"), "done").run("meanwhile", session_id="s")

    make(db, Call("note", key="mine", value="1"), while_thinking(other)).run("plan", session_id="s")
    state = db.get_session("s", deserialize=False)["session_data"]["session_state"]

    assert (state["mine"], state["theirs"], state.get("before")) == ("1", "2", None if first else "0")
    assert len([run for run in db.get_runs("s") if run.parent_run_id is None]) == (2 if first else 3)


def test_a_summary_made_during_a_run_survives(db):
    agent(db, "hello").run("hi", session_id="s")
    db.upsert_summary("s", Summary("They said hello."))
    agent(db, while_thinking(lambda: db.upsert_summary("s", Summary("They planned.")))).run("plan", session_id="s")

    assert db.get_summary("s").summary == "They planned."


def test_an_agent_that_caches_its_session_overwrites_nothing(db):
    cached = Agent(id="a", model=scripted("hello"), db=db, cache_session=True)
    cached.run("hi", session_id="s")
    db.rename_session("s", None, "Holidays")
    cached.run("again", session_id="s")
    cached.run("and again", session_id="s")

    assert db.get_session("s").session_data["session_name"] == "Holidays"
    assert len(db.get_session("s").runs) == 3


def test_no_connection_is_held_while_models_are_at_work(fresh_url, backend):
    """With the only connection held by one of them, the others could not even begin."""
    engine = create_engine(fresh_url, pool_size=1, max_overflow=0, pool_timeout=PATIENCE)
    db = next(cls for cls in CLASSES if backend in cls.dialect.names)(db_engine=engine)
    db.upgrade_schema()
    everybody = Barrier(OVERLAPPING)

    def talk(number):
        thinking = while_thinking(lambda: everybody.wait(PATIENCE), reply=f"answer {number}")
        return agent(db, thinking).run("hi", session_id=f"s{number % 2}").content

    with ThreadPoolExecutor(OVERLAPPING) as pool:
        answers = list(pool.map(talk, range(OVERLAPPING), timeout=PATIENCE))

    assert answers == [f"answer {number}" for number in range(OVERLAPPING)]
    assert {run.content for run in db.get_runs()} == set(answers)
    assert engine.pool.checkedout() == 0
    engine.dispose()


def test_a_copy_of_a_session_knows_what_was_read_and_one_that_was_made_anew_does_not(db):
    data, less = {"session_state": {"a": 1, "b": 2}}, {"session_state": {"b": 2}}
    for session_id, copied in (("replaced", dataclasses.replace), ("copied", copy.copy)):
        db.upsert_session(AgentSession(session_id=session_id, agent_id="a", session_data=data))
        session = copied(db.get_session(session_id))
        session.session_data = less
        db.upsert_session(session)
    assert db.get_session("replaced").session_data == data
    assert db.get_session("copied").session_data == less
