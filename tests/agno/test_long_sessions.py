"""A real Agent whose session grows long: what a run asks of the database stays the same, and so does its history."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.team import TeamRunOutput
from agno.session import AgentSession, TeamSession
from agno.team import Team

from agno_store import open_db
from tests.agno.scripted import scripted
from tests.contract.database import statements

RUNS = 300


@pytest.mark.backends("sqlite")
def test_an_agent_of_many_runs_sends_as_much_for_the_last_as_for_the_third(db: Any) -> None:
    model = scripted()
    agent = Agent(id="helper", model=model, db=db, add_history_to_context=True, num_history_runs=3)
    sent: list[list[str]] = []
    for number in range(RUNS):
        with statements(db.db_engine) as found:
            agent.run(f"question {number}", session_id="s", user_id="u")
        sent.append(found)

    assert sent[-1] == sent[2]
    asked = [text for role, text in model.turns[-1].conversation if role == "user"]
    assert asked == [f"question {number}" for number in range(RUNS - 4, RUNS)]
    session = agent.get_session("s")
    assert isinstance(session, AgentSession)
    assert [run.input.input_content for run in session.runs] == [f"question {number}" for number in range(RUNS)]


def test_an_agent_with_the_last_runs_alone_has_these_as_its_history(db: Any, fresh_url: str) -> None:
    with open_db(fresh_url, history_runs=2) as window:
        model = scripted()
        agent = Agent(id="helper", model=model, db=window, add_history_to_context=True, num_history_runs=10)
        for number in range(5):
            agent.run(f"question {number}", session_id="s", user_id="u")
        asked = [text for role, text in model.turns[-1].conversation if role == "user"]
        assert asked == ["question 2", "question 3", "question 4"]
        assert len(agent.get_session("s").runs) == 2
    with open_db(fresh_url) as whole:
        assert len(whole.get_session("s").runs) == 5


@pytest.mark.backends("sqlite")
def test_a_team_of_many_runs_reads_no_more_for_the_last_than_for_the_fourth(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """agno looks at all of them, and copies them, as it saves a team's session."""
    member = Agent(id="helper", name="Helper", role="helps", model=scripted())
    leader = Team(id="team", model=scripted(), db=db, members=[member], add_history_to_context=True, num_history_runs=2)
    read = TeamRunOutput.from_dict
    found: list[int] = []

    def counted(data: dict[str, Any]) -> TeamRunOutput:
        found[-1] += 1
        return read(data)

    monkeypatch.setattr(TeamRunOutput, "from_dict", counted)
    for number in range(30):
        found.append(0)
        leader.run(f"question {number}", session_id="s", user_id="u")
    assert max(found[:4]) <= 3, found
    assert found[4:] == [1] * 26  # the new one: those before it are copied
    monkeypatch.undo()
    session = leader.get_session("s")
    assert isinstance(session, TeamSession)
    assert [run.input.input_content for run in session.runs] == [f"question {number}" for number in range(30)]
