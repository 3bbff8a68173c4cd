"""What agno's own releases have written comes over whole, and today's agno goes on from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.team import Team
from agno.workflow import Step, Workflow

from agno_store import open_db
from tests.agno.scripted import scripted
from tests.legacy import RELEASES, imported, write

KINDS = {"agent": 3, "team": 2, "workflow": 1, "first": 1}
"""The runs of each kind of session that the program of tests/others writes, members' runs included."""


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(release: str, fresh_url: str) -> dict[str, list[str]]:
    """The sessions that a release has written into the database under test, by kind."""
    return write(release, fresh_url)


@pytest.fixture
def target(fresh_url: str, written: Any, tmp_path: Path) -> Iterator[Any]:
    """A store with what was written."""
    with open_db(fresh_url) as db:
        done = imported(db, fresh_url, verify=True)
        assert done.problems == []
        assert done.verified == done.sessions.inserted == len(written)
        assert done.runs.inserted == sum(KINDS[kind] for kind in written)
        yield db


def test_every_conversation_goes_on(target: Any, written: dict[str, list[str]], fresh_url: str) -> None:
    again = imported(target, fresh_url, verify=True)
    assert (again.sessions.changed, again.runs.changed, again.summaries.changed, again.problems) == (0, 0, 0, [])

    agent_goes_on(target, written["agent"][0])
    team_goes_on(target, written["team"][0])
    workflow_goes_on(target, written["workflow"][0])

    later = imported(target, fresh_url, verify=True)  # what was said since is newer, and stays
    assert (later.sessions.changed, later.runs.changed, later.problems) == (0, 0, [])
    assert len(target.get_session(written["agent"][0]).runs) == KINDS["agent"] + 1


def agent_goes_on(db: Any, session_id: str) -> None:
    before = db.get_session(session_id)
    assert (before.user_id, before.session_data["session_state"]["basket"]) == ("ada", ["tea"])
    assert before.summary.summary == "They got to know each other."
    model = scripted("You are Ada.")
    agent = Agent(
        id="assistant",
        model=model,
        db=db,
        add_history_to_context=True,
        num_history_runs=10,
        add_session_summary_to_context=True,
    )
    agent.run("Who am I?", session_id=session_id, user_id="ada")
    turn = model.turns[0]
    assert turn.conversation == [
        ("user", "I am Ada"),
        ("assistant", "Hello Ada."),
        ("user", "What is 1 and 2?"),
        ("tool", "3"),
        ("assistant", "It is 3."),
        ("user", "I live in Zürich \U0001f600"),
        ("assistant", "Noted."),
        ("user", "Who am I?"),
    ]
    assert "They got to know each other." in turn.system
    assert agent.get_session_metrics(session_id=session_id).input_tokens >= 0


def team_goes_on(db: Any, session_id: str) -> None:
    before = db.get_session(session_id)
    member, own = before.runs
    assert (member.agent_id, member.parent_run_id) == ("researcher", own.run_id)
    assert [run.content for run in before.runs] == ["The library is in the cellar.", "Downstairs."]
    model = scripted("As I said.")
    team = Team(id="desk", members=[Agent(name="Researcher")], model=model, db=db, add_history_to_context=True)
    team.run("Where was it?", session_id=session_id, user_id="ada")
    said = [text for role, text in model.turns[0].conversation if role in ("user", "assistant")]
    assert [*said[:1], *said[-2:]] == ["Where is the library?", "Downstairs.", "Where was it?"]


def workflow_goes_on(db: Any, session_id: str) -> None:
    [run] = db.get_session(session_id).runs
    assert run.content == "Once upon a time."
    [step] = run.step_results
    assert (step.step_name, step.content) == ("write", "Once upon a time.")
    [behind] = run.step_executor_runs
    assert (behind.agent_id, behind.parent_run_id) == ("writer", run.run_id)
    model = scripted("And then.")
    step = Step(name="write", agent=Agent(id="writer", model=model), add_workflow_history=True)
    Workflow(id="tales", steps=[step], db=db).run("Go on", session_id=session_id, user_id="ada")
    assert "Once upon a time." in model.turns[0].everything
