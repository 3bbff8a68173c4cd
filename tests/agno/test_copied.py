"""A run that is looked at again is a copy of what agno has read, and nobody can tell it from what agno would read."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput
from agno.run.workflow import WorkflowRunOutput
from agno.workflow import Step, StepInput, StepOutput, Workflow

from agno_store import copies, encoding, open_db, unread
from agno_store.unread import READY, RECIPES_MB, Recipes
from tests.agno.scripted import scripted
from tests.contract.samples import append, run, session
from tests.outlines import outline, share_nothing, spoil


def medium(kind: str) -> dict[str, Any]:
    return {"id": kind, "url": f"https://example.com/{kind}", "metadata": {"a": [1]}}


CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
QUESTION = {"id": "q", "role": "user", "content": [{"type": "text", "text": "x"}], "created_at": 1}
ANSWER = {
    "id": "m",
    "role": "assistant",
    "content": "hello",
    "tool_calls": [CALL],
    "created_at": 1,
    "metrics": {"input_tokens": 1, "output_tokens": 2},
    "provider_data": {"p": [1]},
    "unheard_of": {"x": [1]},
    "citations": {"urls": [{"url": "u"}]},
    "references": {"query": "q", "references": [{"a": 1}]},
    "images": [medium("image")],
    "files": [{"id": "f", "url": "https://example.com/f.pdf"}],
}
FIELD = {"name": "a", "field_type": "int", "description": "d", "value": 1}
TOOL = {
    "tool_call_id": "c",
    "tool_name": "add",
    "tool_args": {"a": 1, "b": [2]},
    "result": "3",
    "created_at": 1,
    "metrics": {"duration": 0.5, "start_time": 1.0},
    "requires_user_input": True,
    "user_input_schema": [FIELD],
}
METRICS = {"input_tokens": 1, "details": {"model": [{"id": "m", "provider": "p", "input_tokens": 1}]}}
COMMON = {"run_id": "r", "session_id": "s", "status": "COMPLETED", "created_at": 1, "metadata": {"m": [{"a": 1}]}}
EVENTS = [
    {"event": "RunStarted", "agent_id": "a", "run_id": "r", "created_at": 1},
    {"event": "ToolCallStarted", "agent_id": "a", "run_id": "r", "created_at": 1, "tool": TOOL},
]
PARTS: dict[str, Any] = {
    "content": {"answer": [1, {"deep": [{}]}]},
    "messages": [QUESTION, ANSWER],
    "metrics": METRICS,
    "session_state": {"set": {1, 2}, "tuple": (1,), "keys": {(1, 2): [1]}, "nothing": None},
    "tools": [TOOL],
    **{f"{kind}s": [medium(kind)] for kind in ("image", "video")},
    "audio": [medium("audio")],
    "files": [{"id": "f", "url": "https://example.com/f.pdf", "mime_type": "application/pdf"}],
    "response_audio": {"id": "a", "content": "YWJj", "transcript": "t"},
    "citations": {"raw": {"a": [1]}, "urls": [{"url": "u", "title": "t"}], "documents": [{"document_title": "d"}]},
    "references": [{"query": "q", "references": [{"a": 1}, "x"], "time": 0.1}],
    "reasoning_steps": [{"title": "t", "reasoning": "why", "next_action": "continue", "confidence": 0.5}],
    "reasoning_messages": [ANSWER],
    "additional_input": [QUESTION],
    "followups": ["x"],
    "model_provider_data": {"a": [1]},
    "input": {"input_content": "hi", "images": [medium("image")]},
    "events": EVENTS,
}
REQUIREMENT = {"id": "q", "created_at": "2026-01-02T00:00:00+00:00", "confirmation": True, "member_run_id": "m"}
CONFIRMED = {"tool_call_id": "c", "tool_name": "add", "requires_confirmation": True, "created_at": 1}
AGENTS = {**COMMON, **PARTS, "agent_id": "a", "requirements": [{**REQUIREMENT, "tool_execution": CONFIRMED}]}
OF_TEAM = [name for name in PARTS if name not in ("tools", "events")]
TEAMS = {
    **COMMON,
    **{name: PARTS[name] for name in OF_TEAM},
    "team_id": "t",
    "tools": [TOOL],
    "member_responses": [AGENTS, {**COMMON, "team_id": "inner", "member_responses": [{**COMMON, "agent_id": "a"}]}],
}
STEP = {"step_name": "work", "content": {"a": [1]}, "images": [medium("image")], "success": True}
WORKFLOWS = {
    **COMMON,
    "workflow_id": "w",
    "content": "done",
    "images": [medium("image")],
    "step_results": [STEP, {**STEP, "steps": [STEP]}],
    "step_executor_runs": [AGENTS, {**COMMON, "team_id": "t", "member_responses": []}],
    "metrics": {"steps": {"work": {"step_name": "work", "executor_type": "agent", "executor_name": "a"}}},
}
READ: dict[str, tuple[Any, dict[str, Any]]] = {
    **{name: (RunOutput, {**COMMON, "agent_id": "a", name: part}) for name, part in PARTS.items()},
    "an agent's": (RunOutput, AGENTS),
    "a team's": (TeamRunOutput, TEAMS),
    "a workflow's": (WorkflowRunOutput, WORKFLOWS),
    "nearly nothing": (RunOutput, {**COMMON, "agent_id": "a"}),
}


@pytest.mark.parametrize(("cls", "payload"), READ.values(), ids=READ.keys())
def test_a_copy_of_a_run_is_what_agno_reads(cls: Any, payload: dict[str, Any]) -> None:
    text = encoding.encode(payload, "run_data")
    expected, first = outline(cls.from_dict(encoding.decode(text))), cls.from_dict(encoding.decode(text))
    found = copies.recipe(first, text)
    assert found is not None
    one, other = copies.made(found.node), copies.made(found.node)

    assert outline(first) == outline(one) == outline(other) == expected
    assert share_nothing(first, one, other)
    spoil(first)
    spoil(one)
    assert outline(other) == outline(copies.made(found.node)) == expected


def test_a_run_with_one_thing_in_two_places_is_decoded_each_time() -> None:
    requirement = {**REQUIREMENT, "tool_execution": TOOL}
    text = encoding.encode({**COMMON, "agent_id": "a", "requirements": [requirement]}, "run_data")
    first = RunOutput.from_dict(encoding.decode(text))
    assert first.requirements[0].user_input_schema is first.requirements[0].tool_execution.user_input_schema
    assert copies.recipe(first, text) is None


# -- in a store ----------------------------------------------------------------------------------------


def read(db: Any, session_id: str = "s", kind: str = "agent") -> Any:
    return db.get_session(session_id=session_id, session_type=kind)


def known(db: Any, session_id: str = "s", kind: str = "agent") -> Any:
    return db._history.known((session_id, kind))


def copied(db: Any, session_id: str = "s", kind: str = "agent") -> list[int]:
    """Return the places of those runs that are copied."""
    return [kept.run_index for kept in known(db, session_id, kind).runs if kept.copied]


def looked_at(db: Any, *, at: int = 1) -> None:
    """Have two callers look at the last runs of a session."""
    for _ in range(2):
        assert all(one.content for one in read(db).runs[-at:])


@pytest.fixture(autouse=True)
def nothing_is_ready(monkeypatch: pytest.MonkeyPatch) -> Recipes:
    """How to copy runs is known for all stores of a process."""
    recipes = Recipes(RECIPES_MB)
    monkeypatch.setattr(unread, "_recipes", recipes)
    return recipes


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were decoded."""
    texts: list[str] = []
    decode = encoding.decode
    monkeypatch.setattr(encoding, "decode", lambda text: texts.append(text) or decode(text))
    return texts


