"""Runs that wait for a human: paused, stored, found again by anybody, continued and finished once."""

from __future__ import annotations

import asyncio

import pytest
from agno.exceptions import RunNotFoundError
from agno.run import RunStatus
from agno.tools import tool

from tests.agno.scripted import Call

paid: list[tuple[str, int]] = []


@tool(requires_confirmation=True)
def pay(to: str, amount: int) -> str:
    """Pay somebody."""
    paid.append((to, amount))
    return f"paid {amount} to {to}"


@tool(requires_user_input=True, user_input_fields=["to"])
def invite(amount: int, to: str = "") -> str:
    """Invite somebody, whom the user names."""
    return f"invited {to} and {amount} more"


@tool(external_execution=True)
def ring(number: str) -> str:
    """Ring somebody up; done by the application."""
    raise AssertionError("not to be called by the agent")


@pytest.fixture(autouse=True)
def nothing_paid():
    paid.clear()


@pytest.fixture
def payer(assistant):
    """Make an agent that wants to pay, or with ``asks=False`` one that is to go on after the payment."""

    def make(asks=True, **options):
        replies = [Call("pay", to="Bob", amount=5)] if asks else []
        return assistant(*replies, lambda turn: f"Done: {turn.text}", tools=[pay], **options)

    return make


def statuses(db):
    return [(row["run_index"], row["status"]) for row in db.get_runs("s", deserialize=False)[0]]


def test_a_paused_run_is_stored_with_what_it_waits_for(payer, reopen):
    run = payer().run("pay Bob", session_id="s")
    assert run.is_paused
    stored = payer(db=reopen()).get_run_output(run.run_id, "s")
    assert stored.status == RunStatus.paused
    waiting = stored.active_requirements
    assert [(one.needs_confirmation, one.tool_execution.tool_args) for one in waiting] == [
        (True, {"to": "Bob", "amount": 5})
    ]
    assert paid == []


def test_a_confirmed_run_goes_on_and_acts_once(payer, db):
    agent = payer()
    run = agent.run("pay Bob", session_id="s")
    run.active_requirements[0].confirm()
    done = agent.continue_run(run_id=run.run_id, requirements=run.requirements, session_id="s")
    assert (done.run_id, done.content) == (run.run_id, "Done: paid 5 to Bob")
    assert paid == [("Bob", 5)]
    assert statuses(db) == [(0, "COMPLETED")]


def test_after_a_restart_a_new_agent_with_a_new_store_goes_on(payer, reopen, db):
    run_id = payer().run("pay Bob", session_id="s", user_id="ada").run_id
    later = payer(asks=False, db=reopen())
    stored = later.get_run_output(run_id, "s")
    stored.active_requirements[0].confirm()
    done = later.continue_run(run_id=run_id, requirements=stored.requirements, session_id="s", user_id="ada")
    assert done.content == "Done: paid 5 to Bob"
    assert paid == [("Bob", 5)]
    assert later.model.turns[0].conversation == [("user", "pay Bob"), ("tool", "paid 5 to Bob")]
    assert statuses(db) == [(0, "COMPLETED")]
    final = payer(db=reopen()).get_run_output(run_id, "s")
    assert final.content == "Done: paid 5 to Bob"
    assert final.user_id == "ada"
    assert final.active_requirements == []


def test_a_rejected_call_is_not_made_and_the_model_is_told(payer, db):
    agent = payer()
    run = agent.run("pay Bob", session_id="s")
    run.active_requirements[0].reject("too much")
    done = agent.continue_run(run_id=run.run_id, requirements=run.requirements, session_id="s")
    assert paid == []
    assert "too much" in agent.model.turns[-1].text
    assert "too much" in done.content
    assert db.get_run(run.run_id).tools[0].confirmed is False


def test_a_paused_run_is_not_in_the_next_prompt_and_keeps_its_place(payer, db):
    agent = payer()
    paused = agent.run("pay Bob", session_id="s")
    agent.run("something else", session_id="s")
    assert agent.model.turns[-1].conversation == [("user", "something else")]
    assert statuses(db) == [(0, "PAUSED"), (1, "COMPLETED")]
    paused.active_requirements[0].confirm()
    agent.continue_run(run_id=paused.run_id, requirements=paused.requirements, session_id="s")
    assert statuses(db) == [(0, "COMPLETED"), (1, "COMPLETED")]


def test_user_input_reaches_the_tool_after_a_restart(assistant, reopen):
    run_id = assistant(Call("invite", amount=2), tools=[invite]).run("invite", session_id="s").run_id
    later = assistant(lambda turn: turn.text, tools=[invite], db=reopen())
    stored = later.get_run_output(run_id, "s")
    stored.active_requirements[0].provide_user_input({"to": "Zoë"})
    done = later.continue_run(run_id=run_id, requirements=stored.requirements, session_id="s")
    assert done.content == "invited Zoë and 2 more"


def test_the_result_of_an_external_execution_reaches_the_model_after_a_restart(assistant, reopen):
    run_id = assistant(Call("ring", number="112"), tools=[ring]).run("help", session_id="s").run_id
    later = assistant(lambda turn: f"They said: {turn.text}", tools=[ring], db=reopen())
    stored = later.get_run_output(run_id, "s")
    stored.active_requirements[0].set_external_execution_result("on our way")
    done = later.continue_run(run_id=run_id, requirements=stored.requirements, session_id="s")
    assert done.content == "They said: on our way"


def test_a_streamed_run_pauses_and_goes_on_too(payer, db):
    agent = payer()
    for _ in agent.run("pay Bob", session_id="s", stream=True):
        pass
    assert statuses(db) == [(0, "PAUSED")]
    paused = agent.get_last_run_output("s")
    paused.active_requirements[0].confirm()
    for _ in agent.continue_run(run_id=paused.run_id, requirements=paused.requirements, session_id="s", stream=True):
        pass
    assert db.get_run(paused.run_id).content == "Done: paid 5 to Bob"
    assert statuses(db) == [(0, "COMPLETED")]


def test_acontinue_run_goes_on_after_a_restart(payer, reopen, db):
    async def talk():
        run = await payer().arun("pay Bob", session_id="s")
        later = payer(asks=False, db=reopen())
        stored = await later.aget_run_output(run.run_id, "s")
        stored.active_requirements[0].confirm()
        return await later.acontinue_run(run_id=run.run_id, requirements=stored.requirements, session_id="s")

    assert asyncio.run(talk()).content == "Done: paid 5 to Bob"
    assert paid == [("Bob", 5)]
    assert statuses(db) == [(0, "COMPLETED")]


def test_a_run_that_is_not_there_cannot_be_continued(payer):
    agent = payer()
    run = agent.run("pay Bob", session_id="s")
    with pytest.raises(RunNotFoundError):
        agent.continue_run(run_id="no such run", requirements=run.requirements, session_id="s")
