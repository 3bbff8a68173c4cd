"""What an Agent keeps with its session: state, summary, metrics, name; and its past sessions."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

from agno.run import RunContext

from tests.agno.scripted import NAME, Call, put

# -- session state -------------------------------------------------------------------------------------


def test_state_that_a_tool_changed_is_there_in_the_next_run(assistant, reopen):
    assistant(Call("put", item="tea"), "ok", tools=[put]).run("buy tea", session_id="s")
    later = assistant(Call("put", item="milk"), lambda turn: turn.text, tools=[put], db=reopen())
    assert later.run("buy milk", session_id="s").content == "['tea', 'milk']"
    assert later.get_session_state("s") == {"basket": ["tea", "milk"]}


def test_the_state_given_at_first_is_kept_and_the_stored_one_wins(assistant):
    agent = assistant(Call("put", item="tea"), "ok", tools=[put], session_state={"basket": [], "country": "FR"})
    agent.run("buy tea", session_id="s")
    agent.run("hi", session_id="s")
    assert agent.get_session_state("s") == {"basket": ["tea"], "country": "FR"}
    assert agent.session_state == {"basket": [], "country": "FR"}


def test_update_session_state_is_seen_by_the_next_run(assistant):
    agent = assistant("hi", lambda turn: turn.system, instructions="The colour is {colour}.")
    agent.run("hi", session_id="s", session_state={"colour": "red"})
    agent.update_session_state({"colour": "blue"}, session_id="s")
    assert agent.run("colour?", session_id="s").content == "The colour is blue."


BEYOND_JSON = {
    "set": {1, 2},
    "decimal": Decimal("1.10"),
    "datetime": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
    "date": date(2026, 1, 2),
    "timedelta": timedelta(days=1, microseconds=1),
    "uuid": UUID(int=7),
    "bytes": b"\x00\xff",
    "tuple": (1, ("a", None)),
    "infinity": float("inf"),
    "big": 2**70,
    "nul": "a\x00b",
    "surrogate": "\udc80",
    "keys": {1: "no string", None: "none", (1, 2): "a pair"},
    "nested": [{"frozenset": frozenset({"x"})}],
}


def fill(run_context: RunContext) -> str:
    """Put in all that JSON cannot say."""
    run_context.session_state.update(BEYOND_JSON)
    return "filled"


def test_state_that_json_cannot_say_comes_back_as_it_was(assistant, reopen):
    seen = []

    def look(run_context: RunContext) -> str:
        """Look at the state."""
        seen.append(dict(run_context.session_state))
        return "looked"

    assistant(Call("fill"), "ok", tools=[fill]).run("fill it", session_id="s")
    later = assistant(Call("look"), "ok", tools=[look], db=reopen())
    later.run("look", session_id="s")
    assert {key: seen[0][key] for key in BEYOND_JSON} == BEYOND_JSON
    assert {key: type(seen[0][key]) for key in BEYOND_JSON} == {key: type(BEYOND_JSON[key]) for key in BEYOND_JSON}
    assert [message.content for message in later.get_chat_history("s")][:1] == ["fill it"]


def test_a_value_that_cannot_be_stored_costs_no_run(assistant, db):
    def spoil(run_context: RunContext) -> str:
        """Put in what nothing can store."""
        run_context.session_state["socket"] = object()
        return "spoiled"

    agent = assistant("Hello Ada.", Call("spoil"), "done", tools=[spoil])
    agent.run("I am Ada.", session_id="s")
    agent.run("spoil it", session_id="s")
    agent.run("Who am I?", session_id="s")
    assert ("user", "I am Ada.") in agent.model.turns[-1].conversation
    assert [run.content for run in db.get_session("s").runs][:2] == ["Hello Ada.", "done"]
    assert db.get_session("s").session_data["session_state"]["socket"]["$agno_store"] == "unstorable"


# -- summaries, metrics, names -------------------------------------------------------------------------


def test_a_summary_is_stored_and_is_in_the_next_prompt(assistant, reopen):
    agent = assistant(enable_session_summaries=True)
    agent.run("the weather", session_id="s")
    agent.run("the moon", session_id="s")
    later = assistant(db=reopen(), enable_session_summaries=True, add_history_to_context=False)
    summary = later.get_session_summary("s")
    assert summary.summary == "They spoke of: the weather; the moon"
    assert summary.topics == ["the weather", "the moon"]
    assert summary.updated_at == agent.get_session("s").summary.updated_at
    assert isinstance(summary.updated_at, datetime)
    later.run("and?", session_id="s")
    assert "They spoke of: the weather; the moon" in later.model.turns[0].system


def test_a_later_summary_replaces_the_stored_one(assistant, db):
    agent = assistant(enable_session_summaries=True)
    for topic in ("weather", "moon"):
        agent.run(topic, session_id="s")
        assert db.get_summary("s").topics[-1] == topic
    assert db.get_summary("s").summary == "They spoke of: weather; moon"


def test_metrics_add_up_over_the_runs_of_a_session(assistant, reopen):
    assistant().run("one", session_id="s")
    assistant(db=reopen()).run("two", session_id="s")
    assert assistant(db=reopen()).get_session_metrics("s").total_tokens == 30


def test_metadata_and_what_the_agent_is_are_stored_with_the_session(assistant, db):
    assistant(metadata={"env": "test"}).run("hi", session_id="s", user_id="u")
    session = db.get_session("s", deserialize=False)
    assert (session["agent_id"], session["user_id"], session["session_type"]) == ("assistant", "u", "agent")
    assert session["metadata"] == {"env": "test"}
    assert session["agent_data"]["name"] == "Assistant"


def test_a_session_keeps_its_name(assistant, reopen, db):
    agent = assistant()
    agent.run("hi", session_id="s")
    agent.set_session_name("s", session_name="Ada's first")
    assert assistant(db=reopen()).get_session_name("s") == "Ada's first"
    agent.run("more", session_id="s")
    assert agent.get_session_name("s") == "Ada's first"
    assert [session.session_id for session in db.get_sessions(session_name="ada's")] == ["s"]


def test_a_name_can_be_made_up_by_the_model(assistant, reopen):
    agent = assistant("Hello.")
    agent.run("hi", session_id="s")
    agent.set_session_name("s", autogenerate=True)
    assert "USER: hi\nASSISTANT: Hello." in agent.model.turns[-1].text
    assert assistant(db=reopen()).get_session_name("s") == NAME


def test_delete_session_leaves_nothing_of_it_and_all_of_the_others(assistant, db):
    agent = assistant(enable_session_summaries=True)
    agent.run("hi", session_id="gone")
    kept = agent.run("hi", session_id="kept")
    agent.delete_session("gone")
    assert agent.get_session("gone") is None
    assert db.get_summary("gone") is None
    assert [run.run_id for run in db.get_runs()] == [kept.run_id]
    agent.run("again", session_id="gone")
    assert agent.model.turns[-2].conversation == [("user", "again")]


# -- past sessions -------------------------------------------------------------------------------------


def test_past_sessions_of_the_user_can_be_searched_and_read(assistant):
    writer = assistant("Lyon it is.")
    writer.run("I move to Lyon.", session_id="past", user_id="ada")
    writer.run("I move to Rome.", session_id="foreign", user_id="bob")
    agent = assistant(
        Call("search_past_sessions"),
        Call("read_past_session", session_id="past"),
        Call("read_past_session", session_id="foreign"),
        "Lyon",
        search_past_sessions=True,
    )
    agent.run("Where do I move?", session_id="now", user_id="ada")
    found, read, refused = (turn.text for turn in agent.model.turns[1:4])
    assert "past" in found
    assert "I move to Lyon." in found
    assert "User: I move to Lyon.\n\nAssistant: Lyon it is." in read
    assert refused == "Session not found."
    assert "Rome" not in agent.model.turns[-1].everything
    assert '"session_id": "now"' not in found


def test_past_sessions_come_newest_first_and_no_more_than_asked(assistant, db):
    for number in range(4):
        assistant().run("hi", session_id=f"past-{number}")
        # Seconds are all that agno's own sessions know of time.
        db.upsert_sessions([{"session_id": f"past-{number}", "created_at": 1000 + number}])
    agent = assistant(Call("search_past_sessions"), "ok", search_past_sessions=True, num_past_sessions_to_search=2)
    agent.run("what was there?", session_id="now")
    assert agent.model.turns[1].text.count('"session_id"') == 2
