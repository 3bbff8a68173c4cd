"""What a store promises to a program on agno 2, tried without agents.

    python -m tests.others.programs.keeping2 URL

Its last line is the names of what was tried; it ends early where something was not as promised.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from agno.db.base import BaseDb, SessionType
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.run.workflow import WorkflowRunOutput
from agno.session import AgentSession, TeamSession, WorkflowSession

from agno_store import OwnerMismatch, open_db


def answer(run_id: str, content: str = "Hello.", **more: Any) -> RunOutput:
    said = [Message(role="user", content="Hi"), Message(role="assistant", content=content)]
    return RunOutput(
        run_id=run_id, agent_id="assistant", content=content, messages=said, status=RunStatus.completed, **more
    )


def session(session_id: str, *runs: RunOutput, **more: Any) -> AgentSession:
    return AgentSession(session_id=session_id, agent_id="assistant", user_id="ada", runs=list(runs), **more)


def versions(db: Any, session_id: str) -> dict[str, int]:
    found, _ = db.get_runs(session_id=session_id, deserialize=False)
    return {row["run_id"]: row["version"] for row in found}


def runs_that_are_not_named_stay(db: Any) -> None:
    db.upsert_session(session("s1", answer("r1"), answer("r2")))
    db.upsert_session(session("s1", answer("r3")))
    db.upsert_session(session("s1"))
    db.upsert_session(AgentSession(session_id="s1", agent_id="assistant", user_id="ada"))
    assert [run.run_id for run in db.get_session("s1").runs] == ["r1", "r2", "r3"]


def two_that_add_a_run_at_once_keep_both(db: Any) -> None:
    db.upsert_session(session("s1", answer("r1")))
    one, other = db.get_session("s1", SessionType.AGENT), db.get_session("s1", SessionType.AGENT)
    one.upsert_run(answer("r2"))
    other.upsert_run(answer("r3"))
    db.upsert_session(one)
    db.upsert_session(other)
    assert versions(db, "s1") == {"r1": 1, "r2": 1, "r3": 1}


def a_run_that_somebody_else_has_ended_stays_ended(db: Any) -> None:
    db.upsert_session(session("s1", RunOutput(run_id="r1", agent_id="assistant", status=RunStatus.running)))
    late = db.get_session("s1")
    ended = db.get_session("s1")
    ended.upsert_run(answer("r1", "Done."))
    db.upsert_session(ended)
    late.upsert_run(answer("r2"))
    db.upsert_session(late)
    assert [(run.content, run.status) for run in db.get_session("s1").runs] == [
        ("Done.", RunStatus.completed),
        ("Hello.", RunStatus.completed),
    ]


def a_session_that_is_kept_writes_what_was_changed_since(db: Any) -> None:
    kept = db.upsert_session(session("s1", answer("r1")))
    for number in (2, 3):
        kept.upsert_run(answer(f"r{number}"))
        assert db.upsert_session(kept) is not None
    kept.runs[0].content = "Hello again."
    db.upsert_session(kept)
    assert versions(db, "s1") == {"r1": 2, "r2": 1, "r3": 1}
    assert db.get_session("s1").runs[0].content == "Hello again."


def a_team_that_saves_copies_writes_what_was_changed_since(db: Any) -> None:
    held = TeamSession(
        "s1", team_id="team", user_id="ada", runs=[answer("r1")], session_data={"session_state": {"k": 1}}
    )
    db.upsert_session(copy.copy(held))
    elsewhere = db.get_session("s1", SessionType.TEAM)
    elsewhere.runs[0].content = "Done elsewhere."
    db.upsert_session(elsewhere)
    del held.session_data["session_state"]["k"]
    held.upsert_run(answer("r2"))
    db.upsert_session(copy.copy(held))
    found = db.get_session("s1", SessionType.TEAM)
    assert [run.content for run in found.runs] == ["Done elsewhere.", "Hello."]
    assert found.session_data["session_state"] == {}


def deleted_runs_do_not_come_back(db: Any) -> None:
    db.upsert_session(session("s1", answer("r1")))
    held = db.get_session("s1")
    assert db.delete_session("s1")
    held.upsert_run(answer("r2"))
    db.upsert_session(held)
    assert [run.run_id for run in db.get_session("s1").runs] == ["r2"]


def sessions_of_each_type_come_back_as_they_were(db: Any) -> None:
    member = answer("m1", parent_run_id="t1")
    led = TeamRunOutput(run_id="t1", team_id="team", content="Hi", status=RunStatus.completed)
    team = TeamSession(session_id="team", team_id="team", user_id="ada", runs=[member, led], session_data={"a": [1]})
    flow = WorkflowRunOutput(run_id="w1", workflow_id="flow", content="done", status=RunStatus.completed)
    workflow = WorkflowSession(session_id="flow", workflow_id="flow", workflow_name="Flow", runs=[flow])
    for given in (session("chat", answer("r1"), metadata={"k": None}), team, workflow):
        before = copy.deepcopy(given.to_dict())
        returned, read = db.upsert_session(given), db.get_session(given.session_id)
        assert type(returned) is type(read) is type(given)
        assert returned.runs == given.runs
        stored = read.to_dict()
        assert [run.to_dict() for run in type(given).from_dict(copy.deepcopy(before)).runs] == stored.pop("runs")
        del before["runs"]
        assert {name: value for name, value in stored.items() if name not in ("created_at", "updated_at")} == {
            name: value for name, value in before.items() if name not in ("created_at", "updated_at")
        }
        assert db.get_session(given.session_id, deserialize=False)["runs"] == [run.to_dict() for run in read.runs]


def a_session_without_runs_can_be_read(db: Any) -> None:
    for given in (session("chat"), TeamSession("team", team_id="team"), WorkflowSession("flow", workflow_id="flow")):
        db.upsert_session(given)
        assert not db.get_session(given.session_id).runs
    assert len(db.get_sessions()) == 3


def several_are_stored_with_their_runs(db: Any) -> None:
    db.upsert_sessions([session("s1", answer("r1")), session("s2", answer("r2"), answer("r3"))])
    listed = db.get_sessions(session_type=SessionType.AGENT, user_id="ada", sort_by="session_id", sort_order="asc")
    assert [[run.run_id for run in one.runs] for one in listed] == [["r1"], ["r2", "r3"]]
    rows, total = db.get_sessions(deserialize=False, limit=1, page=2)
    assert (len(rows), total) == (1, 2)
    named = db.rename_session("s2", SessionType.AGENT, "Second")
    assert (named.session_data["session_name"], len(named.runs)) == ("Second", 2)


def another_users_session_is_left_alone(db: Any) -> None:
    db.upsert_session(session("s1", answer("r1")))
    with pytest.raises(OwnerMismatch):
        db.upsert_session(AgentSession(session_id="s1", agent_id="a", user_id="eve", runs=[answer("r2")]))
    assert versions(db, "s1") == {"r1": 1}


def what_is_not_kept_is_refused_in_words(db: Any) -> None:
    refused = 0
    for name, method in vars(BaseDb).items():
        if getattr(method, "__isabstractmethod__", False) and type(db).__dict__.get(name) is not None:
            refused += 1
            with pytest.raises(NotImplementedError, match="agno_store keeps sessions, runs and summaries"):
                getattr(db, name)()
    assert refused > 20
    assert not getattr(type(db), "__abstractmethods__", None)
    assert all(getattr(db, name) is None for name in ("memory_table_name", "metrics_table_name", "eval_table_name"))


CASES: tuple[Callable[[Any], None], ...] = (
    runs_that_are_not_named_stay,
    two_that_add_a_run_at_once_keep_both,
    a_run_that_somebody_else_has_ended_stays_ended,
    a_session_that_is_kept_writes_what_was_changed_since,
    a_team_that_saves_copies_writes_what_was_changed_since,
    deleted_runs_do_not_come_back,
    sessions_of_each_type_come_back_as_they_were,
    a_session_without_runs_can_be_read,
    several_are_stored_with_their_runs,
    another_users_session_is_left_alone,
    what_is_not_kept_is_refused_in_words,
)


if __name__ == "__main__":
    with open_db(sys.argv[1]) as store:
        for case in CASES:
            store.delete_sessions([row["session_id"] for row in store.get_sessions(deserialize=False)[0]])
            case(store)
    sys.stdout.write(json.dumps([case.__name__ for case in CASES]))
