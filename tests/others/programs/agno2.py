"""Agents, a team and a workflow of agno 2, that are told things and later, in another process, asked for them.

    python -m tests.others.programs.agno2 URL tell|ask

It prints what they answer, and what is stored, as JSON: with a synchronous store, and with an asynchronous one.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from typing import Any

from agno.agent import Agent
from agno.db.base import AsyncBaseDb, BaseDb
from agno.run import RunContext
from agno.team import Team
from agno.tools import tool
from agno.workflow import Step, StepInput, StepOutput, Workflow

from agno_store import open_async_db, open_db
from tests.others.programs import complaints
from tests.others.programs.scripted import Call, from_memory, scripted


def put(run_context: RunContext, item: str) -> str:
    """Put an item into the basket."""
    basket = run_context.session_state.setdefault("basket", [])
    basket.append(item)
    return str(basket)


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def count(step_input: StepInput, run_context: RunContext) -> StepOutput:
    run_context.session_state["runs"] = run_context.session_state.get("runs", 0) + 1
    return StepOutput(content=f"run {run_context.session_state['runs']}")


def last(said: list[tuple[str, str]]) -> str:
    """Answer with what a tool has answered."""
    return said[-1][1]


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
    return Team(
        id="team",
        db=db,
        model=scripted(*replies),
        members=[member],
        add_history_to_context=True,
        store_member_responses=True,
    )


def workflow(db: Any) -> Workflow:
    return Workflow(id="counter", db=db, steps=[Step(name="count", executor=count)])


async def call(runner: Any, db: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call the method of an agent, or the asynchronous one where the db is."""
    made = getattr(runner, f"a{method}" if isinstance(db, AsyncBaseDb) else method)(*args, **kwargs)
    return await made if inspect.isawaitable(made) else made


async def tell(db: Any) -> dict[str, Any]:
    assistant = agent(db, "Hello.", Call("pay", amount=5), Call("put", item="tea"), last)
    await call(assistant, db, "run", "I am Ada", session_id="chat", user_id="u")
    paused = await call(assistant, db, "run", "pay", session_id="paused", user_id="u")
    await call(assistant, db, "run", "tea", session_id="basket", user_id="u")
    delegate = Call("delegate_task_to_member", member_id="researcher", task="look")
    await call(team(db, delegate, "Hello."), db, "run", "I am Ada", session_id="team", user_id="u")
    ran = await call(workflow(db), db, "run", input="go", session_id="counter", user_id="u")
    return {"paused": paused.status.value, "workflow": ran.content}


async def ask(db: Any) -> dict[str, Any]:
    assistant = agent(db, from_memory, last, Call("put", item="milk"), last)
    chat = await call(assistant, db, "run", "Who am I?", session_id="chat", user_id="u")
    paused = await call(assistant, db, "get_last_run_output", session_id="paused")
    for asked in paused.tools:
        asked.confirmed = True
    paid = await call(
        assistant, db, "continue_run", run_id=paused.run_id, updated_tools=paused.tools, session_id="paused"
    )
    basket = await call(assistant, db, "run", "milk", session_id="basket", user_id="u")
    again = await call(team(db, from_memory), db, "run", "Who am I?", session_id="team", user_id="u")
    ran = await call(workflow(db), db, "run", input="go", session_id="counter", user_id="u")
    summary = await call(assistant, db, "get_session_summary", session_id="chat")
    return {
        "chat": chat.content,
        "summary": summary.summary,
        "paid": paid.content,
        "basket": basket.content,
        "team": again.content,
        "workflow": ran.content,
    }


async def stored(db: Any) -> dict[str, list[Any]]:
    """Return of each session what its runs are: type, status, whether a member's, and how often it was written."""
    rows = db.get_runs(deserialize=False, sort_by="session_id", limit=100)
    found, _ = await rows if inspect.isawaitable(rows) else rows
    told: dict[str, list[Any]] = {}
    for row in sorted(found, key=lambda row: (row["session_id"], row["run_index"])):
        entry = [row["run_type"], row["status"], row["parent_run_id"] is not None, row["version"]]
        told.setdefault(row["session_id"], []).append(entry)
    return told


async def both(url: str, what: str) -> dict[str, Any]:
    act = {"tell": tell, "ask": ask}[what]
    with open_db(url, table_name="synchronous") as db:
        assert isinstance(db, BaseDb)
        answers = {"sync": {"answers": await act(db), "stored": await stored(db)}}
    async with open_async_db(url, table_name="asynchronous") as db:
        assert isinstance(db, AsyncBaseDb)
        return {**answers, "async": {"answers": await act(db), "stored": await stored(db)}}


if __name__ == "__main__":
    with complaints.none():
        found = asyncio.run(both(*sys.argv[1:]))
    sys.stdout.write(json.dumps(found))
