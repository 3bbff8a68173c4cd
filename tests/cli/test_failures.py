"""What goes wrong ends in a sentence and an exit code, and never in a traceback."""

from __future__ import annotations

import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.program import COMMANDS, installed, run, run_installed, run_process
from tests.cli.stores import connected, execute
from tests.migrations.roles import roles
from tests.servers import MariaDB, PostgreSQL

USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown option": (("upgrade", "--bogus"), "--bogus"),
    "unknown command": (("bogus",), "bogus"),
    "downgrade without --to": (("downgrade", "--db-url", "sqlite://"), "--to"),
    "stamp without a revision": (("stamp", "--db-url", "sqlite://"), "revision"),
    "one word too many": (("upgrade", "extra", "--db-url", "sqlite://"), "extra"),
    "a negative lock timeout": (("upgrade", "--db-url", "sqlite://", "--lock-timeout", "-1"), "--lock-timeout"),
    "a lock timeout that is no number": (("upgrade", "--db-url", "sqlite://", "--lock-timeout", "x"), "--lock-timeout"),
    "a lock timeout that is not a number": (
        ("upgrade", "--db-url", "sqlite://", "--lock-timeout", "nan"),
        "--lock-timeout",
    ),
    "a URL that cannot be read": (("check", "--db-url", "nonsense"), "The database URL cannot be read"),
    "a port that is no number": (("check", "--db-url", "mysql://u@h:port/d"), "The database URL cannot be read"),
    "another database": (("check", "--db-url", "oracle://h/d"), "SQLite, PostgreSQL, MySQL/MariaDB"),
    "an unknown driver": (("check", "--db-url", "mysql+nosuch://h/d"), "mysql+nosuch"),
    "a driver that is not there": (("check", "--db-url", "mysql+mysqldb://h/d"), "pip install"),
    "a schema in SQLite": (("check", "--db-url", "sqlite://", "--schema", "x"), "SQLite has no schemas"),
}


@pytest.mark.parametrize("mistake", USAGE)
def test_a_usage_error_exits_2_and_says_what_is_wrong_on_stderr(mistake: str) -> None:
    words, reason = USAGE[mistake]
    answer = run(*words)
    assert (answer.code, answer.out) == (2, "")
    assert reason.lower() in answer.complaint.lower()


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "history"])
def test_a_command_without_a_database_says_the_three_ways_to_name_one(command: str) -> None:
    answer = run(*COMMANDS[command])
    assert (answer.code, answer.out) == (2, "")
    for way in ("--db-url", "AGNO_STORE_DB_URL", "[tool.agno-store]"):
        assert way in answer.complaint


def test_a_failure_answers_with_one_document() -> None:
    answer = run("check", "--db-url", "nonsense", "--json")
    assert list(answer.document) == ["error"]
    assert list(answer.document["error"]) == ["type", "message", "exit_code"]
    assert answer.document["error"]["type"] == "ConfigurationError"
    assert answer.document["error"]["message"] in answer.complaint
    assert answer.document["error"]["exit_code"] == answer.code == 2


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
def test_a_server_that_is_not_there_is_unreachable(scheme: str, command: str, closed_port: int) -> None:
    answer = run(*COMMANDS[command], "--db-url", f"{scheme}://me@127.0.0.1:{closed_port}/app", "--json")
    assert answer.code == 7
    assert answer.document["error"]["type"] == "DatabaseUnreachable"
    assert f"127.0.0.1:{closed_port}/app" in answer.complaint
    assert "Is the server running and the URL right?" in answer.complaint
    assert "refused" in answer.complaint  # the driver's own word


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.backends("postgresql", "mysql")
def test_a_database_that_is_not_there_is_unreachable(fresh_url: str, command: str) -> None:
    url = make_url(fresh_url).set(database="no_such_database").render_as_string(hide_password=False)
    answer = run(*COMMANDS[command], "--db-url", url)
    assert answer.code == 7
    assert answer.err.startswith("DatabaseUnreachable: ")
    said = {"postgresql": 'database "no_such_database" does not exist', "mysql": "Unknown database 'no_such_database'"}
    assert said[make_url(url).get_backend_name()] in answer.complaint


