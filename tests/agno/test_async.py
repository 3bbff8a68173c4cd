"""The real agno on the asynchronous classes: what arun of an Agent, a Team and a Workflow keeps in them."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from agno.agent import Agent
from agno.db.base import AsyncBaseDb, BaseDb
from agno.run import RunStatus
from agno.run.agent import RunContentEvent, RunOutput
from agno.session import AgentSession, TeamSession, WorkflowSession
from agno.team import Team
from agno.tools import tool
from agno.workflow import Step, StepOutput, Workflow

from agno_store import AsyncMySQLDb, AsyncPostgresDb, AsyncSqliteDb, open_async_db, open_db
from tests.agno.polling import Gate, over
from tests.agno.scripted import Call, put, scripted
from tests.contract.stores import plain

CLASSES = (AsyncSqliteDb, AsyncPostgresDb, AsyncMySQLDb)
METHODS = {name: member for name, member in vars(AsyncBaseDb).items() if inspect.isfunction(member) and name[0] != "_"}
ABSTRACT = {name for name, member in METHODS.items() if getattr(member, "__isabstractmethod__", False)}
OURS = {
    *("table_exists", "get_latest_schema_version", "upsert_schema_version"),
    *("get_session", "get_sessions", "upsert_session", "rename_session"),
    *("delete_session", "delete_sessions", "reassign_session_owner"),
    *("get_run", "get_runs", "upsert_run", "delete_run", "delete_runs", "cancel_pending_run"),
    *("update_approval_run_status", "to_dict", "close"),
}


@pytest.fixture
def db(fresh_url):
    return open_async_db(plain(fresh_url))


@pytest.fixture
def memory():
    return AsyncSqliteDb(db_url="sqlite://")


def stored(db, session_id="s"):
    """The rows of a session's runs."""
    return asyncio.run(db.get_runs(session_id, deserialize=False))[0]


# -- as agno's db --------------------------------------------------------------------------------------

ORDERS = {
    "agno first": "import agno.db.base\nfrom agno_store import AsyncSqliteDb",
    "agno_store first": "from agno_store import AsyncSqliteDb\nassert 'agno' not in sys.modules\nimport agno.agent",
}
IS_A_DB = """
from agno.db.base import AsyncBaseDb, BaseDb
import asyncio
db = AsyncSqliteDb(db_url='sqlite://')
assert isinstance(db, AsyncBaseDb) and not isinstance(db, BaseDb)
assert AsyncSqliteDb.upsert_tool_result is AsyncBaseDb.upsert_tool_result
try:
    asyncio.run(db.get_user_memories(user_id='u'))
except NotImplementedError:
    print('ok')
"""


@pytest.mark.parametrize("order", ORDERS)
def test_a_store_is_an_asyncbasedb_whichever_is_imported_first(python, order):
    assert python("-c", f"import sys\n{ORDERS[order]}\n{IS_A_DB}") == "ok"


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_not_kept_is_agnos_own_function(cls):
    assert issubclass(cls, AsyncBaseDb)
    assert not issubclass(cls, BaseDb)
    optional = METHODS.keys() - ABSTRACT
    assert {name for name in optional if getattr(cls, name) is not METHODS[name]} == OURS - ABSTRACT


@pytest.mark.parametrize("name", sorted(ABSTRACT - OURS))
def test_what_is_abstract_and_not_kept_says_so(memory, name):
    assert inspect.iscoroutinefunction(getattr(memory, name))
    with pytest.raises(NotImplementedError, match=rf"agno_store keeps sessions.*AsyncSqliteDb\.{name}\(\).*agno's own"):
        asyncio.run(getattr(memory, name)("anything", limit=1))


@pytest.mark.parametrize("name", sorted(OURS & METHODS.keys()))
def test_what_is_kept_takes_every_argument_that_agno_gives(name):
    ours, agnos = (inspect.signature(getattr(cls, name)).parameters for cls in (AsyncSqliteDb, AsyncBaseDb))
    for position, parameter in enumerate(agnos.values()):
        assert parameter.name in ours
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert list(ours)[position] == parameter.name
        if parameter.default is not parameter.empty:
            assert ours[parameter.name].default is not parameter.empty
    assert inspect.iscoroutinefunction(getattr(AsyncSqliteDb, name)) is (name != "to_dict")


def test_every_table_name_that_agno_reads_is_there(memory):
    class Minimal(AsyncBaseDb):
        pass

    Minimal.__abstractmethods__ = frozenset()
    names = [name for name in vars(Minimal()) if name.endswith("_table_name")]
    assert "session_table_name" in names
    assert [name for name in names if not hasattr(memory, name)] == []


# -- agents --------------------------------------------------------------------------------------------


def test_an_agent_remembers_in_a_later_event_loop(db, fresh_url):
    def agent(*replies):
        return Agent(
            id="a",
            model=scripted(*replies),
            db=db,
            add_history_to_context=True,
            enable_session_summaries=True,
            tools=[put],
        )

    first = agent(Call("put", item="tea"), "Hello Ada.")
    asyncio.run(first.arun("I am Ada.", session_id="s", user_id="ada"))
    second = agent("You are Ada.")
    assert asyncio.run(second.arun("Who am I?", session_id="s", user_id="ada")).content == "You are Ada."
    assert second.model.turns[0].conversation[-1] == ("user", "Who am I?")
    assert ("user", "I am Ada.") in second.model.turns[0].conversation
    session = asyncio.run(second.aget_session("s", user_id="ada"))
    assert isinstance(session, AgentSession)
    assert session.session_data["session_state"] == {"basket": ["tea"]}
    assert session.summary.summary
    with open_db(fresh_url) as sync:
        assert [run.content for run in sync.get_session("s").runs] == ["Hello Ada.", "You are Ada."]
        assert sync.id == db.id


