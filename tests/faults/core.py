"""The core of what a store does, in one call, for servers and engines that are set up in odd ways."""

from __future__ import annotations

from typing import Any

from tests.contract.database import dump
from tests.contract.processes import together
from tests.contract.samples import append, listed, positions, run, run_ids, session

TEXTS = ("plain", "Grüße, Ærø", "日本語", "🦜 and 𝒳", "a\x00b", "\\u0000", "\ud800", 'it\'s "so" \\', "")


def work(db: Any) -> None:
    """Store, change, list and delete; fail where anything comes back as something else."""
    state = {"texts": list(TEXTS), **{text: n for n, text in enumerate(TEXTS)}}
    db.upsert_session(session("s", user_id="ada 🦜", session_data={"session_name": "Grüße", "session_state": state}))
    assert db.get_session("s").session_data["session_state"] == state
    append(db, "s", "r1", "r2", content="".join(TEXTS))
    assert db.get_run("r1").content == "".join(TEXTS)
    together(*(lambda t=t: append(db, "s", f"{t}-0", f"{t}-1") for t in range(4)))
    assert sorted(positions(db, "s").values()) == list(range(10))
    together(*[lambda: db.update_session_state("s", lambda found: {"n": found.get("n", 0) + 1})] * 4)
    assert db.get_session("s").session_data["session_state"]["n"] == 4
    assert db.rename_session("s", "agent", "Ærø 🦜").session_data["session_name"] == "Ærø 🦜"
    assert listed(db, session_name="ærø", user_id="ada 🦜") == ["s"]
    assert db.append_run_to_session_if_absent("s", run("r1")) is False
    assert db.update_run_in_session("s", "r2", {"content": "new 🦜"}).value == "updated"
    assert db.get_run("r2").content == "new 🦜"
    db.upsert_summary("s", {"summary": "".join(TEXTS), "topics": ["🦜"]})
    assert db.get_summary("s").summary == "".join(TEXTS)
    assert db.delete_run("r1", session_id="s") is True
    assert run_ids(db, "s")[0] == "r2"
    assert db.delete_session("s", user_id="ada 🦜") is True
    assert not any(dump(db).values())
