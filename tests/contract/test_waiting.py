"""A writer that has waited for another one goes by what that one has left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from agno_store import OwnerMismatch, open_db
from tests.contract.database import dump
from tests.contract.held import within
from tests.contract.samples import append, run, session
from tests.transfer.test_files import HEADER, end, imported, line

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


def after(db: Any, held: Callable[[], Any], work: Callable[[], Any]) -> Future[Any]:
    """Do something in a transaction that ``work`` has to wait for; what comes of that once it is committed."""
    with ThreadPoolExecutor(1) as pool:
        with db.dialect.transaction(db.db_engine, writes=True) as connection, within(db, connection):
            held()
            waits = pool.submit(work)
            time.sleep(0.3)  # so that it waits
            assert not waits.done()
        return waits


@pytest.mark.parametrize("save", ["upsert_run", "upsert_session", "append_run_to_session_if_absent"])
def test_a_run_that_somebody_claims_meanwhile_is_not_another_users(fresh_url: str, save: str) -> None:
    with open_db(fresh_url) as db, open_db(fresh_url) as other:
        append(db, "s", "r", content="nobody's")
        other.get_session("s")
        saves: dict[str, Callable[[], Any]] = {
            "upsert_run": lambda: other.upsert_run(run("r", "bob's"), "s", user_id="bob"),
            "upsert_session": lambda: other.upsert_session(session("s"), run=run("r", "bob's", user_id="bob")),
            "append_run_to_session_if_absent": lambda: other.append_run_to_session_if_absent(
                "s", run("r", "bob's"), user_id="bob"
            ),
        }
        saved = after(db, lambda: db.upsert_run(run("r", "ada's"), "s", user_id="ada"), saves[save])
        with pytest.raises(OwnerMismatch):
            saved.result()
        found = db.get_run("r", session_id="s")
        assert (found.user_id, found.content) == ("ada", "ada's")


NEWER = {"run_id": "r", "user_id": "ada", "updated_at": 2**52, "run_data": {"content": "short"}}

WITHOUT: dict[str, Callable[[Any], Any]] = {
    "upsert_run": lambda db: db.upsert_run(run("r", "short"), "s"),
    "delete_run": lambda db: db.delete_run("r", session_id="s"),
    "delete_user": lambda db: db.delete_user("ada"),
    "import_from": lambda db: imported(db, HEADER, line("s", NEWER), end(1)),
}


@pytest.mark.parametrize("how", WITHOUT)
def test_the_first_text_beside_a_run_goes_with_it_though_it_came_meanwhile(fresh_url: str, how: str) -> None:
    with open_db(fresh_url, media_over=1000) as db, open_db(fresh_url, media_over=1000) as other:
        db.upsert_session(session("s"))
        append(db, "s", "r", user_id="ada")
        append(db, "s", "another", user_id="bob")
        other.get_session("s")
        after(db, lambda: db.upsert_run(run("r", "long" * 1000), "s"), lambda: WITHOUT[how](other)).result()
        found = db.get_run("r", session_id="s")
        assert (None if found is None else found.content) == (None if how.startswith("delete") else "short")
        assert dump(db)["media"] == []
