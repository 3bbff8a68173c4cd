"""``agno-store check``, ``current`` and ``history``: where a store stands, told without writing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event, make_url

from agno_store import __version__, open_db
from agno_store.cli.looking import COLUMNS
from agno_store.schema import lacking
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run, run_installed
from tests.cli.stores import NAMES, at, contents, drop_an_index, execute, set_version

STATUS = ["table", "schema", "state", "current", "head", "pending", "url"]
STATUS += ["works_with", "application", "for_release", "usable"]
FIELDS = ["revision", "message", "state", "applied_at", "applied_by", "seconds"]
BEHIND = REVISIONS[0]
PENDING = ", ".join(REVISIONS[1:])

STANDS = {
    "in step": (0, f"agent_sessions is at {HEAD}, in step\n", ""),
    "missing": (
        3,
        f"agent_sessions has no tables yet; pending: {', '.join(REVISIONS)}\n",
        "agent_sessions has no tables yet. Run: agno-store upgrade --db-url",
    ),
    "behind": (
        3,
        f"agent_sessions is at {BEHIND}, behind; pending: {PENDING}\n",
        f"agent_sessions is at revision {BEHIND}; this release needs {HEAD}. Run: agno-store upgrade --db-url",
    ),
    "ahead": (
        4,
        "agent_sessions is at 9999, ahead\n",
        f"agent_sessions is at revision 9999, which this release ({__version__}, up to {HEAD}) does not know",
    ),
}


def made(url: str, state: str) -> None:
    """Make a store in this state."""
    at(url, {"missing": "missing", "behind": BEHIND}.get(state, "head"))
    if state == "ahead":
        set_version(url, "9999")


@pytest.mark.parametrize("state", STANDS)
def test_check_tells_people_and_programs_where_a_store_stands(fresh_url: str, state: str) -> None:
    made(fresh_url, state)
    if state == "missing" and fresh_url.startswith("sqlite"):
        Path(str(make_url(fresh_url).database)).touch()
    code, said, advice = STANDS[state]
    answer = run("check", "--db-url", fresh_url)
    assert (answer.code, answer.out) == (code, said)
    assert answer.complaint.startswith(advice)
    assert bool(answer.err) == bool(advice)
    answer = run("check", "--db-url", fresh_url, "--json")
    assert answer.code == code
    assert list(answer.document) == [*STATUS, "differences", "exit_code"]
    assert (answer.document["state"], answer.document["exit_code"]) == (state, code)
    assert (answer.document["head"], answer.document["differences"]) == (HEAD, [])


@pytest.mark.backends("sqlite")
def test_a_file_that_is_not_there_may_be_a_mistake_in_the_url(fresh_url: str) -> None:
    file = str(make_url(fresh_url).database)
    told = f"agent_sessions has no tables yet, nor is there a file {file}; is the URL right? Run: agno-store upgrade"
    assert told in run("check", "--db-url", fresh_url).complaint
    Path(file).touch()
    assert STANDS["missing"][2] in run("check", "--db-url", fresh_url).complaint


@pytest.mark.parametrize("state", STANDS)
def test_current_shows_the_same_and_exits_0_wherever_a_store_stands(fresh_url: str, state: str) -> None:
    made(fresh_url, state)
    answer = run("current", "--db-url", fresh_url)
    assert (answer.code, answer.out, answer.err) == (0, STANDS[state][1], "")
    answer = run("current", "--db-url", fresh_url, "--json")
    assert (answer.code, answer.err, list(answer.document)) == (0, "", STATUS)
    checked = run("check", "--db-url", fresh_url, "--json").document
    assert answer.document == {key: checked[key] for key in STATUS}


def test_check_finds_a_dropped_index_when_asked_for_drift(fresh_url: str) -> None:
    at(fresh_url, "head")
    assert run("check", "--drift", "--db-url", fresh_url).code == 0
    index = drop_an_index(fresh_url)
    assert run("check", "--db-url", fresh_url).code == 0
    answer = run("check", "--drift", "--db-url", fresh_url)
    assert answer.code == 5
    assert f"  drifted: index {index} on agent_sessions_runs is missing\n" in answer.out
    assert "in step" not in answer.out
    assert "agno-store upgrade --sql --from base --db-url" in answer.complaint
    answer = run("check", "--drift", "--db-url", fresh_url, "--json")
    assert (answer.code, answer.document["exit_code"]) == (5, 5)
    assert answer.document["differences"] == [f"index {index} on agent_sessions_runs is missing"]


@pytest.mark.parametrize("table", [NAMES.sessions, NAMES.runs, NAMES.media])
def test_check_and_doctor_find_a_table_that_is_gone(fresh_url: str, table: str) -> None:
    at(fresh_url, "head")
    execute(fresh_url, f"ALTER TABLE {table} RENAME TO kept")
    answer = run("check", "--db-url", fresh_url)
    assert (answer.code, answer.out.splitlines()[1:]) == (5, [f"  drifted: table {table} is missing"])
    assert "in step" not in answer.out
    assert "agno-store upgrade --sql --from base --db-url" in answer.complaint
    document = run("check", "--db-url", fresh_url, "--json").document
    assert (document["differences"], document["exit_code"]) == ([f"table {table} is missing"], 5)
    answer = run("doctor", "--db-url", fresh_url)
    assert answer.code == 5
    assert f"  error    tables: {NAMES.sessions} is recorded at {HEAD}: table {table} is missing\n" in answer.out
    assert "in step" not in answer.out
    execute(fresh_url, f"ALTER TABLE kept RENAME TO {table}")
    assert run("check", "--db-url", fresh_url).code == 0


def test_check_asks_for_the_tables_with_one_query(fresh_url: str) -> None:
    at(fresh_url, "head")
    with open_db(fresh_url) as db:
        db.schema_status()
        sent: list[str] = []
        event.listen(db.db_engine, "before_cursor_execute", lambda *about: sent.append(about[2]))
        assert lacking(db.db_engine, db.dialect, db.names) == []
        assert len(sent) == 1, sent


def test_check_of_a_store_that_is_behind_stays_behind_with_drift(fresh_url: str) -> None:
    at(fresh_url, BEHIND)
    assert run("check", "--drift", "--db-url", fresh_url).code == 3


@pytest.mark.parametrize("state", ["missing", "behind", "in step"])
def test_history_shows_which_revisions_a_store_has(fresh_url: str, state: str) -> None:
    made(fresh_url, state)
    has = {"missing": 0, "behind": 1, "in step": len(REVISIONS)}[state]
    states = ["applied" if number < has else "pending" for number in range(len(REVISIONS))]
    answer = run("history", "--db-url", fresh_url)
    assert (answer.code, answer.err) == (0, "")
    title, header, _, *rows = answer.out.splitlines()
    assert title.strip() == f"agent_sessions at {shown(fresh_url)}"
    assert [cell.strip() for cell in header.split("┃")] == list(COLUMNS)
    cells = [[cell.strip() for cell in row.split("│")] for row in rows]
    assert [(row[0], row[2]) for row in cells] == list(zip(REVISIONS, states, strict=True))
    document = run("history", "--db-url", fresh_url, "--json").document
    assert [list(entry) for entry in document] == [FIELDS] * len(REVISIONS)
    assert [[entry["revision"], entry["message"], entry["state"]] for entry in document] == [row[:3] for row in cells]
    for entry, (*_, when, by, took) in zip(document, cells, strict=True):
        if entry["state"] == "pending":
            assert [entry[field] for field in FIELDS[3:]] == [None] * 3
            assert (when, by, took) == ("", "", "")
            continue
        applied = datetime.fromisoformat(entry["applied_at"])
        assert timedelta(0) <= datetime.now(timezone.utc) - applied < timedelta(minutes=5)
        assert (when, by) == (f"{applied:%Y-%m-%d %H:%M:%S}", __version__)
        assert took == f"{entry['seconds']:.2f} s"


def shown(url: str) -> str:
    """The URL as the program shows it: with its driver."""
    parsed = make_url(url)
    driver = {"sqlite": "sqlite+pysqlite"}.get(parsed.drivername, parsed.drivername)
    return parsed.set(drivername=driver).render_as_string()


def test_history_without_a_database_lists_the_revisions_of_this_release() -> None:
    answer = run("history", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [list(entry) for entry in answer.document] == [FIELDS] * len(REVISIONS)
    assert [(entry["revision"], entry["state"]) for entry in answer.document] == [(r, None) for r in REVISIONS]
    answer = run("history")
    assert answer.code == 0
    assert answer.out.splitlines()[0].strip() == "Revisions of this release"
    assert "applied" not in answer.out
    assert "pending" not in answer.out


def test_history_of_a_newer_release_is_ahead(fresh_url: str) -> None:
    made(fresh_url, "ahead")
    assert run("history", "--db-url", fresh_url).code == 4


@pytest.mark.parametrize("state", STANDS)
def test_readers_write_nothing(fresh_url: str, state: str) -> None:
    made(fresh_url, state)
    before = contents(fresh_url)
    for words in (("check",), ("check", "--drift"), ("current",), ("history",)):
        run(*words, "--db-url", fresh_url)
    assert contents(fresh_url) == before


@pytest.mark.parametrize("command", ["check", "current", "history"])
def test_readers_make_no_file_and_no_folder(folder: Path, command: str) -> None:
    answer = run(command, "--db-url", f"sqlite:///{folder}/new/mistyped.db")
    assert answer.code in (0, 3, 7)
    assert list(folder.iterdir()) == []


def test_the_program_itself_exits_with_the_code_and_keeps_stdout_for_the_answer(fresh_url: str, folder: Path) -> None:
    made(fresh_url, "behind")
    answer = run_installed("check", "--db-url", fresh_url, "--json", directory=folder)
    assert (answer.code, answer.document["state"]) == (3, "behind")
    assert "this release needs" not in answer.out
    assert "this release needs" in answer.err
