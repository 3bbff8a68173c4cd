"""What cannot be read is said, with its id and why; everything else comes over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.legacy import imported
from tests.legacy.tables import Tables, run

pytestmark = pytest.mark.backends("sqlite")

GOOD = {"session_id": "good", "session_type": "agent", "agent_id": "a", "runs": [run("r", "hi")]}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "truncated": ({"runs": '[{"run_id": "r", "cont'}, "runs is no whole JSON"),
    "too deep": ({"session_data": "[" * 100_000}, "session_data is no whole JSON"),
    "too deep for us": ({"session_data": '{"a":' * 300 + "1" + "}" * 300}, "session_data"),
    "a list": ({"metadata": [1]}, "metadata holds a list where a dict belongs"),
    "a text": ({"session_data": '"x"'}, "session_data is no whole JSON"),
    "a number": ({"runs": "7"}, "runs holds a int where a list belongs"),
    "no time": ({"created_at": "yesterday"}, "created_at holds 'yesterday', which is no time"),
    "too early": ({"created_at": "0001-01-01T00:00:00"}, "created_at holds '0001-01-01 00:00:00', which is no time"),
    "no text": ({"summary": {"summary": 5}}, "the summary has no text"),
    "x" * 300: ({}, "session_id has 300 characters; the limit is 255"),
    "long user": ({"user_id": "u" * 300}, "user_id has 300 characters"),
}


@pytest.mark.parametrize("session_id", BAD, ids=lambda name: name[:20])
def test_a_session_that_cannot_be_read_is_left_out_and_no_other(
    db: Any, old: Tables, fresh_url: str, session_id: str
) -> None:
    row, reason = BAD[session_id]
    old.sessions("2.x", [GOOD, {**GOOD, "session_id": session_id, **row}])
    done = imported(db, fresh_url, verify=True)
    [problem] = done.problems
    assert problem.place == f"session {session_id!r} of agno_sessions"
    assert reason in problem.reason
    assert (done.sessions.inserted, done.verified) == (1, 1)
    assert [found.session_id for found in db.get_sessions()] == ["good"]


def test_a_run_that_cannot_be_read_is_left_out_and_no_other(db: Any, old: Tables, fresh_url: str) -> None:
    runs = [run("r1"), None, 7, "{", run("r2", created_at="soon"), run("r3")]
    old.sessions("2.x", [{**GOOD, "session_id": "s", "runs": runs}])
    row = {"session_id": "s", "run_type": "agent"}
    old.runs(
        [{**row, "run_id": "r4", "run_data": "{"}, {**row, "run_id": "r5"}, {"run_id": "r6", "session_id": "gone"}]
    )
    done = imported(db, fresh_url, verify=True)
    assert [str(problem) for problem in done.problems] == [
        "agno_sessions: 1 run of agno_runs whose session is not there",
        "session 's' of agno_sessions: run number 2 is empty",
        "session 's' of agno_sessions: run number 3 holds a int where a dict belongs",
        "session 's' of agno_sessions: run number 4 is no whole JSON (Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1))",
        "session 's' of agno_sessions: created_at of run 'r2' holds 'soon', which is no time",
        "session 's' of agno_sessions: run 'r4': run_data is no whole JSON (Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1))",
        "session 's' of agno_sessions: run 'r5': run_data is empty",
    ]
    assert [found.run_id for found in db.get_session("s").runs] == ["r1", "r3"]


def test_bytes_that_are_no_text_come_over(db: Any, old: Tables, fresh_url: str) -> None:
    table = old.sessions("2.x", [GOOD])
    with old.engine.begin() as connection:
        data = b'{"session_name": "caf\xe9"}'
        connection.exec_driver_sql(f"UPDATE {table.name} SET session_data = CAST(? AS TEXT)", (data,))
    assert imported(db, fresh_url, verify=True).problems == []
    assert db.get_session("good").session_data == {"session_name": "caf\udce9"}
