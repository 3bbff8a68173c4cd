"""What people put into a session: under real agents every run is stored with it, and the next one goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import threading
from collections.abc import Iterator
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from agno.agent import Agent
from agno.run import RunContext
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.concurrency import worker_managed_execution
from agno.run.status_persist import apersist_run_transition
from agno.session.agent import AgentSession
from agno.session.summary import SessionSummary
from agno.team import Team
from agno.workflow import Step, StepInput, StepOutput, Workflow
from pydantic import BaseModel

from agno_store import CorruptRow, EncodingError, open_db
from tests.agno.scripted import Call, scripted
from tests.contract.database import overwrite, stored


class Item(BaseModel):
    name: str
    price: Decimal


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: Any


class Client:
    """A connection to somewhere, with a secret in its repr."""

    def __repr__(self) -> str:
        return "hunter2"


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["in"] = [value, value]
    return value


def mark(kind: str, reason: str = "nothing says how") -> dict[str, Any]:
    return {"$agno_store": "unstorable", "value": {"type": kind, "reason": reason}}


KEPT: dict[str, tuple[Any, Any]] = {
    "set": ({1, "two"}, {1, "two"}),
    "decimal": (Decimal("1.10"), Decimal("1.10")),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "datetime": (datetime(2026, 1, 2, tzinfo=timezone.utc), datetime(2026, 1, 2, tzinfo=timezone.utc)),
    "date": (date(2026, 1, 2), date(2026, 1, 2)),
    "uuid": (UUID(int=5), UUID(int=5)),
    "pydantic": (Item(name="tea", price=Decimal("1.5")), {"name": "tea", "price": Decimal("1.5")}),
    "dataclass": (Point(1, {2}), {"x": 1, "y": {2}}),
    "enum": ([Color.RED], ["red"]),
    "tuple": ((1, (2,)), (1, (2,))),
    "keys that are tuples": ({(1, 2): "a", 3: "b"}, {(1, 2): "a", 3: "b"}),
    "infinity": (float("-inf"), float("-inf")),
    "a surrogate and nul": ("\ud83d\x00\\u0000", "\ud83d\x00\\u0000"),
    "path": (PurePosixPath("/tmp/x"), "/tmp/x"),
    "class": (Point, str(Point)),
}
MARKED: dict[str, tuple[Any, Any]] = {
    "object": (Client(), mark(f"{__name__}.Client")),
    "lock": (threading.Lock(), mark("_thread.lock")),
    "function": (print, mark("builtins.builtin_function_or_method")),
    "generator": ((n for n in range(3)), mark("builtins.generator")),
    "circle": (circle(), {"in": [mark("builtins.dict", "it contains itself")] * 2}),
    "inside a dataclass": (Point(1, Client()), {"x": 1, "y": mark(f"{__name__}.Client")}),
}
ALL = {**KEPT, **MARKED}
FEW = {**MARKED, "set": KEPT["set"], "keys that are tuples": KEPT["keys that are tuples"]}
# agno copies a run's metadata, and a team's state, and fails before anything comes to us where that cannot be done.
COPIED = {name: pair for name, pair in FEW.items() if name not in ("lock", "generator")}


def of(values: dict[str, tuple[Any, Any]]) -> Any:
    return pytest.mark.parametrize(("value", "read"), values.values(), ids=values.keys())


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Whatever is marked is warned of, and nothing that is told holds a secret."""
    yield caplog
    assert "hunter2" not in caplog.text


def warned(caplog: pytest.LogCaptureFixture, place: str) -> bool:
    return any(r.name == "agno_store" and place in r.getMessage() for r in caplog.records)


def goes_on(assistant: Any, db: Any, *answers: str) -> None:
    """Check that all runs are stored, and that the next one is told what was said in them."""
    found = db.get_session("s")
    assert [run.content for run in found.runs if run.parent_run_id is None] == list(answers)
    later = assistant("later")
    later.run("and now?", session_id="s")
    said = [text for role, text in later.model.turns[0].conversation if role == "assistant"]
    assert [text for text in said if text in answers] == list(answers)
    assert len(db.get_session("s").runs) == len(found.runs) + 1


@of(ALL)
def test_a_state_with_any_value_is_stored_and_the_next_run_goes_on(assistant, db, logged, value, read):
    assistant("hello").run("hi", session_id="s", session_state={"v": value, "n": 1})

    found = db.get_session("s")
    assert found.session_data["session_state"] == {"v": read, "n": 1}
    assert found.runs[0].session_state["v"] == read
    is_marked = any(value is one for one, _ in MARKED.values())
    assert [warned(logged, f"{place}.session_state.v") for place in ("session_data", "run_data")] == [is_marked] * 2
    goes_on(assistant, db, "hello")