@pytest.fixture
def db(db: Any) -> Any:
    db.upsert_session(session("s", user_id="u"))
    return db


def test_every_look_gets_the_same_and_what_is_his_own(db: Any) -> None:
    payloads = [{**AGENTS, "run_id": f"r{n}"} for n in range(READY + 3)]
    append(db, "s", *(payload["run_id"] for payload in payloads))
    for payload in payloads:
        db.upsert_run(payload, "s")
    texts = [encoding.encode(entries, "run_data") for entries in db.get_session("s", deserialize=False)["runs"]]
    expected = [outline(vars(RunOutput.from_dict(encoding.decode(text)))) for text in texts]
    sessions = [read(db) for _ in range(4)]
    for found in sessions:
        assert [outline(vars(one)) for one in found.runs] == expected
        assert {type(one) for one in found.runs} == {RunOutput}
    assert copied(db) == [*range(READY + 3)]
    assert share_nothing(*(vars(one) for found in sessions for one in found.runs))

    for found in (sessions[0], sessions[1], sessions[3]):  # what agno has read, what was decoded, what was copied
        for one in found.runs:
            spoil(one)
    for found in (sessions[2], read(db)):
        assert [outline(vars(one)) for one in found.runs] == expected


def test_a_change_of_what_was_read_first_is_nobodys_but_his_who_has_it(db: Any) -> None:
    append(db, "s", "before")
    looked_at(db)
    db.upsert_run({**AGENTS, "run_id": "r"}, "s")
    [_, first] = read(db).runs
    assert copied(db) == [0, 1]
    first.messages[1].content = first.messages[1].tool_calls[0]["function"]["name"] = "changed"
    first.metrics.input_tokens = 1000
    first.messages.append(first.messages[0])
    [_, second] = read(db).runs
    assert (second.messages[1].content, second.metrics.input_tokens, len(second.messages)) == ("hello", 1, 2)
    assert second.messages[1].tool_calls == [CALL]
    assert second.messages[1].model_fields_set == RunOutput.from_dict(deepcopy(AGENTS)).messages[1].model_fields_set


