"""A revision's operations are told with their lines, and no database is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.script import Script

from agno_store.dialects import ALL, by_name
from agno_store.migrations.chain import chain
from agno_store.migrations.record import Recorded, Recording, recorded, sql_dialects, table_of
from agno_store.names import Names
from tests.migrations.revisions import HEAD, line, write

NAMES = Names("talks", "ai")
EVERY = {sql_dialect.name: sql_dialect for dialect in ALL for sql_dialect in sql_dialects(dialect)}


def of(folder: Path, database: str = "postgresql", *, up: bool = True) -> Recording:
    """Record the one revision in the folder."""
    [script] = chain(folder).application
    return recorded(script, NAMES, EVERY[database], up=up)


def kinds(recording: list[Recorded]) -> list[str]:
    return [type(kept.operation).__name__ for kept in recording]


def lines(recording: Recording) -> list[int]:
    return [kept.line for kept in recording]


def test_every_database_has_its_dialect() -> None:
    assert set(EVERY) == {"sqlite", "postgresql", "mysql", "mariadb"}
    assert sql_dialects(by_name("mysql"))[-1].name == "mysql"


@pytest.mark.parametrize("database", EVERY)
@pytest.mark.parametrize("script", chain().own, ids=lambda script: script.revision)
def test_our_own_revisions_can_be_recorded_up_and_down(script: Script, database: str) -> None:
    up = recorded(script, NAMES, EVERY[database])
    down = recorded(script, NAMES, EVERY[database], up=False)
    assert (up.stop, down.stop) == (None, None)
    opposites = {"CreateTableOp": "DropTableOp", "AddColumnOp": "DropColumnOp", "CreateIndexOp": "DropIndexOp"}
    assert kinds(down)[-1] == opposites[kinds(up)[0]]
    tables = {table_of(kept.operation) for kept in up}
    assert tables == {table_of(kept.operation) for kept in down}
    assert {schema for _, schema in tables} == {"ai"}


def test_each_operation_is_told_with_the_line_that_asked_for_it(tmp_path: Path, capsys: Any) -> None:
    upgrade = """
        op.add_column(
            n.runs, sa.Column("tokens", types.COUNT), schema=n.schema
        )

        for name in ("one", "two"):
            op.drop_column(n.sessions, name, schema=n.schema)
        with op.get_context().autocommit_block():
            op.execute("VACUUM")
        rows = op.create_table("tags", sa.Column("tag", types.ID, primary_key=True), schema=n.schema)
        op.bulk_insert(rows, [{"tag": "a"}, {"tag": "b"}])
    """
    folder = write(tmp_path, upgrade)
    recording = of(folder)
    at = {text: line(folder, text) for text in ("add_column", "drop_column", "VACUUM", "create_table", "bulk_insert")}
    assert list(zip(kinds(recording), lines(recording), strict=True)) == [
        ("AddColumnOp", at["add_column"]),
        ("DropColumnOp", at["drop_column"]),
        ("DropColumnOp", at["drop_column"]),
        ("ExecuteSQLOp", at["VACUUM"]),
        ("CreateTableOp", at["create_table"]),
        ("BulkInsertOp", at["bulk_insert"]),
    ]
    assert table_of(recording[0].operation) == ("talks_runs", "ai")
    assert table_of(recording[5].operation) == ("tags", "ai")
    assert recording[5].operation.rows == [{"tag": "a"}, {"tag": "b"}]
    assert capsys.readouterr().out == ""


def test_a_helper_is_named_by_its_own_line_and_one_of_another_module_by_the_call(tmp_path: Path) -> None:
    head = HEAD + "\nfrom tests.migrations.test_record import elsewhere\n"
    head += "\ndef dropped(op, n):\n    op.drop_table(n.runs)\n"
    folder = write(tmp_path, "dropped(op, n)\nelsewhere(op)", head=head)
    assert lines(of(folder)) == [line(folder, "drop_table"), line(folder, "elsewhere(op)")]


def elsewhere(op: Any) -> None:
    """Ask for an operation from outside of the revision."""
    op.drop_table("other")


BATCHES: dict[str, tuple[str, set[str]]] = {
    'batch.drop_column("title")': ("AddColumnOp DropColumnOp", {"sqlite"}),
    'batch.alter_column("title", type_=types.TEXT)': ("AddColumnOp AlterColumnOp", {"sqlite"}),
    'batch.create_check_constraint("ck", sa.text("title > 0"))': ("AddColumnOp CreateCheckConstraintOp", {"sqlite"}),
    'batch.create_foreign_key("fk", "other", ["a"], ["b"])': ("AddColumnOp CreateForeignKeyOp", {"sqlite"}),
    'batch.execute("SELECT 1")': ("AddColumnOp ExecuteSQLOp", set()),
    "pass": ("AddColumnOp", set()),
}


@pytest.mark.parametrize("body", BATCHES)
@pytest.mark.parametrize("database", EVERY)
def test_a_batch_is_followed_and_whether_it_rebuilds_the_table(tmp_path: Path, database: str, body: str) -> None:
    upgrade = f"""
        with op.batch_alter_table(n.sessions, schema=n.schema) as batch:
            batch.create_index("ix", ["a"])
            batch.add_column(sa.Column("a", types.TEXT))
            {body}
    """
    folder = write(tmp_path, upgrade)
    recording = of(folder, database)
    expected, rebuilding = BATCHES[body]
    assert kinds(recording) == [*expected.split(), "CreateIndexOp"]
    for kept in recording:
        assert kept.batch is not None
        assert (kept.batch.line, kept.batch.table) == (line(folder, "batch_alter_table"), "talks")
        assert kept.batch.rebuilds is (database in rebuilding)
        said = (None, None) if kinds([kept]) == ["ExecuteSQLOp"] else ("talks", "ai")
        assert table_of(kept.operation) == said
    assert recording[0].line == line(folder, "batch.add_column")
    assert recording[-1].line == line(folder, "batch.create_index")


@pytest.mark.parametrize("database", EVERY)
def test_a_batch_that_always_recreates_rebuilds_everywhere(tmp_path: Path, database: str) -> None:
    upgrade = """
        with op.batch_alter_table(n.sessions, recreate="always") as batch:
            batch.add_column(sa.Column("a", types.TEXT))
    """
    [kept] = of(write(tmp_path, upgrade), database)
    assert kept.batch is not None
    assert kept.batch.rebuilds


@pytest.mark.parametrize("asked", ["op.get_context().dialect.name", "op.get_bind().dialect.name"])
def test_a_revision_sees_the_database_that_it_is_recorded_for(tmp_path: Path, asked: str) -> None:
    folder = write(tmp_path, f"if {asked} == 'mariadb':\n    op.drop_table(n.runs)")
    assert {database: kinds(of(folder, database)) for database in EVERY} == {
        "sqlite": [],
        "postgresql": [],
        "mysql": [],
        "mariadb": ["DropTableOp"],
    }


@pytest.mark.parametrize(
    "asking",
    [
        'op.get_bind().execute(sa.text("SELECT 1"))',
        "op.get_context().connection.begin()",
        "op.get_context().bind.scalar(None)",
        "sa.inspect(op.get_bind()).get_table_names()",
    ],
)
def test_where_a_revision_asks_the_database_the_recording_stops_and_says_so(tmp_path: Path, asking: str) -> None:
    folder = write(tmp_path, f"op.drop_table(n.runs)\n{asking}\nop.drop_table(n.sessions)")
    recording = of(folder)
    assert kinds(recording) == ["DropTableOp"]
    assert recording.stop is not None
    assert (recording.stop.line, recording.stop.needs_database) == (line(folder, asking), True)


def test_where_a_revision_fails_the_recording_stops_and_says_why(tmp_path: Path) -> None:
    upgrade = """
        with op.batch_alter_table(n.sessions) as batch:
            batch.drop_column("title")
            batch.drop_everything()
    """
    folder = write(tmp_path, upgrade)
    recording = of(folder)
    assert kinds(recording) == ["DropColumnOp"]
    assert recording.stop is not None
    assert (recording.stop.line, recording.stop.needs_database) == (line(folder, "drop_everything"), False)
    assert recording.stop.reason.startswith("AttributeError: ")
    assert "drop_everything" in recording.stop.reason


@pytest.mark.parametrize(
    "kind", ["agno_store.SchemaConflict", "alembic.util.CommandError", "sqlalchemy.exc.ArgumentError"]
)
def test_whoever_refuses_what_a_revision_does_is_repeated(tmp_path: Path, kind: str) -> None:
    module, _, name = kind.rpartition(".")
    folder = write(tmp_path, f'from {module} import {name}\nraise {name}("not like this")')
    stop = of(folder).stop
    assert stop is not None
    assert (stop.line, stop.reason) == (line(folder, "raise"), f"{name}: not like this")


def test_a_downgrade_that_is_missing_stops_the_recording(tmp_path: Path) -> None:
    recording = of(write(tmp_path, "pass", downgrade=""), up=False)
    assert list(recording) == []
    assert recording.stop is not None
    assert "downgrade" in recording.stop.reason
    assert recording.stop.line == 1
