"""A real Agent over a store that seals, removes and tells: it notices nothing, and the database holds nothing."""

import asyncio

import pytest
from agno.agent import Agent

from agno_store import SealedRow, open_async_db, open_db
from tests.agno.scripted import Call, put, scripted
from tests.contract.sealing import codec, places
from tests.contract.stores import plain

CANARY = "Canary-5b1c"


@pytest.fixture
def beside(db, fresh_url):
    """Open the database of the test with other options."""
    opened = []

    def open_again(**options):
        opened.append(open_db(fresh_url, **options))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


def test_an_agent_remembers_what_the_database_does_not_tell(assistant, beside, db):
    store = beside(codec=codec("2026"))
    replies = ([Call("put", item=CANARY)], f"Noted {CANARY}.", "As you said.")
    agent = assistant(*replies, db=store, tools=[put], enable_session_summaries=True)
    agent.run(f"My code is {CANARY}.", session_id="s", user_id="ada")
    agent.run("What is it?", session_id="s", user_id="ada")
    asked = next(turn for turn in agent.model.turns if ("user", "What is it?") in turn.said)
    assert ("user", f"My code is {CANARY}.") in asked.conversation
    assert agent.get_session_state("s")["basket"] == [CANARY]
    assert len(store.get_session("s", "agent").runs) == 2
    assert places(db, CANARY) == []
    reader = Agent(id="assistant", model=scripted("Nothing."), db=beside(codec=codec("2026", "2025")))
    assert reader.get_session_state("s")["basket"] == [CANARY]
    with pytest.raises(SealedRow, match="'2026'"):
        db.get_session("s", "agent")


def test_an_agent_with_an_asynchronous_store_is_sealed_and_told_of(db, fresh_url):
    told = []

    async def tell(new):
        await asyncio.sleep(0)
        told.append((new.session_id, new.run_index, new.user_id))

    async def talk():
        async with open_async_db(plain(fresh_url), codec=codec("2026"), on_append=tell) as store:
            agent = Agent(id="assistant", model=scripted(CANARY, "Yes."), db=store, add_history_to_context=True)
            await agent.arun("Say it.", session_id="s", user_id="ada")
            await agent.arun("Again?", session_id="s", user_id="ada")
            return agent.model.turns[-1].conversation

    conversation = asyncio.run(talk())
    assert ("assistant", CANARY) in conversation
    assert told == [("s", 0, "ada"), ("s", 1, "ada")]
    assert places(db, CANARY) == []


def test_what_is_removed_is_gone_from_the_next_prompt_and_not_from_this_run(assistant, beside, db):
    def before_write(write):
        return without(write.payload)

    def without(value):
        if isinstance(value, str):
            return value.replace(CANARY, "[gone]")
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items()}
        return [without(item) for item in value] if isinstance(value, list) else value

    told = []
    store = beside(before_write=before_write, on_append=told.append)
    agent = assistant([Call("put", item=CANARY)], f"Noted {CANARY}.", "Gone.", db=store, tools=[put])
    answer = agent.run(f"My code is {CANARY}.", session_id="s")
    assert CANARY in answer.content
    assert CANARY in answer.messages[0].content
    agent.run("What is it?", session_id="s")
    said = [text for _, text in agent.model.turns[-1].conversation]
    assert "My code is [gone]." in said
    assert not any(CANARY in text for text in said)
    assert agent.get_session_state("s")["basket"] == ["[gone]"]
    assert places(db, CANARY) == []
    assert [(new.run_index, new.run_type) for new in told] == [(0, "agent"), (1, "agent")]


def test_a_run_that_is_left_out_is_none_to_the_agent(assistant, beside, complaints):
    def before_write(write):
        return None if write.kind == "run" and "forget" in str(write.payload.get("input")) else write.payload

    store = beside(before_write=before_write)
    agent = assistant("one", "two", "three", db=store)
    for text in ("keep", "forget this", "keep, too"):
        agent.run(text, session_id="s")
    assert [text for role, text in agent.model.turns[-1].conversation if role == "user"] == ["keep", "keep, too"]
    assert len(store.get_session("s", "agent").runs) == 2