def test_a_run_is_decoded_twice_at_the_most(db: Any, decoded: list[str]) -> None:
    def texts(number: int) -> int:
        found = [text for text in decoded if f'"r{number}"' in text]
        decoded.clear()
        return len(found)

    append(db, "s", "r0")
    assert read(db).runs[0].content == "hello"
    assert (texts(0), copied(db)) == (1, [])  # nobody has looked at it again
    assert read(db).runs[0].content == "hello"
    assert (texts(0), copied(db)) == (1, [0])
    assert read(db).runs[0].content == "hello"
    assert texts(0) == 0
    for number in range(1, 4):
        append(db, "s", f"r{number}")
        assert read(db).runs[-1].content == "hello"
        assert (texts(number), copied(db)) == (1, [*range(number + 1)])  # runs of this session are looked at again
        assert [one.content for one in read(db).runs] == ["hello"] * (number + 1)
        assert decoded == []


def test_threads_that_read_at_once_get_what_is_their_own(db: Any) -> None:
    for name in (f"r{n}" for n in range(4)):
        db.upsert_run({**AGENTS, "run_id": name}, "s")
    expected = [outline(vars(one)) for one in read(db).runs]
    ready = threading.Barrier(5)

    def look(_: int) -> None:
        ready.wait()
        for _ in range(15):
            found = read(db).runs
            assert [outline(vars(one)) for one in found[:4]] == expected
            for one in found:
                spoil(one)

    def write() -> None:
        ready.wait()
        append(db, "s", *(f"new{n}" for n in range(30)))

    with ThreadPoolExecutor(5) as threads:
        done = [threads.submit(write), *(threads.submit(look, n) for n in range(4))]
    assert [each.result() for each in done] == [None] * 5
    looked_at(db, at=34)
    assert copied(db) == [*range(34)]


def test_of_many_new_runs_the_last_ones_are_prepared(db: Any) -> None:
    append(db, "s", "first")
    looked_at(db)
    append(db, "s", *(f"r{n}" for n in range(3)))
    read(db)
    assert copied(db) == [0, 1, 2, 3]
    append(db, "s", *(f"n{n}" for n in range(READY - 1)))
    read(db)
    assert copied(db) == [*range(READY + 3)]
    append(db, "s", *(f"m{n}" for n in range(READY + 1)))
    read(db)
    assert copied(db) == [*range(READY + 3)]  # none of the last ones was looked at again
    assert [one.content for one in read(db).runs] == ["hello"] * (2 * READY + 4)
    assert copied(db) == [*range(2 * READY + 4)]


def test_no_copy_is_of_a_run_that_is_gone_or_another_one(db: Any) -> None:
    append(db, "s", *(f"r{n}" for n in range(5)))
    looked_at(db, at=5)
    db.delete_run("r1", session_id="s")
    db.upsert_run(run("r3", "changed"), "s")
    for _ in range(3):
        assert [one.content for one in read(db).runs] == ["hello", "hello", "changed", "hello"]
        assert [one.run_id for one in read(db).runs] == ["r0", "r2", "r3", "r4"]
    db.delete_session("s")
    db.upsert_session(session("s", user_id="u"))
    db.upsert_run(run("r0", "anew"), "s")
    assert [[one.content for one in read(db).runs] for _ in range(3)] == [["anew"]] * 3


