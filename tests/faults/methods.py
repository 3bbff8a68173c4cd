"""Every call of a store, each on rows that are there."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from tests.contract.samples import append, run, session
from tests.contract.sealing import rekeyed

Calls = dict[str, Callable[[Any], object]]


def _exported(db: Any) -> BytesIO:
    file = BytesIO()
    db.export(file)
    file.seek(0)
    return file


READS: Calls = {
    "get_session": lambda db: db.get_session("s").session_id == "s",
    "get_sessions": lambda db: [found.session_id for found in db.get_sessions(user_id="ada")] == ["s"],
    "get_run": lambda db: db.get_run("r").run_id == "r",
    "get_runs": lambda db: len(db.get_runs(session_id="s")) == 2,
    "iter_sessions": lambda db: [found.session_id for found in db.iter_sessions(user_id="ada")] == ["s"],
    "iter_runs": lambda db: len(list(db.iter_runs(session_id="s"))) == 2,
    "stats": lambda db: db.stats().sessions == 2,
    "search": lambda db: {found.session_id for found in db.search("hello")} == {"s"},
    "export": lambda db: b"hello" in _exported(db).getvalue(),
    "import_from": lambda db: db.import_from(_exported(db)).problems == [],  # all of it is there
    "get_summary": lambda db: db.get_summary("s").summary == "text",
    "schema_status": lambda db: db.schema_status().in_step,
    "table_exists": lambda db: db.table_exists(db.table_name),
    "upgrade_schema": lambda db: db.upgrade_schema() == [],
}

WRITES: Calls = {
    "upsert_session": lambda db: db.upsert_session(session("s", user_id="ada", metadata={"n": 1})).metadata == {"n": 1},
    "upsert_sessions": lambda db: len(db.upsert_sessions([session("s", user_id="ada"), session("t")])) == 2,
    "insert_session_if_absent": lambda db: db.insert_session_if_absent(session("u")),
    "rename_session": lambda db: db.rename_session("s", "agent", "name").session_id == "s",
    "update_session_state": lambda db: db.update_session_state("s", lambda state: {"n": 1}) == {"n": 1},
    "reassign_session_owner": lambda db: db.reassign_session_owner("own", previous_user_id="bob", user_id="eve"),
    "upsert_run": lambda db: db.upsert_run(run("new"), "s") is not False,
    "append_run_to_session_if_absent": lambda db: db.append_run_to_session_if_absent("s", run("newer")),
    "cancel_pending_run": lambda db: db.cancel_pending_run("pending", session_id="s", reason="no"),
    "update_run_in_session": lambda db: db.update_run_in_session("s", "r", {"content": "x"}).value == "updated",
    "upsert_summary": lambda db: db.upsert_summary("s", {"summary": "more"}) is not False,
    "delete_run": lambda db: db.delete_run("r", session_id="s"),
    "delete_runs": lambda db: db.delete_runs(["pending"], session_id="s") is None,
    "delete_sessions": lambda db: db.delete_sessions(["own"]) is None,
    "delete_session": lambda db: db.delete_session("s"),
    "prune": lambda db: db.prune("0s").sessions > 0,
    "delete_user": lambda db: db.delete_user("ada").rows == 0,
    "rekey": rekeyed,
}


def furnish(db: Any) -> None:
    """Store what the calls are about."""
    db.upsert_session(session("s", user_id="ada", summary={"summary": "text"}))
    db.upsert_session(session("own", user_id="bob"))
    append(db, "s", "r")
    append(db, "s", "pending", status="PENDING")
