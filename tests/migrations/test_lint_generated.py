"""What lint says of the revisions that `history --new` writes: what is dangerous, once, and where it is so."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from agno_store import types
from agno_store.migrations.chain import Chain
from agno_store.migrations.generate import generate
from agno_store.migrations.lint import lint
from agno_store.tables import Tables
from tests.migrations.own_columns import LIFE
from tests.migrations.revisions import write


def found(folder: Path) -> list[tuple[str, str]]:
    """Return the rule of each finding, and what it is about."""
    return [(finding.rule, finding.message.splitlines()[0]) for finding in lint(folder, own=False)]


def test_a_generated_column_out_of_a_payload_is_stored_on_postgresql_only(tmp_path: Path) -> None:
    def extend(tables: Tables) -> None:
        tables.sessions.append_column(sa.Column("customer", types.ID, types.from_json("metadata", "customer")))

    generate("own", Chain(tmp_path), extend)
    stored = "It would add the column agent_sessions.customer, on PostgreSQL its value is stored with every row."
    assert found(tmp_path) == [("rewrite-on-add", stored)]


@pytest.mark.parametrize("name", ["mysql", "mariadb", "sqlite"])
def test_where_it_is_worked_out_when_it_is_read_nothing_is_found(tmp_path: Path, name: str) -> None:
    upgrade = f"""
        if op.get_context().dialect.name == "{name}":
            op.add_column(n.runs, sa.Column("model", types.ID, types.from_json("run_data", "model")), schema=n.schema)
    """
    assert found(write(tmp_path, upgrade)) == []


def test_one_that_says_it_is_stored_is_so_everywhere(tmp_path: Path) -> None:
    upgrade = """
        computed = sa.Computed("run_index + 1", persisted=True)
        op.add_column(n.runs, sa.Column("place", sa.Integer(), computed), schema=n.schema)
    """
    [(rule, said)] = found(write(tmp_path, upgrade))
    assert rule == "rewrite-on-add"
    assert said.endswith("agent_sessions_runs.place, its value is stored with every row.")


def test_the_default_for_rows_without_a_value_is_part_of_the_not_null(tmp_path: Path) -> None:
    for message, extend in LIFE.items():
        generate(message, Chain(tmp_path), extend)
    texts = "".join(file.read_text(encoding="utf-8") for file in tmp_path.glob("*.py"))
    assert ".is_(None)).values(" in texts
    rules = [rule for rule, _ in found(tmp_path)]
    assert "not-null-without-default" in rules
    assert "data-in-revision" not in rules


FILLED = """
    rows = sa.table({table}, sa.column("status"), sa.column("user_id"), schema=n.schema)
    op.execute(rows.update().where({where}).values({values}))
    op.alter_column(n.runs, {column!r}, nullable={nullable}, schema=n.schema)
"""
PARTS = {
    "table": "n.runs",
    "where": "rows.c.status.is_(None)",
    "values": 'status="new"',
    "column": "status",
    "nullable": "False",
}


def rules_of(folder: Path, **other: str) -> set[str]:
    return {rule for rule, _ in found(write(folder, FILLED.format(**{**PARTS, **other})))}


def test_only_the_rows_without_a_value_of_that_column_may_be_filled(tmp_path: Path) -> None:
    assert rules_of(tmp_path / "filled") == {"not-null-without-default"}


@pytest.mark.parametrize(
    "other",
    [
        {"table": "n.sessions"},
        {"where": "sa.true()"},
        {"where": "rows.c.user_id.is_(None)"},
        {"values": 'user_id="nobody"'},
        {"values": 'status="new", user_id="nobody"'},
        {"column": "user_id"},
        {"nullable": "True"},
    ],
    ids=str,
)
def test_any_other_write_is_found_beside_a_not_null(tmp_path: Path, other: dict[str, str]) -> None:
    assert "data-in-revision" in rules_of(tmp_path / "other", **other)


def test_a_write_after_the_not_null_is_found(tmp_path: Path) -> None:
    lines = FILLED.format(**PARTS).strip("\n").splitlines()
    body = "\n".join([lines[0], lines[2], lines[1]])
    assert "data-in-revision" in {rule for rule, _ in found(write(tmp_path / "after", body))}
