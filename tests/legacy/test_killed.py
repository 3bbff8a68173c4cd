"""An import that is killed anywhere is finished by the next one, with the result of one that was not.

Here one place is tried, with TEST_ALL twenty for each layout.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import open_db
from tests.contract.database import Dump, dump
from tests.killing import until_killed
from tests.legacy import EVERYTHING, imported
from tests.legacy.tables import IDS, Tables, run

PLACES = 20 if EVERYTHING else 1

FEWEST = 100
"""As many places there are in every one of these imports, and more."""

LAYOUTS = tuple(IDS) if EVERYTHING else ("2.x",)


def killed_at(url: str, last: int) -> None:
    """Import, killed at the last place."""
    places = 0

    def place(*_: Any) -> None:
        nonlocal places
        places += 1
        if places == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_db(url) as db:
        db.upgrade_schema()
        for event in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sa.event.listen(db.db_engine, event, place)
        imported(db, url, verify=True)
    raise AssertionError(f"there are {places} places, fewer than {last}")


def of_first(number: int, layout: str) -> dict[str, Any]:
    """A session of agno 1.x."""
    kind = layout.removeprefix("1.x-").removesuffix("_v2")
    member = {"run_id": "m", "agent_id": "a", "content": "looked"}
    more = {"member_responses": [member]} if kind == "team" else {}
    runs = [{"run_id": f"r{n}", f"{kind}_id": "t", "content": f"{n}", **more} for n in range(3)]
    row = {"session_id": f"s{number}", f"{kind}_id": "t", "user_id": "ada"}
    return {**row, "runs": runs} if layout.endswith("_v2") else {**row, "memory": {"runs": runs}}


def of_later(number: int) -> dict[str, Any]:
    """An agent's session of agno 2.x, and without its runs of 3.x."""
    runs = [run(None if n == 1 else f"r{n}", f"{number} {n}") for n in range(4)]
    summary = {"summary": f"all of {number}", "topics": ["t"]}
    row = {"session_id": f"s{number}", "session_type": "agent", "agent_id": "a", "user_id": "ada", "summary": summary}
    return {**row, "session_data": {"n": number}, "runs": runs}


def made(old: Tables, layout: str) -> None:
    """Make old tables with five sessions."""
    if layout.startswith("1.x"):
        old.sessions(layout, [of_first(number, layout) for number in range(5)])
        return
    rows = [of_later(number) for number in range(5)]
    if layout == "2.x":
        old.sessions(layout, rows)
        return
    old.sessions(layout, [{name: value for name, value in row.items() if name != "runs"} for row in rows])
    beside = [(row["session_id"], n, found) for row in rows for n, found in enumerate(row["runs"])]
    old.runs(
        [
            {"run_id": f"{key} {n}", "session_id": key, "run_type": "agent", "run_index": n, "run_data": found}
            for key, n, found in beside
        ]
    )


def rows(db: Any) -> Dump:
    """Every row, but for what is another number in each store: it tells one making of a session from another."""
    found = dump(db)
    return {**found, "sessions": [{**row, "runs_changed": None} for row in found["sessions"]]}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_killed_import_is_finished_by_the_next_one(
    old: Tables, fresh_url: str, layout: str, record_property: Callable[[str, object], None]
) -> None:
    made(old, layout)
    with open_db(fresh_url, table_name="undisturbed") as db:
        assert imported(db, fresh_url, verify=True).problems == []
        whole = rows(db)
    choose = random.Random(f"{layout} {fresh_url}")
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        for place in choose.sample(range(1, FEWEST), PLACES):
            db.delete_sessions([found["session_id"] for found in whole["sessions"]])
            until_killed(killed_at, fresh_url, place)
            partly = rows(db)
            there = {found["session_id"] for found in partly["sessions"]}
            assert partly["runs"] == [found for found in whole["runs"] if found["session_id"] in there]
            done = imported(db, fresh_url, verify=True)
            assert (done.problems, done.sessions.kept) == ([], len(there))
            assert rows(db) == whole
    record_property("told", f"an import of {layout} was killed at {PLACES} places and finished")
