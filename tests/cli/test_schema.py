"""``agno-store schema``: what it says of the tables is what they are."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from xml.etree import ElementTree

import sqlalchemy as sa

from agno_store.cli import catalogue
from agno_store.cli.catalogue import DATABASES
from agno_store.names import Names
from agno_store.tables import REVISIONS, journal, metadata
from tests.cli.program import run
from tests.cli.stores import at, connected


def test_every_table_column_and_index_is_shown_as_it_is_declared() -> None:
    found = {table["name"]: table for table in run("schema", "--json").document["tables"]}
    declared = [*metadata(Names()).sorted_tables, journal(Names())]
    assert set(found) == {table.name for table in declared}
    for table in declared:
        columns = [(one["name"], one["nullable"], one["primary_key"]) for one in found[table.name]["columns"]]
        assert columns == [(one.name, one.nullable, one.primary_key) for one in table.columns]
        indexes = {one["name"]: (one["columns"], one["unique"]) for one in found[table.name]["indexes"]}
        assert {str(one.name): (one.columns.keys(), False) for one in table.indexes}.items() <= indexes.items()
        unique = [one for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
        assert {one.name for one in unique} == {name for name, (_, alone) in indexes.items() if alone}


def test_since_which_revision_is_what_the_revisions_do(fresh_url: str) -> None:
    found = run("schema", "--json").document["tables"]
    for revision in REVISIONS:
        at(fresh_url, revision)
        with connected(fresh_url) as connection:
            look = sa.inspect(connection)
            for table in found[:3]:
                is_due = table["since"] <= revision
                assert look.has_table(table["name"]) is is_due
                if is_due:
                    there = {one["name"] for one in look.get_columns(table["name"])}
                    assert there == {one["name"] for one in table["columns"] if one["since"] <= revision}
                    made = {one["name"] for one in look.get_indexes(table["name"])}
                    made |= {one["name"] for one in look.get_unique_constraints(table["name"])}
                    assert {one["name"] for one in table["indexes"] if one["since"] <= revision} <= made
                    assert not made & {one["name"] for one in table["indexes"] if one["since"] > revision}


def test_types_are_told_for_every_database() -> None:
    types = run("schema", "--json").document["types"]
    assert all(set(on) == set(DATABASES) for on in types.values())
    assert types["payload"]["PostgreSQL"] == "JSON"
    assert types["id"]["MariaDB"].endswith("utf8mb4_nopad_bin")
    assert types["id"]["MySQL"].endswith("utf8mb4_0900_bin")


def test_people_see_tables_and_indexes_with_their_revisions() -> None:
    answer = run("schema", "--table", "talks")
    assert (answer.code, answer.err) == (0, "")
    assert "talks_runs: a row for each run, members' runs included, since 0002" in answer.out
    assert re.search(r"tenant_id +│ id +│ +│ +│ 0004 ", answer.out)
    assert "index ix_talks_created_at (created_at, session_id), since 0001" in answer.out


SVG = "{http://www.w3.org/2000/svg}"
ENTITY = re.compile(r'    (?:\w+|"[^"]+") \{')
ATTRIBUTE = re.compile(r"        [a-z][\w()-]* \w+( PK)?")
RELATION = re.compile(r'    (?:\w+|"[^"]+") \|\|--(o\{|o\|) (?:\w+|"[^"]+") : "\w+"')


def test_the_diagram_is_one_that_mermaid_reads() -> None:
    for name in ("agent_sessions", 'my "own" Täble'):
        answer = run("schema", "--erd", "--table", name)
        first, *lines = answer.out.splitlines()
        assert (answer.code, first) == (0, "erDiagram")
        unread = [line for line in lines if not any(p.fullmatch(line) for p in (ENTITY, ATTRIBUTE, RELATION))]
        assert set(unread) == {"    }"}
        assert len([line for line in lines if RELATION.fullmatch(line)]) == 3


def test_the_drawing_shows_every_table_and_column_and_none_upon_another() -> None:
    for name in ("agent_sessions", 'my "own" <Täble> & co'):
        answer = run("schema", "--svg", "--table", name)
        assert (answer.code, answer.err) == (0, "")
        drawn = ElementTree.fromstring(answer.out)
        shown = [element.text for element in drawn.iter(f"{SVG}text")]
        tables = catalogue.tables(Names(name))
        assert Counter(shown) == Counter(
            text for table in tables for text in (table.name, *(part for one in table.columns for part in one[:2]))
        )
        boxes = [
            [float(element.attrib[side]) for side in ("x", "y", "width", "height")]
            for element in drawn.iter(f"{SVG}rect")
            if element.get("class") == "box"
        ]
        assert len(boxes) == len(tables)
        for (x, y, width, height), (other_x, other_y, other_width, other_height) in combinations(boxes, 2):
            apart = x + width < other_x or other_x + other_width < x
            assert apart or y + height < other_y or other_y + other_height < y
        ways = [element for element in drawn.iter(f"{SVG}path") if element.get("class") == "way"]
        assert len(ways) == len([table for table in tables if table.refers_to]) > 1


def test_one_form_at_a_time() -> None:
    for forms in (("--erd", "--json"), ("--svg", "--erd")):
        answer = run("schema", *forms)
        assert (answer.code, "one at a time" in answer.complaint) == (2, True)
    assert run("schema", "--table", "a.b").code == 2
