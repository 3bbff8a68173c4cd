"""A standby that is killed, hangs, is out of reach or was promoted: the primary answers, and one warning says why."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import DatabaseError, PostgresDb
from agno_store import standby as module
from agno_store.dialects.answers import bound, within
from agno_store.errors import DatabaseUnreachable
from tests.contract.processes import together
from tests.contract.samples import append, listed
from tests.scale.lag import reads
from tests.scale.test_standby import runs
from tests.servers import Standby
from tests.servers.process import _children
from tests.servers.sql import caught_up

LOOK = 0.5


@pytest.fixture
def own(backend: str) -> Iterator[Standby]:
    """A standby of this test's own, with its primary."""
    with Standby() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", LOOK)
    monkeypatch.setattr(module, "REST", 0.5)


@contextmanager
def opened(own: Standby, **options: Any) -> Iterator[PostgresDb]:
    with PostgresDb(own.primary.url, read_url=own.url, **options) as db:
        append(db, "s", "r0")
        caught_up(own.primary.url, own.url)
        assert runs(db) == ["r0"]
        yield db


@contextmanager
def hanging(own: Standby) -> Iterator[None]:
    """All processes of a standby asleep: it still accepts what is sent, and says nothing."""
    assert own._process is not None
    processes = {own._process.pid, *_children(own._process.pid)}

    def send(number: int) -> None:
        for process in processes:
            os.kill(process, number)

    send(signal.SIGSTOP)
    awake = threading.Timer(30, send, (signal.SIGCONT,))  # a test that waits for ever is to fail
    awake.start()
    try:
        yield
    finally:
        awake.cancel()
        send(signal.SIGCONT)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def reads_there(db: PostgresDb) -> bool:
    with reads(db) as found:
        runs(db)
    return bool(found)


@pytest.mark.backends("postgresql")
def test_one_that_is_killed_and_comes_back(own: Standby, caplog: pytest.LogCaptureFixture) -> None:
    with opened(own) as db:
        own.kill()
        for n in range(1, 10):
            append(db, "s", f"r{n}")
            assert len(runs(db)) == n + 1
        (warning,) = warnings(caplog)
        assert warning.startswith("agent_sessions: the standby at postgresql+psycopg://postgres@127.0.0.1")
        own.restart()
        caught_up(own.primary.url, own.url)
        time.sleep(0.6)
        assert reads_there(db)
        own.restart()  # its connections lie in the pool, closed
        caught_up(own.primary.url, own.url)
        assert reads_there(db)
        assert len(warnings(caplog)) == 1


@pytest.mark.backends("postgresql")
def test_one_that_hangs_is_found_out_in_time_and_by_one_reader(own: Standby, caplog: pytest.LogCaptureFixture) -> None:
    with opened(own) as db:
        together(*[partial(runs, db)] * 4)  # as many connections
        with hanging(own):
            began = time.monotonic()
            answers = together(*[partial(runs, db)] * 8)
            assert answers == [["r0"]] * 8
            assert time.monotonic() - began < LOOK + 5  # some of them had to connect
            began = time.monotonic()
            for _ in range(10):
                assert runs(db) == ["r0"]
            assert time.monotonic() - began < 5
        (warning,) = warnings(caplog)
        assert "has not answered within 0.5 seconds" in warning or "timeout" in warning
        time.sleep(0.6)
        caught_up(own.primary.url, own.url)
        assert reads_there(db)


@pytest.mark.backends("postgresql")
def test_one_that_was_promoted_is_read_where_it_has_what_was_written(own: Standby) -> None:
    both = f"postgresql+psycopg://postgres@/postgres?host=127.0.0.1:{own.port}&host=127.0.0.1:{own.primary.port}"
    with opened(own) as db:
        own.promote()
        with PostgresDb(own.url) as elsewhere:  # so its log is longer than that of the old primary, which lives on
            append(elsewhere, "t", *(f"r{n}" for n in range(20)))
        append(db, "s", "r1")
        assert runs(db) == ["r0", "r1"]
        assert not reads_there(db)
        own.primary.kill()
        with PostgresDb(f"{both}&target_session_attrs=read-write", read_url=own.url) as following:
            append(following, "u", "r0")
            with reads(following) as found:
                assert listed(following) == ["u", "t", "s"]
                assert runs(following, "s") == ["r0"]
            assert found


@pytest.mark.backends("postgresql")
def test_without_a_primary_a_process_that_wrote_nothing_since_reads_on(own: Standby) -> None:
    with opened(own) as db:
        own.primary.kill()
        assert runs(db) == ["r0"]
        with pytest.raises(DatabaseError):
            db.get_session("s")


@pytest.mark.backends("postgresql")
@pytest.mark.parametrize("address", ["closed", "silent"])
def test_one_out_of_reach(
    fresh_url: str, address: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_store.dialects.standby.CONNECT_TIMEOUT", 2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if address == "silent":
            server.listen()
        port = server.getsockname()[1]
        read_url = f"postgresql://ann:secret99@127.0.0.1:{port}/x?sslpassword=hidden99"
        with PostgresDb(fresh_url, read_url=read_url) as db:
            append(db, "s", "r0")
            began = time.monotonic()
            for _ in range(20):
                assert runs(db) == ["r0"]
            assert time.monotonic() - began < 8
            time.sleep(0.6)  # it is tried again
            assert runs(db) == ["r0"]
    (warning,) = warnings(caplog)
    assert f"127.0.0.1:{port}" in warning
    assert "secret99" not in caplog.text
    assert "hidden99" not in caplog.text


@pytest.mark.backends("postgresql")
def test_a_server_that_does_not_answer_in_time_is_waited_for_no_longer(fresh_url: str) -> None:
    engine = sa.create_engine(fresh_url)
    sa.event.listen(engine, "connect", bound)
    with engine.connect() as connection:
        with within(connection, 30), within(connection, 20):
            connection.exec_driver_sql("SELECT 1")
        began = time.monotonic()
        with pytest.raises(DatabaseUnreachable, match=r"not answered within 0.3 seconds"), within(connection, 0.3):
            connection.exec_driver_sql("SELECT pg_sleep(30)")
        assert time.monotonic() - began < 10
    with engine.connect() as connection:
        with pytest.raises(sa.exc.ProgrammingError), within(connection, 30):
            connection.exec_driver_sql("SELECT nothing")
        connection.rollback()
        with within(connection, 0.05):
            time.sleep(0.2)  # nobody waits for the server meanwhile
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()


@pytest.mark.backends("postgresql")
def test_many_wait_for_as_many_answers(fresh_url: str) -> None:
    engine = sa.create_engine(fresh_url, pool_size=16)
    sa.event.listen(engine, "connect", bound)

    def asked(seconds: float) -> Callable[[], float]:
        def ask() -> float:
            with engine.connect() as connection:
                began = time.monotonic()
                with pytest.raises(DatabaseUnreachable), within(connection, seconds):
                    connection.exec_driver_sql("SELECT pg_sleep(30)")
                return time.monotonic() - began

        return ask

    patience = [1.5 - n / 10 for n in range(8)]
    took = together(*map(asked, patience))
    assert all(limit <= time < limit + 1 for limit, time in zip(patience, took, strict=True))
    engine.dispose()
