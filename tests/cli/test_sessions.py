"""Sessions and runs as the command line lists, shows, renames, changes and deletes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_store import open_db
from agno_store.cli.reading import told
from agno_store.cli.render import printable
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import COMMANDS, LOOKS, Answer, run, run_installed
from tests.cli.stores import at, contents, execute, set_version
from tests.contract.database import empty
from tests.migrations.roles import roles
from tests.servers.plugin import fresh_database

CHANGING = {"sessions delete", "sessions rename"}
EVERY = {name: COMMANDS[name] for name in ("sessions list", "sessions delete", "search", "stats")} | LOOKS
"""The commands about what is in a store."""


@pytest.fixture(scope="module")
def made_once(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A store."""
    with fresh_database(backend, tmp_path_factory.mktemp(backend)) as url, open_db(url) as db:
        db.upgrade_schema()
        yield db, url


@pytest.fixture
def url(made_once: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with three sessions, one of them a team's; the program finds it by its variable."""
    db, url = made_once
    monkeypatch.setenv("AGNO_STORE_DB_URL", url)
    empty(db)
    fill(url)
    return str(url)


def fill(url: str, **options: Any) -> None:
    """Store a conversation, a team's, and an empty session."""
    with open_db(url, **options) as db:
        one = {"session_id": "s1", "agent_id": "helper", "user_id": "ada", "created_at": 1_700_000_000}
        data = {"session_name": "Trip to Rome", "session_state": {"plan": "free"}}
        db.upsert_session({**one, "session_data": data, "summary": {"summary": "About a trip."}})
        db.upsert_run(_turn(1, "How is the weather?", "It is 21 degrees."), "s1")
        db.upsert_run(_turn(2, "And tomorrow?", "Rain."), "s1")
        team = {"session_id": "s2", "session_type": "team", "team_id": "crew", "created_at": 1_700_000_100}
        db.upsert_session({**team, "user_id": "bob"})
        member = {"run_id": "m1", "agent_id": "writer", "parent_run_id": "t1", "content": "written by the member"}
        db.upsert_run(member, "s2")
        leader = [{"role": "user", "content": "a report"}, {"role": "assistant", "content": "all done"}]
        db.upsert_run({"run_id": "t1", "team_id": "crew", "status": "COMPLETED", "messages": leader}, "s2")
        db.upsert_session({"session_id": "s3", "agent_id": "other", "created_at": 1_700_000_200})


def _turn(number: int, asked: str, answered: str) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "said long ago", "from_history": True},
        {"role": "user", "content": asked},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_name": "weather", "content": "21"},
        {"role": "assistant", "content": answered},
    ]
    more = {"status": "COMPLETED", "created_at": 1_700_000_000 + number, "content": answered}
    return {"run_id": f"r{number}", "agent_id": "helper", "messages": messages, **more}


def lines(answer: Answer) -> list[Any]:
    """What ``--jsonl`` answered."""
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


def listed(*words: str) -> list[str]:
    """The ids of the sessions that a list shows."""
    return [entry["session_id"] for entry in lines(run("sessions", "list", "--jsonl", *words))]


# -- lists -------------------------------------------------------------------------------------------


def test_a_list_shows_whose_each_session_is_and_when_it_was(url: str) -> None:
    answer = run("sessions", "list")
    assert (answer.code, answer.err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")] for line in answer.out.splitlines() if "│" in line]
    assert [row[:6] for row in rows] == [
        ["s3", "agent", "other", "", "", "2023-11-14 22:16:40"],
        ["s2", "team", "crew", "bob", "", "2023-11-14 22:15:00"],
        ["s1", "agent", "helper", "ada", "Trip to Rome", "2023-11-14 22:13:20"],
    ]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), ["s3", "s2", "s1"]),
        (("--user", "ada"), ["s1"]),
        (("--agent", "helper"), ["s1"]),
        (("--agent", "crew"), []),
        (("--team", "crew"), ["s2"]),
        (("--workflow", "w"), []),
        (("--type", "team"), ["s2"]),
        (("--name", "ROME"), ["s1"]),
        (("--newer-than", "2023-11-15"), []),
        (("--older-than", "2023-11-15"), ["s3", "s2", "s1"]),
        (("--older-than", "2023-11-14"), []),
        (("--newer-than", "1000w"), ["s3", "s2", "s1"]),
        (("--older-than", "30d"), ["s3", "s2", "s1"]),
        (("--text", "tomorrow"), ["s1"]),
        (("--text", "WRITTEN by", "--type", "team"), ["s2"]),
        (("--text", "tomorrow", "--user", "bob"), []),
        (("--sort", "session_id", "--limit", "2"), ["s3", "s2"]),
    ],
)
def test_a_list_can_be_narrowed(url: str, words: tuple[str, ...], wanted: list[str]) -> None:
    if "--limit" in words:
        document = run("sessions", "list", "--json", *words).document
        assert [entry["session_id"] for entry in document["sessions"]] == wanted
    else:
        assert listed(*words) == wanted


