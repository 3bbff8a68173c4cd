"""What a Team keeps in a store: its own runs and its members', and who stands before whom."""

from __future__ import annotations

import asyncio

import pytest
from agno.agent import Agent
from agno.run import RunContext, RunStatus
from agno.run.team import TeamRunOutput
from agno.session import TeamSession
from agno.team import Team
from agno.tools import tool

from tests.agno.polling import Gate, over
from tests.agno.scripted import Call, scripted


def ask(member, task="look it up"):
    return Call("delegate_task_to_member", member_id=member, task=task)


@pytest.fixture
def team(db):
    """Make a team of a researcher and a writer whose leader gives these replies."""

    def make(*replies, **options):
        members = [
            Agent(id=name.lower(), name=name, model=scripted(*options.pop(name.lower(), ())), role=name)
            for name in ("Researcher", "Writer")
        ]
        defaults = {"id": "team", "name": "Team", "db": db, "members": members, "add_history_to_context": True}
        return Team(model=scripted(*replies), **{**defaults, **options})

    return make


def test_members_runs_are_rows_of_their_own_before_the_teams(team, db):
    leader = team(ask("researcher"), ask("writer"), "done", researcher=["found"], writer=["written"])
    run = leader.run("a report", session_id="s", user_id="ada")
    rows, _ = db.get_runs("s", deserialize=False)
    assert [(row["run_index"], row["run_type"], row["agent_id"], row["team_id"]) for row in rows] == [
        (0, "agent", "researcher", None),
        (1, "agent", "writer", None),
        (2, "team", None, "team"),
    ]
    assert [row["parent_run_id"] for row in rows] == [run.run_id, run.run_id, None]
    assert [row["run_data"]["content"] for row in rows] == ["found", "written", "done"]
    assert {row["user_id"] for row in rows} == {"ada"}
    assert rows[2]["run_id"] == run.run_id


def test_a_stored_team_session_holds_members_and_team_as_what_they_are(team, reopen):
    team(ask("researcher"), "done", researcher=["found"]).run("a report", session_id="s")
    session = team(db=reopen()).get_session("s")
    assert isinstance(session, TeamSession)
    assert session.team_data["name"] == "Team"
    assert [type(run).__name__ for run in session.runs] == ["RunOutput", "TeamRunOutput"]
    assert [run.content for run in session.runs] == ["found", "done"]


def test_the_next_prompt_of_the_leader_holds_what_was_said_before(team, reopen):
    team(ask("researcher"), "The report is done.", researcher=["found"]).run("a report", session_id="s")
    later = team(db=reopen())
    later.run("What did you do?", session_id="s")
    conversation = later.model.turns[0].conversation
    assert conversation[0] == ("user", "a report")
    assert conversation[-2:] == [("assistant", "The report is done."), ("user", "What did you do?")]


def test_num_history_runs_counts_the_teams_runs_and_not_the_members(team):
    leader = team(
        *(ask("researcher"), "one"), *(ask("researcher"), "two"), "three", researcher=["a", "b"], num_history_runs=1
    )
    for question in ("first", "second", "third"):
        leader.run(question, session_id="s")
    said = [text for role, text in leader.model.turns[-1].conversation if role in ("user", "assistant")]
    assert said == ["second", "two", "third"]


def test_get_session_messages_of_a_team_skips_the_members_runs(team):
    replies = [reply for answer in ("one", "two", "three") for reply in (ask("researcher"), answer)]
    leader = team(*replies, researcher=["a", "b", "c"])
    for question in ("first", "second", "third"):
        leader.run(question, session_id="s")
    messages = leader.get_session_messages("s", last_n_runs=2)
    assert [message.content for message in messages if message.role == "user"] == ["second", "third"]
    assert messages[-1].content == "three"


def test_members_are_told_their_own_history(team, reopen):
    members = [Agent(id="researcher", name="Researcher", model=scripted("Paris"), add_history_to_context=True)]
    team(ask("researcher", "the capital"), "done", members=members).run("find out", session_id="s")
    again = Agent(id="researcher", name="Researcher", model=scripted(), add_history_to_context=True)
    team(ask("researcher", "and its river"), "done", members=[again], db=reopen()).run("go on", session_id="s")
    assert again.model.turns[0].conversation == [
        ("user", "the capital"),
        ("assistant", "Paris"),
        ("user", "and its river"),
    ]


def test_a_member_with_the_store_itself_adds_no_second_session(team, db):
    member = Agent(id="researcher", name="Researcher", model=scripted("found"), db=db)
    team(ask("researcher"), "done", members=[member]).run("a report", session_id="s")
    sessions, total = db.get_sessions(deserialize=False)
    assert (total, sessions[0]["session_type"], sessions[0]["team_id"]) == (1, "team", "team")
    assert [row["run_type"] for row in db.get_runs("s", deserialize=False)[0]] == ["agent", "team"]


def note(run_context: RunContext, text: str) -> str:
    """Write something down."""
    run_context.session_state.setdefault("notes", []).append(text)
    return "noted"


def test_state_that_a_member_changed_is_the_teams(team, reopen):
    member = Agent(id="researcher", name="Researcher", model=scripted(Call("note", text="a fact"), "ok"), tools=[note])
    team(ask("researcher"), "done", members=[member]).run("a report", session_id="s")
    later = team(Call("note", text="an idea"), "ok", tools=[note], db=reopen())
    later.run("more", session_id="s")
    assert later.get_session_state("s") == {"notes": ["a fact", "an idea"]}
    later.update_session_state({"notes": []}, session_id="s")
    assert team().get_session_state("s") == {"notes": []}


