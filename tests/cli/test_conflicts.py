"""Tables of somebody else's under our names are recognised and left alone."""

from __future__ import annotations

import pytest

from tests.cli.program import run
from tests.cli.stores import NAMES, contents, execute

V3 = (
    "session_id session_type agent_id team_id workflow_id user_id session_data agent_data team_data workflow_data "
    "metadata summary created_at updated_at"
)
V1 = "session_id user_id memory session_data extra_data created_at updated_at"

LAYOUTS = {
    "the agno 3.x layout": V3,
    "the agno 2.x layout": f"{V3} runs",
    "the agno 1.x layout (agent storage)": f"{V1} agent_id agent_data team_session_id",
    "the agno 1.x layout (team storage)": f"{V1} team_id team_data team_session_id",
    "the agno 1.x layout (workflow storage)": f"{V1} workflow_id workflow_name workflow_data",
    "another application's, with the columns id, title": "id title",
}
"""The session tables that agno's releases make (legacy-layouts), and one that is not agno's at all."""


def made(url: str, table: str, columns: str) -> None:
    """Make a table with a row in it."""
    declared = ", ".join(f"{column} VARCHAR(100)" for column in columns.split())
    values = ", ".join(f"'{column}'" for column in columns.split())
    execute(url, f"CREATE TABLE {table} ({declared})", f"INSERT INTO {table} VALUES ({values})")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_somebody_elses_session_table_is_recognised_and_left_alone(fresh_url: str, layout: str) -> None:
    made(fresh_url, NAMES.sessions, LAYOUTS[layout])
    before = contents(fresh_url)
    for words in (("upgrade",), ("stamp", "head")):
        answer = run(*words, "--db-url", fresh_url, "--json")
        assert answer.code == 1
        assert answer.document["error"]["type"] == "SchemaConflict"
        assert answer.document["error"]["exit_code"] == 1
    answer = run("upgrade", "--db-url", fresh_url)
    assert (answer.code, answer.out) == (1, "")
    for part in ("SchemaConflict: ", NAMES.sessions, layout, "Nothing was changed", "--table"):
        assert part in answer.complaint
    assert contents(fresh_url) == before


@pytest.mark.parametrize("table", [NAMES.runs, NAMES.summaries])
def test_somebody_elses_table_beside_is_found_before_anything_is_changed(fresh_url: str, table: str) -> None:
    made(fresh_url, table, "id title")
    before = contents(fresh_url)
    answer = run("upgrade", "--db-url", fresh_url)
    assert answer.code == 1
    assert table in answer.complaint
    assert "Nothing was changed" in answer.complaint
    assert contents(fresh_url) == before


def test_a_version_table_without_a_version_column_is_a_failure_and_left_alone(fresh_url: str) -> None:
    made(fresh_url, NAMES.version, "id title")
    before = contents(fresh_url)
    for words in (("upgrade",), ("check",), ("stamp", "head")):
        answer = run(*words, "--db-url", fresh_url)
        assert answer.code == 1
        assert "agent_sessions" in answer.complaint
    assert contents(fresh_url) == before
