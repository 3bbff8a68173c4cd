"""Tables, columns, indexes and constraints that are there before their revision has run, or after it has failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from agno_store import SchemaConflict, SchemaError, open_db, types
from agno_store.migrations import Migrator
from agno_store.migrations.chain import Position
from agno_store.tables import HEAD, REVISIONS, metadata
from tests.migrations.conftest import contents, fill, snapshot
from tests.migrations.sessions import application

EVERY = list(REVISIONS)

ADD = 'op.add_column(n.sessions, sa.Column("tenant", types.ID), schema=n.schema)'
INDEX = 'op.create_index(f"ix_{n.sessions}_tenant", n.sessions, ["tenant", "session_id"], schema=n.schema)'


def make(db: Any, *statements: str) -> None:
    """Change the database by hand."""
    with db.db_engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def by_hand(db: Any, upgrade: str) -> None:
    """Do what a revision would do, without its being recorded."""
    with db.db_engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        exec(upgrade, {"op": op, "n": db.names, "sa": sa, "types": types})


TABLE = 'op.create_table(f"{n.sessions}_tags", sa.Column("tag", types.ID), sa.Column("rank", types.COUNT))'


# -- our own revisions -------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["tables", "an index", "half"])
def test_our_tables_made_by_other_means_are_gone_on_from(db: Any, missing: str) -> None:
    with db.db_engine.begin() as connection:
        metadata.__wrapped__(db.names).create_all(connection)
    if missing == "an index":
        table = " ON agent_sessions_runs" if db.dialect.title == "MySQL/MariaDB" else ""
        make(db, f"DROP INDEX ix_agent_sessions_runs_run_id{table}")
    if missing == "half":
        make(db, "DROP TABLE agent_sessions_summaries", "DROP TABLE agent_sessions_runs")
    assert db.upgrade_schema() == EVERY
    assert Migrator.of(db).drift() == []
    fill(db)


def test_a_column_of_ours_with_another_type_is_a_conflict_and_nothing_is_changed(db: Any) -> None:
    declared = metadata.__wrapped__(db.names)
    declared.tables["agent_sessions"].c.user_id.type = sa.Integer()
    for index in list(declared.tables["agent_sessions"].indexes):
        declared.tables["agent_sessions"].indexes.discard(index)
    with db.db_engine.begin() as connection:
        declared.create_all(connection, tables=[declared.tables["agent_sessions"]])
    before = snapshot(db.db_engine, db.names)
    with pytest.raises(SchemaConflict, match=r"agent_sessions\.user_id is there already, as INT"):
        db.upgrade_schema()
    assert {**snapshot(db.db_engine, db.names), "revision": []} == {**before, "revision": []}


# -- an application's --------------------------------------------------------------------------------

AS_WANTED = {
    "column": (ADD, ADD),
    "index": (f"{ADD}\n{INDEX}", f"{ADD}\n{INDEX}"),
    "unique": (INDEX.replace("tenant", "user_id").replace('"session_id"]', '"session_id"], unique=True'),) * 2,
    "table": (TABLE, TABLE),
    "batch": (ADD, 'with op.batch_alter_table(n.sessions) as b:\n    b.add_column(sa.Column("tenant", types.ID))'),
}


@pytest.mark.parametrize("kind", AS_WANTED)
def test_what_is_there_as_it_is_to_be_is_passed_over(fresh_url: str, tmp_path: Path, kind: str) -> None:
    made, upgrade = AS_WANTED[kind]
    with open_db(fresh_url) as db:
        fill(db)
        by_hand(db, made)
        before, rows = snapshot(db.db_engine, db.names), contents(db)
    with open_db(fresh_url, versions=application(tmp_path / "versions", upgrade)) as db:
        assert db.upgrade_schema() == ["a1"]
        assert snapshot(db.db_engine, db.names) == {**before, "revision": [HEAD, "a1"]}
        assert contents(db) == rows


OTHERWISE = {
    "type": (ADD.replace("types.ID", "sa.Integer()"), ADD, r"agent_sessions\.tenant is there already, as INT"),
    "length": (ADD.replace("types.ID", "sa.String(30)"), ADD, r"as VARCHAR\(30\) instead of VARCHAR\(255"),
    "plain": (
        ADD,
        ADD.replace("types.ID", 'types.ID, types.from_json("metadata", "tenant")'),
        r"tenant is there already, as VARCHAR\(255\).* instead of VARCHAR\(255\).*, generated\.",
    ),
    "generated": (ADD.replace("types.ID", 'types.ID, types.from_json("metadata", "tenant")'), ADD, "generated instead"),
    "index columns": (f"{ADD}\n{INDEX}", INDEX.replace('"tenant", "session_id"', '"session_id"'), "is there already"),
    "index order": (f"{ADD}\n{INDEX}", INDEX.replace('"tenant", "session_id"', '"session_id", "tenant"'), "instead of"),
    "uniqueness": (f"{ADD}\n{INDEX}", INDEX.replace('"session_id"]', '"session_id"], unique=True'), "not unique on"),
    "table": (
        AS_WANTED["table"][0],
        AS_WANTED["table"][0].replace("types.COUNT", "types.TEXT"),
        r"tags\.rank is there",
    ),
    "table columns": (AS_WANTED["table"][0], AS_WANTED["table"][0].replace('"rank"', '"place"'), "is not the one"),
}


@pytest.mark.parametrize("kind", OTHERWISE)
def test_what_is_there_otherwise_is_a_conflict_and_stays_as_it_is(fresh_url: str, tmp_path: Path, kind: str) -> None:
    made, upgrade, said = OTHERWISE[kind]
    with open_db(fresh_url) as db:
        fill(db)
        by_hand(db, made)
        before, rows = snapshot(db.db_engine, db.names), contents(db)
    with open_db(fresh_url, versions=application(tmp_path / "versions", upgrade)) as db:
        with pytest.raises(SchemaConflict, match=said):
            db.upgrade_schema()
        assert snapshot(db.db_engine, db.names) == before
        assert Migrator.of(db).position() == Position(HEAD, None)
    with open_db(fresh_url) as db:
        assert contents(db) == rows


TYPES: dict[str, str] = {
    "id": "types.ID",
    "text": "types.TEXT",
    "json text": "types.JSON",
    "integer": "sa.Integer()",
    "big": "sa.BigInteger()",
    "small": "sa.SmallInteger()",
    "boolean": "sa.Boolean()",
    "string": "sa.String(40)",
    "unicode": "sa.Unicode(40)",
    "long text": "sa.Text()",
    "bytes": "sa.LargeBinary()",
    "numeric": "sa.Numeric(12, 4)",
    "plain numeric": "sa.Numeric()",
    "float": "sa.Float()",
    "double": "sa.Double()",
    "date": "sa.Date()",
    "moment": "sa.DateTime()",
    "moment with zone": "sa.DateTime(timezone=True)",
    "time": "sa.Time()",
    "interval": "sa.Interval()",
    "uuid": "sa.Uuid()",
    "json": "sa.JSON()",
    "enum": 'sa.Enum("one", "two", name="kind", native_enum=False)',
    "native enum": 'sa.Enum("one", "two", name="kind")',
    "from json": 'types.ID, types.from_json("metadata", "key")',
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_revision_that_failed_after_a_column_of_any_type_goes_on(fresh_url: str, tmp_path: Path, kind: str) -> None:
    add = f'op.add_column(n.sessions, sa.Column("more", {TYPES[kind]}), schema=n.schema)'
    table = f'op.create_table(f"{{n.sessions}}_more", sa.Column("more", {TYPES[kind].partition(", types.from")[0]}))'
    native = 'sa.Enum("one", "two", name="kind").create(op.get_bind(), checkfirst=True)\n' if "native " in kind else ""
    upgrade = native + add + ("" if native else "\n" + table)
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        by_hand(db, upgrade)
    with open_db(fresh_url, versions=application(tmp_path / "versions", upgrade)) as db:
        assert db.upgrade_schema() == ["a1"]


# -- what a revision has done before it failed -------------------------------------------------------

BEFORE = """
op.create_table("tags", sa.Column("tag", types.ID))
op.add_column(n.runs, sa.Column("rank", types.COUNT), schema=n.schema)
op.create_index("ix_rank", n.runs, ["rank"], schema=n.schema)
"""
ONCE: dict[str, str] = {
    "rename column": 'op.alter_column(n.runs, "rank", new_column_name="place", existing_type=types.COUNT)',
    "rename table": 'op.rename_table("tags", "labels")',
    "add key": 'op.create_unique_constraint("uq_again", n.runs, ["session_id", "run_id", "version"])',
    "add foreign key": 'op.create_foreign_key("fk_own", n.runs, n.sessions, ["session_id"], ["session_id"])',
    "add check": 'op.create_check_constraint("ck_index", n.runs, sa.text("run_index >= 0"))',
    "add primary key": 'op.create_primary_key("pk_tags", "tags", ["tag"])',
    "drop foreign key": 'op.drop_constraint(f"fk_{n.summaries}_session_id", n.summaries, type_="foreignkey")',
    "index with a direction": 'op.create_index(f"ix_{n.runs}_x", n.runs, [sa.text("run_index DESC"), "version"])',
    "drop column": 'op.drop_index("ix_rank", n.runs)\nop.drop_column(n.runs, "rank")',
    "drop index": 'op.drop_index("ix_rank", n.runs)',
    "drop table": 'op.drop_table("tags")',
}


@pytest.mark.backends("postgresql", "mysql")
@pytest.mark.parametrize("kind", ONCE)
def test_a_revision_that_failed_after_an_operation_goes_on_from_it(fresh_url: str, tmp_path: Path, kind: str) -> None:
    failing = application(tmp_path / "failing", BEFORE, ONCE[kind] + "\nraise RuntimeError")
    with open_db(fresh_url, versions=failing) as db:
        for _ in range(2):
            with pytest.raises(SchemaError, match="RuntimeError"):
                db.upgrade_schema()
        assert Migrator.of(db).position() == Position(HEAD, "a1")
    with open_db(fresh_url, versions=application(tmp_path / "mended", BEFORE, ONCE[kind])) as db:
        assert db.upgrade_schema() == ["a2"]


@pytest.mark.backends("postgresql")
def test_an_index_of_an_expression_is_known_again(fresh_url: str, tmp_path: Path) -> None:
    index = 'op.create_index(f"ix_{n.sessions}_x", n.sessions, [sa.text("lower(user_id)"), "created_at"])'
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        by_hand(db, index)
    with open_db(fresh_url, versions=application(tmp_path / "versions", index)) as db:
        assert db.upgrade_schema() == ["a1"]