@of(FEW)
def test_a_tool_may_put_any_value_into_the_state_and_answer_with_it(assistant, db, logged, value, read):
    def put(run_context: RunContext) -> Any:
        """Put something in, and give it."""
        run_context.session_state["v"] = value
        return value

    agent = assistant(Call("put"), "done", tools=[put])
    agent.run("put it", session_id="s")

    found = db.get_session("s")
    assert found.session_data["session_state"]["v"] == read
    assert found.runs[0].tools[0].tool_name == "put"
    goes_on(assistant, db, "done")


@of(COPIED)
def test_metadata_and_dependencies_may_hold_any_value(assistant, db, logged, value, read):
    agent = assistant("hello", metadata={"of": ["the agent", value]})
    agent.run("hi", session_id="s", metadata={"v": value}, dependencies={"v": value} if not callable(value) else None)

    assert db.get_session("s").runs[0].metadata == {"v": read, "of": ["the agent", read]}
    goes_on(assistant, db, "hello")


@of(FEW)
def test_what_an_agent_was_asked_may_hold_any_value(db, logged, value, read):
    run = RunOutput(run_id="r", agent_id="a", session_id="s", content={"answer": value}, session_state={"v": [value]})
    db.upsert_session(AgentSession("s", agent_id="a", metadata={"v": value}, session_data={"v": value}, runs=[run]))
    db.upsert_run(run, session_id="s")

    found = db.get_session("s")
    assert found.metadata == found.session_data == {"v": read}
    assert found.runs[0].content == {"answer": read}
    assert found.runs[0].session_state == {"v": [read]}


def test_a_run_that_cannot_be_copied_is_stored_as_agno_itself_would_write_it(assistant, db):
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    agent = assistant(Call("add", a=1, b=2), "It is 3.", tools=[add], store_events=True)
    run = agent.run("1 + 2?", session_id="s", session_state={"lock": threading.Lock()}, images=[])
    [stored] = db.get_session("s", deserialize=False)["runs"]
    del run.session_state["lock"]

    assert stored.pop("session_state")["lock"] == mark("_thread.lock")
    expected = run.to_dict()
    assert expected.pop("session_state") == {}
    assert len(expected["messages"]) == 4
    assert stored.keys() == expected.keys()
    assert stored["messages"] == expected["messages"]
    assert stored == expected


class Answer(BaseModel):
    title: str
    price: Decimal
    when: datetime
    tags: set[str]


def test_an_answer_of_a_schema_is_stored_and_the_next_run_goes_on(assistant, db):
    text = '{"title": "tea", "price": "1.50", "when": "2026-01-02T00:00:00Z", "tags": ["hot"]}'
    agent = assistant(text, "later", output_schema=Answer)
    answer = agent.run("describe tea", session_id="s").content

    assert isinstance(answer, Answer)
    assert Answer(**db.get_session("s").runs[0].content) == answer
    assistant("later").run("and now?", session_id="s")
    assert len(db.get_session("s").runs) == 2


def test_a_team_and_its_members_are_stored_with_any_value(db, logged):
    member = Agent(id="member", name="Member", model=scripted("from the member"))
    team = Team(
        id="team",
        members=[member],
        model=scripted(Call("delegate_task_to_member", member_id="member", task="say it"), "from the team"),
        db=db,
        add_history_to_context=True,
        store_member_responses=True,
    )
    team.run("go", session_id="s", session_state={"client": Client(), "seen": {1}})

    found = db.get_session("s")
    assert found.session_data["session_state"] == {"client": mark(f"{__name__}.Client"), "seen": {1}}
    assert [run.content for run in found.runs] == ["from the member", "from the team"]
    assert [answer.content for answer in found.runs[1].member_responses] == ["from the member"]
    assert found.runs[1].session_state["client"] == mark(f"{__name__}.Client")
    assert warned(logged, "run_data.session_state.client")


def test_a_workflow_is_stored_with_any_value(db, logged):
    def work(step_input: StepInput) -> StepOutput:
        return StepOutput(content={"client": Client(), "seen": {1, 2}})

    workflow = Workflow(id="flow", name="Flow", steps=[Step(name="work", executor=work)], db=db)
    workflow.run(input="go", session_id="s", session_state={"lock": threading.Lock()})
    workflow.run(input="again", session_id="s")

    found = db.get_session("s")
    assert found.session_data["session_state"] == {"lock": mark("_thread.lock")}
    assert [run.content for run in found.runs] == [{"client": mark(f"{__name__}.Client"), "seen": {1, 2}}] * 2


