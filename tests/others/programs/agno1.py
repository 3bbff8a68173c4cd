"""An agent, a team and both kinds of workflows of agno 1, told things and later, in another process, asked for them.

    python -m tests.others.programs.agno1 URL tell|ask

Each has its storage in a table of its own name, as agno 1 has it. It prints what they answer, and what is stored. Of
each session that is saved it makes sure that it is read as it was given.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from typing import Any

from agno.agent import Agent
from agno.memory.v2 import Memory
from agno.run.response import RunResponse
from agno.storage.base import Storage
from agno.team import Team
from agno.workflow import Workflow
from agno.workflow.v2 import Step, StepInput, StepOutput
from agno.workflow.v2 import Workflow as Pipeline

from tests.others.programs import complaints
from tests.others.programs.chat import open_storage
from tests.others.programs.scripted import Call, from_memory, scripted

TIMES = ("created_at", "updated_at")


def checked(storage: Any) -> Any:
    """Have a storage make sure that each session is read as it was given."""
    upsert = storage.upsert

    def upsert_and_read(session: Any) -> Any:
        given = copy.deepcopy(session)
        returned = upsert(session)
        for read in (returned, storage.read(session.session_id)):
            assert type(read) is type(given)
            # As agno itself reads it: the runs of a pipeline are objects, which it does not write as it reads them.
            assert without_times(read) == without_times(type(given).from_dict(given.to_dict()))
        return returned

    storage.upsert = upsert_and_read
    return storage


def without_times(session: Any) -> dict[str, Any]:
    # JSON has lists alone, and the keys of its objects are texts.
    entries: dict[str, Any] = json.loads(json.dumps(session.to_dict(), default=str))
    return {name: value for name, value in entries.items() if name not in TIMES}


def put(agent: Agent, item: str) -> str:
    """Put an item into the basket."""
    basket = agent.session_state.setdefault("basket", [])
    basket.append(item)
    return str(basket)


def last(said: list[tuple[str, str]]) -> str:
    """Answer with what a tool has answered."""
    return said[-1][1]


def agent(storage: Storage, session_id: str, *replies: Any) -> Agent:
    model = scripted(*replies)
    return Agent(
        agent_id="assistant",
        user_id="ada",
        session_id=session_id,
        storage=storage,
        model=model,
        tools=[put],
        memory=Memory(model=model),
        enable_session_summaries=True,
        add_history_to_messages=True,
    )


def team(storage: Storage, *replies: Any) -> Team:
    member = Agent(agent_id="researcher", name="Researcher", role="look", model=scripted("found"))
    return Team(
        team_id="team",
        user_id="ada",
        session_id="team",
        storage=storage,
        model=scripted(*replies),
        members=[member],
        enable_team_history=True,
    )


class Counter(Workflow):
    def run(self) -> Iterator[RunResponse]:
        self.session_state["runs"] = self.session_state.get("runs", 0) + 1
        yield RunResponse(run_id=self.run_id, content=f"run {self.session_state['runs']}")


def count(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"counted {step_input.message}")


def counted(storage: Storage) -> str:
    return "".join(part.content for part in Counter(workflow_id="counter", session_id="counter", storage=storage).run())


def piped(storage: Storage) -> Any:
    steps = [Step(name="count", executor=count)]
    pipeline = Pipeline(workflow_id="pipe", name="Pipe", session_id="pipe", user_id="ada", storage=storage, steps=steps)
    return pipeline.run(message="one").content


def tell(storages: dict[str, Any]) -> dict[str, Any]:
    agents = storages["agents"]
    agent(agents, "chat", "Hello.").run("I am Ada")
    agent(agents, "basket", Call("put", item="tea"), last).run("tea")
    delegate = Call("transfer_task_to_member", member_id="researcher", task_description="look", expected_output="it")
    team(storages["teams"], delegate, "Hello.").run("I am Ada")
    return {"counter": counted(storages["workflows"]), "pipe": piped(storages["pipes"])}


def ask(storages: dict[str, Any]) -> dict[str, Any]:
    agents = storages["agents"]
    asked = agent(agents, "chat", from_memory)
    answers = {
        "chat": asked.run("Who am I?").content,
        "summary": asked.get_session_summary().summary,
        "basket": agent(agents, "basket", Call("put", item="milk"), last).run("milk").content,
        "team": team(storages["teams"], from_memory).run("Who am I?").content,
        "counter": counted(storages["workflows"]),
        "pipe": piped(storages["pipes"]),
    }
    renamed = agent(agents, "chat")
    renamed.rename_session("Ada's")
    assert agents.read("chat").session_data["session_name"] == "Ada's"
    renamed.delete_session("basket")
    assert agents.get_all_session_ids("ada", "assistant") == ["chat"]
    return answers


def stored(storages: dict[str, Any]) -> dict[str, list[Any]]:
    """Return of each session what its runs are: type and status."""
    told = {}
    for storage in storages.values():
        for session in storage.db.get_sessions():
            found, _ = storage.db.get_runs(session_id=session.session_id, deserialize=False)
            told[session.session_id] = [[row["run_type"], row["status"]] for row in found]
    return told


def main(url: str, what: str) -> dict[str, Any]:
    storages = {name: checked(open_storage(url, name)) for name in ("agents", "teams", "workflows", "pipes")}
    assert all(isinstance(storage, Storage) for storage in storages.values())
    answers = {"tell": tell, "ask": ask}[what](storages)
    modes = [storage.mode for storage in storages.values()]
    assert modes == ["agent", "team", "workflow", "workflow_v2"]
    return {"answers": answers, "stored": stored(storages)}


if __name__ == "__main__":
    with complaints.none():
        found = main(*sys.argv[1:])
    sys.stdout.write(json.dumps(found))
