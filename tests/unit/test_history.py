"""What is known of a session's runs, and how much of it, without a database."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from agno_store.history import EVERYTHING, History, Known, Marks
from agno_store.unread import Kept

OF_THREE = Marks(1, 3, 0)


def kept(run_index: int, text: str = "{}", version: int = 1) -> Kept:
    return Kept({"run_index": run_index, "version": version, "updated_at": 1, "run_data": text})


def known(*places: int, marks: Marks = OF_THREE, text: str = "{}") -> Known:
    return Known(marks).grown(marks, [kept(place, text) for place in places], None)


def places(of: Known) -> list[int]:
    return [run.run_index for run in of.runs]


MARKS = Marks(1, 3, 100)


@pytest.mark.parametrize(
    ("after", "added", "changed"),
    [
        (MARKS, False, False),
        (Marks(1, 4, 100), True, False),
        (Marks(1, 2, 100), False, False),
        (Marks(1, 4, 101), False, True),
        (Marks(1, 3, 101), False, True),
        (Marks(1, 3, 99), False, False),
        (Marks(1, 3, 100 + EVERYTHING), False, False),
        (Marks(2, 4, 100), False, False),
        (Marks(2, 3, 101), False, False),
    ],
)
def test_marks_tell_what_was_done(after: Marks, added: bool, changed: bool) -> None:
    assert (MARKS.come_before(after), MARKS.have_changed_to(after)) == (added, changed)


def test_runs_that_were_added_between_the_row_and_the_runs_are_read_again() -> None:
    read = known(0, 1, 2, 3, 4, marks=Marks(1, 3, 0))
    told = read.as_told()
    assert places(told) == [0, 1, 2]
    assert [run.run_index for run in told.unread] == [0, 1, 2]
    assert told.size == known(0, 1, 2).size
    assert known(0, 1, 2).as_told().size == told.size


def test_runs_are_believed_up_to_the_first_that_is_another_one() -> None:
    read = known(0, 1, 2)
    same = [(0, 1, 1), (1, 1, 1), (2, 1, 1)]
    for there, believed, first in (
        (same, [0, 1, 2], None),
        ([*same, (3, 1, 1)], [0, 1, 2], 3),
        ([(0, 1, 1), (1, 2, 1), (2, 1, 1)], [0], 1),
        ([(0, 1, 1), (1, 1, 2), (2, 1, 1)], [0], 1),
        ([(0, 1, 1), (2, 1, 1)], [0, 2], None),
        ([(7, 1, 1)], [], 7),
        ([], [], None),
    ):
        found, place = read.among(there)
        assert (places(found), place) == (believed, first)


def test_the_last_runs_alone_are_kept_where_no_more_are_wanted() -> None:
    read = known(0, 1, 2).grown(Marks(1, 5, 0), [kept(3), kept(4)], 3)
    assert places(read) == [2, 3, 4]
    assert [run.run_index for run in read.unread] == [2, 3, 4]
    assert read.size == known(2, 3, 4).size


def test_what_was_asked_for_the_longest_ago_is_forgotten() -> None:
    text = "x" * 100_000
    history = History(0.35)
    for name in ("a", "b", "c"):
        history.keep((name, "agent"), known(0, text=text))
    assert history.known(("a", "agent")) is not None
    history.keep(("d", "agent"), known(0, text=text))
    there = {name for name in "abcd" if history.known((name, "agent")) is not None}
    assert there == {"a", "c", "d"}
    assert history.size <= history.most
    history.keep(("a", "agent"), known(0, 1, 2, 3, text=text))
    assert history.known(("a", "agent")) is None
    assert history.size == 2 * known(0, text=text).size


def test_a_run_of_its_own_is_known_only_behind_all_others() -> None:
    history, key = History(1), ("s", "agent")
    history.keep(key, known(0, 1, 2))
    row: dict[str, Any] = {"session_id": "s", "run_data": "{}", "version": 1, "updated_at": 1}
    history.add({**row, "run_index": 5}, None)
    history.add({**row, "run_index": 2}, None)
    found = history.known(key)
    assert found is not None
    assert (places(found), found.marks) == ([0, 1, 2], Marks(1, 3, 0))
    history.add({**row, "run_index": 3}, None)
    found = history.known(key)
    assert found is not None
    assert (places(found), found.marks) == ([0, 1, 2, 3], Marks(1, 4, 0))


def test_a_forked_child_waits_for_no_thread_of_its_parents() -> None:
    history = History(1)
    history.keep(("s", "agent"), known(0))
    with history._lock:  # as another thread has it
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(0 if history.known(("s", "agent")) is None else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert history.known(("s", "agent")) is not None