def test_a_summary_may_hold_any_value(db):
    db.upsert_session(AgentSession("s", agent_id="a"))
    db.upsert_summary("s", SessionSummary("text", topics=["a", Client()]))

    assert db.get_summary("s").topics == ["a", mark(f"{__name__}.Client")]


def test_one_who_asks_for_errors_gets_the_path(db):
    strict = type(db)(db_engine=db.db_engine, unstorable="raise")
    run = RunOutput(run_id="r", agent_id="a", session_state={"lock": threading.Lock()})
    with pytest.raises(EncodingError, match=r"^run_data\.session_state\.lock is a _thread\.lock"):
        strict.upsert_run(run, session_id="s")
    with pytest.raises(EncodingError, match=r"^metadata\.v is a "):
        strict.upsert_session(AgentSession("s", agent_id="a", metadata={"v": Client()}))

    assert db.get_session("s") is None


def test_a_dict_that_cannot_be_stored_is_refused_beside_agno_too(db):
    with pytest.raises(EncodingError, match=r"^run_data\.content"):
        db.upsert_run({"run_id": "r", "agent_id": "a", "content": Client()}, session_id="s")


WAITING = RunOutput(run_id="r", agent_id="assistant", session_id="s", status=RunStatus.pending)


def test_a_run_of_a_queues_worker_is_stored_with_marks(assistant, db, logged):
    """agno saves it as a dict, and goes on where that is refused."""

    def connect(run_context: RunContext) -> str:
        """Connect."""
        run_context.session_state["client"] = Client()
        return "connected"

    async def work() -> None:
        with worker_managed_execution("r", "a worker", 1):
            await assistant(Call("connect"), "done", tools=[connect]).arun("go", session_id="s", run_id="r")

    db.upsert_session(AgentSession("s", agent_id="assistant"))
    db.upsert_run(WAITING, session_id="s")
    asyncio.run(work())

    found = db.get_run("r")
    assert (found.status, found.content) == (RunStatus.completed, "done")
    assert found.session_state == {"client": mark(f"{__name__}.Client")}
    assert warned(logged, "run_data.session_state.client")


def test_that_a_background_run_failed_is_stored_with_marks(assistant, db, logged):
    db.upsert_session(AgentSession("s", agent_id="assistant"))
    db.upsert_run(WAITING, session_id="s")
    failed = dataclasses.replace(WAITING, status=RunStatus.error, content="boom", session_state={"v": Client()})
    asyncio.run(apersist_run_transition(assistant(), "agent", "s", failed, full_run=True))

    found = db.get_run("r")
    assert (found.status, found.content, found.session_state) == (
        RunStatus.error,
        "boom",
        {"v": mark(f"{__name__}.Client")},
    )


def test_a_run_that_agno_gives_as_a_dict_is_marked_unless_errors_are_asked_for(db, logged):
    fields, data = WAITING.to_dict(), {"session_state": {"v": Client()}}
    db.upsert_session(AgentSession("s", agent_id="assistant"))
    strict = type(db)(db_engine=db.db_engine, unstorable="raise")
    with pytest.raises(EncodingError, match=r"^run_data\.session_state\.v"):
        strict.append_run_to_session_if_absent("s", {**fields, **data})
    assert db.append_run_to_session_if_absent("s", {**fields, **data}) is True
    assert db.get_run("r").session_state == {"v": mark(f"{__name__}.Client")}

    with pytest.raises(EncodingError, match=r"^session_data\.session_state\.v"):
        strict.update_run_in_session("s", "r", {"content": "strict"}, session_data=data)
    assert db.update_run_in_session("s", "r", {"content": "new"}, session_data=data).value == "updated"
    assert db.get_run("r").content == "new"
    assert db.get_session("s").session_data["session_state"] == {"v": mark(f"{__name__}.Client")}


# -- rows that cannot be read --------------------------------------------------------------------------

DAMAGED = {
    "no json": ("runs", "run_data", '{"content": {"$agno_store": "decimal", "value": "ten"}, "agent_id": "a"}'),
    "messages that agno does not know": (
        "runs",
        "run_data",
        '{"run_id": "r", "agent_id": "a", "messages": [{"x": 1}]}',
    ),
    "messages that are none": ("runs", "run_data", '{"run_id": "r", "agent_id": "a", "messages": 5}'),
    "a type nobody knows": ("sessions", "session_type", "swarm"),
    "a summary's time": ("summaries", "summary_data", '{"updated_at": "yesterday"}'),
    "a summary's time that never comes": ("summaries", "summary_data", '{"updated_at": 1e300}'),
    "topics": ("summaries", "topics", '{"$agno_store": "date", "value": "yesterday"}'),
    "metadata": ("sessions", "metadata", '{"$agno_store": "date", "value": "yesterday"}'),
}


