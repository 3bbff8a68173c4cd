"""What else writes to a SQLite file stands in the line of its writers: an upgrade, and a vacuum."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agno_store import UpgradeLocked
from agno_store.dialects.sqlite_line import InLine
from agno_store.migrations import Migrator
from agno_store.tables import REVISIONS
from tests.contract.samples import append, run_ids
from tests.forking import in_child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_no_child_is_forked_in_the_middle_of_an_upgrade(tmp_path: Path, opened: Callable[..., Any]) -> None:
    upgrading = threading.Event()

    def slow(*_: Any) -> None:
        if not upgrading.is_set():
            upgrading.set()
            time.sleep(0.3)

    url = f"sqlite:///{tmp_path}/agents.db?timeout=2"
    db, of_child = opened(url), opened(f"{url}&cached_statements=64")
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(Migrator.of(db).upgrade, on_step=slow)
        assert upgrading.wait(10)
        status = in_child(lambda: append(of_child, "s", "child"))
        assert done.result() == list(REVISIONS)
        assert status() == 0
    append(db, "s", "parent")
    assert run_ids(db, "s") == ["child", "parent"]


def test_nobody_writes_beside_a_vacuum(tmp_path: Path, opened: Callable[..., Any]) -> None:
    db = opened(f"sqlite:///{tmp_path}/agents.db")
    append(db, "s", "r")
    line, held = InLine(db.db_engine)._line, []

    @event.listens_for(db.db_engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        held.extend([line.holder is not None] * (statement == "VACUUM"))

    db.vacuum()
    assert held == [True]
    assert line.holder is None


def test_an_upgrade_behind_a_writer_of_its_own_process_waits_as_long_as_it_may_and_no_longer(
    tmp_path: Path, opened: Callable[..., Any]
) -> None:
    db = opened(f"sqlite:///{tmp_path}/agents.db", lock_timeout=1)
    Migrator.of(db).upgrade("0003")
    with ThreadPoolExecutor(1) as threads, db.dialect.transaction(db.db_engine, writes=True):
        began = time.monotonic()
        failed = threads.submit(db.upgrade_schema).exception(20)
        assert 0.9 < time.monotonic() - began < 1.9
    assert isinstance(failed, UpgradeLocked)
    assert db.upgrade_schema() == list(REVISIONS)[3:]
