"""What a downgrade loses is said and asked about, also where no table goes; what has no way back is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_store import open_db
from agno_store.migrations import Migrator
from agno_store.tables import HEAD
from tests.cli.program import COMMANDS, run
from tests.cli.stores import contents
from tests.migrations.applications import BATCH, FIRST, written
from tests.migrations.conftest import fill
from tests.migrations.revisions import VARIABLES, line, write

ADDED = """
op.add_column(n.sessions, sa.Column("tenant", types.ID), schema=n.schema)
op.add_column(n.sessions, sa.Column("customer", types.ID, types.from_json("metadata", "customer")), schema=n.schema)
"""
GENERATED = """
def downgrade(op, n):
    op.drop_column(n.sessions, "customer", schema=n.schema)
"""
ONE_WAY = """
def downgrade(op, n):
    raise NotImplementedError("the rows that were merged cannot be told apart again")
"""
DOWN = ("downgrade", "--to", "application@base")


def made(url: str, versions: Path) -> None:
    """Make a store with all revisions, and fill it."""
    with open_db(url, versions=versions) as db:
        Migrator.of(db).upgrade()
        fill(db)


def test_columns_that_go_are_said_and_asked_about(fresh_url: str, tmp_path: Path) -> None:
    versions = written(tmp_path, FIRST, BATCH)
    made(fresh_url, versions)
    before = contents(fresh_url)
    words = (*DOWN, "--db-url", fresh_url, "--versions", str(versions))
    answer = run(*words)
    assert answer.code == 1
    lost = [
        "all that agent_sessions.region holds",
        "all that agent_sessions_runs.note holds",
        "all that agent_sessions.priority holds",
        "all that agent_sessions.tenant holds",
    ]
    said = answer.out.splitlines()
    assert [text for text in said if not text.startswith("  lost for good: what ")] == [
        f"  lost for good: {loss}" for loss in lost
    ]
    assert "Nothing was changed. Add --yes" in answer.complaint
    assert contents(fresh_url) == before
    document = run(*words, "--yes", "--json").document
    assert [loss for loss in document["lost_besides"] if loss.startswith("all ")] == lost
    assert (document["lost"], len(document["steps"])) == ({}, 2)


def test_what_can_be_worked_out_again_is_not_lost(fresh_url: str, tmp_path: Path) -> None:
    versions = write(tmp_path / "versions", ADDED, downgrade=GENERATED)
    made(fresh_url, versions)
    document = run(*DOWN, "--db-url", fresh_url, "--versions", str(versions), "--json").document
    assert (document["lost"], document["lost_besides"], len(document["steps"])) == ({}, [], 1)


def test_tables_that_go_are_not_said_twice(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        fill(db)
    document = run("downgrade", "--to", "0001", "--db-url", fresh_url, "--yes", "--json").document
    assert document["lost"] == {"agent_sessions_runs": 6, "agent_sessions_summaries": 3, "agent_sessions_media": 0}
    assert not [loss for loss in document["lost_besides"] if "_runs" in loss or "_summaries" in loss]


def test_where_a_revision_has_no_way_back_none_is_taken_back(fresh_url: str, tmp_path: Path) -> None:
    versions = write(tmp_path / "versions", ADDED, downgrade=ONE_WAY)
    later = VARIABLES.replace('"app1"', '"app2"').replace("down_revision = None", 'down_revision = "app1"')
    later = later.replace('branch_labels = ("application",)\n', "")
    write(versions, "pass", variables=later, downgrade="def downgrade(op, n):\n    pass", name="app2_second")
    made(fresh_url, versions)
    before = contents(fresh_url)
    for words in (DOWN, ("downgrade", "--to", "base")):
        answer = run(*words, "--yes", "--db-url", fresh_url, "--versions", str(versions), "--json")
        assert (answer.code, answer.document["error"]["type"]) == (1, "SchemaError")
        assert "revision app1 (what app1_first brings) cannot be undone" in answer.complaint
        assert str(versions / "app1_first.py") in answer.complaint
    assert contents(fresh_url) == before
    script = run("upgrade", "--sql", "--to", "application@base", "--db-url", fresh_url, "--versions", str(versions))
    assert (script.code, script.out) == (1, "")
    assert "revision app1 (what app1_first brings) cannot be undone" in script.complaint


@pytest.mark.parametrize("upgrade", ["op.add_colum(n.sessions)", "1 / 0", "{}[n.sessions]"])
def test_a_mistake_in_a_revision_is_a_sentence_with_its_line(fresh_url: str, tmp_path: Path, upgrade: str) -> None:
    with open_db(fresh_url) as db:
        Migrator.of(db).upgrade()
    before = contents(fresh_url)
    versions = write(tmp_path / "versions", upgrade)
    answer = run("upgrade", "--db-url", fresh_url, "--versions", str(versions), "--json")
    assert (answer.code, answer.document["error"]["type"]) == (1, "SchemaError")
    where = f"revision app1 failed in line {line(versions, upgrade)} of {versions / 'app1_first.py'}: "
    assert where in answer.complaint
    assert contents(fresh_url) == before


def test_a_store_that_is_not_there_is_not_made_by_going_back_or_by_a_stamp(folder: Path) -> None:
    url = f"sqlite:///{folder}/new/agents.db"
    assert run(*COMMANDS["downgrade"], "--db-url", url).code == 0
    for revision in (HEAD, "base"):
        answer = run("stamp", revision, "--db-url", url, "--json")
        assert (answer.code, answer.document["error"]["type"]) == (1, "NotFound")
    assert list(folder.iterdir()) == []
