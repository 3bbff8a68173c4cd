"""Sessions of agno 1.x: their runs, their members, their summaries, and what has no place of its own today."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from agno.agent import Agent

from tests.agno.scripted import scripted
from tests.legacy import imported
from tests.legacy.tables import Tables

pytestmark = pytest.mark.backends("sqlite")


def first_run(run_id: str | None, content: str, **more: Any) -> dict[str, Any]:
    """A run as agno 1.8 keeps it."""
    named = {} if run_id is None else {"run_id": run_id}
    said = [{"role": "user", "content": f"Say {content}"}, {"role": "assistant", "content": content}]
    run = {**named, "agent_id": "a", "content": content, "messages": said, "status": "RUNNING", "created_at": 1}
    return {**run, **more}


def runs_of(db: Any, session_id: str) -> list[Any]:
    found, _ = db.get_runs(session_id=session_id, deserialize=False)
    return [row["run_data"] for row in sorted(found, key=lambda row: row["run_index"])]


def prompt(db: Any, session_id: str, **options: Any) -> Any:
    """What an agent of today sends in a session."""
    model = scripted("Yes.")
    agent = Agent(id="a", model=model, db=db, add_history_to_context=True, num_history_runs=20, **options)
    agent.run("Go on", session_id=session_id, user_id="ada")
    return model.turns[0]


def test_numbers_are_summed_and_a_run_that_is_over_says_so(db: Any, old: Tables, fresh_url: str) -> None:
    metrics = {"input_tokens": [3, 4], "time": [0.5, 0.25], "cached_tokens": [1, 0]}
    runs = [
        first_run("r1", "one", metrics=metrics, thinking="Hm.", events=[{"event": "RunStarted"}]),
        first_run("r2", "two", status="PAUSED", extra_data={"reasoning_content": "So."}),
    ]
    old.sessions("1.x-agent", [{"session_id": "s", "agent_id": "a", "memory": {"runs": runs}}])
    assert imported(db, fresh_url, verify=True).problems == []
    one, two = db.get_session("s").runs
    assert (one.metrics.input_tokens, one.metrics.duration, one.metrics.cache_read_tokens) == (7, 0.75, 1)
    assert (one.reasoning_content, two.reasoning_content) == ("Hm.", "So.")
    assert ([run.status.value for run in (one, two)]) == ["COMPLETED", "PAUSED"]
    assert runs_of(db, "s")[0]["agno_1"] == {
        "metrics": metrics,
        "status": "RUNNING",
        "events": [{"event": "RunStarted"}],
    }


def test_a_run_of_the_first_releases_lay_beside_what_it_was_asked(db: Any, old: Tables, fresh_url: str) -> None:
    asked = {"role": "user", "content": "I am Ada"}
    bare = {"run_id": "r2", "agent_id": "a", "content": "Hello Ada.", "created_at": 2}
    runs = [
        {"message": asked, "messages": [], "response": first_run("r1", "one")},
        {"message": asked, "response": bare},
    ]
    memory = {"runs": runs, "summary": {"summary": "All of it", "topics": ["it"]}, "messages": [asked]}
    old.sessions("1.x-agent", [{"session_id": "s", "agent_id": "a", "user_id": "ada", "memory": memory}])
    assert imported(db, fresh_url, verify=True).problems == []
    session = db.get_session("s")
    assert [run.run_id for run in session.runs] == ["r1", "r2"]
    assert session.summary.summary == "All of it"
    assert session.session_data["agno_1"] == {"messages": [asked]}
    turn = prompt(db, "s")
    assert turn.conversation == [
        ("user", "Say one"),
        ("assistant", "one"),
        ("user", "I am Ada"),
        ("assistant", "Hello Ada."),
        ("user", "Go on"),
    ]


def test_members_of_members_stay_with_their_team(db: Any, old: Tables, fresh_url: str) -> None:
    inner = first_run(None, "found", member_responses=[first_run("r9", "deep")], team_id="inner")
    del inner["agent_id"]
    team = first_run("t1", "done", member_responses=[first_run("r1", "looked"), inner, "lost"], team_id="t")
    old.sessions("1.x-team", [{"session_id": "s", "team_id": "t", "memory": {"runs": [team]}}])
    assert imported(db, fresh_url, verify=True).problems == []
    first, second, whole = runs_of(db, "s")
    assert [run["content"] for run in (first, second, whole)] == ["looked", "found", "done"]
    assert [first["parent_run_id"], second["parent_run_id"]] == ["t1", "t1"]
    assert [run["run_id"] for run in second["member_responses"]] == ["r9"]
    assert (whole["member_responses"], whole["agno_1"]["member_responses"]) == ([], ["lost"])
    assert whole["agno_1"]["agent_id"] == "a"  # or agno would take the team's run for an agent's
    before = runs_of(db, "s")
    assert imported(db, fresh_url, verify=True).runs.changed == 0
    assert runs_of(db, "s") == before


def test_a_memory_that_was_shared_gives_each_session_and_user_their_own(db: Any, old: Tables, fresh_url: str) -> None:
    summaries = {
        "bob": {"s": {"summary": "bob's", "last_updated": "2026-02-01"}, "other": {"summary": "no"}},
        "ada": {"s": {"summary": "ada's", "topics": ["tea"], "last_updated": "2026-01-01T00:00:00"}},
    }
    memory = {
        "summaries": summaries,
        "memories": {"ada": {"m": {"memory": "likes tea"}}, "bob": {"m": {"memory": "a secret"}}},
        "team_context": {"s": {"text": "here"}, "other": {"text": "there"}},
        "runs": {"s": [first_run("r1", "one")], "other": [first_run("r2", "two")]},
    }
    row = {"session_id": "s", "agent_id": "a", "user_id": "ada", "memory": memory, "session_data": {"n": 1}}
    old.sessions("1.x-agent", [{**row, "team_session_id": "t", "extra_data": {"env": "x"}}])
    assert imported(db, fresh_url, verify=True).problems == []
    session = db.get_session("s")
    assert (session.summary.summary, session.summary.topics, session.metadata) == ("ada's", ["tea"], {"env": "x"})
    assert [run.run_id for run in session.runs] == ["r1"]
    kept = {"memories": {"ada": {"m": {"memory": "likes tea"}}}, "team_context": {"s": {"text": "here"}}}
    assert session.session_data == {"n": 1, "agno_1": {**kept, "team_session_id": "t"}}


def test_a_workflows_run_is_known_as_one_whatever_it_was_made_of(db: Any, old: Tables, fresh_url: str) -> None:
    runs = [{"input": {"q": 1}, "response": first_run("w1", "tale", metrics={"time": [1.0]}, workflow_id="w")}]
    old.sessions("1.x-workflow", [{"session_id": "s", "workflow_id": "w", "memory": {"runs": runs}}])
    assert imported(db, fresh_url, verify=True).problems == []
    [run] = db.get_session("s").runs
    assert (run.run_id, run.content, run.workflow_id, run.input) == ("w1", "tale", "w", {"q": 1})


def test_pictures_come_out_of_a_message_as_they_went_in(db: Any, old: Tables, fresh_url: str) -> None:
    picture = b"\x89PNG picture"
    packed = base64.b64encode(zlib.compress(picture)).decode()
    message = {"role": "user", "content": "See", "images": [{"content": packed}, {"detail": "high"}]}
    run = first_run("r1", "seen", messages=[message], images=[{"id": "i"}, {"id": "u", "url": "https://x/y.png"}])
    old.sessions("1.x-agent", [{"session_id": "s", "agent_id": "a", "memory": {"runs": [run]}}])
    assert imported(db, fresh_url, verify=True).problems == []
    [found] = db.get_session("s").runs
    assert [image.content for image in found.messages[0].images] == [picture]
    assert [image.id for image in found.images] == ["u"]
    assert runs_of(db, "s")[0]["agno_1"]["images"] == run["images"]


@pytest.mark.parametrize("together", [True, False])
def test_a_member_that_kept_a_session_of_its_teams_id_gets_one_of_its_own(
    db: Any, old: Tables, fresh_url: str, together: bool
) -> None:
    team = first_run("t1", "done", team_id="t")
    old.sessions("1.x-agent", [{"session_id": "s", "agent_id": "a", "memory": {"runs": [first_run("r1", "x")]}}], "a")
    old.sessions("1.x-team", [{"session_id": "s", "team_id": "t", "memory": {"runs": [team]}}], "z")
    for names in [("a", "z")] if together else [("z",), ("a",)]:
        assert imported(db, fresh_url, *names, verify=True).problems == []
    assert (db.get_session("s").team_id, db.get_session("s:agent").agent_id) == ("t", "a")
    assert db.get_session("s:agent").session_data["agno_1"]["session_id"] == "s"
    assert imported(db, fresh_url, verify=True).sessions.changed == 0
