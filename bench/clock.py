"""How time is taken: systems take turns in rounds, so that what else the machine does meets all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """Something to be timed: ``act(n)`` for its nth time, after ``ready(n)``, whose time does not count."""

    act: Callable[[int], object]
    ready: Callable[[int], object] = lambda _: None


@dataclass(frozen=True)
class Times:
    """Seconds, by round, and those of them in which this process worked and did not wait."""

    rounds: list[list[float]]
    cpu: list[float]

    @property
    def all(self) -> list[float]:
        return sorted(second for seconds in self.rounds for second in seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    @property
    def p95(self) -> float:
        return self.all[min(len(self.all) - 1, round(0.95 * len(self.all)))]

    def over(self, other: Times) -> float:
        """Return how many times as long as ``other``: the median of the rounds, each compared with itself."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return statistics.median(statistics.median(mine) / statistics.median(theirs) for mine, theirs in pairs)

    def to_dict(self) -> dict[str, Any]:
        found = {"median_ms": self.median, "p95_ms": self.p95, "cpu_ms": statistics.median(self.cpu)}
        return {**{name: seconds * 1000 for name, seconds in found.items()}, "samples": len(self.cpu)}


def interleaved(tasks: Mapping[str, Task], *, rounds: int, times: int, pause: float = 0.0) -> dict[str, Times]:
    """Do each task ``times`` times in each of the rounds, in an order that moves on from round to round.

    Before each time nothing happens for ``pause`` seconds.
    """
    names, done = list(tasks), dict.fromkeys(tasks, 0)
    found = {name: Times([], []) for name in names}
    for number in range(-1, rounds):  # the first one is for caches, and does not count
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds, cpu = _round(tasks[name], range(done[name], done[name] + times), pause)
            done[name] += times
            if number >= 0:
                found[name].rounds.append(seconds)
                found[name].cpu.extend(cpu)
    return found


def _round(task: Task, numbers: range, pause: float) -> tuple[list[float], list[float]]:
    gc.collect()
    seconds, cpu = [], []
    for number in numbers:
        task.ready(number)
        if pause:
            time.sleep(pause)
        start, worked = time.perf_counter(), time.process_time()
        task.act(number)
        cpu.append(time.process_time() - worked)
        seconds.append(time.perf_counter() - start)
    return seconds, cpu