def test_pages_lead_to_the_next(url: str) -> None:
    first = run("sessions", "list", "--limit", "2", "--json").document
    assert [entry["session_id"] for entry in first["sessions"]] == ["s3", "s2"]
    rest = run("sessions", "list", "--limit", "2", "--after", first["next"], "--json").document
    assert ([entry["session_id"] for entry in rest["sessions"]], rest["next"]) == (["s1"], None)
    shown = run("sessions", "list", "--limit", "2")
    assert f"--after {first['next']}" in shown.err


def test_all_are_given_in_lines_page_after_page(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_store.cli.reading.PAGE", 2)
    assert listed() == ["s3", "s2", "s1"]
    assert len(lines(run("runs", "list", "--jsonl"))) == 4
    assert [one["session_id"] for one in lines(run("search", "e", "--jsonl"))] == ["s2", "s1"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--agent", "a", "--team", "b"), "--agent and --team"),
        (("--agent", "a", "--type", "team"), "--agent is of sessions of that type"),
        (("--type", "robot"), "robot"),
        (("--newer-than", "soon"), "--newer-than: 'soon'"),
        (("--older-than", "9999999999d"), "--older-than"),
        (("--older-than", "999999999w"), "--older-than: '999999999w'"),
        (("--limit", "0"), "--limit"),
        (("--after", "nowhere"), "after="),
        (("--sort", "nothing"), "nothing"),
        (("--text", "x", "--name", "y"), "--text"),
        (("--text", ""), "text"),
    ],
)
def test_what_cannot_be_listed_is_a_usage_error(url: str, words: tuple[str, ...], reason: str) -> None:
    answer = run("sessions", "list", *words)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.complaint


def test_runs_are_listed_of_all_and_of_one_session(url: str) -> None:
    runs = lines(run("runs", "list", "--session", "s1", "--jsonl"))
    assert [(one["run_id"], one["run_index"], one["status"]) for one in runs] == [
        ("r1", 0, "COMPLETED"),
        ("r2", 1, "COMPLETED"),
    ]
    assert {one["run_id"] for one in lines(run("runs", "list", "--jsonl"))} == {"r1", "r2", "m1", "t1"}
    assert [one["run_id"] for one in lines(run("runs", "list", "--team", "crew", "--jsonl"))] == ["t1"]
    assert lines(run("runs", "list", "--status", "ERROR", "--jsonl")) == []
    shown = run("runs", "list", "--session", "s1")
    assert [line.split("│")[0].strip() for line in shown.out.splitlines() if "│" in line] == ["r1", "r2"]


# -- a conversation ----------------------------------------------------------------------------------

CONVERSATION = """\
s1 · Trip to Rome
agent helper · user ada
made 2023-11-14 22:13:20, last written to NOW (UTC)
summary: About a trip.
state: {"plan": "free"}

#0 · r1 · agent helper · COMPLETED · 2023-11-14 22:13:21
  user      How is the weather?
            → weather({"city": "Rome"})
  tool      weather: 21
  assistant It is 21 degrees.

#1 · r2 · agent helper · COMPLETED · 2023-11-14 22:13:22
  user      And tomorrow?
            → weather({"city": "Rome"})
  tool      weather: 21
  assistant Rain.
"""


def test_a_conversation_is_shown_as_it_was(url: str) -> None:
    answer = run("sessions", "show", "s1")
    updated = run("sessions", "show", "s1", "--json").document["session"]["updated_at"]
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == CONVERSATION.replace("NOW", told(updated))
    assert "You are helpful." in run("sessions", "show", "s1", "--system").out


