"""``agno-store import --from-url``: what it shows, asks, does, and how it exits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_store import open_db
from tests.cli.program import run, run_installed
from tests.legacy import sample
from tests.legacy.tables import Tables
from tests.legacy.tables import run as a_run

ROW = {"session_id": "s", "session_type": "agent", "agent_id": "a", "user_id": "ada", "runs": [a_run("r", "hi")]}


def bring(url: str, *words: str) -> Any:
    return run("import", "--from-url", url, *words)


def test_what_was_found_is_shown_and_brought_over(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    answer = bring(fresh_url, "--db-url", fresh_url, "--yes", "--verify")
    assert answer.code == 0, answer.err
    for part in ("agno_sessions", "the agno 2.x layout (runs inside the session)", "1 new", "1 session compared"):
        assert part in answer.out
    again = bring(fresh_url, "--db-url", fresh_url, "--yes", "--verify", "--json")
    assert again.document["tables"] == [{"table": "agno_sessions", "layout": "2.x", "sessions": 1}]
    assert again.document["runs"] == {"inserted": 0, "updated": 0, "kept": 1}
    with open_db(fresh_url) as db:
        assert [found["content"] for found in db.get_session("s", deserialize=False)["runs"]] == ["hi"]


def test_nothing_is_written_by_a_plan_or_without_a_yes(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    planned = bring(fresh_url, "--db-url", fresh_url, "--plan", "--json")
    assert (planned.code, planned.document["planned"], planned.document["sessions"]["inserted"]) == (0, True, 1)
    for words in ((), ("--json",)):
        asked = bring(fresh_url, "--db-url", fresh_url, *words)
        assert (asked.code, "Nothing was changed. Add --yes" in asked.complaint) == (1, True)
    moved = bring(fresh_url, "--in-place", "--plan", "--json")
    assert moved.document["renamed"] == {"agno_sessions": "agno_sessions_legacy"}
    assert list(old.contents()) == ["agno_sessions"]
    with open_db(fresh_url) as db:
        assert db.schema_status().current is None


def test_a_session_that_cannot_be_read_is_named_and_tells_by_the_exit_code(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    old = Tables(url)
    old.sessions("2.x", [ROW, {**ROW, "session_id": "bad", "runs": "[{"}])
    answer = bring(url, "--db-url", f"sqlite:///{tmp_path}/new.db", "--yes")
    assert answer.code == 1
    assert "left out: session 'bad' of agno_sessions: runs is no whole JSON" in answer.complaint
    assert "sessions: 1 new" in answer.out


def test_another_layout_than_the_one_named_stops_it(old: Tables, fresh_url: str) -> None:
    old.sessions("1.x-team")
    for layout in ("2.x", "1.x-agent", "one"):
        answer = bring(fresh_url, "--db-url", fresh_url, "--yes", "--layout", layout)
        assert answer.code == 2
        assert f"has the agno 1.x layout (team storage), and --layout says {layout}" in answer.complaint
    for layout in ("1.x", "1.x-team"):
        assert bring(fresh_url, "--db-url", fresh_url, "--yes", "--layout", layout).code == 0


def test_a_store_takes_the_place_of_the_old_table_and_goes_on_where_it_was_killed(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    first = bring(fresh_url, "--in-place", "--yes", "--verify", "--json")
    assert first.document["sessions"]["inserted"] == 1
    with open_db(fresh_url, table_name="agno_sessions") as db:
        assert db.delete_session("s")  # as if it had been killed before
        again = bring(fresh_url, "--in-place", "--from-table", "agno_sessions", "--yes", "--verify", "--json")
        assert again.document["tables"] == [{"table": "agno_sessions_legacy", "layout": "2.x", "sessions": 1}]
        assert [found["content"] for found in db.get_session("s", deserialize=False)["runs"]] == ["hi"]


def test_a_plan_says_that_a_name_is_taken(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    old.sessions("2.x", name="agno_sessions_legacy")
    before = old.contents()
    for words in (("--plan",), ("--yes",), ()):
        refused = bring(fresh_url, "--in-place", *words)
        assert (refused.code, "agno_sessions_legacy is there already" in refused.complaint) == (1, True)
        assert refused.out == ""
    assert old.contents() == before


def test_a_store_that_meets_such_a_table_says_what_to_run(old: Tables, fresh_url: str, tmp_path: Path) -> None:
    old.sessions("2.x", [ROW])
    refused = run("upgrade", "--db-url", fresh_url, "--table", "agno_sessions")
    assert refused.code == 1
    assert "agno-store import --in-place --from-url" in refused.complaint
    assert "--from-table agno_sessions" in refused.complaint
    plain = run("upgrade", "--db-url", f"sqlite:///{tmp_path}/new.db")
    assert plain.code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say where the sessions are: a file, or --from-url"),
        (("a.jsonl", "--from-url", "sqlite:///old.db"), "say where the sessions are: a file, or --from-url"),
        (("a.jsonl", "--in-place"), "it is about agno's own tables, not about a file"),
        (("--from-url", "sqlite:///old.db", "--in-place", "--db-url", "sqlite:///new.db"), "into the database of"),
        (("--from-url", "sqlite:///old.db", "--in-place", "--from-table", "a", "--from-table", "b"), "one table"),
        (("--from-url", "sqlite:///old.db", "--plan", "--verify"), "nothing is stored by --plan"),
    ],
)
def test_what_contradicts_itself_is_refused(words: tuple[str, ...], said: str) -> None:
    answer = run("import", *words)
    assert answer.code == 2
    assert said in answer.complaint


def test_a_store_may_come_into_the_database_as_another_role_than_the_one_that_reads_it(tmp_path: Path) -> None:
    nowhere = f"host=%2Ftmp%2F{tmp_path.name}"
    words = ("--in-place", "--db-url", f"postgresql://owner:two@/ai?{nowhere}", "--yes")
    answer = bring(f"postgresql://reader:one@/ai?{nowhere}", *words)
    assert (answer.code, "into the database of" in answer.complaint) == (7, False)


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    sample("agno-1.8.4", tmp_path)
    words = (
        "import",
        "--from-url",
        "sqlite:///agno-1.8.4.sqlite3",
        "--db-url",
        "sqlite:///new.db",
        "--yes",
        "--verify",
    )
    answer = run_installed(*words, directory=tmp_path)
    assert answer.code == 0, answer.err
    for part in ("workflow_v2 storage", "sessions: 4 new", "runs: 6 new", "summaries: 1 new", "4 sessions compared"):
        assert part in answer.out
