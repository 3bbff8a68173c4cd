"""``agno-store prune`` and ``delete-user``: what they ask, say and delete."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agno_store import Run, open_db
from tests.cli.program import Answer, environment, run
from tests.cli.stores import contents
from tests.cli.test_backfill import everything
from tests.contract.old import aged, long, many
from tests.contract.samples import listed

CANARY = "canary-in-a-coal-mine"


def furnish(url: str, tenant_id: str | None = None) -> None:
    """Two old sessions, one that is not, and one of mallory's."""
    with open_db(url, tenant_id=tenant_id) as db:
        aged(db, "old", 100, "a", "b", summary={"summary": "text"})
        aged(db, "older", 200, "a", user_id="bob")
        aged(db, "new", 1, "a", user_id="bob")
        aged(db, "hers", 2, "a", user_id="mallory", metadata={"said": CANARY})


def sessions(url: str, tenant_id: str | None = None) -> set[str]:
    with open_db(url, tenant_id=tenant_id) as db:
        return set(listed(db))


def prune(url: str, *words: str) -> Answer:
    return run("prune", "--db-url", url, "--older-than", "90d", *words)


def forget(url: str, *words: str) -> Answer:
    return run("delete-user", "mallory", "--db-url", url, *words)


def test_a_dry_run_says_what_would_go_and_deletes_nothing(fresh_url: str) -> None:
    furnish(fresh_url)
    before = contents(fresh_url)
    answer = prune(fresh_url, "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "agent_sessions: 2 sessions, 3 runs and 1 summary would be deleted\n"
    answer = forget(fresh_url, "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "agent_sessions: 1 session, 1 run and 0 summaries would be deleted\n"
    assert contents(fresh_url) == before


def test_it_deletes_what_it_said(fresh_url: str) -> None:
    furnish(fresh_url)
    answer = prune(fresh_url, "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "agent_sessions: 2 sessions, 3 runs and 1 summary deleted\n"
    answer = forget(fresh_url, "--yes", "--vacuum")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "agent_sessions: 1 session, 1 run and 0 summaries deleted\n"
    assert sessions(fresh_url) == {"new"}
    assert CANARY not in repr(contents(fresh_url))
    answer = prune(fresh_url)
    assert (answer.code, answer.out) == (0, "agent_sessions: 0 sessions, 0 runs and 0 summaries deleted\n")


@pytest.mark.backends("sqlite")
def test_as_json_it_is_one_document(fresh_url: str) -> None:
    furnish(fresh_url)
    counts = {"store": "agent_sessions", "sessions": 2, "runs": 3, "summaries": 1, "kept": 0}
    assert prune(fresh_url, "--dry-run", "--json").document == {**counts, "dry_run": True}
    answer = prune(fresh_url, "--yes", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document == {**counts, "dry_run": False, "vacuumed": False}
    assert forget(fresh_url, "--yes", "--json", "--vacuum").document["vacuumed"] is True


@pytest.mark.backends("sqlite")
def test_nobody_to_ask_is_a_refusal(fresh_url: str) -> None:
    furnish(fresh_url)
    for answer in (prune(fresh_url), prune(fresh_url, "--json"), forget(fresh_url)):
        assert answer.code == 1
        assert "Nothing was changed. Add --yes" in answer.complaint
    assert len(sessions(fresh_url)) == 4


@pytest.mark.backends("sqlite")
def test_whose_and_how_many_stay_can_be_said(fresh_url: str) -> None:
    furnish(fresh_url)
    assert "0 sessions" in prune(fresh_url, "--keep-last", "2", "--yes").out
    assert "1 session," in prune(fresh_url, "--user", "bob", "--yes").out
    assert sessions(fresh_url) == {"old", "new", "hers"}


@pytest.mark.backends("sqlite")
def test_a_tenants_store_is_the_tenants_alone(fresh_url: str) -> None:
    furnish(fresh_url)
    furnish(fresh_url, "acme")
    assert "2 sessions" in prune(fresh_url, "--tenant", "acme", "--yes").out
    assert "1 session," in forget(fresh_url, "--tenant", "acme", "--yes").out
    assert (len(sessions(fresh_url)), sessions(fresh_url, "acme")) == (4, {"new"})


@pytest.mark.backends("sqlite")
def test_the_file_holds_nothing_of_a_user_after_a_vacuum(fresh_url: str, tmp_path: Path) -> None:
    furnish(fresh_url)
    with open_db(fresh_url) as db:
        for n in range(50):
            db.upsert_run(Run(f"r{n}", {"content": CANARY * 1000}), "hers")
        db.upsert_session({"session_id": "hers", "user_id": "mallory", "metadata": {}})
    [name] = re.findall(r"[^/]+$", fresh_url)
    assert CANARY.encode() in b"".join(file.read_bytes() for file in tmp_path.glob(f"{name}*"))
    assert forget(fresh_url, "--yes", "--vacuum").code == 0
    left = b"".join(file.read_bytes() for file in tmp_path.glob(f"{name}*"))
    assert left.startswith(b"SQLite format 3")
    assert CANARY.encode() not in left
    assert b"mallory" not in left
    assert len(left) < 300_000


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("prune",), "--older-than"),
        (("prune", "--older-than", "soon"), "--older-than: 'soon' is no age"),
        (("prune", "--older-than", "90"), "--older-than: '90' is no age"),
        (("prune", "--older-than", "1d", "--keep-last", "-1"), "--keep-last"),
        (("prune", "--older-than", "1d", "--dry-run", "--vacuum"), "--vacuum"),
        (("delete-user",), "USER"),
        (("delete-user", ""), "user_id is empty"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(fresh_url: str, words: tuple[str, ...], reason: str) -> None:
    furnish(fresh_url)
    answer = run(*words, "--db-url", fresh_url)
    assert (answer.code, answer.out) == (2, "")
    assert reason.lower() in answer.complaint.lower()
    assert len(sessions(fresh_url)) == 4


def test_a_store_that_is_not_there_is_not_made(fresh_url: str) -> None:
    assert prune(fresh_url, "--yes").code == 3
    assert forget(fresh_url, "--yes").code == 3
    if not fresh_url.startswith("sqlite"):
        assert contents(fresh_url) == {}
    else:
        assert not Path(fresh_url.removeprefix("sqlite:///")).exists()


# -- on the way --------------------------------------------------------------------------------------

INTERRUPTED = """
import signal, os, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from agno_store import clearing
from agno_store.cli import main

def interrupt(seconds):
    os.kill(os.getpid(), {number})

clearing.pause = interrupt
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_has_it_say_how_far_it_came_and_the_next_run_goes_on(
    fresh_url: str, folder: Path, number: int
) -> None:
    with open_db(fresh_url) as db:
        long(db, "long", 130, 100)
        aged(db, "new", 1, "a")
    command = [sys.executable, "-c", INTERRUPTED.format(number=int(number))]
    command += ["prune", "--db-url", fresh_url, "--older-than", "90d", "--yes"]
    ended = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (128 + number, "")
    said = "agent_sessions: stopped after 0 sessions, 50 runs and 0 summaries. They stay deleted; run it again"
    assert " ".join(ended.stderr.split()) == f"{said} to go on."
    assert sessions(fresh_url) == {"new"}
    assert prune(fresh_url, "--yes").out == "agent_sessions: 1 session, 80 runs and 0 summaries deleted\n"
    assert sessions(fresh_url) == {"new"}


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_progress_is_shown_on_a_terminal_and_nowhere_else(fresh_url: str, folder: Path, terminal: bool) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        many(db, 300, 3, 100)
    words = ("prune", "--db-url", fresh_url, "--older-than", "90d", "--yes")
    master, slave = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "agno_store", *words],
        cwd=folder,
        env={**environment(), "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=slave,
    ) as process:
        os.close(slave)
        shown = everything(master)
        assert process.stdout is not None
        out = process.stdout.read().decode()
    assert (process.returncode, out) == (0, "agent_sessions: 300 sessions, 900 runs and 0 summaries deleted\n")
    if terminal:
        assert "agent_sessions: deleting" in shown
        assert len(set(re.findall(r"\d+/1200", shown))) > 2
        assert re.search(r"[\d,]+/s", shown)
    else:
        assert shown == ""