def test_a_streamed_run_is_stored_whole(db):
    async def talk(agent):
        return [event async for event in agent.arun("count", session_id="s", stream=True, stream_events=True)]

    events = asyncio.run(talk(Agent(id="a", model=scripted("one two three"), db=db)))
    assert [event.content for event in events if isinstance(event, RunContentEvent)] == ["one", " two", " three"]
    assert [row["run_data"]["content"] for row in stored(db)] == ["one two three"]


def test_a_session_is_named_changed_read_and_deleted(db):
    async def live(agent):
        run = await agent.arun("hi", session_id="s")
        await agent.aset_session_name("s", session_name="Ada")
        assert (await agent.aget_session("s")).session_data["session_name"] == "Ada"
        assert isinstance(await agent.aget_run_output(run.run_id, "s"), RunOutput)
        assert [message.content for message in await agent.aget_chat_history("s")] == ["hi", "hello"]
        await agent.aupdate_session_state({"n": 1}, "s")
        assert (await agent.aget_session_state("s")) == {"n": 1}
        await agent.adelete_session("s")
        assert await agent.aget_session("s") is None

    asyncio.run(live(Agent(id="a", model=scripted("hello"), db=db)))


def test_runs_of_one_session_at_once_are_all_kept_in_their_order(db):
    async def talk():
        agents = [Agent(id="a", model=scripted(f"{n}"), db=db) for n in range(20)]
        await asyncio.gather(*(agent.arun("hi", session_id="s") for agent in agents))

    asyncio.run(talk())
    rows = stored(db)
    assert [row["run_index"] for row in rows] == list(range(20))
    assert {row["run_data"]["content"] for row in rows} == {f"{n}" for n in range(20)}


def test_a_background_run_can_be_polled_until_it_is_over(db):
    async def work():
        gate = Gate("done")
        agent = Agent(id="a", model=scripted(gate), db=db)
        run = await agent.arun("work", session_id="s", background=True)
        await gate.wait()
        gate.open.set()
        return await over(agent, run.run_id)

    assert asyncio.run(work()).content == "done"
    assert [row["status"] for row in stored(db)] == ["COMPLETED"]


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def test_a_run_that_was_paused_goes_on_in_another_loop(db):
    def agent(*replies):
        return Agent(id="a", model=scripted(*replies), db=db, tools=[pay])

    paused = asyncio.run(agent(Call("pay", amount=5)).arun("pay", session_id="s"))
    assert paused.status == RunStatus.paused
    assert [row["status"] for row in stored(db)] == ["PAUSED"]
    for requirement in paused.requirements:
        requirement.confirm()
    later = agent("It is paid.")
    run = asyncio.run(later.acontinue_run(run_id=paused.run_id, session_id="s", requirements=paused.requirements))
    assert run.content == "It is paid."
    assert [row["status"] for row in stored(db)] == ["COMPLETED"]


def test_another_users_session_is_not_read_and_not_written(db, complaints):
    async def talk():
        await Agent(id="a", model=scripted("hers"), db=db).arun("mine", session_id="s", user_id="ada")
        eve = Agent(id="a", model=scripted("no"), db=db, add_history_to_context=True)
        await eve.arun("show me", session_id="s", user_id="eve")
        return eve.model.turns[0].conversation

    assert asyncio.run(talk()) == [("user", "show me")]
    complaints.messages.clear()
    assert [row["run_data"]["content"] for row in stored(db)] == ["hers"]


def test_run_says_that_a_loop_is_needed(db):
    with pytest.raises(Exception, match=r"(?i)async"):
        Agent(id="a", model=scripted("no"), db=db).run("hi", session_id="s")


# -- teams and workflows -------------------------------------------------------------------------------


def test_a_teams_run_and_its_members_are_rows(db):
    async def work():
        member = Agent(id="researcher", name="Researcher", model=scripted("found"), role="looks")
        leader = [Call("delegate_task_to_member", member_id="researcher", task="look"), "done"]
        team = Team(id="team", name="Team", model=scripted(*leader), members=[member], db=db)
        run = await team.arun("a report", session_id="s", user_id="ada")
        return run, await team.aget_session("s", user_id="ada")

    run, session = asyncio.run(work())
    assert isinstance(session, TeamSession)
    assert [(row["run_type"], row["parent_run_id"], row["run_data"]["content"]) for row in stored(db)] == [
        ("agent", run.run_id, "found"),
        ("team", None, "done"),
    ]


def test_a_workflow_run_is_one_row_that_holds_its_steps(db):
    def shout(step_input):
        return StepOutput(content=str(step_input.previous_step_content).upper())

    async def work():
        writer = Agent(id="writer", name="Writer", model=scripted("dear all"))
        steps = [Step(name="write", agent=writer), Step(name="shout", executor=shout)]
        workflow = Workflow(id="letters", name="Letters", db=db, steps=steps)
        run = await workflow.arun(input="a letter", session_id="s", user_id="ada")
        return run, await workflow.aget_session("s")

    run, session = asyncio.run(work())
    assert run.content == "DEAR ALL"
    assert isinstance(session, WorkflowSession)
    (row,) = stored(db)
    assert (row["run_id"], row["run_type"], row["status"]) == (run.run_id, "workflow", "COMPLETED")
    assert [step["content"] for step in row["run_data"]["step_results"]] == ["dear all", "DEAR ALL"]
