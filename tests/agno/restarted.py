"""A program for test_restart: started with ``tell`` it is told things, started again with ``ask`` it knows them.

    python -m tests.agno.restarted URL tell|ask

It prints what its agents, team and workflow answer, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"

from agno.agent import Agent
from agno.run import RunContext
from agno.team import Team
from agno.tools import tool
from agno.workflow import Step, StepInput, StepOutput, Workflow

from agno_store import open_db
from tests.agno.scripted import Call, Turn, put, scripted


def from_memory(turn: Turn) -> str:
    """Answer who the user is from what the prompt tells of earlier runs, as a model does."""
    names = [text.removeprefix("I am ") for role, text in turn.conversation if role == "user" and text[:5] == "I am "]
    return f"You are {names[-1]}" if names else "I do not know you."


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def count(step_input: StepInput, run_context: RunContext) -> StepOutput:
    run_context.session_state["runs"] = run_context.session_state.get("runs", 0) + 1
    return StepOutput(content=f"run {run_context.session_state['runs']}")


def agent(db: Any, *replies: Any) -> Agent:
    return Agent(
        id="assistant",
        db=db,
        model=scripted(*replies),
        tools=[pay, put],
        add_history_to_context=True,
        enable_session_summaries=True,
    )


def team(db: Any, *replies: Any) -> Team:
    member = Agent(id="researcher", name="Researcher", model=scripted("found"))
    return Team(id="team", db=db, model=scripted(*replies), members=[member], add_history_to_context=True)


def workflow(db: Any) -> Workflow:
    return Workflow(id="counter", db=db, steps=[Step(name="count", executor=count)])


def tell(db: Any) -> dict[str, Any]:
    assistant = agent(db, "Hello.", Call("pay", amount=5), Call("put", item="tea"), "put")
    assistant.run("I am Ada", session_id="chat", user_id="u")
    paused = assistant.run("pay", session_id="paused", user_id="u")
    assistant.run("tea", session_id="basket", user_id="u")
    delegate = Call("delegate_task_to_member", member_id="researcher", task="look")
    team(db, delegate, "Hello.").run("I am Ada", session_id="team", user_id="u")
    return {"paused": paused.status.value, "workflow": workflow(db).run(input="go", session_id="counter").content}


def ask(db: Any) -> dict[str, Any]:
    assistant = agent(db, from_memory, lambda turn: turn.text, Call("put", item="milk"), lambda turn: turn.text)
    chat = assistant.run("Who am I?", session_id="chat", user_id="u")
    paused = assistant.get_last_run_output("paused")
    paused.active_requirements[0].confirm()
    paid = assistant.continue_run(
        run_id=paused.run_id, requirements=paused.requirements, session_id="paused", user_id="u"
    )
    return {
        "chat": chat.content,
        "summary": assistant.get_session_summary("chat").summary,
        "paid": paid.content,
        "basket": assistant.run("milk", session_id="basket", user_id="u").content,
        "team": team(db, from_memory).run("Who am I?", session_id="team", user_id="u").content,
        "workflow": workflow(db).run(input="go", session_id="counter").content,
        "runs": len(db.get_runs()),
    }


if __name__ == "__main__":
    with open_db(sys.argv[1]) as store:
        answers = {"tell": tell, "ask": ask}[sys.argv[2]](store)
    sys.stdout.write(json.dumps(answers))
