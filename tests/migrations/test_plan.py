"""An upgrade is told beforehand: what, on how many rows, who waits, what is lost. Nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agno_store.dialects import ALL, Dialect, Scope, of
from agno_store.dialects.locks import Change
from agno_store.migrations import Migrator, plan
from agno_store.migrations.chain import Position, chain
from agno_store.migrations.plan import NEW, PlannedRevision, PlannedStep, sentences
from agno_store.migrations.record import sql_dialects
from agno_store.names import Names
from agno_store.tables import HEAD, REVISIONS
from tests.cli.stores import contents
from tests.migrations.conftest import fill
from tests.migrations.revisions import VARIABLES, write

NAMES = Names()
AT_HEAD = Position(HEAD)

RUNS = "agent_sessions_runs"


def planned(folder: Path, db: Any = None, dialect: Dialect = ALL[0], **more: Any) -> list[PlannedRevision]:
    """Plan the application's revisions in the folder, on the database of a store or on none."""
    revisions = chain(folder)
    target = revisions.resolve("head", up=True)
    if db is None:
        return plan.plan(None, NAMES, revisions, AT_HEAD, target, dialect, **more)
    with db.db_engine.connect() as connection:
        return plan.plan(connection, NAMES, revisions, AT_HEAD, target, of(db.db_engine), **more)


def step_of(folder: Path, upgrade: str, db: Any = None, **more: Any) -> PlannedStep:
    """Plan a revision with a single operation."""
    [revision] = planned(write(folder, upgrade), db, **more)
    [step] = revision.steps
    return step


@pytest.fixture
def filled(db: Any) -> Any:
    """A store at head with 3 sessions, 6 runs and 3 summaries."""
    fill(db)
    return db


WORDS = {
    'op.create_table("t", sa.Column("a", types.ID), sa.Column("b", types.ID))': "create the table t with 2 columns",
    "op.drop_table(n.runs)": "drop the table agent_sessions_runs",
    'op.rename_table(n.runs, "old")': "rename the table agent_sessions_runs to old",
    'op.add_column(n.runs, sa.Column("tokens", types.COUNT))': "add the column agent_sessions_runs.tokens",
    'op.drop_column(n.runs, "status")': "drop the column agent_sessions_runs.status",
    'op.alter_column(n.runs, "status", new_column_name="state")': (
        "rename the column agent_sessions_runs.status to state"
    ),
    'op.alter_column(n.runs, "status", type_=sa.String(20))': (
        "change the type of agent_sessions_runs.status to VARCHAR(20)"
    ),
    'op.alter_column(n.runs, "status", type_=sa.Text(), existing_type=sa.String(9), nullable=False)': (
        f"change the type of {RUNS}.status from VARCHAR(9) to TEXT, make {RUNS}.status NOT NULL"
    ),
    'op.alter_column(n.runs, "status", nullable=True)': "allow NULL in agent_sessions_runs.status",
    'op.alter_column(n.runs, "status", server_default="new")': "set the default of agent_sessions_runs.status",
    'op.alter_column(n.runs, "status", server_default=None)': "drop the default of agent_sessions_runs.status",
    'op.alter_column(n.runs, "status", comment="x")': "change the comment of agent_sessions_runs.status",
    'op.create_index("ix", n.runs, ["status", sa.text("lower(run_id)")])': (
        "build the index ix on agent_sessions_runs (status, lower(run_id))"
    ),
    'op.create_index("ix", n.runs, ["status"], unique=True)': f"build the unique index ix on {RUNS} (status)",
    'op.drop_index("ix", n.runs)': "drop the index ix of agent_sessions_runs",
    'op.create_foreign_key("fk", n.runs, n.sessions, ["a"], ["b"])': (
        "add the foreign key fk from agent_sessions_runs (a) to agent_sessions (b)"
    ),
    'op.create_unique_constraint("uq", n.runs, ["a", "b"])': (
        "add the unique constraint uq on agent_sessions_runs (a, b)"
    ),
    'op.create_primary_key("pk", n.runs, ["a"])': "add the primary key pk on agent_sessions_runs (a)",
    'op.create_check_constraint("ck", n.runs, sa.text("a > 0"))': "add the check ck on agent_sessions_runs",
    'op.drop_constraint("uq", n.runs, type_="unique")': "drop the constraint uq of agent_sessions_runs",
    'op.create_table_comment(n.runs, "x")': "change the comment of the table agent_sessions_runs",
    'op.bulk_insert(sa.table(n.runs, sa.column("a")), [{"a": 1}])': "insert 1 row into agent_sessions_runs",
    'op.execute(f"UPDATE  {n.runs}\\nSET a = 1")': "run UPDATE agent_sessions_runs SET a = 1",
    'op.execute("SELECT " + "1" * 200)': f"run SELECT {'1' * 93} ...",
    "op.execute(sa.delete(sa.table(n.runs)))": "run DELETE FROM agent_sessions_runs",
}


