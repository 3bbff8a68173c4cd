"""The writers of one process before one SQLite file: in the order they come, and none waits longer than one would."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agno_store import ConfigurationError, DatabaseError, open_async_db, open_db
from agno_store.dialects import sqlite_line
from agno_store.dialects.sqlite_line import InLine
from agno_store.sending import _executed
from tests.contract.samples import append, run, run_ids, session

WRITERS = 8


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the same process import agno; here a store answers as it does without it."""
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a session."""
    with open_db(f"sqlite:///{tmp_path}/agents.db") as db:
        db.upsert_session(session("s"))
    return tmp_path / "agents.db"


@pytest.fixture
def another(file: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else, who is writing to it."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_threads_write_in_the_order_they_come(file: Path, another: sqlite3.Connection) -> None:
    with open_db(f"sqlite:///{file}") as db:
        assert run_ids(db, "s") == []
        threads = [threading.Thread(target=db.upsert_run, args=(run(f"r{n}"), "s")) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)  # so that it stands there
        another.execute("COMMIT")
        for thread in threads:
            thread.join()
        assert run_ids(db, "s") == [f"r{n}" for n in range(WRITERS)]


def test_tasks_write_in_the_order_they_come(file: Path, another: sqlite3.Connection) -> None:
    async def main() -> list[str]:
        async with open_async_db(f"sqlite:///{file}") as db:
            await db.get_session("s")
            tasks = []
            for n in range(WRITERS):
                tasks.append(asyncio.create_task(db.upsert_run(run(f"r{n}"), "s")))
                await asyncio.sleep(0.05)
            another.execute("COMMIT")
            await asyncio.gather(*tasks)
            return [each.run_id for each in (await db.get_session("s")).runs]

    assert asyncio.run(main()) == [f"r{n}" for n in range(WRITERS)]


TIMEOUT = 2


@pytest.mark.usefixtures("another")
def test_threads_behind_each_other_wait_as_long_as_one_would(file: Path) -> None:
    waited: list[float] = []

    def write(db: Any, n: int) -> None:
        began = time.monotonic()
        with pytest.raises(DatabaseError, match=r"has been writing all the time|locked"):
            db.upsert_run(run(f"r{n}"), "s")
        waited.append(time.monotonic() - began)

    with open_db(f"sqlite:///{file}?timeout={TIMEOUT}") as db:
        assert run_ids(db, "s") == []
        threads = [threading.Thread(target=write, args=(db, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(waited) == 4
        assert min(waited) > 0.9 * TIMEOUT
        assert max(waited) < 1.75 * TIMEOUT  # the second would wait twice as long, in the line and in SQLite
        with db.dialect.connected(db.db_engine) as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == TIMEOUT * 1000
        assert run_ids(db, "s") == []


def test_a_thread_behind_a_long_transaction_of_its_own_process_waits_no_longer_either(file: Path) -> None:
    errors: list[BaseException] = []

    def write(db: Any) -> None:
        try:
            db.upsert_run(run("r"), "s")
        except DatabaseError as error:
            errors.append(error)

    with open_db(f"sqlite:///{file}?timeout=1") as db, db.dialect.transaction(db.db_engine, writes=True):
        writer = threading.Thread(target=write, args=(db,))
        writer.start()
        writer.join(20)
        assert not writer.is_alive()
        assert len(errors) == 1


def test_the_file_is_free_after_ctrl_c_between_a_statement_and_its_rows(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(sqlite3.Cursor):
        def fetchall(self) -> list[Any]:
            raise KeyboardInterrupt

    def transact(db: Any) -> None:
        with monkeypatch.context() as patched, db.dialect.transaction(db.db_engine, writes=True) as connection:
            kind = type(connection.connection)
            patched.setattr(kind, "cursor", lambda self: self.dbapi_connection.cursor(Interrupted))
            _executed(connection, "SELECT name FROM sqlite_master", (), has_rows=True)

    with open_db(f"sqlite:///{file}?timeout=1") as db:
        with pytest.raises(KeyboardInterrupt) as held:  # as a prompt or a notebook holds the last traceback
            transact(db)
        append(db, "s", "r")
        assert run_ids(db, "s") == ["r"]
        assert held.tb is not None


def test_the_file_is_free_after_a_connection_was_given_up_in_a_transaction(file: Path) -> None:
    with open_db(f"sqlite:///{file}?timeout=1") as db:
        with db.db_engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            held = connection.exec_driver_sql("SELECT name FROM sqlite_master")  # as the traceback of an upgrade does
            connection.invalidate(KeyboardInterrupt())
        append(db, "s", "r")
        assert run_ids(db, "s") == ["r"]
        assert held is not None


@pytest.mark.usefixtures("another")
def test_tasks_behind_each_other_wait_as_long_as_one_would(file: Path) -> None:
    async def write(db: Any, n: int) -> float:
        began = time.monotonic()
        with pytest.raises(DatabaseError, match=r"has been writing all the time|locked"):
            await db.upsert_run(run(f"r{n}"), "s")
        return time.monotonic() - began

    async def main() -> list[float]:
        async with open_async_db(f"sqlite:///{file}?timeout={TIMEOUT}") as db:
            await db.get_session("s")
            return list(await asyncio.gather(*(write(db, n) for n in range(4))))

    waited = asyncio.run(main())
    assert min(waited) > 0.9 * TIMEOUT
    assert max(waited) < 1.75 * TIMEOUT


def test_a_task_that_is_cancelled_in_the_line_leaves_it_and_writes_nothing(
    file: Path, another: sqlite3.Connection
) -> None:
    async def main() -> list[str]:
        async with open_async_db(f"sqlite:///{file}") as db:
            await db.get_session("s")
            tasks = [asyncio.create_task(db.upsert_run(run(f"r{n}"), "s")) for n in range(3)]
            await asyncio.sleep(0.3)
            tasks[1].cancel()
            another.execute("COMMIT")
            _, cancelled, _ = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
            assert isinstance(cancelled, asyncio.CancelledError)
            await db.upsert_run(run("r3"), "s")
            return [each.run_id for each in (await db.get_session("s")).runs]

    assert asyncio.run(main()) == ["r0", "r2", "r3"]


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon", "1&timeout=2"])
def test_a_url_with_a_timeout_that_is_none_is_refused(tmp_path: Path, seconds: str) -> None:
    with pytest.raises(ConfigurationError, match="seconds, from 0 on"):
        open_db(f"sqlite:///{tmp_path}/agents.db?timeout={seconds}")


def test_who_is_to_wait_forever_does_not_give_up_at_once(file: Path, another: sqlite3.Connection) -> None:
    with open_db(f"sqlite:///{file}?timeout=1e9") as db:
        threading.Timer(0.3, another.execute, ("COMMIT",)).start()
        append(db, "s", "r")
        assert run_ids(db, "s") == ["r"]


def test_a_url_cannot_have_a_connection_kept_to_one_thread(file: Path) -> None:
    with open_db(f"sqlite:///{file}?check_same_thread=true") as db:
        assert run_ids(db, "s") == []
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(run_ids, db, "s").result() == []


class Interrupt(BaseException):
    """What a handler of signals raises."""


OF_A_WRITER = ("waiting.py", "sqlite_line.py", "sqlite_driver.py", "connected.py", "contextlib.py")


def interrupted(step: int, work: Callable[[], object]) -> bool:
    """Interrupt ``work`` where Python may call a signal's handler for the n-th time; tell whether it came to that.

    That is where a function begins, and where one of C's is over. Where that is a lock that was just entered, newer
    Pythons lose it themselves: between that and what ``with`` does then nothing can be put.
    """
    left = step

    def profile(frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        if event == "c_return" and getattr(called, "__name__", "") == "__enter__":
            return
        around = frame if frame.f_back is None else frame.f_back
        if "__del__" in (frame.f_code.co_name, around.f_code.co_name):
            return  # Python ignores what is raised there
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(OF_A_WRITER):
            left -= 1
            if left == 0:
                raise Interrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    except Interrupt:
        return True
    finally:
        sys.setprofile(before)
    return False


@pytest.mark.parametrize("waits", [False, True])
def test_a_writer_who_is_interrupted_anywhere_leaves_his_place(file: Path, waits: bool) -> None:
    with open_db(f"sqlite:///{file}") as db:
        assert run_ids(db, "s") == []
        line = InLine(db.db_engine)._line

        def write() -> None:
            with db.dialect.transaction(db.db_engine, writes=True):
                pass

        for step in range(1, 200):
            if waits:
                assert line.take("another")
                threading.Timer(0.002, line.leave, ("another",)).start()
            if not interrupted(step, write):
                break
            assert line.take("next", 5), step
            line.leave("next")
            assert not line._queue
        assert 20 < step < 199


def test_a_writer_who_is_interrupted_has_no_other_wait_as_long_as_he_would(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_line, "A_MOMENT", -1)  # as if each had stood in the line

    def write() -> None:
        with db.dialect.transaction(db.db_engine, writes=True):
            pass

    with open_db(f"sqlite:///{file}") as db:
        for step in range(1, 200):
            if not interrupted(step, write):
                break
            gc.collect()  # whoever was interrupted as he gave it back
            with db.db_engine.connect() as connection:
                assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000, step
        assert 20 < step < 199


def forked(work: Callable[[], object]) -> int:
    """Do this in a child; 0 where it did not take longer than 10 seconds."""
    child = os.fork()
    if child == 0:
        began = time.monotonic()
        work()
        os._exit(time.monotonic() - began > 10)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_child_does_not_stand_behind_its_parents_threads(file: Path) -> None:
    with open_db(f"sqlite:///{file}") as db:
        append(db, "s", "before")
        with InLine(db.db_engine):
            status = forked(lambda: append(db, "s", "child"))
        assert status == 0
        assert run_ids(db, "s") == ["before", "child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_no_child_is_forked_in_the_middle_of_a_threads_write(file: Path) -> None:
    """In the child SQLite's library would go on taking the file for one that a thread of this process has locked."""
    writing = threading.Event()

    def write(db: Any) -> None:
        with db.dialect.transaction(db.db_engine, writes=True):
            writing.set()
            time.sleep(0.3)

    with open_db(f"sqlite:///{file}") as db:
        append(db, "s", "before")
        writer = threading.Thread(target=write, args=(db,))
        writer.start()
        assert writing.wait(10)
        status = forked(lambda: append(db, "s", "child"))
        writer.join()
        assert status == 0
        append(db, "s", "after")
        assert run_ids(db, "s") == ["before", "child", "after"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_fork_waits_for_all_writers_no_longer_than_for_one(tmp_path: Path) -> None:
    files = [open_db(f"sqlite:///{tmp_path}/{n}.db") for n in range(3)]
    lines = [InLine(db.db_engine) for db in files]
    for line in lines:
        line.__enter__()
    began = time.monotonic()
    assert forked(lambda: None) == 0
    waited = time.monotonic() - began
    for line, db in zip(lines, files, strict=True):
        line.__exit__(None, None, None)
        db.close()
    assert waited < 2 * sqlite_line.LONGEST_STOP


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_store_that_another_thread_opens_during_a_fork_keeps_nobody_from_writing(file: Path) -> None:
    others = [open_db(f"sqlite:///{file}?timeout={n}") for n in range(1, 20)]
    unused = iter(others)

    def another_thread(frame: FrameType, _event: str, _arg: object) -> Any:
        if frame.f_code.co_filename == weakref.__file__:
            for db in islice(unused, 1):
                InLine(db.db_engine)
        return another_thread

    with open_db(f"sqlite:///{file}") as db:
        InLine(db.db_engine)
        sqlite_line._await_writers()
        before = sys.gettrace()
        sys.settrace(another_thread)
        try:
            sqlite_line._go_on()
        finally:
            sys.settrace(before)
            for other in others:
                other.close()
        assert InLine(db.db_engine)._line.holder is None
