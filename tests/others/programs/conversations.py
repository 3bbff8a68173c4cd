"""Write conversations into agno's own tables, as the release of agno that this runs on does it.

    python -m tests.others.programs.conversations URL SCHEMA PREFIX COUNT

COUNT times an agent's session with a tool and a summary, a team's with a member and a workflow's; the ids of the
sessions begin with PREFIX. Of agno 1.x also a workflow of its first kind. SCHEMA is '-' where there is none.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from typing import Any

from agno.agent import Agent
from agno.team import Team

from tests.others.programs.scripted import Call, scripted

FIRST = version("agno").startswith("1.")

_CLASSES = {"sqlite": "Sqlite", "postgresql": "Postgres", "mysql": "MySQL"}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def _class(url: str, package: str, kind: str) -> Any:
    """The class that keeps sessions in a database of that kind."""
    name = next(name for name in _CLASSES if url.startswith(name))
    module = importlib.import_module(f"agno.{package}.{'postgres' if name == 'postgresql' else name}")
    return getattr(module, f"{_CLASSES[name]}{kind}")


def _storage(url: str, schema: str, table: str, mode: str) -> Any:
    """A storage of agno 1.x."""
    where = {} if schema == "-" else {"schema": schema}
    return _class(url, "storage", "Storage")(table_name=table, db_url=url, mode=mode, **where)


def _db(url: str, schema: str) -> Any:
    """A db of agno 2.x or 3.x."""
    return _class(url, "db", "Db")(db_url=url, **({} if schema == "-" else {"db_schema": schema}))


def agents(keep: dict[str, Any], session_id: str) -> None:
    """Three runs of an agent, of which the second calls a tool."""
    model = scripted("Hello Ada.", Call("add", a=1, b=2), "It is 3.", "Noted.")
    history = {"add_history_to_messages": True} if FIRST else {"add_history_to_context": True}
    if FIRST:
        from agno.memory.v2 import Memory

        keep = {**keep, "memory": Memory(model=scripted())}
    about = {"agent_id": "assistant"} if FIRST else {"id": "assistant"}
    agent = Agent(
        model=model,
        name="Assistant",
        tools=[add],
        enable_session_summaries=True,
        session_state={"basket": ["tea"]},
        **about,
        **history,
        **keep,
    )
    for asked in ("I am Ada", "What is 1 and 2?", "I live in Z\u00fcrich \U0001f600"):
        agent.run(asked, session_id=session_id, user_id="ada")


def teams(keep: dict[str, Any], session_id: str) -> None:
    """A run of a team that asks its member."""
    ask = Call("transfer_task_to_member", member_id="researcher", task_description="look", expected_output="found")
    asks = ask if FIRST else Call("delegate_task_to_member", member_id="researcher", task="look")
    about = [{"agent_id": "researcher"}, {"team_id": "desk"}] if FIRST else [{"id": "researcher"}, {"id": "desk"}]
    member = Agent(model=scripted("The library is in the cellar."), name="Researcher", role="looks", **about[0])
    team = Team(members=[member], model=scripted(asks, "Downstairs."), name="Desk", **about[1], **keep)
    team.run("Where is the library?", session_id=session_id, user_id="ada")


def workflows(keep: dict[str, Any], session_id: str) -> None:
    """A run of a workflow with one step."""
    module = importlib.import_module("agno.workflow.v2" if FIRST else "agno.workflow")
    writer = Agent(
        model=scripted("Once upon a time."), name="Writer", **({"agent_id": "writer"} if FIRST else {"id": "writer"})
    )
    step = module.Step(name="write", agent=writer)
    about = {"workflow_id": "tales"} if FIRST else {"id": "tales"}
    workflow = module.Workflow(name="Tales", steps=[step], **about, **keep)
    asked = {"message": "Tell a tale"} if FIRST else {"input": "Tell a tale"}
    workflow.run(session_id=session_id, user_id="ada", **asked)


def first_workflows(keep: dict[str, Any], session_id: str) -> None:
    """A run of a workflow as agno 1.x had them first."""
    from agno.run.response import RunResponse
    from agno.workflow import Workflow

    class Greeter(Workflow):
        def run(self, name: str) -> RunResponse:
            return RunResponse(run_id=self.run_id, content=f"Good day, {name}.")

    Greeter(workflow_id="greeter", session_id=session_id, user_id="ada", **keep).run(name="Ada")


def main(url: str, schema: str, prefix: str, count: str) -> dict[str, Any]:
    """Write, and return the ids of the sessions by their kind."""
    kinds = {"agent": agents, "team": teams, "workflow": workflows} | ({"first": first_workflows} if FIRST else {})
    modes = {"agent": "agent", "team": "team", "workflow": "workflow_v2", "first": "workflow"}
    written: dict[str, Any] = {}
    db = None if FIRST else _db(url, schema)  # one: on MariaDB agno 2.9 cannot use tables that another one has made
    for kind, write in kinds.items():
        keep = {"db": db} if db else {"storage": _storage(url, schema, f"{kind}_storage", modes[kind])}
        written[kind] = [f"{prefix}-{kind}-{number}" for number in range(int(count))]
        for session_id in written[kind]:
            write(keep, session_id)
    return written


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(*sys.argv[1:])))
