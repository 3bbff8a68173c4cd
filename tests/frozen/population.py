"""What is stored before a database is frozen: few rows, and all that is hard to keep."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from unittest import mock
from uuid import UUID

from tests.contract.values import NASTY_TEXTS, ODD_NUMBERS, nested

OWNED = ("ada-1", "ada")
"""A session with runs, and its owner."""

NOBODYS = ("nobodys", "bob")
"""A session that nobody owns, and whose run it holds."""

BEGAN, TICK = 1_700_000_000_000_000_000, 1_000_001_000  # nanoseconds

PLANES = "".join(chr(plane << 16 | 0x41) for plane in range(17))
QUOTES = "it's \"quoted\" \\' \\\\ 100% %s %(name)s %% :name ::json ? ; -- /* */ $1 {} `\n;\n\tend"
ODD_ID = 'O\'Brien "50%" :id \\ ; \x00\ud83d\x1a\n日本😀 '
ODD_USER = "ädä\ud800 %s"

VALUES: dict[str, Any] = {
    "set": {1, 2, 3},
    "frozenset": frozenset({4}),
    "tuple": (1, ("two", [3])),
    "decimal": Decimal("1.10"),
    "bytes": bytes(range(256)),
    "bytearray": bytearray(b"\x00%"),
    "datetime": datetime(2024, 2, 29, 12, 30, 15, 123456, timezone(timedelta(hours=5, minutes=30))),
    "naive": datetime(2024, 2, 29),
    "date": date(2024, 2, 29),
    "time": time(23, 59, 59),
    "timedelta": timedelta(-1, 2, 3),
    "uuid": UUID(int=2**100),
    "no numbers": [float("nan"), float("inf"), float("-inf")],
    "complex": complex(1, -0.0),
    "a long int": 3**2000,
    "keys": {1: "one", None: 2, (3, 4): {"five": 6}},
    "a tag that is none": {"$agno_store": "set", "value": [1]},
    "a tag nobody knows": {"$agno_store": "later", "value": {"$agno_store": 1}},
}


@contextmanager
def clock() -> Iterator[None]:
    """A clock that goes on at every look, so that the same calls store the same times on every database."""
    with mock.patch("time.time_ns", side_effect=itertools.count(BEGAN, TICK)):
        yield


def populate(db: Any, *, large: bool) -> None:
    """Store all of it through the calls of users; ``large`` adds a run of about 50 kB."""
    with clock():
        _agents(db)
        _team(db)
        _workflow(db)
        _odd(db)
        _others(db)
        if large:
            db.upsert_run(_large_run(), "large", "ada")


def _run(run_id: str, content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "agent_id": "helper", "content": content, "status": "COMPLETED", **more}


def _agents(db: Any) -> None:
    session_id, user = OWNED
    state = {"cart": [{"price": 1.5, "count": 2**53 + 1}], "deep": nested(20), "": {"\x00": None}}
    db.upsert_session(
        {
            "session_id": session_id,
            "session_type": "agent",
            "agent_id": "helper",
            "user_id": user,
            "session_data": {"session_name": "Straße 50%_", "session_state": state},
            "agent_data": {"agent_id": "helper", "model": {"id": "a/b:c", "%": "%"}},
            "metadata": {"quotes": QUOTES, QUOTES: [True, False, None]},
            "created_at": 1_600_000_000,
        }
    )
    for n, status in enumerate(("COMPLETED", "PAUSED", "ERROR", "CANCELLED", "REGENERATED", "RUNNING", "PENDING")):
        run = _run(f"r{n}", f"{status} {QUOTES}", status=status, created_at=1_600_000_000 + n)
        db.upsert_run(run, session_id, user)
    db.upsert_run(_run("r0", {"changed": [PLANES]}, messages=[{"role": "user", "content": QUOTES}]), session_id, user)
    db.delete_run("r3", session_id=session_id, user_id=user)  # its place stays empty
    db.upsert_summary(
        session_id,
        {"summary": QUOTES + PLANES, "topics": ["tea", QUOTES], "updated_at": "2024-02-29"}
        | {"run_index": 2, "more": [1]},
    )
    # Ids that differ in as little as can be.
    for other in ("Ada-1", "ada-1 ", "ada-1\x00"):
        db.upsert_session({"session_id": other, "user_id": user.upper(), "created_at": 1_600_000_000})
        db.upsert_run(_run("r0", other), other)


def _team(db: Any) -> None:
    data = {"session_name": "Team", "session_state": {"members": ["one", "two"]}}
    db.upsert_session(
        {"session_id": "team", "session_type": "team", "team_id": "crew", "user_id": "bob", "session_data": data}
        | {"team_data": {"team_id": "crew", "mode": "coordinate"}}
    )
    for n in range(2):
        whole = {"run_id": f"t{n}", "team_id": "crew", "content": [n, {"of": "all"}], "status": "COMPLETED"}
        for member in ("one", "two"):
            db.upsert_run(_run(f"t{n}-{member}", agent_id=member, parent_run_id=f"t{n}"), "team", "bob")
        db.upsert_run(whole | {"member_responses": [{"run_id": f"t{n}-one"}]}, "team", "bob")


def _workflow(db: Any) -> None:
    db.upsert_session(
        {"session_id": "flow", "session_type": "workflow", "workflow_id": "w%1", "user_id": ODD_USER}
        | {"workflow_name": "Every\nday \x00 at 5% \u2028", "workflow_data": {"steps": [{"name": "é", "n": -0.0}]}}
    )
    steps = [{"step_name": name, "content": PLANES} for name in ("first", "second")]
    run = {"run_id": "w1", "workflow_id": "w%1", "workflow_name": "Every\nday", "step_results": steps}
    db.upsert_run(run | {"status": "COMPLETED"}, "flow", ODD_USER)
    db.upsert_run(_run("w1-a", parent_run_id="w1"), "flow", ODD_USER)


def _odd(db: Any) -> None:
    """Values and ids of every odd kind."""
    db.upsert_session(
        {"session_id": ODD_ID, "user_id": ODD_USER, "agent_id": "%d:x", "created_at": -1}
        | {"session_data": {"session_name": QUOTES + ODD_ID, "session_state": NASTY_TEXTS}}
        | {"metadata": {"numbers": ODD_NUMBERS, "planes": PLANES, **dict.fromkeys(NASTY_TEXTS.values(), 0)}}
    )
    db.upsert_run(_run(ODD_ID, VALUES, extra=NASTY_TEXTS, status="odd % \x00 status"), ODD_ID)
    db.upsert_summary(ODD_ID, {"summary": ODD_ID, "topics": list(NASTY_TEXTS.values()), "data": VALUES})


def _others(db: Any) -> None:
    db.upsert_session({"session_id": "without runs", "user_id": "ada", "session_data": {}, "metadata": {}})
    db.upsert_summary("without runs", {"summary": ""})
    session_id, user = NOBODYS
    db.upsert_session({"session_id": session_id})
    db.upsert_run(_run("r0", user_id=user), session_id)
    db.upsert_run(_run("r1", status=None), session_id)
    db.upsert_run(_run("r0", "a session made by its first run"), "bob-1", "bob")
    db.rename_session("bob-1", "agent", "Renamed ÉCOLE", deserialize=False)


def _large_run() -> dict[str, Any]:
    words = ["tea", "50%", "it's", '"quoted"', "naïve", "a:b", "日本", "😀", "C:\\temp", "line\nend"]
    text = " ".join(words[n * n % 7 + n % 4] for n in range(60))
    messages = [{"role": ("user", "assistant")[n % 2], "content": f"{n}: {text}", "n": n / 7} for n in range(120)]
    return _run("large", messages[-1]["content"], messages=messages, metrics={"tokens": 10**18})
