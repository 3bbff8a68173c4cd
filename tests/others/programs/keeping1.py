"""What a storage promises to a program on agno 1, tried without agents.

    python -m tests.others.programs.keeping1 URL

Its last line is the names of what was tried; it ends early where something was not as promised.
"""

from __future__ import annotations

import copy
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import agno.storage.postgres
import agno.storage.sqlite
import pytest
from agno.run.v2.workflow import WorkflowRunResponse
from agno.storage.base import Storage
from agno.storage.mysql import MySQLStorage
from agno.storage.session import AgentSession, TeamSession, WorkflowSession, WorkflowSessionV2

import agno_store.storage
from agno_store import InvalidArgument, OwnerMismatch
from tests.others.programs.chat import open_storage

Promise = Callable[[Any], None]


def run(run_id: str | None, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    named = {} if run_id is None else {"run_id": run_id}
    metrics = {"time": [0.25], "input_tokens": [3, 4]}
    return {**named, "agent_id": "a", "status": "RUNNING", "messages": said, "metrics": metrics, **more}


def session(session_id: str = "s1", *runs: Any, user_id: str | None = "ada", **more: Any) -> AgentSession:
    memory = {"summaries": {}, "memories": {}, "runs": list(runs)}
    return AgentSession(session_id, agent_id="a", user_id=user_id, **{"memory": memory, **more})


MEMORIES = (
    None,
    {},
    {"runs": None},
    {"runs": []},
    {"runs": ["not a run"]},
    {"summaries": None, "runs": [run("r1")]},
    {"summaries": {"ada": None, "eve": {}}, "runs": []},
    {"summaries": {"eve": {"s1": {"summary": "Theirs.", "topics": None}, "s2": {"summary": 1}}}, "runs": [run("r1")]},
    {
        "summaries": {
            "eve": {"s1": {"summary": "Eve's."}},
            "ada": {
                "s2": {"summary": "Another's.", "topics": []},
                "s1": {"summary": "Ada's.", "topics": ["names"], "last_updated": "2025-01-02T03:04:05", "more": None},
            },
        },
        "memories": {"ada": {"m1": {"memory": "likes tea", "topics": []}}},
        "team_context": {"s1": {"text": "\u0000 \ud800 ü"}},
        "runs": [run("r1"), run("r1", content="again"), run(None), run(None), run(None, content="x"), run("r" * 300)],
    },
    {
        "create_user_memories": True,
        "messages": [{"role": "user", "content": "Hi"}],
        "runs": [{"message": {"role": "user"}, "messages": [], "response": run("r1")}, {"response": None}, {}],
    },
)


def a_session_is_read_as_it_was_given(storage: Any) -> None:
    for number, memory in enumerate(MEMORIES):
        for data in (None, {}, {"session_name": "First", "session_state": {"n": [1, {"x": None}]}}):
            given = session(f"s1-{number}", memory=memory, session_data=data, extra_data=data)
            given.memory = json.loads(json.dumps(memory).replace('"s1"', f'"{given.session_id}"'))
            given.created_at, given.team_session_id, given.workflow_session_id = 1_700_000_000, "t", "w"
            before = copy.deepcopy(given)
            for read in (storage.upsert(given), storage.read(given.session_id, "ada")):
                assert read.updated_at > 1_700_000_000
                read.updated_at = None
                assert read == before, (number, data)
            assert given == before
            storage.delete_session(given.session_id)
            assert storage.read(given.session_id) is None


def each_mode_has_its_own_sessions(storage: Any) -> None:
    memory = {"runs": [{"run_id": "r1", "content": "x"}], "summaries": {}, "memories": {}}
    flow = [WorkflowRunResponse(run_id="r1", workflow_id="w", content="done")]
    given = {
        "agent": AgentSession("agent", agent_id="a", agent_data={"name": "A"}, memory=memory),
        "team": TeamSession("team", team_id="t", team_data={"name": "T"}, memory=memory, team_session_id="parent"),
        "workflow": WorkflowSession("flow", workflow_id="w", workflow_data={"name": "W"}, memory=memory),
        "workflow_v2": WorkflowSessionV2("pipe", workflow_id="p", workflow_name="P", workflow_data={}, runs=flow),
    }
    for mode, one in given.items():
        storage.mode = mode
        before = {**one.to_dict(), "created_at": None, "updated_at": None}
        for read in (storage.upsert(one), storage.read(one.session_id)):
            assert type(read) is type(one)
            assert {**read.to_dict(), "created_at": None, "updated_at": None} == {
                **type(one).from_dict(before).to_dict(),
                "created_at": None,
                "updated_at": None,
            }
            if mode != "workflow_v2":
                assert {**read.to_dict(), "created_at": None, "updated_at": None} == before
    assert {mode: ids(storage, mode) for mode in given} == {
        "agent": ["agent"],
        "team": ["team"],
        "workflow": ["flow", "pipe"],
        "workflow_v2": ["flow", "pipe"],
    }
    storage.mode = None
    with pytest.raises(InvalidArgument):
        storage.mode = "crowd"
    assert storage.mode == "agent"


def ids(storage: Any, mode: str) -> list[str]:
    storage.mode = mode
    return sorted(storage.get_all_session_ids())


def runs_are_rows_and_none_is_lost(storage: Any) -> None:
    storage.upsert(session("s1", run("r1")))
    storage.upsert(session("s1", run("r1"), run("r2")))  # one process
    storage.upsert(session("s1", run("r1"), run("r3")))  # another, that had read the session before
    storage.upsert(session("s1"))
    rows, _ = storage.db.get_runs(session_id="s1", deserialize=False)
    found = [(row["run_id"], row["run_index"], row["version"], row["status"], row["user_id"]) for row in rows]
    assert found == [
        ("r1", 0, 1, "COMPLETED", "ada"),
        ("r2", 1, 1, "COMPLETED", "ada"),
        ("r3", 2, 1, "COMPLETED", "ada"),
    ]
    storage.upsert(session("s1", run("r1", content="changed")))
    assert [one.get("content") for one in storage.read("s1").memory["runs"]] == ["changed", None, None]
    assert storage.db.delete_run("r2", session_id="s1")
    assert [one["run_id"] for one in storage.read("s1").memory["runs"]] == ["r1", "r3"]


def sessions_are_listed_newest_first(storage: Any) -> None:
    # Within one second, mostly, which is all that agno's clock tells.
    for name, user in (("s2", "ada"), ("s1", "ada"), ("s3", "eve")):
        storage.upsert(session(name, run("r"), user_id=user, created_at=int(time.time())))
    storage.upsert(session("old", created_at=1_600_000_000))
    assert storage.get_all_session_ids() == ["s3", "s1", "s2", "old"]
    assert storage.get_all_session_ids("ada") == ["s1", "s2", "old"]
    assert storage.get_all_session_ids("ada", "b") == storage.get_all_session_ids("") == []
    assert [one.session_id for one in storage.get_all_sessions("ada", "a")] == ["s1", "s2", "old"]
    recent = storage.get_recent_sessions(user_id="ada")
    assert [(one.session_id, len(one.memory["runs"])) for one in recent] == [("s1", 1), ("s2", 1)]
    assert storage.get_recent_sessions(limit=0) == []
    assert len(storage.get_recent_sessions(limit=None)) == 4
    assert storage.read("old").created_at == 1_600_000_000


def a_session_stays_its_users(storage: Any) -> None:
    storage.upsert(session("s1", run("r1")))
    with pytest.raises(OwnerMismatch):
        storage.upsert(session("s1", run("r2"), user_id="eve"))
    assert storage.read("s1", "eve") is None
    read = storage.upsert(session("s1", run("r1"), run("r2"), user_id=None))
    assert (read.user_id, len(read.memory["runs"])) == ("ada", 2)


def a_summary_is_one_of_the_store(storage: Any) -> None:
    theirs = {"ada": {"s1": {"summary": "Ada said hello.", "topics": ["names"]}}}
    storage.upsert(session("s1", memory={"summaries": theirs, "runs": []}))
    assert storage.db.get_summary("s1").summary == "Ada said hello."
    storage.db.upsert_summary("s1", {"summary": "Ada left.", "topics": []})
    assert storage.read("s1").memory["summaries"] == {"ada": {"s1": {"summary": "Ada left.", "topics": []}}}


def sessions_of_agnos_own_storage_can_be_brought(storage: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        old = agno.storage.sqlite.SqliteStorage("old", db_file=f"{folder}/old.db")
        for number in range(3):
            given = session(f"s{number}", run("r1"), run("r2", content="ü"), session_data={"session_name": "First"})
            assert old.upsert(given) is not None
        brought = old.get_all_sessions()
        old.db_engine.dispose()
    for _ in range(2):
        for one in brought:
            storage.upsert(one)
    for one in brought:
        assert {**storage.read(one.session_id).to_dict(), "updated_at": None} == {**one.to_dict(), "updated_at": None}
    assert len(brought) == len(storage.get_all_session_ids()) == 3


def what_cannot_be_stored_keeps_nothing_else_away(storage: Any) -> None:
    storage.upsert(session("s1", run("r1"), session_data={"lock": object(), "name": "kept"}))
    assert storage.read("s1").session_data["name"] == "kept"


def a_copy_has_the_same_store_and_a_mode_of_its_own(storage: Any) -> None:
    copied = copy.deepcopy(storage)
    copied.mode = "team"
    assert storage.mode == "agent"
    assert copied.db is storage.db
    assert isinstance(copied, Storage)


def arguments_are_agnos(storage: Any) -> None:
    for agnos in (agno.storage.sqlite.SqliteStorage, agno.storage.postgres.PostgresStorage, MySQLStorage):
        ours = getattr(agno_store.storage, agnos.__name__)
        assert issubclass(ours, Storage)
        assert defaults(ours.__init__) == defaults(agnos.__init__)
        for name in Storage.__abstractmethods__ - {"upsert"}:
            assert defaults(getattr(ours, name)) == defaults(getattr(agnos, name)), name


def defaults(method: Any) -> list[tuple[str, Any]]:
    return [(one.name, one.default) for one in inspect.signature(method).parameters.values()]


def tables_can_be_dropped_and_built(storage: Any) -> None:
    storage.create()
    storage.upsert(session("s1"))
    storage.drop()
    assert not storage.db.table_exists(storage.table_name)
    storage.drop()
    assert storage.read("s1") is None
    assert storage.upgrade_schema() == []
    storage.create()
    assert storage.db.table_exists(storage.table_name)


PROMISES: tuple[Promise, ...] = (
    a_session_is_read_as_it_was_given,
    each_mode_has_its_own_sessions,
    runs_are_rows_and_none_is_lost,
    sessions_are_listed_newest_first,
    a_session_stays_its_users,
    a_summary_is_one_of_the_store,
    sessions_of_agnos_own_storage_can_be_brought,
    what_cannot_be_stored_keeps_nothing_else_away,
    a_copy_has_the_same_store_and_a_mode_of_its_own,
    arguments_are_agnos,
    tables_can_be_dropped_and_built,
)


if __name__ == "__main__":
    with open_storage(sys.argv[1]) as opened:
        for promise in PROMISES:
            opened.mode = "agent"
            opened.db.delete_sessions([one.session_id for one in opened.db.get_sessions()])
            promise(opened)
    sys.stdout.write(json.dumps([promise.__name__ for promise in PROMISES]))