def test_a_teams_summary_name_and_metrics_come_back(team, reopen):
    leader = team(enable_session_summaries=True)
    leader.run("the weather", session_id="s")
    leader.set_session_name("s", session_name="Weather talk")
    later = team(db=reopen(), enable_session_summaries=True)
    assert later.get_session_summary("s").summary == "They spoke of: the weather"
    assert later.get_session_name("s") == "Weather talk"
    assert later.get_session("s").session_data["session_metrics"]["total_tokens"] == 30


def test_an_inner_team_is_a_row_and_its_members_are_not(team, db):
    deepest = Agent(id="deepest", name="Deepest", model=scripted("found"))
    inner = Team(id="inner", name="Inner", members=[deepest], model=scripted(ask("deepest"), "inner done"))
    run = team(ask("inner"), "outer done", members=[inner]).run("a report", session_id="s")
    rows, _ = db.get_runs("s", deserialize=False)
    assert [(row["run_type"], row["team_id"], row["parent_run_id"]) for row in rows] == [
        ("team", "inner", run.run_id),
        ("team", "team", None),
    ]


def test_a_streamed_team_run_is_stored_whole(team, db):
    leader = team(ask("researcher"), "one two three", researcher=["found it"])
    for _ in leader.run("count", session_id="s", stream=True, stream_events=True):
        pass
    assert [run.content for run in db.get_session("s").runs] == ["found it", "one two three"]


def test_arun_of_a_team_works_with_the_same_store(team, db):
    leader = team([ask("researcher"), ask("writer")], "done", researcher=["found"], writer=["written"])
    run = asyncio.run(leader.arun("a report", session_id="s"))
    rows, _ = db.get_runs("s", deserialize=False)
    assert {row["run_data"]["content"] for row in rows[:2]} == {"found", "written"}
    assert rows[2]["run_id"] == run.run_id
    assert [row["run_index"] for row in rows] == [0, 1, 2]


def test_a_background_team_run_can_be_polled(team, reopen):
    async def talk():
        gate = Gate("done")
        run = await team(gate).arun("a report", session_id="s", background=True)
        await gate.wait()
        poller = team(db=reopen())
        running = await poller.aget_run_output(run.run_id, "s")
        gate.open.set()
        return running.status, await over(poller, run.run_id)

    status, done = asyncio.run(talk())
    assert status == RunStatus.running
    assert isinstance(done, TeamRunOutput)
    assert (done.status, done.content) == (RunStatus.completed, "done")


def test_a_cancelled_team_run_is_stored_as_cancelled(team, db):
    def stop(run_context: RunContext) -> str:
        """Cancel this very run."""
        Team.cancel_run(run_context.run_id)
        return "stopping"

    leader = team("Hello.", Call("stop"), "never said", tools=[stop])
    leader.run("hi", session_id="s")
    leader.run("stop", session_id="s")
    assert [row["status"] for row in db.get_runs("s", deserialize=False)[0]] == ["COMPLETED", "CANCELLED"]
    leader.run("and now?", session_id="s")
    assert leader.model.turns[-1].conversation == [("user", "hi"), ("assistant", "Hello."), ("user", "and now?")]


@tool(requires_confirmation=True)
def publish(text: str) -> str:
    """Publish a text."""
    return f"published {text}"


def test_a_paused_team_run_goes_on_after_a_restart(team, reopen, db):
    run_id = team(Call("publish", text="it"), tools=[publish]).run("publish it", session_id="s").run_id
    assert db.get_run(run_id).status == RunStatus.paused
    later = team(lambda turn: f"Done: {turn.text}", tools=[publish], db=reopen())
    stored = later.get_run_output(run_id, "s")
    stored.active_requirements[0].confirm()
    done = later.continue_run(run_id=run_id, requirements=stored.requirements, session_id="s")
    assert done.content == "Done: published it"
    assert [(row["run_id"], row["status"]) for row in db.get_runs("s", deserialize=False)[0]] == [(run_id, "COMPLETED")]


def test_past_sessions_of_a_team_can_be_searched(team):
    team("Lyon it is.").run("I move to Lyon.", session_id="past", user_id="ada")
    team("Rome it is.").run("I move to Rome.", session_id="foreign", user_id="bob")
    leader = team(Call("search_past_sessions"), "Lyon", search_past_sessions=True)
    leader.run("Where do I move?", session_id="now", user_id="ada")
    assert "I move to Lyon." in leader.model.turns[1].text
    assert "Rome" not in leader.model.turns[1].text


def test_an_agent_and_a_team_may_share_a_session_id_and_lose_nothing(team, assistant, db):
    agent, leader = assistant("agent one", "agent two"), team("team one", "team two")
    for question in ("first", "second"):
        agent.run(question, session_id="s")
        leader.run(question, session_id="s")
    assert [row["run_data"]["content"] for row in db.get_runs("s", deserialize=False)[0]] == [
        *("agent one", "team one", "agent two", "team two")
    ]
    assert ("assistant", "agent one") in agent.model.turns[-1].conversation
    assert ("assistant", "team one") in leader.model.turns[-1].conversation
    assert db.get_session("s", deserialize=False)["session_type"] == "agent"


def test_deleting_a_team_session_takes_the_members_runs_along(team, db):
    leader = team(ask("researcher"), "done", researcher=["found"])
    leader.run("a report", session_id="s")
    leader.delete_session("s")
    assert leader.get_session("s") is None
    assert db.get_runs() == []
