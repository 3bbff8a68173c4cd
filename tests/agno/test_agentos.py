"""AgentOS over HTTP, its application in this process, on a store: runs, its pages of sessions, its migrations.

One AgentOS per database serves all tests of this module; each test is a user of its own.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from agno.agent import Agent
from agno.os import AgentOS
from agno.team import Team
from agno.tools import tool
from agno.workflow import Step, StepOutput, Workflow
from fastapi.testclient import TestClient

from agno_store import InvalidArgument, open_async_db, open_db
from tests.agno.scripted import Call, Tape, scripted
from tests.contract.stores import plain
from tests.servers.plugin import fresh_database

PATIENCE = 20  # seconds


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


class Office(NamedTuple):
    """A client of an AgentOS, its store, and the script of its agent "payer"."""

    client: TestClient
    db: object
    payer: Tape

    def ask(self, method, path, status=200, **options):
        """Send a request and return the answer, whose status must be the one expected."""
        answer = self.client.request(method, path, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content and answer.headers["content-type"] == "application/json" else answer.text


@pytest.fixture(scope="module", params=["sync", "async"])
def office(request, backend, tmp_path_factory):
    with fresh_database(backend, tmp_path_factory.mktemp("office")) as url, open_db(url) as db:
        serving = open_async_db(plain(url)) if request.param == "async" else db
        history = {"db": serving, "add_history_to_context": True}
        agents = [
            Agent(id="assistant", name="Assistant", model=scripted(), **history),
            Agent(id="payer", name="Payer", model=scripted(), tools=[pay], **history),
        ]
        member = Agent(id="researcher", name="Researcher", model=scripted())
        team = Team(id="team", name="Team", members=[member], model=scripted(), **history)
        workflow = Workflow(id="letters", name="Letters", db=serving, steps=[Step(name="shout", executor=shout)])
        system = AgentOS(id="office", agents=agents, teams=[team], workflows=[workflow], telemetry=False)
        with TestClient(system.get_app()) as client:
            yield Office(client, db, agents[1].model.tape)


def shout(step_input):
    return StepOutput(content=str(step_input.input).upper())


@pytest.fixture
def user():
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def run(office, user):
    """Run an agent, team or workflow over HTTP as the user of this test."""

    def post(message, session_id, path="/agents/assistant", status=200, **more):
        data = {"message": message, "session_id": session_id, "user_id": user, "stream": "false", **more}
        return office.ask("POST", f"{path}/runs", status, data=data)

    return post


# -- the system ----------------------------------------------------------------------------------------


def test_config_names_the_store_and_its_table(office):
    config = office.ask("GET", "/config")
    assert config["databases"] == [office.db.id]
    (sessions,) = config["session"]["dbs"]
    assert (sessions["db_id"], sessions["tables"]) == (office.db.id, ["agent_sessions"])
    assert {agent["db_id"] for agent in config["agents"]} == {office.db.id}


def test_the_tables_are_made_when_the_system_starts_and_outlive_it(db, assistant):
    with TestClient(AgentOS(agents=[assistant()], telemetry=False).get_app()):
        assert db.schema_status().state == "in step"
    assistant("still here").run("hi", session_id="s")
    assert [stored.content for stored in db.get_session("s").runs] == ["still here"]


def layout(db):
    """Every table of the database, with its columns and its number of rows."""
    with db.db_engine.connect() as connection:
        inspector = sa.inspect(connection)
        return {
            name: (
                [(column["name"], str(column["type"])) for column in inspector.get_columns(name)],
                sorted(index["name"] for index in inspector.get_indexes(name)),
                connection.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one(),
            )
            for name in inspector.get_table_names()
        }


def test_migrate_all_says_that_it_went_well_and_touches_nothing(office, run, user, complaints):
    run("hi", user)
    before = layout(office.db)
    answer = office.ask("POST", "/databases/all/migrate")
    assert "failed" not in answer
    complaints.take("the adapter returned no schema version")
    assert layout(office.db) == before


@pytest.mark.parametrize("version", ["2.0.0", "2.5.6", "3.0.0"])
def test_migrate_to_a_version_of_agnos_touches_nothing(office, run, user, version, complaints):
    run("hi", user)
    before = layout(office.db)
    for path in ("/databases/all/migrate", f"/databases/{office.db.id}/migrate"):
        office.client.post(path, params={"target_version": version})
    complaints.take("Invalid version: None")  # AgentOS cannot compare what it is not told
    assert layout(office.db) == before
    assert [stored.content for stored in office.db.get_session(user).runs] == ["You said: hi"]


# -- runs ----------------------------------------------------------------------------------------------


def test_a_run_over_http_is_stored(office, run, user):
    first = run("I am Ada.", user)
    run("Who am I?", user)
    session = office.db.get_session(user, user_id=user)
    assert [stored.content for stored in session.runs] == ["You said: I am Ada.", "You said: Who am I?"]
    assert session.runs[0].run_id == first["run_id"]
    history = [message.content for message in session.runs[1].messages if message.from_history]
    assert history == []
    assert session.session_data["session_metrics"]["total_tokens"] == 30


def test_a_streamed_run_over_http_is_stored(office, run, user):
    text = run("one two", user, stream="true")
    assert "RunCompleted" in text
    assert [stored.content for stored in office.db.get_session(user).runs] == ["You said: one two"]


def test_a_background_run_over_http_is_polled_until_it_is_done(office, run, user):
    begun = run("hi", user, background="true", status=202)
    deadline = time.monotonic() + PATIENCE
    while True:
        polled = office.ask("GET", f"/agents/assistant/runs/{begun['run_id']}", params={"session_id": user})
        if polled["status"] not in ("PENDING", "RUNNING"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (polled["status"], polled["content"]) == ("COMPLETED", "You said: hi")


def test_a_run_into_the_session_of_another_user_is_refused(office, run, user, complaints):
    run("hi", user)
    run("hello", user, user_id="somebody else", status=404)
    complaints.take("user_scope: refused")
    assert len(office.db.get_runs(user)) == 1


def test_a_paused_run_is_continued_over_http(office, run, user):
    office.payer.replies.extend([Call("pay", amount=5), lambda turn: f"Done: {turn.text}"])
    paused = run("pay", user, path="/agents/payer")
    assert paused["status"] == "PAUSED"
    tools = [{**call, "confirmed": True} for call in paused["tools"]]
    done = office.ask(
        "POST",
        f"/agents/payer/runs/{paused['run_id']}/continue",
        data={"tools": json.dumps(tools), "session_id": user, "user_id": user, "stream": "false"},
    )
    assert (done["status"], done["content"]) == ("COMPLETED", "Done: paid 5")
    assert [stored.status for stored in office.db.get_session(user).runs] == ["COMPLETED"]


def test_team_and_workflow_runs_over_http_are_stored(office, run, user):
    run("hi", f"{user}-t", path="/teams/team")
    run("hi", f"{user}-w", path="/workflows/letters")
    stored = {row["session_id"]: row for row in office.db.get_sessions(user_id=user, deserialize=False)[0]}
    assert stored[f"{user}-t"]["session_type"] == "team"
    assert stored[f"{user}-w"]["session_type"] == "workflow"
    assert office.db.get_session(f"{user}-w").runs[0].content == "HI"
    for kind, letter in (("team", "t"), ("workflow", "w")):
        listed = office.ask("GET", "/sessions", params={"user_id": user, "type": kind})
        assert [session["session_id"] for session in listed["data"]] == [f"{user}-{letter}"]
        assert office.ask("GET", f"/sessions/{user}-{letter}")["session_id"] == f"{user}-{letter}"
        (shown,) = office.ask("GET", f"/sessions/{user}-{letter}/runs")
        assert shown["status"] == "COMPLETED"


# -- sessions ------------------------------------------------------------------------------------------


@pytest.fixture
def five(office, user):
    """The ids of five sessions of the user, oldest first."""
    ids = [f"{user}-{number}" for number in range(5)]
    for number, session_id in enumerate(ids):
        office.db.upsert_session(
            {
                "session_id": session_id,
                "session_type": "agent",
                "agent_id": "assistant" if number % 2 else "payer",
                "user_id": user,
                "session_data": {"session_name": f"Talk {number}%"},
                "created_at": 1_700_000_000 + number,
            }
        )
    return ids


def test_pages_of_sessions_hold_each_session_once(office, user, five):
    pages = [
        office.ask("GET", "/sessions", params={"user_id": user, "limit": 2, "page": page}) for page in (1, 2, 3, 4)
    ]
    assert [[session["session_id"] for session in page["data"]] for page in pages] == [
        [five[4], five[3]],
        [five[2], five[1]],
        [five[0]],
        [],
    ]
    assert {(page["meta"]["total_count"], page["meta"]["total_pages"]) for page in pages} == {(5, 3)}


def test_sessions_are_sorted_and_filtered(office, user, five):
    def listed(**params):
        return [session["session_id"] for session in office.ask("GET", "/sessions", params=params)["data"]]

    assert listed(user_id=user, sort_by="created_at", sort_order="asc") == five
    assert listed(user_id=user, component_id="assistant") == [five[3], five[1]]
    assert listed(user_id=user, session_name="talk 3") == [five[3]]
    assert listed(user_id=user, session_name="3%") == [five[3]]
    assert listed(user_id=user, session_name="T_lk") == []
    assert listed(user_id="nobody") == []


@pytest.mark.parametrize("sort_by", ["", "session_name", "x" * 1000], ids=["", "name", "long"])
def test_sessions_are_in_their_usual_order_where_they_cannot_be_sorted_as_asked(office, user, five, caplog, sort_by):
    def listed(**params):
        answer = office.ask("GET", "/sessions", params={"user_id": user, "sort_by": sort_by, **params})
        return [session["session_id"] for session in answer["data"]]

    assert listed() == list(reversed(five))
    warned = [record.getMessage() for record in caplog.records if record.name == "agno_store"]
    assert len(warned) == bool(sort_by)
    assert all(message.startswith(f"sort_by={sort_by!r}"[:60]) and len(message) < 300 for message in warned)
    assert listed(sort_order="asc") == five
    assert listed(limit=2, page=2) == [five[2], five[1]]


def test_a_session_with_bytes_is_listed_once_they_are_text(office, user, complaints):
    """FastAPI reads bytes as UTF-8, which is what docs/howto/agentos.md says of them."""
    state = {"fingerprint": b"\xff\x00", "seen": {1}}
    office.db.upsert_session({"session_id": user, "user_id": user, "session_data": {"session_state": state}})
    for path in ("/sessions", f"/sessions/{user}"):
        with pytest.raises(ValueError, match="invalid utf-8"):
            office.client.get(path, params={"user_id": user})
        complaints.take("invalid utf-8")
    assert office.db.get_session(user, deserialize=False)["session_data"]["session_state"] == state

    office.db.update_session_state(user, lambda found: {**found, "fingerprint": "/wA="})
    [listed] = office.ask("GET", "/sessions", params={"user_id": user})["data"]
    assert listed["session_state"] == {"fingerprint": "/wA=", "seen": [1]}


def test_runs_are_in_their_usual_order_where_they_cannot_be_sorted_as_asked(office, run, user):
    ids = [run(question, user)["run_id"] for question in ("one", "two")]
    for sort_by in ("", "content"):
        assert [found.run_id for found in office.db.get_runs(user, sort_by=sort_by)] == ids
        assert [found.run_id for found in office.db.get_runs(user, sort_by=sort_by, sort_order="desc")] == ids[::-1]
        for stream in (office.db.iter_runs, office.db.iter_sessions):  # which are no part of what agno asks for
            with pytest.raises(InvalidArgument, match="sort_by"):
                next(stream(sort_by=sort_by))


def test_a_created_session_is_stored_with_all_it_was_given(office, user):
    body = {
        "session_id": user,
        "session_name": "Plans",
        "session_state": {"step": 1},
        "metadata": {"tag": "x"},
        "user_id": user,
        "agent_id": "assistant",
    }
    assert office.ask("POST", "/sessions", 201, json=body, params={"type": "agent"})["session_id"] == user
    shown = office.ask("GET", f"/sessions/{user}")
    assert {key: shown[key] for key in body} == body
    assert office.db.get_session(user).metadata == {"tag": "x"}


def test_a_session_that_is_there_is_not_created_again(office, run, user):
    run("hi", user)
    office.ask("POST", "/sessions", 409, json={"session_id": user, "user_id": user})
    assert len(office.db.get_session(user).runs) == 1


def test_the_state_of_a_created_session_is_the_runs(office, run, user):
    office.ask("POST", "/sessions", 201, json={"session_id": user, "session_state": {"step": 1}, "user_id": user})
    run("hi", user)
    assert office.ask("GET", f"/sessions/{user}")["session_state"] == {"step": 1}


def test_a_session_is_shown_with_its_chat_to_its_user_only(office, run, user):
    run("I am Ada.", user)
    shown = office.ask("GET", f"/sessions/{user}", params={"user_id": user})
    assert [message["content"] for message in shown["chat_history"]] == ["I am Ada.", "You said: I am Ada."]
    office.ask("GET", f"/sessions/{user}", 404, params={"user_id": "somebody else"})
    office.ask("GET", "/sessions/no-such-session", 404)


def test_the_runs_of_a_session_are_shown(office, run, user):
    ids = [run(question, user)["run_id"] for question in ("one", "two")]
    shown = office.ask("GET", f"/sessions/{user}/runs")
    assert [(one["run_id"], one["run_input"]) for one in shown] == [(ids[0], "one"), (ids[1], "two")]
    assert office.ask("GET", f"/sessions/{user}/runs/{ids[1]}")["content"] == "You said: two"
    previews = office.ask("GET", f"/sessions/{user}/run-previews")
    assert {one["content_preview"] for one in previews} == {"You said: one", "You said: two"}
    office.ask("GET", f"/sessions/{user}/runs/no-such-run", 404)


def test_a_renamed_session_keeps_its_runs(office, run, user):
    run("hi", user)
    assert office.ask("POST", f"/sessions/{user}/rename", json={"session_name": "Ümläut"})["session_name"] == "Ümläut"
    assert office.ask("GET", f"/sessions/{user}")["session_name"] == "Ümläut"
    assert len(office.db.get_session(user).runs) == 1
    office.ask("POST", f"/sessions/{user}/rename", 404, json={"session_name": "x"}, params={"user_id": "other"})
    office.ask("POST", "/sessions/no-such-session/rename", 404, json={"session_name": "x"})


def test_a_session_is_updated_and_keeps_the_rest(office, run, user):
    run("hi", user)
    summary = {"summary": "They greeted.", "topics": ["hi"], "updated_at": "2025-10-21T14:30:00"}
    office.ask("PATCH", f"/sessions/{user}", json={"session_name": "Greeting", "session_state": {"step": 2}})
    office.ask("PATCH", f"/sessions/{user}", json={"metadata": {"tag": "y"}, "summary": summary})
    shown = office.ask("GET", f"/sessions/{user}")
    assert (shown["session_name"], shown["session_state"]) == ("Greeting", {"step": 2})
    assert (shown["metadata"]["tag"], shown["session_summary"]) == ("y", summary)
    assert len(office.db.get_session(user).runs) == 1
    assert office.db.get_summary(user).summary == "They greeted."
    office.ask("PATCH", "/sessions/no-such-session", 404, json={"session_name": "x"})


def test_deleted_sessions_are_gone_and_only_those(office, run, user):
    for letter in "abcd":
        run("hi", f"{user}-{letter}")
    office.ask("DELETE", f"/sessions/{user}-a", 204)
    body = {"session_ids": [f"{user}-b", f"{user}-c"], "session_types": ["agent", "agent"]}
    office.ask("DELETE", "/sessions", 204, json=body, params={"user_id": "somebody else"})
    assert office.db.get_session(f"{user}-b") is not None
    office.ask("DELETE", "/sessions", 204, json=body)
    left = office.ask("GET", "/sessions", params={"user_id": user})["data"]
    assert [session["session_id"] for session in left] == [f"{user}-d"]
    assert [run.session_id for run in office.db.get_runs(user_id=user)] == [f"{user}-d"]
    office.ask("GET", f"/sessions/{user}-a", 404)
