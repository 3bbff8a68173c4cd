"""Every exit code, reached by what it stands for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest

from agno_store.cli.app import EPILOG
from agno_store.cli.exits import Exit
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run, run_installed
from tests.cli.stores import at, drop_an_index, execute, locked, set_version
from tests.servers.process import free_port


class Situation(NamedTuple):
    """What a store is brought into, the command that meets it, and the code that it ends with."""

    code: Exit
    words: tuple[str, ...]
    revision: str = HEAD
    done: Callable[[str], object] | None = None
    meanwhile: Callable[[str], AbstractContextManager[object]] = nullcontext


def conflict(url: str) -> None:
    """Put a stranger's table where ours is to be."""
    execute(url, "CREATE TABLE agent_sessions_runs (id INTEGER)")


def ahead(url: str) -> None:
    """Let an unknown release have upgraded the store."""
    set_version(url, "9999")


CHECK, UPGRADE, DOWN = ("check",), ("upgrade",), ("downgrade", "--to", "base")
FIRST = REVISIONS[0]
SITUATIONS = {
    "in step": Situation(Exit.IN_STEP, CHECK),
    "upgraded": Situation(Exit.IN_STEP, UPGRADE, FIRST),
    "made": Situation(Exit.IN_STEP, UPGRADE, "missing"),
    "shown though behind": Situation(Exit.IN_STEP, ("current",), FIRST),
    "a stranger's table": Situation(Exit.FAILED, UPGRADE, FIRST, conflict),
    "a stranger's table, looked at": Situation(Exit.FAILED, CHECK, "missing", conflict),
    "stamped though it is not so": Situation(Exit.FAILED, ("stamp", "head"), FIRST),
    "nobody to be asked": Situation(Exit.FAILED, DOWN),
    "an unknown revision": Situation(Exit.USAGE, (*UPGRADE, "--to", "9999")),
    "an unknown option": Situation(Exit.USAGE, (*UPGRADE, "--no-such-option")),
    "an unknown table name": Situation(Exit.USAGE, (*CHECK, "--table", "a.b")),
    "nothing there": Situation(Exit.BEHIND, CHECK, "missing"),
    "behind": Situation(Exit.BEHIND, CHECK, FIRST),
    "behind another release": Situation(Exit.BEHIND, (*CHECK, "--for", "0.1.0"), FIRST),
    "ahead": Situation(Exit.AHEAD, CHECK, HEAD, ahead),
    "ahead, to be upgraded": Situation(Exit.AHEAD, UPGRADE, HEAD, ahead),
    "ahead, to be taken back": Situation(Exit.AHEAD, (*DOWN, "--yes"), HEAD, ahead),
    "one of several ahead": Situation(Exit.AHEAD, (*UPGRADE, "--all"), HEAD, ahead),
    "an index dropped": Situation(Exit.DRIFTED, (*CHECK, "--drift"), HEAD, drop_an_index),
    "an index dropped, upgraded": Situation(Exit.DRIFTED, UPGRADE, HEAD, drop_an_index),
    "locked": Situation(Exit.LOCKED, (*UPGRADE, "--lock-timeout", "0.2"), FIRST, meanwhile=locked),
    "locked, to be taken back": Situation(Exit.LOCKED, (*DOWN, "--yes", "--lock-timeout", "0.2"), meanwhile=locked),
}


SAID_ON_STDOUT = ("behind another release",)


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_ends_with_its_code(fresh_url: str, name: str) -> None:
    code, words, revision, done, meanwhile = SITUATIONS[name]
    at(fresh_url, revision)
    if done is not None:
        done(fresh_url)
    with meanwhile(fresh_url):
        answer = run(*words, "--db-url", fresh_url)
    assert answer.code == code
    assert bool(answer.err) == (code != Exit.IN_STEP and name not in SAID_ON_STDOUT)


@pytest.mark.parametrize("command", ["upgrade", "check", "current", "history", "doctor"])
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_where_nobody_answers_it_is_unreachable(scheme: str, command: str) -> None:
    answer = run(command, "--db-url", f"{scheme}://me@127.0.0.1:{free_port()}/app")
    assert answer.code == Exit.UNREACHABLE


def test_every_code_has_its_situation_and_is_in_the_help() -> None:
    assert {situation.code for situation in SITUATIONS.values()} | {Exit.UNREACHABLE} == set(Exit)
    said = EPILOG.removeprefix("Exit codes: ").removesuffix(".").split(", ")
    assert said == [f"{code.value} {code.name.lower().replace('_', ' ')}" for code in Exit]


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize(("revision", "code"), [(HEAD, 0), (FIRST, 3), ("missing", 3)])
def test_a_shell_sees_the_same(fresh_url: str, folder: Path, revision: str, code: int) -> None:
    at(fresh_url, revision)
    assert run_installed("check", "--db-url", fresh_url, directory=folder).code == code
