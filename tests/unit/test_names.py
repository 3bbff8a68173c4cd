"""Names: every identifier of a store fits every database, and is derived from one name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from agno_store import ConfigurationError, Names
from agno_store.names import IDENTIFIER_BYTES, LONGEST, LONGEST_DERIVED
from agno_store.tables import metadata, version_table


def identifiers(names: Names) -> Iterator[str]:
    """Everything that a store's tables make the database name."""
    for table in metadata(names).sorted_tables:
        yield table.name
        yield from (column.name for column in table.columns)
        yield from (str(index.name) for index in table.indexes)
        yield from (str(constraint.name) for constraint in table.constraints if constraint.name)
    yield version_table(names).name
    yield f"{names.version}_pkc"  # Alembic's name for the primary key of its table


def test_the_limit_is_that_of_the_longest_identifier() -> None:
    longest = max(identifiers(Names("x")), key=len)

    assert len(longest) - 1 == LONGEST_DERIVED
    assert LONGEST + LONGEST_DERIVED == IDENTIFIER_BYTES == 63


@pytest.mark.parametrize(
    "name", ["x" * LONGEST, "ü" * (LONGEST // 2), "語" * (LONGEST // 3), "a b'c\"d%e", "select", "Ä"]
)
def test_every_identifier_of_an_allowed_name_fits(name: str) -> None:
    assert max(len(identifier.encode()) for identifier in identifiers(Names(name))) <= IDENTIFIER_BYTES


def test_every_constraint_and_index_has_a_name_of_its_own() -> None:
    for table in metadata(Names("x")).sorted_tables:
        assert all(constraint.name for constraint in table.constraints)
    found = [name for name in identifiers(Names("x")) if "x" in name and name not in Names("x").tables]
    derived = [name for name in found if name.startswith(("pk_", "uq_", "ix_", "fk_"))]

    assert len(derived) == len(set(derived)) >= 9


@pytest.mark.parametrize("one", ["a", "a_runs", "b"])
def test_two_stores_never_meet(one: str) -> None:
    ours, theirs = Names(one), Names("other")

    assert not {ours.sessions, ours.runs, ours.summaries, ours.version} & {
        *theirs.tables,
        theirs.version,
    }


@pytest.mark.parametrize(
    "bad",
    ["", " ", "a ", " a", "a.b", "a`b", "a\nb", "a\x00", "\ud800", "🎉", "x" * (LONGEST + 1), "ü" * LONGEST, None, 5],
)
def test_a_name_that_some_database_cannot_have_is_refused(bad: object) -> None:
    with pytest.raises(ConfigurationError, match="table_name"):
        Names(bad)  # type: ignore[arg-type]
    if bad is not None and bad != "x" * (LONGEST + 1) and bad != "ü" * LONGEST:
        with pytest.raises(ConfigurationError, match="db_schema"):
            Names("a", bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [IDENTIFIER_BYTES, IDENTIFIER_BYTES + 1])
def test_a_schema_may_be_as_long_as_an_identifier(length: int) -> None:
    if length <= IDENTIFIER_BYTES:
        assert Names("a", "s" * length).schema == "s" * length
    else:
        with pytest.raises(ConfigurationError, match=f"the limit is {IDENTIFIER_BYTES}"):
            Names("a", "s" * length)


@pytest.mark.parametrize("schema", [None, "ai", "my schema"])
def test_the_tables_are_in_the_schema(schema: str | None) -> None:
    names = Names("a", schema)

    assert {table.schema for table in metadata(names).sorted_tables} == {schema}
    assert [table.name for table in metadata(names).sorted_tables] == sorted(names.tables)
    assert str(names) == ("a" if schema is None else f"{schema}.a")


def test_no_key_is_too_long_for_innodb() -> None:
    """3072 bytes in an index, four for each character of utf8mb4, eight for a number."""
    for table in metadata(Names("x")).sorted_tables:
        unique = [constraint for constraint in table.constraints if isinstance(constraint, sa.UniqueConstraint)]
        keys = [list(index.columns) for index in table.indexes]
        keys += [list(key.columns) for key in (*unique, table.primary_key)]
        for key in keys:
            assert sum(size_of(column) for column in key) <= 3072


def size_of(column: sa.ColumnElement[object]) -> int:
    length = getattr(column.type, "length", None)
    return 8 if length is None else int(length) * 4