def test_members_runs_are_shown_inside_their_teams(url: str) -> None:
    shown = run("sessions", "show", "s2").out
    asked, member, answered = (
        shown.index(text) for text in ("  user      a report", "      assistant written by", "  assistant all done")
    )
    assert asked < member < answered
    assert "    #0 · m1 · agent writer" in shown
    assert shown.count("m1") == 1


def test_a_member_whose_team_is_still_at_work_is_shown(url: str) -> None:
    with open_db(url) as db:
        db.delete_run("t1", session_id="s2")
    shown = run("sessions", "show", "s2").out
    assert "#0 · m1 · agent writer" in shown
    assert "member of t1" in shown


def test_the_last_runs_are_shown_with_their_members(url: str) -> None:
    with open_db(url) as db:
        db.upsert_run({"run_id": "t2", "team_id": "crew", "content": "later"}, "s2")
    documents = lines(run("sessions", "show", "s2", "--last", "1", "--jsonl"))
    assert [one["run"]["run_id"] for one in documents[1:]] == ["t2"]
    documents = lines(run("sessions", "show", "s2", "--last", "2", "--jsonl"))
    assert [one["run"]["run_id"] for one in documents[1:]] == ["m1", "t1", "t2"]
    assert len(run("sessions", "show", "s2", "--last", "9", "--json").document["runs"]) == 3


def test_a_conversation_for_programs_is_all_of_it(url: str) -> None:
    document = run("sessions", "show", "s1", "--json").document
    assert document["session"]["session_data"]["session_state"] == {"plan": "free"}
    assert document["session"]["summary"]["summary"] == "About a trip."
    assert [one["run_data"]["messages"][0]["content"] for one in document["runs"]] == ["You are helpful."] * 2
    assert [line.keys() for line in lines(run("sessions", "show", "s1", "--jsonl"))] == [
        {"session"},
        {"run"},
        {"run"},
    ]
    raw = run("sessions", "show", "s1", "--raw").out
    assert '"content": "said long ago",' in raw


def test_one_run_is_shown(url: str) -> None:
    answer = run("runs", "show", "r2")
    assert answer.out == CONVERSATION[CONVERSATION.index("#1") :]
    assert run("runs", "show", "r2", "--json").document["run_data"]["content"] == "Rain."
    with open_db(url) as db:
        db.upsert_run({"run_id": "r2", "content": "of another"}, "s3")
    answer = run("runs", "show", "r2")
    assert (answer.code, "say which with --session" in answer.complaint) == (2, True)
    assert "of another" in run("runs", "show", "r2", "--session", "s3").out


@pytest.mark.parametrize(
    "words",
    [
        ("sessions", "show", "s9"),
        ("sessions", "rename", "s9", "x"),
        ("sessions", "delete", "s1", "s9", "--yes"),
        ("sessions", "state", "s9"),
        ("sessions", "state", "s9", "--set", "a=1"),
        ("runs", "show", "s9"),
        ("runs", "show", "r1", "--session", "s9"),
    ],
)
def test_what_is_not_there_is_said_and_nothing_is_changed(url: str, words: tuple[str, ...]) -> None:
    before = contents(url)
    answer = run(*words, "--json")
    assert (answer.code, answer.document["error"]["type"]) == (1, "NotFound")
    assert f"agno-store {words[0]} list" in answer.complaint
    assert "'s9'" in answer.complaint
    assert contents(url) == before


# -- changes -----------------------------------------------------------------------------------------


def test_a_session_is_renamed(url: str) -> None:
    assert run("sessions", "rename", "s1", "Trip to Åre", "--json").document == {
        "session_id": "s1",
        "session_name": "Trip to Åre",
    }
    assert listed("--name", "åre") == ["s1"]


def test_state_is_shown_and_set_key_by_key(url: str) -> None:
    assert run("sessions", "state", "s1", "--json").document == {"plan": "free"}
    words = ("--set", "seats=3", "--set", "plan=pro", "--set", "n=NaN", "--set", "x=a=b", "--set", 'l=["y"]')
    wanted = {"plan": "pro", "seats": 3, "n": "NaN", "x": "a=b", "l": ["y"]}
    assert run("sessions", "state", "s1", *words, "--json").document == wanted
    assert json.loads(run("sessions", "state", "s1").out) == wanted
    assert run("sessions", "state", "s3", "--json").document == {}
    assert run("sessions", "state", "s1", "--set", "nothing").code == 2


