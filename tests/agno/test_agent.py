"""What an Agent's runs leave in a store, and what of it the model is sent the next time."""

from __future__ import annotations

import asyncio
import os

import sqlalchemy as sa
from agno.agent import Agent
from agno.run.agent import RunContentEvent
from pydantic import BaseModel

from tests.agno.scripted import Call, put, scripted

# -- history -------------------------------------------------------------------------------------------


def test_the_next_prompt_holds_what_was_said_before(assistant):
    agent = assistant("Hello Ada.", "You are Ada.")
    agent.run("I am Ada.", session_id="s")
    answer = agent.run("Who am I?", session_id="s")
    assert answer.content == "You are Ada."
    assert agent.model.turns[-1].conversation == [
        ("user", "I am Ada."),
        ("assistant", "Hello Ada."),
        ("user", "Who am I?"),
    ]


def test_the_next_prompt_holds_no_more_runs_than_num_history_runs(assistant):
    agent = assistant(*"abcd", num_history_runs=2)
    for number in (1, 2, 3, 4):
        agent.run(f"question {number}", session_id="s")
    assert agent.model.turns[-1].conversation == [
        ("user", "question 2"),
        ("assistant", "b"),
        ("user", "question 3"),
        ("assistant", "c"),
        ("user", "question 4"),
    ]


def test_a_session_whose_history_is_always_sent_whole_grows_by_what_is_said(assistant, db):
    turns = 200 if os.environ.get("TEST_ALL") else 40
    agent = assistant(*("an answer" for _ in range(turns)), num_history_runs=turns)
    for number in range(turns):
        agent.run(f"question {number:03}", session_id="s")

    assert len(agent.model.turns[-1].conversation) == 2 * turns - 1
    with db.db_engine.connect() as connection:
        by_index = sa.text(f"SELECT length(run_data) FROM {db.names.runs} ORDER BY run_index")
        if db.dialect.title == "PostgreSQL":
            by_index = sa.text(f"SELECT length(run_data::text) FROM {db.names.runs} ORDER BY run_index")
        lengths = list(connection.execute(by_index).scalars())
    assert len(lengths) == turns
    assert max(lengths[1:]) < 1.1 * min(lengths[1:])


def test_sessions_do_not_mix(assistant):
    agent = assistant()
    agent.run("I am Ada.", session_id="ada")
    agent.run("I am Bob.", session_id="bob")
    agent.run("Who am I?", session_id="ada")
    assert "Ada" in agent.model.turns[-1].everything
    assert "Bob" not in agent.model.turns[-1].everything


def test_history_does_not_depend_on_the_objects_that_wrote_it(assistant, reopen):
    assistant("Hello Ada.").run("I am Ada.", session_id="s")
    other = assistant(db=reopen())
    other.run("Who am I?", session_id="s")
    assert other.model.turns[0].conversation[:2] == [("user", "I am Ada."), ("assistant", "Hello Ada.")]


def test_any_text_comes_back_in_the_next_prompt_as_it_was(assistant):
    text = "NUL \x00, spelled \\u0000, lone \ud83d, emoji 🦉, ünïcødé, \x1a, 'quote\" % :name \\"
    agent = assistant(text)
    agent.run(f"> {text}", session_id="s")
    agent.run("again", session_id="s")
    assert agent.model.turns[-1].conversation[:2] == [("user", f"> {text}"), ("assistant", text)]


def test_get_session_messages_gives_the_last_runs_that_were_completed(assistant, complaints):
    agent = assistant("one", "two", RuntimeError("no"))
    for question in ("first", "second", "failing"):
        agent.run(question, session_id="s")
    complaints.take("no")
    messages = agent.get_session_messages("s", last_n_runs=1)
    assert [message.content for message in messages] == ["second", "two"]
    assert [message.content for message in agent.get_chat_history("s")] == ["first", "one", "second", "two", "failing"]