@pytest.mark.parametrize("upgrade", WORDS)
@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.title)
def test_every_operation_is_told_in_words_on_every_database(tmp_path: Path, dialect: Dialect, upgrade: str) -> None:
    step = step_of(tmp_path, upgrade, dialect=dialect)
    assert step.what == WORDS[upgrade]
    assert (step.rows, step.about) == (None, False)
    assert step.waits


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.title)
def test_every_database_says_for_every_change_who_waits(dialect: Dialect) -> None:
    for sql_dialect in sql_dialects(dialect):
        assert all(dialect.waits(change, sql_dialect) for change in Change)


def test_an_upgrade_of_nothing_is_told_and_nothing_is_made(db: Any, fresh_url: str) -> None:
    migrator = Migrator.of(db)
    target = migrator.chain.resolve("head", up=True)
    with db.db_engine.connect() as connection:
        steps = plan.plan(connection, NAMES, migrator.chain, Position(), target, db.dialect)
    assert contents(fresh_url) == {}
    assert [revision.revision for revision in steps] == list(REVISIONS)
    assert [line.text for line in sentences(steps)[:6]] == [
        "0001  sessions, of agno_store 0.1.0",
        "  create the table agent_sessions with 17 columns",
        "    agent_sessions: " + db.dialect.waits(Change.CREATE_TABLE, db.db_engine.dialect),
        "  build the index ix_agent_sessions_created_at on agent_sessions (created_at, session_id)",
        "  build the index ix_agent_sessions_user_id_created_at on agent_sessions (user_id, created_at, session_id)",
        f"    {NEW}",
    ]
    assert not any(line.warns for line in sentences(steps))
    assert all(revision.can_be_undone and not revision.loses_data for revision in steps)


def test_a_plan_of_nothing_says_that(db: Any) -> None:
    revisions = chain()
    assert plan.plan(None, NAMES, revisions, AT_HEAD, revisions.resolve("head", up=True), db.dialect) == []
    assert [line.text for line in sentences([])] == ["Nothing is pending."]


def test_only_what_is_pending_up_to_the_target_is_planned() -> None:
    revisions = chain()
    found = plan.plan(None, NAMES, revisions, Position("0001"), revisions.resolve("0002", up=True), ALL[0])
    assert [revision.revision for revision in found] == ["0002"]


def test_rows_are_counted_and_nothing_is_written(filled: Any, fresh_url: str, tmp_path: Path) -> None:
    upgrade = """
        op.add_column(n.runs, sa.Column("tokens", types.COUNT), schema=n.schema)
        op.add_column(n.runs, sa.Column("cost", types.COUNT), schema=n.schema)
        op.add_column(n.sessions, sa.Column("title", types.TEXT), schema=n.schema)
        op.drop_table("absent", schema=n.schema)
    """
    before = contents(fresh_url)
    [revision] = planned(write(tmp_path / "versions", upgrade), filled)
    assert contents(fresh_url) == before
    assert [(step.table, step.rows, step.about) for step in revision.steps] == [
        (RUNS, 6, False),
        (RUNS, 6, False),
        ("agent_sessions", 3, False),
        ("absent", None, False),
    ]
    said = [line.text for line in sentences([revision])]
    assert said[:4] == [
        "app1  what app1_first brings, of the application",
        f"  add the column {RUNS}.tokens",
        f"  add the column {RUNS}.cost",
        f"    {RUNS} has 6 rows; {revision.steps[0].waits}",
    ]


