"""The private PgBouncer does what the other tests rely on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.servers import PgBouncer, packages, process
from tests.servers import pgbouncer as module
from tests.servers.sql import run

SESSION = "SELECT pg_backend_pid()"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A client that prepares no statements, which would stay behind in the session."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as connection:
        yield connection


def session(connection: Connection) -> object:
    """The server's session that a transaction of this client had."""
    with connection.begin():
        return connection.execute(text(SESSION)).scalar()


def test_clients_take_turns_with_one_session(pgbouncer: PgBouncer, fresh_url: str) -> None:
    url = pgbouncer.through(fresh_url)
    with connected(url) as one, connected(url) as other:
        assert session(one) == session(other) == session(one)
        one.begin()
        held = one.execute(text(SESSION)).scalar()
        assert session(other) != held


def test_a_database_has_three_sessions(pgbouncer: PgBouncer, fresh_url: str) -> None:
    with ExitStack() as clients:
        connections = [clients.enter_context(connected(pgbouncer.through(fresh_url))) for _ in range(10)]
        assert len({session(connection) for connection in connections}) == 1
        for connection in connections[:3]:
            connection.begin()
        held = {connection.execute(text(SESSION)).scalar() for connection in connections[:3]}
        assert len(held) == 3
        connections[0].rollback()
        assert {session(connection) for connection in connections[3:]} < held


def test_a_lock_of_the_session_does_not_keep_out_another_client(pgbouncer: PgBouncer, fresh_url: str) -> None:
    url = pgbouncer.through(fresh_url)
    assert run(url, "SELECT pg_try_advisory_lock(1)") is True
    assert run(url, "SELECT pg_try_advisory_lock(1)") is True
    assert run(fresh_url, "SELECT pg_try_advisory_lock(1)") is False


def test_the_database_is_the_one_of_the_url(pgbouncer: PgBouncer, fresh_url: str) -> None:
    run(pgbouncer.through(fresh_url), "CREATE TABLE things (thing integer)")
    assert run(fresh_url, "SELECT count(*) FROM things") == 0
    assert run(pgbouncer.url, "SELECT current_database()") != make_url(fresh_url).database


def test_it_comes_back_after_a_kill_and_leaves_nothing_behind(pgbouncer: PgBouncer) -> None:
    with PgBouncer(pgbouncer.url, settings={"server_reset_query": "SELECT 1"}) as own:  # and in front of any server
        assert run(own.url, "SELECT 1") == 1
        own.kill()
        with pytest.raises(OperationalError):
            run(own.url, "SELECT 1")
        own.restart()
        assert run(own.url, "SELECT 1") == 1
        assert "FATAL" not in own.log_text()
    with pytest.raises(OperationalError):
        run(own.url, "SELECT 1")
    assert not own.directory.exists()
    assert not own.data.exists()
    own.stop()


def test_one_that_does_not_start_says_why_and_leaves_nothing_behind(pgbouncer: PgBouncer) -> None:
    own = PgBouncer(pgbouncer.url, settings={"pool_mode": "no_such_mode"})
    with pytest.raises(RuntimeError, match="no_such_mode"):
        own.start()
    assert not own.directory.exists()


def test_it_takes_another_port_when_its_own_is_taken(pgbouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter([pgbouncer.port, process.free_port()])
    monkeypatch.setattr(process, "free_port", lambda: next(ports))
    with PgBouncer(pgbouncer.url) as own:
        assert own.port != pgbouncer.port
        assert run(own.url, "SELECT 1") == 1


def test_one_that_its_account_cannot_reach_is_copied(
    pgbouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out_of_reach = packages.copy(module.PACKAGE.find(), tmp_path / "home")
    (tmp_path / "home").chmod(0o700)
    monkeypatch.setenv("TEST_PGBOUNCER", str(out_of_reach))
    with PgBouncer(pgbouncer.url) as own:
        assert run(own.url, "SELECT 1") == 1
        assert own._command()[-2].startswith(str(own.directory if os.geteuid() == 0 else tmp_path))


def test_a_missing_one_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TEST_PGBOUNCER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "PLACES", ())
    monkeypatch.setattr(module, "UNPACKED", tmp_path)
    with pytest.raises(RuntimeError, match=r"python -m tests\.servers\.install"):
        PgBouncer("postgresql+psycopg://postgres@127.0.0.1/postgres").start()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("postgresql+psycopg://ann@127.0.0.1:5433/db", "host='127.0.0.1' port='5433' user='ann'"),
        ("postgresql://ann:it%27s%40@db.test/db", "host='db.test' port='5432' user='ann' password='it''s@'"),
    ],
)
def test_the_url_of_any_server_will_do(url: str, target: str) -> None:
    bouncer = PgBouncer(url)
    bouncer.port = 7000
    assert f"* = {target}\n" in bouncer._settings()
    assert make_url(bouncer.url) == make_url(url).set(host="127.0.0.1", port=7000)
