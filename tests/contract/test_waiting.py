"""A writer that has waited for another one goes by what that one has left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from agno_store import open_db
from tests.contract.held import within
from tests.contract.samples import append, run, session

COLOURS = ("sync",)  # one waits in a thread of its own

DELETIONS: dict[str, Callable[[Any], Any]] = {
    "the run": lambda db: db.delete_run("r", session_id="s"),
    "the session": lambda db: db.delete_session("s"),
}


@pytest.mark.parametrize("deleted", DELETIONS)
def test_a_run_saved_while_it_is_deleted_is_there(fresh_url: str, deleted: str) -> None:
    with open_db(fresh_url) as db, open_db(fresh_url) as other:
        db.upsert_session(session("s"))
        append(db, "s", "before", "r")
        other.get_session("s")
        saver = threading.Thread(target=other.upsert_run, args=(run("r", "new"), "s"))
        with db.dialect.transaction(db.db_engine, writes=True) as connection, within(db, connection):
            DELETIONS[deleted](db)
            saver.start()
            time.sleep(0.3)  # so that it waits
            assert saver.is_alive()
        saver.join()
        assert db.get_run("r", session_id="s").content == "new"


def test_a_receipt_tells_the_version_that_was_stored(fresh_url: str) -> None:
    with open_db(fresh_url) as db, open_db(fresh_url) as other:
        append(db, "s", "before", "r")
        other.get_session("s")
        receipts: list[Any] = []
        saver = threading.Thread(target=lambda: receipts.append(other.upsert_run(run("r", "new"), "s")))
        with db.dialect.transaction(db.db_engine, writes=True) as connection, within(db, connection):
            assert db.upsert_run(run("r", "first"), "s").version == 2
            saver.start()
            time.sleep(0.3)  # so that it waits
        saver.join()
        (receipt,) = receipts
        assert (receipt.version, receipt.run_index, receipt.is_new) == (3, 1, False)
        assert db.get_run("r", session_id="s").version == 3