def test_a_run_without_a_session_id_gets_a_session_of_its_own(assistant):
    first, second = assistant(), assistant()
    one, two = first.run("hi"), second.run("hi")
    assert one.session_id != two.session_id
    assert [run.run_id for run in first.get_session(one.session_id).runs] == [one.run_id]


def test_an_introduction_stands_before_the_first_run(assistant, db):
    agent = assistant("yes", introduction="I am the assistant.")
    agent.run("hi", session_id="s")
    assert [run.content for run in db.get_session("s").runs] == ["I am the assistant.", "yes"]


# -- tools ---------------------------------------------------------------------------------------------


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def test_what_a_tool_was_asked_and_answered_is_in_the_next_prompt(assistant):
    agent = assistant(Call("add", a=1, b=2), lambda turn: f"It is {turn.text}.", tools=[add])
    assert agent.run("1 + 2?", session_id="s").content == "It is 3."
    agent.run("Sure?", session_id="s")
    assert agent.model.turns[-1].conversation == [
        ("user", "1 + 2?"),
        ("tool", "3"),
        ("assistant", "It is 3."),
        ("user", "Sure?"),
    ]


def test_a_stored_run_holds_its_tools_and_messages(assistant, reopen):
    agent = assistant([Call("add", a=1, b=2), Call("add", a=3, b=4)], "3 and 7", tools=[add])
    run = agent.run("sums", session_id="s")
    stored = assistant(db=reopen()).get_run_output(run.run_id, "s")
    assert [(tool.tool_args, tool.result) for tool in stored.tools] == [
        ({"a": 1, "b": 2}, "3"),
        ({"a": 3, "b": 4}, "7"),
    ]
    assert stored.to_dict() == {"events": [], **run.to_dict()}


def test_a_checkpoint_of_each_tool_batch_adds_no_run(assistant, db):
    agent = assistant(Call("add", a=1, b=2), Call("add", a=3, b=4), "done", tools=[add], checkpoint="tool-batch")
    run = agent.run("sums", session_id="s")
    rows, total = db.get_runs("s", deserialize=False)
    assert total == 1
    assert (rows[0]["run_id"], rows[0]["run_index"], rows[0]["status"]) == (run.run_id, 0, "COMPLETED")
    assert [tool["result"] for tool in rows[0]["run_data"]["tools"]] == ["3", "7"]


class Answer(BaseModel):
    city: str
    people: int


def test_a_structured_answer_is_stored_as_what_it_says(assistant, db):
    agent = assistant('{"city": "Paris", "people": 2}', output_schema=Answer)
    run = agent.run("where?", session_id="s")
    assert run.content == Answer(city="Paris", people=2)
    assert db.get_run(run.run_id).content == {"city": "Paris", "people": 2}


# -- streaming and async -------------------------------------------------------------------------------


def test_a_streamed_run_is_stored_whole(assistant, db):
    agent = assistant("one two three")
    events = list(agent.run("count", session_id="s", stream=True, stream_events=True))
    parts = [event.content for event in events if isinstance(event, RunContentEvent)]
    assert parts == ["one", " two", " three"]
    assert [run.content for run in db.get_session("s").runs] == ["one two three"]
    agent.run("again", session_id="s")
    assert agent.model.turns[-1].conversation[:2] == [("user", "count"), ("assistant", "one two three")]


def test_a_stream_that_nobody_reads_to_its_end_leaves_the_session_usable(assistant):
    agent = assistant("one two three", "fine")
    stream = agent.run("count", session_id="s", stream=True)
    next(stream)
    stream.close()
    assert agent.run("again", session_id="s").content == "fine"
    assert agent.get_chat_history("s")[-1].content == "fine"


