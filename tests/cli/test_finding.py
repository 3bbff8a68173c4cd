"""Searching, figures, the pager, and colours."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_store import open_db
from tests.cli.program import environment, installed, run, run_installed
from tests.servers.plugin import fresh_database

WORDS = "the needle in the haystack"


@pytest.fixture(scope="module")
def filled_once(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with a few sessions of two users."""
    with fresh_database(backend, tmp_path_factory.mktemp(backend)) as url, open_db(url) as db:
        for number in range(4):
            session_id, user = f"s{number}", f"u{number % 2}"
            db.upsert_session({"session_id": session_id, "user_id": user, "agent_id": "helper"})
            for index in range(number):
                db.upsert_run({"run_id": f"r{index}", "agent_id": "helper", "content": f"{WORDS} {number}"}, session_id)
        yield url


@pytest.fixture
def url(filled_once: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """That store, which no test changes; the program finds it by its variable."""
    monkeypatch.setenv("AGNO_STORE_DB_URL", filled_once)
    return filled_once


def test_a_search_shows_where_and_what(url: str) -> None:
    answer = run("search", "NEEDLE", "--user", "u1")
    assert (answer.code, answer.err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")] for line in answer.out.splitlines() if "│" in line]
    assert [(row[0], row[3], row[4], row[5]) for row in rows] == [
        ("s3", "r0", "run_data.content", f"{WORDS} 3"),
        ("", "r1", "run_data.content", f"{WORDS} 3"),
        ("", "r2", "run_data.content", f"{WORDS} 3"),
        ("s1", "r0", "run_data.content", f"{WORDS} 1"),
    ]


def test_a_search_goes_on_where_it_ended(url: str) -> None:
    first = run("search", "needle", "--limit", "1", "--json").document
    rest = run("search", "needle", "--after", first["next"], "--json").document
    assert [one["session_id"] for one in first["sessions"] + rest["sessions"]] == ["s3", "s2", "s1"]
    assert rest["next"] is None
    assert first["sessions"][0]["places"][0] == {
        "run_id": "r0",
        "run_index": 0,
        "path": "run_data.content",
        "excerpt": f"{WORDS} 3",
        "damaged": False,
    }
    assert run("search", "nowhere", "--json").document == {"sessions": [], "next": None}


@pytest.mark.backends("sqlite")
def test_one_of_each_is_counted_as_one(fresh_url: str, folder: Path) -> None:
    with open_db(fresh_url) as db:
        db.upsert_run({"run_id": "r", "agent_id": "helper"}, "s", user_id="u")
    assert "1 session of 1 user, 1 run, " in run("stats", "--db-url", fresh_url).out
    assert "report.html: 1 session, 1 run and " in run("stats", "--html", "report.html", "--db-url", fresh_url).out


def test_stats_say_how_much_there_is_whose_and_since_when(url: str) -> None:
    document = run("stats", "--days", "2", "--most", "3", "--json").document
    assert (document["sessions"], document["runs"], document["users"]) == (4, 6, 2)
    assert {share["id"]: share["runs"] for share in document["by_user"]} == {"u0": 2, "u1": 4}
    assert [(one["session_id"], one["runs"]) for one in document["largest"]] == [("s3", 3), ("s2", 2), ("s1", 1)]
    assert len(document["oldest"]) == 3
    assert sum(day["runs"] for day in document["days"]) == 6
    answer = run("stats", "--days", "2")
    assert (answer.code, answer.err) == (0, "")
    assert f"4 sessions of 2 users, 6 runs, {document['bytes']} B" in answer.out
    bars = [line.count("█") for line in answer.out.splitlines() if "█" in line]
    assert max(bars) == 40
    for title in (
        "Growth by day",
        "Users",
        "Agents, teams and workflows",
        "Largest sessions",
        "at rest for the longest",
    ):
        assert title in answer.out


def test_the_plot_is_in_signs_that_the_terminal_has(url: str, folder: Path) -> None:
    answer = run_installed("stats", directory=folder, AGNO_STORE_DB_URL=url, PYTHONIOENCODING="ascii")
    assert (answer.code, answer.err) == (0, "")
    assert "#" * 40 in answer.out
    assert "\\u" not in answer.out


@pytest.mark.parametrize("words", [("--days", "0"), ("--most", "10001"), ("--days", "many")])
def test_what_is_no_number_is_a_usage_error(url: str, words: tuple[str, ...]) -> None:
    assert run("stats", *words).code == 2


# -- on a terminal -----------------------------------------------------------------------------------


def on_a_terminal(*words: str, directory: Path, **variables: str) -> str:
    """Run the installed program on a terminal, and return all that was written there."""
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover
        os.chdir(directory)
        os.execve(installed(), ["agno-store", *words], {**environment(), "TERM": "xterm", **variables})
    shown, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            some = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not some:
            break
        shown += some
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, shown
    os.close(terminal)
    return shown.decode()


def filled(directory: Path, runs: int) -> str:
    """A store with one conversation of so many runs."""
    url = f"sqlite:///{directory}/a.db"
    with open_db(url) as db:
        for number in range(runs):
            db.upsert_run({"run_id": f"r{number}", "agent_id": "helper", "content": "said"}, "s1")
    return url


PAGER = "sed -e s/^/PAGED:/"


def test_what_is_long_goes_through_the_pager_on_a_terminal_alone(folder: Path) -> None:
    where: dict[str, Any] = {"directory": folder, "AGNO_STORE_DB_URL": filled(folder, 40), "PAGER": PAGER}
    assert "PAGED:" in on_a_terminal("sessions", "show", "s1", **where)
    assert "PAGED:" not in on_a_terminal("sessions", "show", "s1", "--last", "1", **where)
    assert "PAGED:" not in on_a_terminal("sessions", "show", "s1", "--json", **where)
    assert "PAGED:" not in run_installed("sessions", "show", "s1", **where).out


def test_colours_are_for_terminals_that_want_them(folder: Path) -> None:
    where: dict[str, Any] = {"directory": folder, "AGNO_STORE_DB_URL": filled(folder, 1)}
    assert "\x1b[" in on_a_terminal("sessions", "show", "s1", **where)
    plain = on_a_terminal("sessions", "show", "s1", NO_COLOR="1", **where)
    assert "said" in plain
    assert not any(f"\x1b[{code}m" in plain for code in range(30, 38))
    assert "\x1b" not in run_installed("sessions", "show", "s1", **where).out
