"""What a Workflow keeps in a store."""

from __future__ import annotations

import asyncio

import pytest
from agno.agent import Agent
from agno.db.base import SessionType
from agno.run import RunContext, RunStatus
from agno.run.workflow import WorkflowRunOutput
from agno.session import WorkflowSession
from agno.workflow import HumanReview, Step, StepInput, StepOutput, Workflow

from tests.agno.polling import Gate, over
from tests.agno.scripted import scripted


@pytest.fixture
def workflow(db):
    """Make a workflow whose agent writes with these replies, before a function shouts it."""

    def make(*replies, **options):
        writer = Agent(id="writer", name="Writer", model=scripted(*replies))
        steps = [Step(name="write", agent=writer), Step(name="shout", executor=shout)]
        defaults = {"id": "letters", "name": "Letters", "db": db, "steps": steps}
        return Workflow(**{**defaults, **options})

    return make


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=str(step_input.previous_step_content).upper())


def writer_of(workflow):
    return workflow.steps[0].agent.model


def test_a_workflow_run_is_one_row_that_holds_its_steps(workflow, db):
    run = workflow("dear all").run(input="a letter", session_id="s", user_id="ada")
    assert run.content == "DEAR ALL"
    rows, total = db.get_runs("s", deserialize=False)
    assert total == 1
    (row,) = rows
    assert (row["run_type"], row["workflow_id"], row["agent_id"]) == ("workflow", "letters", None)
    assert (row["run_id"], row["user_id"], row["status"]) == (run.run_id, "ada", "COMPLETED")
    assert [step["content"] for step in row["run_data"]["step_results"]] == ["dear all", "DEAR ALL"]
    assert [inner["content"] for inner in row["run_data"]["step_executor_runs"]] == ["dear all"]


def test_a_stored_workflow_session_comes_back_as_it_was(workflow, reopen):
    run = workflow("dear all").run(input="a letter", session_id="s")
    later = workflow(db=reopen())
    session = later.get_session("s")
    assert isinstance(session, WorkflowSession)
    assert (session.workflow_id, session.workflow_data["name"]) == ("letters", "Letters")
    assert isinstance(session.runs[0], WorkflowRunOutput)
    assert later.db.get_run(run.run_id, deserialize=False)["run_data"] == run.to_dict()


def test_workflow_name_survives_runs_and_renames(workflow, reopen):
    letters = workflow()
    letters.run(input="a letter", session_id="s")
    session = letters.get_session("s")
    session.workflow_name = "Letters \x00 of \ud83d"
    letters.save_session(session)
    later = workflow(db=reopen())
    later.run(input="another", session_id="s")
    later.set_session_name("s", session_name="My letter")
    later.db.rename_session("s", SessionType.WORKFLOW, "Our letter")
    session = workflow(db=reopen()).get_session("s")
    assert (session.workflow_name, session.session_data["session_name"]) == ("Letters \x00 of \ud83d", "Our letter")
    assert len(session.runs) == 2


def test_earlier_runs_are_told_to_the_steps(workflow, reopen):
    workflow("dear all").run(input="a letter", session_id="s")
    later = workflow(db=reopen(), add_workflow_history_to_steps=True)
    later.run(input="another", session_id="s")
    assert "a letter" in writer_of(later).turns[0].everything
    assert "DEAR ALL" in writer_of(later).turns[0].everything


def count(step_input: StepInput, run_context: RunContext) -> StepOutput:
    run_context.session_state["letters"] = run_context.session_state.get("letters", 0) + 1
    return StepOutput(content=str(run_context.session_state["letters"]))


def test_state_that_a_step_changed_is_there_in_the_next_run(workflow, reopen):
    counting = [Step(name="count", executor=count)]
    workflow(steps=counting).run(input="one", session_id="s")
    later = workflow(steps=counting, db=reopen())
    assert later.run(input="two", session_id="s").content == "2"
    assert later.get_session_state("s")["letters"] == 2
    later.update_session_state({"letters": 10}, session_id="s")
    assert workflow(steps=counting, db=reopen()).run(input="three", session_id="s").content == "11"


def test_a_streamed_workflow_run_is_stored_whole(workflow, db):
    for _ in workflow("dear all").run(input="a letter", session_id="s", stream=True, stream_events=True):
        pass
    assert [run.content for run in db.get_session("s").runs] == ["DEAR ALL"]


def test_arun_of_a_workflow_works_with_the_same_store(workflow, db):
    asyncio.run(workflow("dear all").arun(input="a letter", session_id="s"))
    asyncio.run(workflow("dear you").arun(input="a letter", session_id="s"))
    assert [run.content for run in db.get_session("s").runs] == ["DEAR ALL", "DEAR YOU"]


def test_a_background_workflow_run_can_be_polled(workflow, reopen):
    async def talk():
        gate = Gate("dear all")
        run = await workflow(gate).arun(input="a letter", session_id="s", background=True)
        await gate.wait()
        running = await workflow(db=reopen()).aget_run_output(run.run_id, "s")
        gate.open.set()
        return running.status, await over(workflow(db=reopen()), run.run_id)

    status, done = asyncio.run(talk())
    assert status == RunStatus.running
    assert (done.status, done.content) == (RunStatus.completed, "DEAR ALL")


def test_a_failed_workflow_run_is_stored_as_failed(workflow, db, complaints):
    def fail(step_input: StepInput) -> StepOutput:
        raise RuntimeError("out of paper")

    review = HumanReview(on_error="fail")
    failing = workflow(steps=[Step(name="fail", executor=fail, max_retries=0, human_review=review)])
    with pytest.raises(RuntimeError, match="out of paper"):
        failing.run(input="a letter", session_id="s")
    complaints.take("out of paper")
    complaints.take("Workflow execution failed")
    assert [run.status for run in db.get_session("s").runs] == [RunStatus.error]


def test_a_paused_workflow_goes_on_after_a_restart(workflow, reopen, db):
    def steps():
        return [Step(name="send", executor=shout, human_review=HumanReview(requires_confirmation=True))]

    paused = workflow(steps=steps()).run(input="a letter", session_id="s")
    assert db.get_run(paused.run_id).status == RunStatus.paused
    later = workflow(steps=steps(), db=reopen())
    stored = later.get_run_output(paused.run_id, "s")
    stored.steps_requiring_confirmation[0].confirm()
    done = later.continue_run(stored, session_id="s")
    assert done.status == RunStatus.completed
    assert [(run.run_id, run.status) for run in db.get_session("s").runs] == [(paused.run_id, RunStatus.completed)]


def test_a_workflow_session_is_listed_and_deleted(workflow, db):
    letters = workflow("dear all")
    letters.run(input="a letter", session_id="s")
    listed = db.get_sessions(session_type=SessionType.WORKFLOW, component_id="letters")
    assert [session.session_id for session in listed] == ["s"]
    assert db.get_sessions(session_type=SessionType.AGENT) == []
    letters.delete_session("s")
    assert workflow().get_session("s") is None
    assert db.get_runs() == []