@pytest.fixture
def furnished(assistant, db):
    for session_id in ("damaged", "whole"):
        for question in ("one", "two"):
            assistant().run(question, session_id=session_id)
        db.upsert_summary(session_id, SessionSummary("text", topics=["a"]))
    return db


@pytest.mark.parametrize(("table", "column", "value"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_row_that_agno_cannot_read_does_not_take_a_listing_down(furnished, caplog, table, column, value):
    first = furnished.get_session("damaged").runs[0].run_id
    key = {"run_id": first} if table == "runs" else {"session_id": "damaged"}
    overwrite(furnished, table, column, value, **key)
    with pytest.raises(CorruptRow, match="'damaged'"):
        furnished.get_session("damaged")

    sessions = {found.session_id: found for found in furnished.get_sessions()}
    assert sum(r.name == "agno_store" for r in caplog.records) == 1
    assert warned(caplog, f"'damaged', {column}") or warned(caplog, "'damaged', summary")
    assert {name: len(found.runs) for name, found in sessions.items()} == {"damaged": 2, "whole": 2}
    assert furnished.get_sessions(deserialize=False)[1] == 2
    assert len(furnished.get_runs()) == furnished.get_runs(deserialize=False)[1] == 4
    assert sessions["whole"].runs[0].content == sessions["damaged"].runs[1].content.replace("two", "one")
    if table == "runs":
        run = sessions["damaged"].runs[0]
        assert run.content["$agno_store"] == "corrupt"
        assert (run.run_id, run.agent_id, run.status) == (first, "assistant", "COMPLETED")


@pytest.mark.parametrize(("table", "column", "value"), DAMAGED.values(), ids=DAMAGED.keys())
def test_saving_what_was_listed_overwrites_nothing_that_agno_could_not_read(furnished, table, column, value):
    first = furnished.get_session("damaged").runs[0].run_id
    key = {"run_id": first} if table == "runs" else {"session_id": "damaged"}
    overwrite(furnished, table, column, value, **key)
    [listed] = [found for found in furnished.get_sessions() if found.session_id == "damaged"]
    listed.session_data["session_state"] = {"changed": True}
    furnished.upsert_session(listed)
    if table == "runs":
        with pytest.raises(EncodingError, match="is not what is stored"):
            furnished.upsert_run(listed.runs[0], session_id="damaged")

    assert stored(furnished, table, column, **key) == value
    [again] = [found for found in furnished.get_sessions() if found.session_id == "damaged"]
    assert again.session_data["session_state"] == {"changed": True}


@pytest.mark.parametrize("value", ['{"run_id": "r", "events": 5}', '{"run_id": "r", "messages": [5]}'])
@pytest.mark.parametrize("run_type", ["agent", "team", "workflow", "swarm"])
def test_a_run_of_any_type_that_agno_cannot_read_is_listed(furnished, run_type, value):
    first = furnished.get_session("damaged").runs[0].run_id
    overwrite(furnished, "runs", "run_data", value, run_id=first)
    overwrite(furnished, "runs", "run_type", run_type, run_id=first)
    found = {run.run_id: run for run in furnished.get_runs(session_id="damaged")}

    assert len(found) == 2
    if (run_type, value) != ("workflow", '{"run_id": "r", "messages": [5]}'):  # those of a workflow have none
        assert found[first].content["$agno_store"] == "corrupt"
        with pytest.raises(CorruptRow):
            furnished.get_run(first)


def test_a_store_opened_anew_reads_the_marks(assistant, db, fresh_url):
    assistant("hello").run("hi", session_id="s", session_state={"v": Client()})
    with open_db(fresh_url) as again:
        assert again.get_session("s").session_data["session_state"] == {"v": mark(f"{__name__}.Client")}


class Instead:
    """What stands for another object, as those who watch calls put it there; it says that it is of its class."""

    def __init__(self, of: Any) -> None:
        self.of = of

    @property
    def __class__(self) -> Any:
        return type(self.of)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)


def test_what_stands_for_an_object_of_agnos_is_saved_as_that_one_is(tmp_path: Path) -> None:
    session = AgentSession(session_id="s", agent_id="a", session_data={"session_state": {"client": Client()}})
    with open_db(f"sqlite:///{tmp_path}/agents.db") as db:
        saved = db.upsert_session(Instead(session))
    assert saved.session_data == {"session_state": {"client": mark("tests.agno.test_values.Client")}}
