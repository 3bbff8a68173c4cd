"""The plan of an upgrade that was killed: what is done already is said to be, and is what the next run passes over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from agno_store import open_db
from agno_store.dialects import of
from agno_store.migrations import Migrator
from agno_store.migrations.plan import DONE, PlannedStep, plan, sentences
from agno_store.tables import HEAD
from tests.cli.program import run
from tests.killing import until_killed
from tests.migrations.applications import FIRST, written
from tests.migrations.conftest import fill
from tests.migrations.revisions import write
from tests.migrations.test_killed import counted

SESSIONS = "agent_sessions"


def planned(migrator: Migrator) -> list[PlannedStep]:
    """Return the steps of an upgrade to head."""
    wanted, position = migrator.chain.resolve("head", up=True), migrator.position()
    with migrator.engine.connect() as connection:
        revisions = plan(connection, migrator.names, migrator.chain, position, wanted, of(migrator.engine))
    return [step for revision in revisions for step in revision.steps]


def changes_of_an_upgrade(db: Any, migrator: Migrator) -> int:
    """Upgrade, and return how many statements changed the store's tables."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(("ALTER TABLE", "CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX")):
            sent.append(statement)

    sa.event.listen(db.db_engine, "before_cursor_execute", note)
    migrator.upgrade()
    sa.event.remove(db.db_engine, "before_cursor_execute", note)
    return sum(not any(name in statement for name in ("_alembic_version", "_upgrades")) for statement in sent)


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("start", ["base", "head of ours"])
def test_what_a_killed_upgrade_has_done_is_planned_as_done(fresh_url: str, tmp_path: Path, start: str) -> None:
    versions = written(tmp_path, FIRST)
    with open_db(fresh_url, versions=versions) as db:
        migrator = Migrator.of(db)
        migrator.upgrade("a1" if start == "base" else HEAD)
        if start == "base":
            migrator.downgrade("base")
        whole = len(planned(migrator))
        total = until_killed(counted, fresh_url, 0, "upgrade", "head", versions)
        assert total is not None
        seen = set()
        for place in range(1, total + 1, max(1, total // 12)):
            migrator.downgrade("base" if start == "base" else "application@base")
            assert until_killed(counted, fresh_url, place, "upgrade", "head", versions) is None
            steps = planned(migrator)
            done = [step.done for step in steps]
            assert done == sorted(done, reverse=True), "what is done comes before what is not"
            assert changes_of_an_upgrade(db, migrator) == done.count(False), f"killed at place {place}"
            seen.add((whole - len(steps), done.count(True)))
    assert len(seen) > 2, seen


def tenant() -> sa.Column[str]:
    """Return a column that no revision has made."""
    return sa.Column("tenant", sa.String(300))


def made_by_hand(db: Any, *columns: sa.Column[Any]) -> None:
    """Fill a store at our last revision and add columns to its session table by other means."""
    Migrator.of(db).upgrade(HEAD)
    with open_db(db.db_engine.url) as ours:
        fill(ours)
    with db.db_engine.begin() as connection:
        for column in columns:
            Operations(MigrationContext.configure(connection)).add_column(SESSIONS, column)


def test_what_was_made_by_hand_is_planned_as_done(fresh_url: str, tmp_path: Path) -> None:
    versions = write(
        tmp_path,
        """
        op.add_column(n.sessions, sa.Column("tenant", sa.String(300)), schema=n.schema)
        op.add_column(n.sessions, sa.Column("level", sa.Integer()), schema=n.schema)
        op.create_index(f"ix_{n.sessions}_level", n.sessions, ["level"], schema=n.schema)
        op.drop_column(n.sessions, "level", schema=n.schema)
        """,
    )
    with open_db(fresh_url, versions=versions) as db:
        made_by_hand(db, tenant(), sa.Column("level", sa.Integer()))
        first, level, index, drop = planned(Migrator.of(db))
    assert [step.done for step in (first, level, index, drop)] == [True, True, False, False]
    assert (first.waits, first.loses, first.rows) == (DONE, None, 3)
    assert drop.loses == f"all that {SESSIONS}.level holds"


def test_what_an_earlier_step_changes_is_not_taken_for_done(fresh_url: str, tmp_path: Path) -> None:
    versions = write(
        tmp_path,
        """
        op.drop_column(n.sessions, "tenant", schema=n.schema)
        op.add_column(n.sessions, sa.Column("tenant", sa.String(300)), schema=n.schema)
        op.rename_table(n.runs, "old_runs", schema=n.schema)
        op.add_column("old_runs", sa.Column("level", sa.Integer()), schema=n.schema)
        op.execute("SELECT 1")
        op.add_column(n.summaries, sa.Column("topics", types.TEXT), schema=n.schema)
        """,
    )
    with open_db(fresh_url, versions=versions) as db:
        made_by_hand(db, tenant())
        assert [step.done for step in planned(Migrator.of(db))] == [False] * 6


def test_what_is_in_the_way_is_planned_as_the_end(fresh_url: str, tmp_path: Path) -> None:
    upgrade = 'op.add_column(n.sessions, sa.Column("tenant", sa.Integer()), schema=n.schema)'
    versions = write(tmp_path, upgrade)
    with open_db(fresh_url, versions=versions) as db:
        made_by_hand(db, tenant())
        [step] = planned(Migrator.of(db))
    assert (step.done, step.waits) != (True, DONE)
    assert step.conflict is not None
    assert f"The column {SESSIONS}.tenant is there already" in step.conflict
    words = ("--versions", str(versions), "--db-url", fresh_url)
    answer = run("upgrade", "--plan", *words)
    assert (answer.code, answer.err) == (0, "")
    assert f"an upgrade stops here: {step.conflict}" in answer.out
    stopped = run("upgrade", *words, "--json")
    assert (stopped.code, stopped.document["error"]["message"]) == (1, step.conflict)


def test_a_plan_says_it_in_words_and_once(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url, versions=written(tmp_path, FIRST)) as db:
        made_by_hand(db, sa.Column("priority", sa.Integer(), server_default="0"))
        migrator = Migrator.of(db)
        wanted, position = migrator.chain.resolve("head", up=True), migrator.position()
        with db.db_engine.connect() as connection:
            said = sentences(plan(connection, db.names, migrator.chain, position, wanted, db.dialect))
    lines = [line.text for line in said]
    assert lines.count(f"    {DONE}") == 1
    assert lines[lines.index(f"    {DONE}") - 1] == f"  add the column {SESSIONS}.priority"
