"""``agno-store stamp``: it records what is true, and nothing else."""

from __future__ import annotations

import re

import pytest

from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.cli.stores import NAMES, at, contents, execute, filled


@pytest.mark.parametrize("said", [*REVISIONS, "head"])
def test_stamp_records_where_tables_made_by_other_means_are(fresh_url: str, said: str) -> None:
    at(fresh_url, said)
    before = contents(fresh_url)
    execute(fresh_url, f"DROP TABLE {NAMES.version}")
    revision = HEAD if said == "head" else said
    answer = run("stamp", said, "--db-url", fresh_url)
    assert (answer.code, answer.out, answer.err) == (0, f"agent_sessions: no tables -> {revision}\n", "")
    after = contents(fresh_url)
    assert len(after.pop(NAMES.upgrades)[2]) == len(before.pop(NAMES.upgrades)[2]) + 1
    assert after == before
    assert run("upgrade", "--db-url", fresh_url).code == 0
    assert run("check", "--drift", "--db-url", fresh_url).code == 0


def test_stamp_answers_with_one_document(fresh_url: str) -> None:
    at(fresh_url, "head")
    answer = run("stamp", "head", "--db-url", fresh_url, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert (answer.document["from"], answer.document["to"], answer.document["steps"]) == (HEAD, HEAD, [])


@pytest.mark.parametrize(
    ("there", "said", "reason"),
    [
        (REVISIONS[0], "head", "agent_sessions_runs is missing"),
        ("head", REVISIONS[0], "agent_sessions_runs should not be there"),
        ("head", "base", "agent_sessions should not be there"),
        ("missing", "head", "agent_sessions is missing"),
    ],
)
def test_stamp_refuses_what_is_not_true_and_says_why(fresh_url: str, there: str, said: str, reason: str) -> None:
    at(fresh_url, there)
    before = contents(fresh_url)
    answer = run("stamp", said, "--db-url", fresh_url, "--json")
    assert answer.code == 1
    assert answer.document["error"]["type"] == "SchemaConflict"
    assert reason in answer.complaint
    assert "Nothing was recorded" in answer.complaint
    assert contents(fresh_url) == before


def test_stamp_refuses_tables_that_lack_a_column_or_an_index(fresh_url: str) -> None:
    filled(fresh_url)
    execute(fresh_url, f"DROP TABLE {NAMES.version}", f"ALTER TABLE {NAMES.summaries} DROP COLUMN topics")
    answer = run("stamp", "head", "--db-url", fresh_url)
    assert answer.code == 1
    assert re.search("agent_sessions_summaries .*topics", answer.complaint)
    assert NAMES.version not in contents(fresh_url)


def test_a_stamp_that_is_too_low_is_corrected(fresh_url: str) -> None:
    at(fresh_url, "head")
    execute(fresh_url, f"UPDATE {NAMES.version} SET version_num = '{REVISIONS[0]}'")
    answer = run("stamp", "head", "--db-url", fresh_url)
    assert (answer.code, answer.out) == (0, f"agent_sessions: {REVISIONS[0]} -> {HEAD}\n")
    assert run("check", "--drift", "--db-url", fresh_url).code == 0
