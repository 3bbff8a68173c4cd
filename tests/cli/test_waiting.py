"""``--wait-for-db`` and ``check --wait``: no longer than it takes, and no longer than was asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import Answer, environment, run
from tests.cli.stores import at, contents, set_version
from tests.servers import MariaDB, PostgreSQL
from tests.servers.process import Server, free_port

SERVERS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mysql": MariaDB}

UPGRADER = """
import sys, time
from agno_store import open_db
db = open_db(sys.argv[1])
time.sleep(1)
for revision in ("0001", "0002", "head"):
    db.upgrade_schema(revision)
    time.sleep(0.2)
"""


def timed(*words: str) -> tuple[Answer, float]:
    """Run a command and measure how long it takes."""
    begun = time.monotonic()
    answer = run(*words)
    return answer, time.monotonic() - begun


@contextmanager
def started_later(kind: type[Server]) -> Iterator[str]:
    """Give the URL of a server that is started in a second."""
    with kind() as server:
        server.kill()
        starter = threading.Timer(1, server.restart)
        starter.start()
        try:
            yield server.url
        finally:
            starter.join()


@pytest.mark.backends("postgresql", "mysql")
def test_a_server_that_is_started_later_is_waited_for(backend: str) -> None:
    with started_later(SERVERS[backend]) as url:
        answer, seconds = timed("upgrade", "--db-url", url, "--wait-for-db", "30", "--json")
        assert (answer.code, answer.document["current"]) == (0, HEAD)
        assert 0.9 < seconds < 25
        assert answer.complaint.startswith("waiting up to 30 seconds: ")
        assert answer.complaint.count("waiting up to") == 1
        answer, seconds = timed("upgrade", "--db-url", url, "--wait-for-db", "30")
        assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    "words", [("upgrade", "--wait-for-db"), ("upgrade", "--all", "--wait-for-db"), ("check", "--wait")]
)
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_where_nobody_answers_it_gives_up_in_time(scheme: str, words: tuple[str, ...]) -> None:
    url = f"{scheme}://me:s3cretive@127.0.0.1:{free_port()}/app"
    answer, seconds = timed(*words, "1.5", "--db-url", url, "--json")
    assert (answer.code, answer.document["error"]["type"]) == (7, "DatabaseUnreachable")
    assert 0.9 < seconds < 8
    assert "s3cretive" not in answer.out + answer.err


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_without_being_asked_it_does_not_wait(scheme: str) -> None:
    url = f"{scheme}://me@127.0.0.1:{free_port()}/app"
    for words in (("upgrade",), ("upgrade", "--wait-for-db", "0"), ("check", "--wait", "0")):
        answer, seconds = timed(*words, "--db-url", url)
        assert answer.code == 7
        assert seconds < 3
        assert "waiting" not in answer.err


def test_a_database_that_is_there_is_not_waited_for(fresh_url: str) -> None:
    answer, seconds = timed("upgrade", "--db-url", fresh_url, "--wait-for-db", "60")
    assert (answer.code, answer.err) == (0, "")
    assert seconds < 10


def test_to_wait_for_a_file_makes_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/a.db"
    assert run("upgrade", "--rehearse", "--db-url", url, "--wait-for-db", "5").code == 0
    assert list(tmp_path.glob("new")) == []


def test_check_waits_until_another_process_has_upgraded(fresh_url: str, folder: Path) -> None:
    command = [sys.executable, "-c", UPGRADER, fresh_url]
    with subprocess.Popen(command, cwd=folder, env=environment()) as upgrader:
        answer, _ = timed("check", "--db-url", fresh_url, "--wait", "60", "--drift", "--json")
    assert upgrader.returncode == 0
    assert (answer.code, answer.err) == (0, "")
    assert (answer.document["state"], answer.document["differences"]) == ("in step", [])


@pytest.mark.parametrize("there", ["missing", REVISIONS[0]])
def test_check_gives_up_where_nobody_upgrades(fresh_url: str, there: str) -> None:
    at(fresh_url, there)
    before = contents(fresh_url)
    answer, seconds = timed("check", "--db-url", fresh_url, "--wait", "1.5", "--json")
    assert (answer.code, answer.document["exit_code"]) == (3, 3)
    assert answer.document["current"] == (None if there == "missing" else there)
    assert 0.9 < seconds < 6
    assert "Run: agno-store upgrade" in answer.err
    assert contents(fresh_url) == before


@pytest.mark.parametrize("state", ["in step", "ahead"])
def test_check_waits_for_nothing_that_will_not_come(fresh_url: str, state: str) -> None:
    at(fresh_url, "head")
    if state == "ahead":
        set_version(fresh_url, "9999")
    answer, seconds = timed("check", "--db-url", fresh_url, "--wait", "30")
    assert answer.code == (0 if state == "in step" else 4)
    assert seconds < 5


@pytest.mark.parametrize("words", [("upgrade", "--wait-for-db", "-1"), ("check", "--wait", "soon")])
def test_what_is_no_time_is_a_usage_error(words: tuple[str, ...]) -> None:
    answer = run(*words, "--db-url", "sqlite://")
    assert (answer.code, answer.out) == (2, "")
    assert words[1] in answer.complaint
