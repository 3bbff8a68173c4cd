"""The benchmark works, and counts what it says it counts. Its timings are nobody's business here.

On SQLite and without the long works here, with TEST_ALL on every database and whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench import others, turns
from bench.clock import Task, Times, interleaved
from bench.places import Place
from bench.raw import Raw
from bench.results import Line, Result
from bench.sizes import Size
from bench.stores import Contract
from bench.under_agno import LeastContract, StraightContract
from tests.package.source import ROOT
from tests.servers import BACKENDS

ALL = bool(os.environ.get("TEST_ALL"))
on_some = pytest.mark.backends(*(BACKENDS if ALL else ("sqlite",)))
TINY = Size(1, 1, 0.0001, 1, 5, 6, 7, 300, 2, 2, 2, 1, 1)


@pytest.fixture
def place(backend: str, fresh_url: str) -> Place:
    return Place(backend, fresh_url)


@on_some
def test_a_turn_is_counted_for_every_system(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a process of the benchmark's own: other tests of this one import agno.
    monkeypatch.setattr("agno_store.bridge.loaded", lambda: False)
    result = turns.own(place, TINY)

    counted = {detail.system: detail.cost for detail in result.details if detail.cost}
    assert {name: cost.statements for name, cost in counted.items() if cost and name.startswith("raw")} == {
        "raw driver": 4,
        "raw driver, at once": 2 if place.backend == "postgresql" else 3,  # MariaDB counts those in a block
    }
    ours: Any = counted["agno_store"]
    assert ours.statements <= 8
    assert all(cost.bytes_written > 1_000 for cost in counted.values() if cost and cost.bytes_written is not None)
    if place.backend != "sqlite":
        assert 500 < ours.bytes_read < 5_000  # the last runs are known
        assert ours.packets == 2
    assert [line.what for line in result.lines if "async" not in line.note] == [
        f"a turn after {runs} runs{words}" for runs in (5, 6) for words in ("", ", without a pause")
    ]


WORKS: list[tuple[Callable[[Place, Size], Result], list[float | None]]] = [
    (turns.growth, [1.2] * 4),
    (others.listing, [1.5, None, 1.2]),
    (turns.threads, [0.8]),
]
LONG_WORKS: list[tuple[Callable[[Place, Size], Result], list[float | None]]] = [
    (others.memory, [50, 50, 50]),
    (others.disk, [1.15]),
    (others.startup, [60]),
]
"""With a process for each line, or a server stopped and weighed."""


@on_some
@pytest.mark.parametrize(("work", "goals"), WORKS + LONG_WORKS if ALL else WORKS)
def test_a_work_has_its_lines(place: Place, work: Callable[[Place, Size], Result], goals: list[float | None]) -> None:
    lines = work(place, TINY).lines

    compressed = [line for line in lines if "compressed" in line.what]
    assert len(compressed) == (work is others.disk and place.backend == "mysql")
    assert all(line.measured for line in compressed)
    assert [line.goal for line in lines if line not in compressed] == goals
    assert work is not turns.threads or lines[-1].note.endswith("; 0 runs lost")


def test_runs_are_compressed_as_the_guide_has_it() -> None:
    statement = others.COMPRESS.format(runs="agent_sessions_runs")
    assert statement in " ".join((ROOT / "docs/howto/tidy.md").read_text().split())


def test_a_ratio_compares_each_round_with_itself() -> None:
    mine, theirs = [[2.0], [20.0], [3.0]], [[1.0], [10.0], [10.0]]  # the third round was disturbed
    assert Times(mine, []).over(Times(theirs, [])) == 2.0


@on_some
def test_agnos_turn_is_measured_beside_its_floors(place: Place) -> None:
    lines = turns.contract(place, TINY).lines

    few, many = turns.CONTRACT[place.backend]
    assert [line.goal for line in lines] == [few, few, many, many]
    for floor in ("raw driver", "the least of a store", "a store in a straight line"):
        assert all(line.measured and f"{floor} under agno: " in line.note for line in lines)


@on_some
@pytest.mark.parametrize("floor", [LeastContract, StraightContract])
def test_a_floor_under_agno_stores_a_run_and_the_state(place: Place, floor: type[LeastContract]) -> None:
    with closing(floor(place)) as least, closing(Contract(place)) as store:
        store.make()
        store.fill(["s0", "s1"], 3)
        for system, session_id in ((store, "s0"), (least, "s1")):
            for number in (3, 4):
                system.turn(session_id, number, system.run(session_id, number))
        ours, its = [store.db.get_session(session_id) for session_id in ("s0", "s1")]

    assert len(its.runs) == len(ours.runs) == 5
    assert its.session_data["session_state"]["turns"] == ours.session_data["session_state"]["turns"] == 5
    assert [run.to_dict() for run in its.runs[3:]] == [store.run("s1", number).to_dict() for number in (3, 4)]


def test_a_pause_is_before_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    def tick() -> float:
        done.append("clock")
        return 0.0

    monkeypatch.setattr("bench.clock.time.sleep", done.append)
    monkeypatch.setattr("bench.clock.time.perf_counter", tick)
    task = Task(lambda _: done.append("act"), lambda _: done.append("ready"))
    interleaved({"a": task}, rounds=0, times=1, pause=0.5)

    assert done == ["ready", 0.5, "clock", "act", "clock"]


def test_tasks_take_turns_and_the_first_round_does_not_count() -> None:
    done: list[tuple[str, int]] = []
    tasks = {name: Task(lambda n, name=name: done.append((name, n))) for name in "ab"}  # type: ignore[misc]
    found = interleaved(tasks, rounds=2, times=2)

    turns_taken = [("b", (0, 1)), ("a", (0, 1)), ("a", (2, 3)), ("b", (2, 3)), ("b", (4, 5)), ("a", (4, 5))]
    assert done == [(name, number) for name, numbers in turns_taken for number in numbers]
    assert [len(times.rounds) for times in found.values()] == [2, 2]


@pytest.mark.parametrize(
    ("goal", "measured", "at_least", "words"),
    [
        (1.2, 1.2, False, ("≤ 1.2 ×", "1.2 ×", "yes")),
        (1.2, 1.21, False, ("≤ 1.2 ×", "1.21 ×", "no")),
        (0.8, 0.9, True, ("≥ 0.8 ×", "0.9 ×", "yes")),
        (0.8, 0.7, True, ("≥ 0.8 ×", "0.7 ×", "no")),
        (50, None, False, ("≤ 50 ×", "not yet", "")),
    ],
)
def test_a_line_tells_whether_its_goal_is_met(
    goal: float, measured: float | None, at_least: bool, words: tuple[str, str, str]
) -> None:
    assert Line("work", "what", "SQLite", goal, measured, at_least=at_least).words() == words


def test_what_sqlite_writes_is_seen_after_a_checkpoint(tmp_path: Path) -> None:
    with closing(Raw(Place("sqlite", f"sqlite:///{tmp_path}/bench.db"))) as raw:
        raw.make()
        raw.fill((f"s{n}" for n in range(100)), 20)  # more than the log holds before it begins anew
        written = turns.cost(raw, 5).bytes_written

    assert written is not None
    assert 4_000 < written < 60_000