def test_nothing_is_prepared_where_nobody_looks_again(db: Any) -> None:
    def work(_: StepInput) -> StepOutput:
        return StepOutput(content="done")

    for number in range(4):
        Agent(id="helper", model=scripted(), db=db).run(f"question {number}", session_id="s")
        Workflow(id="flow", name="Flow", steps=[Step(name="work", executor=work)], db=db).run("go", session_id="w")
    assert (copied(db), copied(db, "w", "workflow")) == ([], [])
    for number in range(4):
        agent = Agent(id="helper", model=scripted(), db=db, add_history_to_context=True, num_history_runs=3)
        agent.run(f"and {number}", session_id="s")
    read(db)
    assert len(copied(db)) >= 3
    assert copied(db, "w", "workflow") == []


def test_the_runs_of_members_are_not_prepared(db: Any) -> None:
    append(db, "s", "first")
    looked_at(db)
    for number in range(3):
        db.upsert_run({**run(f"m{number}"), "parent_run_id": f"r{number}"}, "s")
        append(db, "s", f"r{number}")
    read(db)
    assert copied(db) == [0, 2, 4, 6]


# -- memory --------------------------------------------------------------------------------------------


def test_what_is_counted_is_what_is_taken(db: Any, nothing_is_ready: Recipes) -> None:
    for number in range(100):
        messages = [{**message, "content": f"{number} " * 90} for message in (QUESTION, ANSWER) * 2]
        append(db, "s", f"r{number}", messages=messages, session_state={"n": [number, {"a": "b"}]})
    tracemalloc.start()
    try:
        found = read(db).runs
        del found
        before = tracemalloc.get_traced_memory()[0]
        for one in read(db).runs:
            assert one.content
        del one
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(copied(db)) == 100
    assert 0.7 < taken / nothing_is_ready.size < 1.3


def test_those_that_were_prepared_first_make_room(db: Any, monkeypatch: pytest.MonkeyPatch, decoded: list[str]) -> None:
    append(db, "s", "r0")
    looked_at(db)
    recipes = Recipes(unread._recipes.size * 3.5 / 1_000_000)
    monkeypatch.setattr(unread, "_recipes", recipes)
    db._history.forget()
    append(db, "s", *(f"r{n}" for n in range(1, 5)))
    looked_at(db, at=5)
    assert copied(db) == [2, 3, 4]
    decoded.clear()
    for _ in range(3):
        assert [one.content for one in read(db).runs] == ["hello"] * 5
    assert len([text for text in decoded if '"run_id"' in text]) == 6  # and these take no other one's room again
    assert copied(db) == [2, 3, 4]
    assert recipes.size <= recipes.most


def test_one_that_two_threads_have_prepared_takes_room_once(db: Any) -> None:
    append(db, "s", "r0")
    looked_at(db)
    [kept], size = known(db).runs, unread._recipes.size
    first = kept.copied
    unread._recipes.add(kept, lambda: None, size)
    assert kept.copied is first
    assert unread._recipes.size == size > 0


def test_a_run_that_takes_more_than_all_of_it_is_decoded_each_time(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_recipes", Recipes(0.001))
    append(db, "s", "r0")
    for _ in range(3):
        assert read(db).runs[0].content == "hello"
    assert (copied(db), unread._recipes.size) == ([], 0)


def test_it_is_known_no_longer_than_the_run_is_kept(db: Any) -> None:
    append(db, "s", "r0")
    looked_at(db)
    node = weakref.ref(known(db).runs[0])
    assert node() is not None
    db._history.forget()
    gc.collect()
    assert node() is None


def test_nothing_is_prepared_where_no_history_is_kept(fresh_url: str, nothing_is_ready: Recipes) -> None:
    with open_db(fresh_url, auto_upgrade_schema=True, history_cache_mb=0) as db:
        db.upsert_session(session("s", user_id="u"))
        append(db, "s", "r0")
        for _ in range(3):
            assert read(db).runs[0].content == "hello"
    assert nothing_is_ready.size == 0
