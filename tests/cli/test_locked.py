"""While somebody else upgrades, writers wait and then say who it is; readers do not wait."""

from __future__ import annotations

import time

import pytest

from tests.cli.program import COMMANDS, run
from tests.cli.stores import at, contents, locked, locked_for


@pytest.mark.parametrize(("there", "command"), [("missing", "upgrade"), ("head", "downgrade"), ("head", "stamp")])
def test_a_writer_gives_up_after_the_lock_timeout_and_names_the_holder(
    fresh_url: str, there: str, command: str
) -> None:
    at(fresh_url, there)
    before = contents(fresh_url)
    began = time.monotonic()
    with locked(fresh_url) as holder:
        answer = run(*COMMANDS[command], "--db-url", fresh_url, "--lock-timeout", "1", "--json")
    assert answer.code == 6
    assert 0.9 < time.monotonic() - began < 15
    assert answer.document["error"]["type"] == "UpgradeLocked"
    assert answer.document["error"]["exit_code"] == 6
    for part in (holder, "1 seconds", "Nothing was changed"):
        assert part in answer.complaint
    assert contents(fresh_url) == before


@pytest.mark.parametrize("command", ["check", "current", "history", "upgrade"])
def test_who_has_nothing_to_change_does_not_wait_for_an_upgrade(fresh_url: str, command: str) -> None:
    at(fresh_url, "head")
    began = time.monotonic()
    with locked(fresh_url):
        answer = run(*COMMANDS[command], "--db-url", fresh_url)
    assert (answer.code, answer.err) == (0, "")
    assert time.monotonic() - began < 10


def test_an_upgrade_that_gets_its_turn_in_time_goes_on(fresh_url: str) -> None:
    with locked_for(fresh_url, 0.5):
        answer = run("upgrade", "--db-url", fresh_url, "--lock-timeout", "30")
    assert answer.code == 0
    assert run("check", "--db-url", fresh_url).code == 0


@pytest.mark.parametrize("seconds", ["0", "0.5", "1e12", "inf"])
def test_a_free_lock_is_taken_at_once_whatever_the_timeout(fresh_url: str, seconds: str) -> None:
    assert run("upgrade", "--db-url", fresh_url, "--lock-timeout", seconds).code == 0