def test_the_rows_of_a_large_table_are_estimated(
    filled: Any, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse = {"postgresql": f"ANALYZE {RUNS}", "mysql": f"ANALYZE TABLE {RUNS}", "sqlite": "SELECT 1"}
    with filled.db_engine.begin() as connection:
        connection.exec_driver_sql(analyse[backend])
    monkeypatch.setattr(plan, "COUNTED", 1)
    upgrade = 'op.add_column(n.runs, sa.Column("tokens", types.COUNT), schema=n.schema)'
    step = step_of(tmp_path / "versions", upgrade, filled)
    assert (step.rows, step.about) == (6, backend != "sqlite")
    [revision] = planned(tmp_path / "versions", filled)
    about = "" if backend == "sqlite" else "about "
    assert f"has {about}6 rows;" in sentences([revision])[2].text


INDEX = 'op.create_index("ix", n.runs, ["status"], schema=n.schema)'


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("scope", Scope)
def test_an_index_on_a_large_table_is_built_beside_its_writers(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, scope: Scope
) -> None:
    monkeypatch.setattr(filled.dialect, "is_large", lambda *_: large)
    step = step_of(tmp_path / "versions", INDEX, filled, scope=scope)
    beside = large and scope is Scope.REVISION
    change = Change.BUILD_INDEX_BESIDE_WRITERS if beside else Change.BUILD_INDEX
    assert step.concurrently is beside
    assert step.waits == filled.dialect.waits(change, filled.db_engine.dialect)


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.title)
def test_without_a_database_both_ways_to_build_an_index_are_told(tmp_path: Path, dialect: Dialect) -> None:
    step = step_of(tmp_path, INDEX, dialect=dialect)
    either = dialect.locks[Change.BUILD_INDEX] != dialect.locks[Change.BUILD_INDEX_BESIDE_WRITERS]
    assert step.concurrently is None
    assert ("if the table is large" in step.waits) is either
    assert ("CONCURRENTLY" in step.waits) is either


BATCH = """
    with op.batch_alter_table(n.runs, schema=n.schema) as batch:
        batch.add_column(sa.Column("tokens", types.COUNT))
        batch.drop_column("status")
        batch.create_index("ix", ["tokens"])
"""


def test_a_batch_rebuilds_the_table_on_sqlite_and_its_index_comes_after(filled: Any, tmp_path: Path) -> None:
    [revision] = planned(write(tmp_path / "versions", BATCH), filled)
    rebuilt = filled.dialect.title == "SQLite"
    assert [step.rebuilds for step in revision.steps] == [rebuilt, rebuilt, False]
    said = filled.dialect.waits(Change.REBUILD, filled.db_engine.dialect)
    assert [step.waits == said for step in revision.steps] == [rebuilt, rebuilt, False]
    warnings = [line.text for line in sentences([revision]) if line.warns and "lost" not in line.text]
    assert warnings == ([f"    {RUNS} has 6 rows; {said}"] if rebuilt else [])