def test_arun_works_with_the_same_store(assistant):
    async def talk(agent: Agent) -> None:
        await agent.arun("I am Ada.", session_id="s")
        async for _ in agent.arun("Who am I?", session_id="s", stream=True):
            pass
        await agent.aset_session_name("s", session_name="Ada")

    agent = assistant(Call("put", item="tea"), "Hello Ada.", "You are Ada.", tools=[put])
    asyncio.run(talk(agent))
    session = agent.get_session("s")
    assert [run.content for run in session.runs] == ["Hello Ada.", "You are Ada."]
    assert session.session_data["session_state"] == {"basket": ["tea"]}
    assert session.session_data["session_name"] == "Ada"
    assert ("user", "I am Ada.") in agent.model.turns[-1].conversation


def test_two_runs_of_one_session_at_once_are_both_kept_in_their_order(assistant, db):
    async def talk() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_turn: object) -> str:
            begun.set()
            await go_on.wait()
            return "slow"

        first = asyncio.create_task(assistant(slow).arun("one", session_id="s"))
        await begun.wait()
        await assistant("fast").arun("two", session_id="s")
        go_on.set()
        await first

    assistant("before").run("zero", session_id="s")
    asyncio.run(asyncio.wait_for(talk(), 30))
    rows, _ = db.get_runs("s", deserialize=False)
    assert [(row["run_index"], row["run_data"]["content"]) for row in rows] == [(0, "before"), (1, "fast"), (2, "slow")]


# -- runs that do not end well, and branches -----------------------------------------------------------


def test_a_failed_run_is_stored_as_failed_and_is_not_in_the_next_prompt(assistant, db, complaints):
    agent = assistant("Hello.", RuntimeError("out of service"), "back")
    agent.run("hi", session_id="s")
    failed = agent.run("and now?", session_id="s")
    complaints.take("out of service")
    assert db.get_run(failed.run_id, deserialize=False)["status"] == "ERROR"
    agent.run("once more", session_id="s")
    assert agent.model.turns[-1].conversation == [("user", "hi"), ("assistant", "Hello."), ("user", "once more")]


def test_a_regenerated_answer_takes_the_place_of_the_first(assistant, db):
    agent = assistant("bad", "good")
    first = agent.run("hi", session_id="s")
    second = agent.continue_run(run_id=first.run_id, session_id="s", regenerate=True)
    statuses = {row["run_id"]: row["status"] for row in db.get_runs("s", deserialize=False)[0]}
    assert statuses == {first.run_id: "REGENERATED", second.run_id: "COMPLETED"}
    agent.run("and?", session_id="s")
    assert agent.model.turns[-1].conversation == [("user", "hi"), ("assistant", "good"), ("user", "and?")]


def test_a_forked_session_goes_its_own_way(assistant):
    agent = assistant("Hello Ada.")
    agent.run("I am Ada.", session_id="s")
    fork = agent.fork_session(source_session_id="s")
    agent.run("in the fork", session_id=fork)
    agent.run("in the source", session_id="s")
    assert [message.content for message in agent.get_chat_history("s")][::2] == ["I am Ada.", "in the source"]
    assert [message.content for message in agent.get_chat_history(fork)][::2] == ["I am Ada.", "in the fork"]
    ids = [run.run_id for session in ("s", fork) for run in agent.get_session(session).runs]
    assert len(set(ids)) == 4


def test_a_cached_session_is_stored_all_the_same(assistant, db):
    agent = assistant("one", "two", cache_session=True)
    for question in ("first", "second"):
        agent.run(question, session_id="s")
    assert [run.content for run in db.get_session("s").runs] == ["one", "two"]
    assert ("assistant", "one") in agent.model.turns[-1].conversation


def test_a_deep_copy_of_an_agent_shares_the_store(assistant, db):
    copies = [assistant().deep_copy() for _ in range(2)]
    assert all(copy.db is db for copy in copies)
    copies[0].run("hi", session_id="s")
    assert [run.content for run in copies[1].get_session("s").runs] == ["You said: hi"]


def test_an_agent_without_history_gets_none(db):
    agent = Agent(model=scripted(), db=db)
    for _ in range(2):
        agent.run("hi", session_id="s")
    assert agent.model.turns[-1].conversation == [("user", "hi")]
