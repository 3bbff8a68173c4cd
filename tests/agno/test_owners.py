"""One user's session is closed to every other user, whichever way agno takes: nothing read, nothing written."""

from __future__ import annotations

import asyncio

import pytest
from agno.db.base import SessionType
from agno.exceptions import RunNotFoundError
from agno.session import AgentSession
from agno.team import Team
from agno.tools import tool
from agno.workflow import Step, Workflow

from agno_store import OwnerMismatch
from tests.agno.scripted import Call, scripted

REFUSED = "belongs to another user"


def everything(db):
    """All that is stored of session "s"."""
    return db.get_session("s", deserialize=False), db.get_runs("s", deserialize=False)


@pytest.fixture
def adas(assistant):
    """An agent with which ada has begun session "s"."""
    agent = assistant("Hello Ada.", session_state={"secret": "ada's"}, enable_session_summaries=True)
    agent.run("My number is 42.", session_id="s", user_id="ada")
    return agent


def run(agent):
    agent.run("What is the number?", session_id="s", user_id="bob")


def stream(agent):
    for _ in agent.run("What is the number?", session_id="s", user_id="bob", stream=True):
        pass


def arun(agent):
    asyncio.run(agent.arun("What is the number?", session_id="s", user_id="bob"))


@pytest.mark.parametrize("intrude", [run, stream, arun])
def test_a_run_in_anothers_session_sees_nothing_and_leaves_nothing(adas, assistant, db, complaints, intrude):
    before = everything(db)
    bobs = assistant("I do not know.")
    intrude(bobs)
    assert "42" not in bobs.model.turns[-1].everything
    assert "ada" not in bobs.model.turns[-1].everything
    assert [text.split(" into db")[0] for text in complaints.take(REFUSED)] == [
        "Error upserting session",
        "Error upserting run",
    ]
    assert everything(db) == before
    adas.run("And now?", session_id="s", user_id="ada")
    assert "What is the number?" not in adas.model.turns[-2].everything
    assert adas.model.turns[-2].conversation == [
        ("user", "My number is 42."),
        ("assistant", "Hello Ada."),
        ("user", "And now?"),
    ]


def test_a_background_run_in_anothers_session_leaves_nothing(adas, assistant, db, complaints):
    async def talk():
        from agno.run.background import await_background_runs

        await assistant().arun("What is the number?", session_id="s", user_id="bob", background=True)
        await await_background_runs(timeout=20)

    before = everything(db)
    asyncio.run(talk())
    complaints.take(REFUSED)
    assert everything(db) == before


def test_a_teams_members_leave_nothing_in_anothers_session(adas, assistant, db, complaints):
    before = everything(db)
    member = assistant("Is it 7?", id="guesser", name="Guesser")
    leader = scripted(Call("delegate_task_to_member", member_id="guesser", task="guess"), "done")
    Team(db=db, model=leader, members=[member]).run("What is the number?", session_id="s", user_id="bob")
    complaints.take(REFUSED)
    assert everything(db) == before
    assert "42" not in leader.turns[-1].everything + member.model.turns[-1].everything


def test_a_workflow_leaves_nothing_in_anothers_session(adas, db, complaints):
    before = everything(db)
    steps = [Step(name="say", executor=lambda step_input: step_input.input)]
    Workflow(db=db, steps=steps).run(input="What is the number?", session_id="s", user_id="bob")
    complaints.take(REFUSED)
    complaints.take("not persisted (ownership mismatch)")
    assert everything(db) == before


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    """Pay somebody."""
    raise AssertionError("not by somebody else")


def test_a_paused_run_cannot_be_continued_by_another_user(assistant, db):
    paused = assistant(Call("pay", amount=5), tools=[pay]).run("pay", session_id="s", user_id="ada")
    before = everything(db)
    requirements = paused.requirements
    requirements[0].confirm()
    with pytest.raises(RunNotFoundError):
        assistant(tools=[pay]).continue_run(
            run_id=paused.run_id, requirements=requirements, session_id="s", user_id="bob"
        )
    assert everything(db) == before


def test_another_user_cannot_delete_rename_or_read(adas, db):
    before = everything(db)
    adas.delete_session("s", user_id="bob")
    db.delete_sessions(["s"], user_id="bob")
    assert db.rename_session("s", SessionType.AGENT, "bob's", user_id="bob") is None
    assert adas.get_session("s", user_id="bob") is None
    assert db.get_sessions(user_id="bob") == []
    assert everything(db) == before


def test_saving_a_session_or_a_run_for_another_user_raises(adas, db):
    before = everything(db)
    mine = AgentSession(session_id="s", user_id="bob", session_data={"session_state": {}})
    stolen = db.get_session("s").runs[0]
    stolen.user_id, stolen.content = "bob", "spoiled"
    with pytest.raises(OwnerMismatch, match=REFUSED):
        db.upsert_session(mine)
    with pytest.raises(OwnerMismatch, match=REFUSED):
        db.upsert_sessions([mine])
    with pytest.raises(OwnerMismatch, match=REFUSED):
        db.upsert_run(stolen, session_id="s", user_id="bob")
    assert everything(db) == before


def test_users_whose_names_differ_by_a_hair_are_different_users(adas, assistant, db, complaints):
    before = everything(db)
    for almost in ("Ada", "ada ", "adä", "ada\x00"):
        intruder = assistant()
        intruder.run("What is the number?", session_id="s", user_id=almost)
        assert "42" not in intruder.model.turns[-1].everything
        assert len(complaints.take(REFUSED)) == 2
    assert everything(db) == before


def test_a_session_begun_by_nobody_is_claimed_by_the_first_who_comes(assistant, db, complaints):
    agent = assistant("Hello.", "Hello Ada.")
    agent.run("hi", session_id="s")
    session = agent.get_session("s")
    session.user_id = "ada"
    agent.save_session(session)
    before = everything(db)
    assistant().run("and me?", session_id="s", user_id="bob")
    complaints.take(REFUSED)
    assert everything(db) == before
    agent.run("I am Ada.", session_id="s", user_id="ada")
    assert agent.model.turns[-1].conversation[:2] == [("user", "hi"), ("assistant", "Hello.")]