LOSSES = {
    "op.drop_table(n.runs)": f"all that {RUNS} holds",
    'op.drop_column(n.runs, "status")': f"all that {RUNS}.status holds",
    'op.alter_column(n.runs, "status", type_=sa.String(9), existing_type=sa.String(10))': (
        f"what {RUNS}.status holds and VARCHAR(9) has no room for"
    ),
    'op.alter_column(n.runs, "status", type_=sa.String(9), existing_type=sa.Text())': (
        f"what {RUNS}.status holds and VARCHAR(9) has no room for"
    ),
    'op.alter_column(n.runs, "status", type_=sa.Integer(), existing_type=sa.BigInteger())': (
        f"what {RUNS}.status holds and INTEGER has no room for"
    ),
    'op.alter_column(n.runs, "status", type_=sa.SmallInteger(), existing_type=sa.Integer())': (
        f"what {RUNS}.status holds and SMALLINT has no room for"
    ),
    'op.alter_column(n.runs, "status", type_=sa.Date())': f"what {RUNS}.status holds and DATE has no room for",
    'op.alter_column(n.runs, "status", type_=sa.String(10), existing_type=sa.String(9))': None,
    'op.alter_column(n.runs, "status", type_=sa.Text(), existing_type=sa.String(9))': None,
    'op.alter_column(n.runs, "status", type_=sa.BigInteger(), existing_type=sa.Integer())': None,
    'op.alter_column(n.runs, "status", type_=sa.String(9), existing_type=sa.Integer())': (
        f"what {RUNS}.status holds and VARCHAR(9) has no room for"
    ),
    'op.alter_column(n.runs, "status", type_=sa.Integer(), existing_type=sa.Text())': (
        f"what {RUNS}.status holds and INTEGER has no room for"
    ),
    'op.alter_column(n.runs, "status", type_=sa.Text(), existing_type=sa.Date())': None,
    'op.alter_column(n.runs, "status", type_=sa.Date(), existing_type=sa.Date())': None,
    'op.alter_column(n.runs, "status", type_=sa.Integer(), existing_type=sa.SmallInteger())': None,
    'op.alter_column(n.runs, "status", new_column_name="state")': None,
    "op.execute(sa.delete(sa.table(n.runs)))": f"the rows that are deleted from {RUNS}",
    'op.execute(f"DELETE FROM {n.runs} WHERE run_index = 0")': f"the rows that are deleted from {RUNS}",
    'op.execute(f"TRUNCATE TABLE {n.runs}")': f"the rows that are deleted from {RUNS}",
    'op.execute(f"ALTER TABLE {n.runs} DROP COLUMN status")': "what the statement drops",
    'op.execute(f"CREATE TRIGGER t AFTER DELETE ON {n.runs} BEGIN DELETE FROM {n.sessions}; END")': None,
    'op.execute(f"ALTER TABLE {n.runs} ADD FOREIGN KEY (a) REFERENCES b ON DELETE CASCADE")': None,
    "op.execute(f\"UPDATE {n.runs} SET status = 'DELETE FROM x'\")": None,
    'op.add_column(n.runs, sa.Column("tokens", types.COUNT))': None,
    INDEX: None,
}


@pytest.mark.parametrize("upgrade", LOSSES)
def test_what_is_lost_is_told(tmp_path: Path, upgrade: str) -> None:
    [revision] = planned(write(tmp_path, upgrade))
    assert revision.steps[0].loses == LOSSES[upgrade]
    assert revision.loses_data is (LOSSES[upgrade] is not None)
    warnings = [line.text for line in sentences([revision]) if line.warns]
    assert warnings == ([f"    lost for good: {LOSSES[upgrade]}"] if LOSSES[upgrade] else [])


@pytest.mark.parametrize(
    ("downgrade", "can"),
    [
        ("def downgrade(op, n):\n    op.drop_table(n.runs)", True),
        ('def downgrade(op, n):\n    """Nothing to undo."""\n    pass', True),
        ('def downgrade(op, n):\n    """Why not."""\n    raise NotImplementedError("no")', False),
        ("", False),
    ],
)
def test_whether_a_revision_can_be_undone_is_told(tmp_path: Path, downgrade: str, can: bool) -> None:
    [revision] = planned(write(tmp_path, INDEX, downgrade=downgrade))
    assert revision.can_be_undone is can
    assert ("  cannot be undone" in [line.text for line in sentences([revision]) if line.warns]) is not can


TAGS = """
    op.create_table("tags", sa.Column("tag", types.ID), {key} schema=n.schema)
    op.add_column("tags", sa.Column("filled", types.ID, server_default=sa.text("random()")), schema=n.schema)
    op.create_index("ix", "tags", ["tag"], schema=n.schema)
    op.rename_table("tags", "labels", schema=n.schema)
    op.drop_table("labels", schema=n.schema)
"""


