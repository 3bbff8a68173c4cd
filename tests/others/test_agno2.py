"""agno 2, where runs come with their session: the real packages, each process with nothing but the database.

Without TEST_ALL the oldest release runs on SQLite alone."""

from __future__ import annotations

import os

import pytest

from tests.others import V2, run

ANSWERS = {
    "chat": "You are Ada",
    "summary": "They got to know each other.",
    "paid": "paid 5",
    "basket": "['tea', 'milk']",
    "team": "You are Ada",
    "workflow": "run 2",
}
ENDED = ["agent", "COMPLETED", False, 1]
STORED = {
    "basket": [ENDED, ENDED],
    "chat": [ENDED, ENDED],
    "counter": [["workflow", "COMPLETED", False, 1]] * 2,
    "paused": [["agent", "COMPLETED", False, 2]],
    "team": [["agent", "COMPLETED", True, 1], ["team", "COMPLETED", False, 1], ["team", "COMPLETED", False, 1]],
}
"""Of each session the runs: type, status, whether a member's, and how often it was written."""


OLDEST, *NEWER = V2
EVERYWHERE = V2 if os.environ.get("TEST_ALL") else NEWER
"""The releases that are tried on every database."""


@pytest.mark.parametrize("release", EVERYWHERE)
def test_a_new_process_knows_what_an_earlier_one_was_told(release: str, url: str) -> None:
    tell_and_ask(release, url)


@pytest.mark.parametrize("release", EVERYWHERE)
def test_a_store_keeps_its_promises(release: str, url: str) -> None:
    assert len(run(release, "tests.others.programs.keeping2", url)) == 11


@pytest.mark.backends("sqlite")
def test_the_oldest_release_is_served_like_the_newest(url: str) -> None:
    assert len(run(OLDEST, "tests.others.programs.keeping2", url)) == 11
    tell_and_ask(OLDEST, url)


def tell_and_ask(release: str, url: str) -> None:
    told = run(release, "tests.others.programs.agno2", url, "tell")
    asked = run(release, "tests.others.programs.agno2", url, "ask")
    for colour in ("sync", "async"):
        assert told[colour]["answers"] == {"paused": "PAUSED", "workflow": "run 1"}
        assert asked[colour] == {"answers": ANSWERS, "stored": STORED}
