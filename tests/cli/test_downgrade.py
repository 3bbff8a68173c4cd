"""``agno-store downgrade``: it says what is lost, and asks."""

from __future__ import annotations

import io
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store.migrations.chain import chain
from agno_store.migrations.layouts import shape
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run, run_installed
from tests.cli.stores import NAMES, connected, contents, filled

LOST = {
    "base": {NAMES.sessions: "2 rows", NAMES.runs: "3 rows", NAMES.summaries: "1 row", NAMES.media: "0 rows"},
    REVISIONS[0]: {NAMES.runs: "3 rows", NAMES.summaries: "1 row", NAMES.media: "0 rows"},
    REVISIONS[1]: {NAMES.summaries: "1 row", NAMES.media: "0 rows"},
}
"""Which tables a downgrade of a filled store drops, and what is in them."""

REFUSED = "Nothing was changed. Add --yes to do it without being asked."


def lines(target: str) -> list[str]:
    """What is said before anything is dropped."""
    return [f"  {table} goes, and {rows} with it" for table, rows in LOST[target].items()]


def columns_lost(target: str) -> list[str]:
    """What is said of columns that go from the tables that stay."""
    head, kept = (shape(NAMES, chain(), None if revision == "base" else revision) for revision in (HEAD, target))
    gone = ((table, column) for table in kept for column in head[table][0] - kept[table][0])
    return sorted(f"  lost for good: all that {table}.{column} holds" for table, column in gone)


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return what each table of the store holds, by its columns."""
    found = {}
    with connected(url) as connection:
        look = sa.inspect(connection)
        for table in filter(look.has_table, NAMES.tables):
            every: Any = (
                sa.select(sa.text("*")).select_from(sa.table(table)).order_by(sa.text("created_at, session_id"))
            )
            found[table] = [dict(row) for row in connection.execute(every).mappings()]
    return found


@pytest.mark.parametrize("target", LOST)
def test_downgrade_without_yes_and_without_a_terminal_says_what_goes_and_changes_nothing(
    fresh_url: str, target: str
) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    answer = run("downgrade", "--to", target, "--db-url", fresh_url)
    assert answer.code == 1
    assert REFUSED in answer.complaint
    said = answer.out.splitlines()
    assert said[: len(LOST[target])] == lines(target)
    assert sorted(said[len(LOST[target]) :]) == columns_lost(target)
    assert contents(fresh_url) == before


@pytest.mark.parametrize("target", LOST)
def test_downgrade_with_yes_takes_the_revisions_back(fresh_url: str, target: str) -> None:
    filled(fresh_url)
    before, held = contents(fresh_url), rows(fresh_url)
    answer = run("downgrade", "--to", target, "--db-url", fresh_url, "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[: len(LOST[target])] == lines(target)
    assert answer.out.splitlines()[-1] == f"agent_sessions: {HEAD} -> {'no tables' if target == 'base' else target}"
    after = contents(fresh_url)
    assert before.keys() - after.keys() == set(LOST[target])
    for table, kept in rows(fresh_url).items():
        assert set(after[table][0]) <= set(before[table][0])
        assert kept == [{name: row[name] for name in kept[0]} for row in held[table]]
    assert run("upgrade", "--db-url", fresh_url).code == 0
    assert run("check", "--drift", "--db-url", fresh_url).code == 0


def test_downgrade_answers_with_one_document(fresh_url: str) -> None:
    filled(fresh_url)
    document = run("downgrade", "--to", REVISIONS[0], "--db-url", fresh_url, "--yes", "--json").document
    assert list(document)[-5:] == ["from", "to", "steps", "lost", "lost_besides"]
    assert document["lost"] == {NAMES.runs: 3, NAMES.summaries: 1, NAMES.media: 0}
    assert (document["from"], document["to"], document["state"]) == (HEAD, REVISIONS[0], "behind")
    assert [step["revision"] for step in document["steps"]] == list(REVISIONS[:0:-1])


def test_a_downgrade_that_is_refused_answers_with_one_document_too(fresh_url: str) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    answer = run("downgrade", "--to", "base", "--db-url", fresh_url, "--json")
    assert answer.code == 1
    assert answer.document["error"]["exit_code"] == 1
    assert contents(fresh_url) == before


@pytest.mark.parametrize("target", [HEAD, "head"])
def test_downgrade_to_where_a_store_is_loses_nothing_and_asks_nothing(fresh_url: str, target: str) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    answer = run("downgrade", "--to", target, "--db-url", fresh_url)
    assert (answer.code, answer.out) == (0, f"agent_sessions is at {HEAD} already\n")
    assert contents(fresh_url) == before


def test_downgrade_of_nothing_changes_nothing(fresh_url: str) -> None:
    assert run("downgrade", "--to", "base", "--db-url", fresh_url).code == 0
    assert contents(fresh_url).keys() <= {NAMES.version, NAMES.upgrades}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("said", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
@pytest.mark.backends("sqlite")
def test_on_a_terminal_it_asks_and_takes_no_for_the_answer(
    fresh_url: str, monkeypatch: pytest.MonkeyPatch, said: str, code: int
) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    monkeypatch.setattr(sys, "stdin", _Terminal(said))
    answer = run("downgrade", "--to", "base", "--db-url", fresh_url)
    assert answer.code == code
    assert "Downgrade agent_sessions?" in answer.out + answer.err
    assert (contents(fresh_url) == before) == (code == 1)


@pytest.mark.backends("sqlite")
def test_the_program_itself_asks_on_a_real_terminal(fresh_url: str, folder: Path) -> None:
    filled(fresh_url)
    terminal, stdin = pty.openpty()
    os.write(terminal, b"y\n")
    answer = run_installed("downgrade", "--to", "base", "--db-url", fresh_url, directory=folder, stdin=stdin)
    os.close(terminal)
    os.close(stdin)
    assert answer.code == 0, answer
    assert contents(fresh_url).keys() == {NAMES.version, NAMES.upgrades}