def test_a_state_that_cannot_be_set_so_is_left_as_it_is(url: str) -> None:
    with open_db(url) as db:
        db.upsert_session({"session_id": "s4", "session_data": {"session_state": [1, 2]}})
    for session_id, value, reason in (
        ("s4", "1", "--set: the state of 's4' is a list, which has no keys. Nothing was changed."),
        ("s1", "[" * 100_000, "--set a: the value is nested too deeply."),
    ):
        before = contents(url)
        answer = run("sessions", "state", session_id, "--set", f"a={value}", "--json")
        error = {"type": "InvalidArgument", "message": reason, "exit_code": 2}
        assert (answer.code, answer.document, reason in answer.complaint) == (2, {"error": error}, True)
        assert contents(url) == before
    assert run("sessions", "state", "s4", "--json").document == [1, 2]


def test_to_delete_says_what_goes_and_asks(url: str, folder: Path) -> None:
    before = contents(url)
    answer = run_installed("sessions", "delete", "s1", directory=folder, AGNO_STORE_DB_URL=url)
    assert (answer.code, answer.out) == (1, "  s1 (Trip to Rome) goes, and 2 runs with it\n")
    assert "Add --yes" in answer.err
    assert contents(url) == before
    assert run("sessions", "delete", "s1", "s3", "s1", "--yes", "--json").document == {"deleted": ["s1", "s3"]}
    assert listed() == ["s2"]


def test_nothing_is_said_to_go_where_one_of_them_is_not_there(url: str) -> None:
    before = contents(url)
    answer = run("sessions", "delete", "s1", "s3", "nowhere", "--yes")
    assert (answer.code, answer.out) == (1, "")
    assert "There is no session 'nowhere' in agent_sessions. Nothing was deleted." in answer.complaint
    assert contents(url) == before


def test_an_id_begins_no_line_of_its_own(url: str) -> None:
    forged = "s9\n  s1 goes"
    with open_db(url) as db:
        db.upsert_session({"session_id": forged, "agent_id": "a\nb", "user_id": "u\nv"})
    shown = "s9\\n  s1 goes"
    said = run("sessions", "show", forged).out.splitlines()
    assert said[:2] == [shown, "agent a\\nb · user u\\nv"]
    assert run("sessions", "rename", forged, "Two\nlines").out == f"{shown} is called Two\\nlines\n"
    assert run("sessions", "show", forged).out.splitlines()[0] == f"{shown} · Two\\nlines"
    answer = run("sessions", "delete", forged, "--yes")
    assert answer.out == f"  {shown} (Two\\nlines) goes, and 0 runs with it\n1 session deleted\n"


# -- every command -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", EVERY)
def test_only_the_commands_that_say_so_write(url: str, command: str) -> None:
    before = contents(url)
    answer = run(*EVERY[command])
    assert (answer.code, answer.err) == (0, "")
    assert (contents(url) == before) is (command not in CHANGING)


def test_a_store_that_is_not_in_step_is_met_as_check_meets_it_and_left_alone(fresh_url: str) -> None:
    for revision in ("missing", REVISIONS[0], "ahead"):
        if revision == "ahead":
            at(fresh_url, HEAD)
            set_version(fresh_url, "9999")
        else:
            at(fresh_url, revision)
        before = contents(fresh_url)
        for command, words in EVERY.items():
            code = run(*words, "--db-url", fresh_url).code
            assert code == run("check", "--db-url", fresh_url).code == (4 if revision == "ahead" else 3), command
        assert contents(fresh_url) == before


def test_the_settings_of_pyproject_reach_commands_below_a_group(url: str, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.agno-store]\ndb-url = '{url}'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AGNO_STORE_DB_URL")
        assert listed() == ["s3", "s2", "s1"]
        assert run("stats").code == 0


def test_a_file_is_not_made_by_looking(folder: Path) -> None:
    for words in EVERY.values():
        assert run(*words, "--db-url", f"sqlite:///{folder}/a.db").code == 3
    assert list(folder.iterdir()) == []


@pytest.mark.backends("postgresql", "mysql")
def test_a_reader_may_look_and_not_touch(backend: str, fresh_url: str) -> None:
    with roles(backend, fresh_url) as granted:
        assert run("upgrade", "--db-url", granted.url("owner"), *granted.words).code == 0
        fill(granted.url("app"), **granted.options)
        for command, words in EVERY.items():
            answer = run(*words, "--db-url", granted.url("reader"), *granted.words, "--json")
            if command in CHANGING:
                assert (answer.code, answer.document["error"]["type"]) == (1, "AccessDenied"), command
            else:
                assert (answer.code, answer.err) == (0, ""), command


