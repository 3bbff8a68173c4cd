"""A process that only reads and writes pays for nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agno_store import SqliteDb
from tests.cli.program import run_process

HEAVY = {"agno", "alembic", "mako", "typer", "click", "rich"}

PROGRAMS = {
    "import": "import agno_store",
    "a store that is there": """
from agno_store import SqliteDb
with SqliteDb(db_file="agents.db") as db:
    assert db.get_session("s1", deserialize=False)["user_id"] == "ada"
    db.upsert_run({"run_id": "r1", "content": "Hello"}, session_id="s1")
""",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_nothing_heavy_is_imported(tmp_path: Path, what: str) -> None:
    with SqliteDb(db_file=tmp_path / "agents.db") as db:
        db.upsert_session({"session_id": "s1", "user_id": "ada"})
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    answer = run_process(sys.executable, "-c", f"{PROGRAMS[what]}\n{report}", directory=tmp_path)
    assert answer.code == 0, answer.err
    assert HEAVY & set(json.loads(answer.out)) == set()