@pytest.fixture(scope="module")
def guarded() -> Iterator[dict[str, str]]:
    """Servers that ask for a password, with a user ``me`` who has another one."""
    with PostgreSQL() as postgresql, MariaDB() as mysql:
        execute(mysql.url, "CREATE USER me IDENTIFIED BY 'right'")
        with connected(postgresql.url) as connection:
            connection.exec_driver_sql("CREATE ROLE me LOGIN PASSWORD 'right'")
            (postgresql.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        yield {"postgresql": postgresql.url, "mysql": mysql.url}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.backends("postgresql", "mysql")
def test_a_wrong_password_ends_in_the_servers_words(guarded: dict[str, str], backend: str, command: str) -> None:
    url = make_url(guarded[backend]).set(username="me", password="secret-word").render_as_string(hide_password=False)
    answer = run(*COMMANDS[command], "--db-url", url)
    assert answer.code == 7
    said = {"postgresql": 'password authentication failed for user "me"', "mysql": "Access denied for user 'me'"}
    assert said[backend] in answer.complaint
    assert "secret-word" not in answer.out + answer.err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.backends("postgresql", "mysql")
def test_a_role_without_rights_ends_in_the_servers_words(backend: str, fresh_url: str, command: str) -> None:
    with roles(backend, fresh_url) as granted:
        assert run("upgrade", "--db-url", granted.url("owner"), *granted.words).code == 0
        url = granted.url(granted.stranger())
        answer = run(*COMMANDS[command], "--db-url", url, *granted.words)
        assert run("check", "--db-url", granted.url("owner"), *granted.words).code == 0
    assert answer.code == 1
    assert answer.err.startswith("AccessDenied: ")
    said = {"postgresql": f"permission denied for schema {granted.schema}", "mysql": "SELECT command denied to user"}
    assert said[backend] in answer.complaint
    assert "GRANT " in answer.complaint


@pytest.mark.parametrize("path", ["file/inside/a.db", "file/a.db", "."])
def test_a_place_that_can_hold_no_file_is_named(folder: Path, path: str) -> None:
    (folder / "file").write_text("")
    answer = run("upgrade", "--db-url", f"sqlite:///{folder}/{path}")
    assert answer.code in (2, 7)
    assert answer.out == ""
    assert str(folder) in answer.complaint
    assert "server" not in answer.complaint


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_in_the_place_of_a_file_is_told_from_a_server(folder: Path, command: str) -> None:
    (folder / "agents.db").mkdir()
    answer = run(*COMMANDS[command], "--db-url", f"sqlite:///{folder}/agents.db")
    assert answer.code == 7
    assert "unable to open database file. Is it a file, in a folder that is there" in answer.complaint


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_no_database_is_a_failure_and_left_alone(folder: Path, command: str) -> None:
    file = folder / "notes.txt"
    file.write_text("Not a database, but somebody's notes. " * 100)
    before = file.read_bytes()
    answer = run(*COMMANDS[command], "--db-url", f"sqlite:///{file}", "--json")
    assert answer.code == 1
    assert answer.document["error"]["type"] == "DatabaseError"
    assert "file is not a database" in answer.complaint
    if sys.version_info >= (3, 11):  # from where on Python tells SQLite's code
        assert "Name a SQLite database, or a file that" in answer.complaint
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me@127.0.0.1:{port}/app?no_such_option=1",
        "mysql://me@127.0.0.1:{port}/app?ssl_ca=/no/such/file",
        "mysql://me@two..dots:{port}/app",
        "mysql://me:%E2%82%AC@127.0.0.1:{port}/app",
        "postgresql://me@127.0.0.1:{port}/app?no_such_option=1",
        "postgresql://me@127.0.0.1:{port}/app?connect_timeout=soon",
        "postgresql://me@127.0.0.1:99999/app",
        "mysql://me@127.0.0.1:99999/app",
    ],
)
def test_what_a_driver_cannot_make_sense_of_ends_in_a_sentence_too(closed_port: int, url: str) -> None:
    answer = run("check", "--db-url", url.format(port=closed_port), "--json")
    assert answer.code in (1, 2, 7)
    assert answer.document["error"]["exit_code"] == answer.code


OPTIONS = ["no_such_option=1", "connect_timeout=soon"]


@pytest.mark.parametrize(
    "place",
    [
        *(f"postgresql://me:s3cr3t-word@127.0.0.1:1/app?{option}" for option in OPTIONS),
        *(f"mysql://me:s3cr3t-word@127.0.0.1:1/app?{option}" for option in (*OPTIONS, "charset=nonsense")),
    ],
)
def test_an_option_that_the_driver_does_not_know_is_a_mistake_that_nobody_waits_for(place: str) -> None:
    began = time.monotonic()
    answer = run("upgrade", "--db-url", place, "--wait-for-db", "30", "--json")
    assert time.monotonic() - began < 20
    assert (answer.code, answer.document["error"]["type"]) == (2, "ConfigurationError")
    assert "Correct what is behind the ?" in answer.complaint
    assert "s3cr3t" not in answer.out + answer.err


def test_what_stands_around_a_url_is_no_part_of_it(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("upgrade", "--db-url", fresh_url).code == 0
    monkeypatch.setenv("AGNO_STORE_DB_URL", f" {fresh_url}\r\n")
    assert run("check").code == 0


def test_the_program_itself_exits_with_the_code_and_prints_no_traceback(folder: Path, closed_port: int) -> None:
    url = f"postgresql://me@127.0.0.1:{closed_port}/app"
    answer = run_installed("check", "--db-url", url, "--json", directory=folder)
    assert (answer.code, answer.document["error"]["exit_code"]) == (7, 7)
    assert answer.err.startswith("DatabaseUnreachable: ")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("words", [("history",), ("history", "--json"), ("schema",)], ids=" ".join)
def test_an_answer_that_finds_no_room_ends_in_a_sentence(folder: Path, words: tuple[str, ...]) -> None:
    answer = run_process("sh", "-c", f"{shlex.join([installed(), *words])} > /dev/full", directory=folder)
    assert (answer.code, answer.err) == (1, "The answer cannot be written: No space left on device.\n")