def test_a_tenant_is_shown_its_own(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGNO_STORE_DB_URL", fresh_url)
    fill(fresh_url, tenant_id="acme")
    assert listed() == []
    assert listed("--tenant", "acme") == ["s3", "s2", "s1"]
    monkeypatch.setenv("AGNO_STORE_TENANT", "acme")
    assert run("stats", "--json").document["runs"] == 4


# -- what must not be obeyed -------------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\x1b[31m[bold]x[/bold]\r\x9b1m\u202e[link=http://x]\ud800\\[red]"


@pytest.fixture
def hostile(url: str) -> str:
    """A store in which every text would command a terminal."""
    with open_db(url) as db:
        one = {"session_id": f"h{HOSTILE}", "agent_id": HOSTILE, "user_id": HOSTILE, "metadata": {"x": HOSTILE}}
        data = {"session_name": HOSTILE, "session_state": {HOSTILE: HOSTILE}}
        db.upsert_session({**one, "session_data": data, "summary": {"summary": HOSTILE}})
        call = {"function": {"name": HOSTILE, "arguments": HOSTILE}}
        messages = [{"role": HOSTILE, "content": f"needle {HOSTILE}", "tool_calls": [call]}]
        db.upsert_run({"run_id": f"r{HOSTILE}", "agent_id": HOSTILE, "messages": messages}, f"h{HOSTILE}")
    return url


@pytest.mark.parametrize("style", [(), ("--json",)])
def test_stored_texts_reach_no_terminal_as_commands(hostile: str, style: tuple[str, ...]) -> None:
    for words in (
        ("sessions", "list"),
        ("sessions", "show", f"h{HOSTILE}"),
        ("sessions", "show", f"h{HOSTILE}", "--raw"),
        ("sessions", "state", f"h{HOSTILE}"),
        ("runs", "list"),
        ("runs", "show", f"r{HOSTILE}"),
        ("search", "needle"),
        ("stats",),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.cli.program._COLOURS", re.compile("(?!)"))
            answer = run(*words, *(style if words[-1] != "--raw" else ()))
        assert answer.code == 0
        assert printable(answer.out) == answer.out, words
        for text in ("[bold]x[/bold]", "[link=http://x]"):  # seen, and taken for no markup
            assert text in answer.out, words


def test_what_is_printed_ends_up_whole_in_a_pipe(hostile: str, folder: Path) -> None:
    with open_db(hostile) as db:
        db.upsert_session({"session_id": "x" * 255, "user_id": "y" * 255})
    answer = run_installed("sessions", "list", directory=folder, AGNO_STORE_DB_URL=hostile)
    assert (answer.code, answer.err) == (0, "")
    assert any("x" * 255 in line and "y" * 255 in line for line in answer.out.splitlines())
    assert "\x1b" not in answer.out


# -- damage ------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(url: str) -> str:
    """A store in which a run and a session cannot be read."""
    execute(
        url,
        "UPDATE agent_sessions_runs SET run_data = '[1]' WHERE run_id = 'r1'",
        "UPDATE agent_sessions SET session_data = '[1]' WHERE session_id = 's1'",
    )
    return url


def test_a_damaged_row_shows_a_mark(damaged: str) -> None:
    shown = run("sessions", "show", "s1")
    assert (shown.code, shown.err) == (0, "")
    assert "session 's1': what is stored in session_data cannot be read" in shown.out
    assert "run 'r1' of session 's1': what is stored in run_data cannot be read" in shown.out
    assert "assistant Rain." in shown.out
    assert "(cannot be read)" in run("sessions", "list").out
    assert "(cannot be read)" in run("runs", "list").out
    assert "cannot be read" in run("runs", "show", "r1").out
    [session] = [one for one in lines(run("sessions", "list", "--jsonl")) if one["session_id"] == "s1"]
    assert "cannot be read" in session["damaged"]
    document = run("sessions", "show", "s1", "--json").document
    assert "cannot be read" in document["session"]["damaged"]
    assert document["runs"][0]["run_data"]["content"]["$agno_store"] == "corrupt"
    assert run("stats", "--json").document["sessions"] == 3
    assert run("sessions", "delete", "s1", "--yes").code == 0