def test_nobody_waits_for_a_table_that_the_same_upgrade_makes(filled: Any, tmp_path: Path) -> None:
    itself = 'sa.ForeignKeyConstraint(["tag"], [n.qualify("tags", "tag")]),'
    folder = write(tmp_path / "versions", TAGS.format(key=itself))
    later = VARIABLES.replace('"app1"', '"app2"').replace("down_revision = None", 'down_revision = "app1"')
    later = later.replace('branch_labels = ("application",)\n', "")
    write(folder, 'op.drop_column("labels", "tag", schema=n.schema)', variables=later, name="app2_second")
    first, second = planned(folder, filled)
    assert first.steps[0].waits == filled.dialect.waits(Change.CREATE_TABLE, filled.db_engine.dialect)
    assert [(step.rows, step.about, step.waits, step.loses) for step in (*first.steps[1:], *second.steps)] == [
        (0, False, NEW, None)
    ] * 5


@pytest.mark.parametrize(
    "key",
    [
        'sa.ForeignKeyConstraint(["tag"], [n.qualify(n.sessions, "session_id")]),',
        'sa.Column("other", types.ID, sa.ForeignKey(n.qualify(n.sessions, "session_id"))),',
    ],
)
def test_a_new_table_that_refers_to_one_in_use_is_told_apart(filled: Any, tmp_path: Path, key: str) -> None:
    [revision] = planned(write(tmp_path / "versions", TAGS.format(key=key)), filled)
    assert revision.steps[0].waits == filled.dialect.waits(Change.CREATE_REFERRING_TABLE, filled.db_engine.dialect)


def test_a_renamed_table_keeps_its_rows(filled: Any, tmp_path: Path) -> None:
    upgrade = 'op.rename_table(n.runs, "old")\nop.rename_table("old", "older")\nop.drop_column("older", "status")'
    [revision] = planned(write(tmp_path / "versions", upgrade), filled)
    assert [(step.table, step.rows) for step in revision.steps] == [(RUNS, 6), ("old", 6), ("older", 6)]


def test_a_revision_that_asks_the_database_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    [revision] = planned(write(tmp_path, f'{INDEX}\nop.get_bind().execute("SELECT 1")'))
    assert len(revision.steps) == 1
    [warning] = [line.text for line in sentences([revision]) if line.warns]
    assert warning.startswith("  from line ")
    assert "it asks the database" in warning
    assert revision.stop is not None
    assert revision.to_dict()["unknown_from_line"] == revision.stop.line


def test_a_backfill_is_told(tmp_path: Path) -> None:
    variables = VARIABLES + 'backfills = "runs"\n\n\ndef backfill(connection, n, keys):\n    pass\n'
    [revision] = planned(write(tmp_path, INDEX, variables=variables))
    assert revision.backfills == RUNS
    [said] = [line.text for line in sentences([revision]) if "backfill" in line.text]
    assert RUNS in said


def test_a_revision_without_an_operation_on_this_database_says_that(tmp_path: Path) -> None:
    revisions = planned(write(tmp_path, "pass"))
    assert [line.text for line in sentences(revisions)][1:] == ["  nothing to do on this database"]


def test_a_plan_can_be_said_in_json(filled: Any, tmp_path: Path) -> None:
    [revision] = planned(write(tmp_path / "versions", BATCH), filled)
    document = json.loads(json.dumps(revision.to_dict()))
    assert document == revision.to_dict()
    assert list(document) == [
        "revision",
        "message",
        "release",
        "can_be_undone",
        "loses_data",
        "unknown_from_line",
        "backfills",
        "steps",
    ]
    assert document["steps"][1] == {
        "what": f"drop the column {RUNS}.status",
        "table": RUNS,
        "rows": 6,
        "rows_are_estimated": False,
        "waits": revision.steps[1].waits,
        "built_concurrently": None,
        "rebuilds_table": revision.steps[1].rebuilds,
        "loses": f"all that {RUNS}.status holds",
        "done": False,
        "conflict": None,
    }
