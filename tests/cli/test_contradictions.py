"""Options that contradict each other, or would be passed over, are refused: nobody gives one for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import COMMANDS, OF_ROWS, run, run_installed
from tests.cli.stores import at

REFUSED: dict[tuple[str, ...], str] = {
    ("--from", "0001"): "--from: it is for --sql",
    ("--from", "0001", "--plan"): "--from: it is for --sql",
    ("--plan", "--rehearse"): "--rehearse: one at a time: --plan",
    ("--plan", "--sql"): "--plan: one at a time: --sql",
    ("--rehearse", "--sql"): "--rehearse: one at a time: --sql",
    ("--plan", "--dialect", "mysql"): "--plan: one at a time: --dialect is given, too",
    ("--sql", "--all"): "--all: --sql is for one store at a time",
    ("--plan", "--sql", "--dialect", "mysql"): "--plan: one at a time: --sql",
    ("--dialect", "sqlite", "--all"): "--all: --dialect is for one store at a time",
    ("--backup", "copy.db", "--plan"): "--backup: nothing is changed by --plan",
    ("--backup", "copy.db", "--rehearse"): "--backup: nothing is changed by --rehearse",
    ("--backup", "copy.db", "--sql"): "--backup: nothing is changed by --sql",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_a_contradiction_changes_nothing(folder: Path, words: tuple[str, ...]) -> None:
    answer = run("upgrade", "--db-url", f"sqlite:///{folder}/a.db", *words)
    assert (answer.code, answer.out) == (2, "")
    assert f"Invalid value for {REFUSED[words]}" in answer.complaint
    assert list(folder.iterdir()) == []


MISUSED: dict[str, tuple[str, ...]] = {
    "no database": (),
    "an unknown option": ("--no-such-option",),
    "no number": ("--lock-timeout", "soon"),
    "an option without its value": ("--db-url",),
    "a contradiction": ("--db-url", "sqlite:///a.db", "--plan", "--rehearse"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_programs_are_told_of_a_misuse_in_json(folder: Path, name: str) -> None:
    answer = run("upgrade", "--json", *MISUSED[name])
    error = answer.document["error"]
    assert (answer.code, error["type"], error["exit_code"]) == (2, "InvalidArgument", 2)
    assert error["message"] in answer.complaint
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_in_json_where_no_database_is_named(folder: Path, command: str) -> None:
    answer = run(*COMMANDS[command], "--json")
    if command == "history":  # the list of the release's own revisions
        assert (answer.code, len(answer.document)) == (0, len(REVISIONS))
    else:
        assert (answer.code, answer.document["error"]["exit_code"]) == (2, 2)
        assert "say which database" in answer.document["error"]["message"]


def test_the_program_itself_ends_with_the_same_codes_in_json(folder: Path) -> None:
    url = f"sqlite:///{folder}/a.db"
    at(url, REVISIONS[0])
    words = ("check", "--db-url", url)
    assert run_installed(*words, directory=folder).code == run_installed(*words, "--json", directory=folder).code == 3
    assert run_installed("upgrade", "--db-url", url, "--json", directory=folder).code == 0
    assert run_installed("--json", directory=folder).code == 2


def test_a_folder_of_revisions_that_is_not_there_is_no_empty_one(fresh_url: str, folder: Path) -> None:
    at(fresh_url, HEAD)
    for command, words in COMMANDS.items():
        if command in OF_ROWS:
            continue
        answer = run(*words, "--db-url", fresh_url, "--versions", "revsions", "--json")
        assert (answer.code, answer.document["error"]["type"]) == (2, "ConfigurationError"), command
        assert f"There is no folder {folder / 'revsions'}" in answer.complaint


def test_where_nothing_is_pending_the_script_says_so_and_does_nothing(fresh_url: str) -> None:
    at(fresh_url, HEAD)
    answer = run("upgrade", "--sql", "--db-url", fresh_url)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "-- agent_sessions is at head already: there is nothing to run.\n"
    assert run("upgrade", "--sql", "--db-url", fresh_url, "--json").document == {"sql": answer.out}
