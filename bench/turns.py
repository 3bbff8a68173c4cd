"""The works that are turns: through our own API, through agno's contract, in a long session, in many threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from statistics import median
from typing import Any

from bench.clock import Task, Times, interleaved
from bench.floors import Objects, RawAsync
from bench.gauges import Cost, counted
from bench.least import Least, LeastAsync, Straight, StraightAsync
from bench.payloads import run
from bench.places import Place
from bench.raw import Raw, RawAtOnce
from bench.results import Detail, Line, Result
from bench.sizes import Size
from bench.stores import AgnosOwn, AsyncStore, Contract, Store
from bench.under_agno import LeastContract, StraightContract

BEHIND = "zzz"
"""What the sessions begin with that come behind all others: at the end of a table a run is stored for less."""

COUNTED = 20
"""Turns of which the average cost is taken."""

FLOORS: tuple[type[Least], ...] = (Least, Straight)
FLOORS_ASYNC: tuple[type[LeastAsync], ...] = (LeastAsync, StraightAsync)
"""What stands beside a turn through our own API."""
FLOORS_AGNO: tuple[type[Any], ...] = (Objects, LeastContract, StraightContract)
"""What stands beside one through agno's contract."""

OWN = {"sqlite": 1.5, "postgresql": 1.2, "mysql": 1.2}
CONTRACT = {"sqlite": (2.5, 8.0), "postgresql": (3.5, 25.0), "mysql": (3.2, 100.0)}


class Visits:
    """Sessions that have so many runs; each is visited a few times in a row, the first time unmeasured."""

    def __init__(self, system: Any, prefix: str, runs: int, turns: int, visits: int) -> None:
        self.system, self.runs, self.visits = system, runs, visits
        self.ids = [f"{prefix}-{number}" for number in range(-(-turns // visits))]
        self._next: tuple[str, int, Any]

    def ready(self, n: int) -> None:
        visit = n % self.visits
        if visit == 0:
            self.system.turn(*self._prepared(n, self.runs))
        self._next = self._prepared(n, self.runs + 1 + visit)

    def act(self, _: int) -> None:
        self.system.turn(*self._next)

    def _prepared(self, n: int, number: int) -> tuple[str, int, Any]:
        session_id = self.ids[n // self.visits]
        return session_id, number, self.system.run(session_id, number)


def timed(systems: Mapping[str, Any], fill: Mapping[str, Any], runs: int, size: Size, pause: float) -> dict[str, Times]:
    """Time the turns of each system, on sessions that were filled by the one of the same name in ``fill``."""
    turns = (size.rounds + 1) * size.times
    visits = size.visits if runs == size.short else 10**9
    tasks = {}
    for number, (name, system) in enumerate(systems.items()):
        sessions = Visits(system, f"s{number}-{runs}-{pause}", runs, turns, visits)
        fill[name].fill(sessions.ids, runs)
        tasks[name] = Task(sessions.act, sessions.ready)
    for number, system in enumerate({id(system): system for system in fill.values()}.values()):
        system.fill([f"{BEHIND}-{number}-{runs}-{pause}"], size.short)
    next(iter(fill.values())).place.analyze()
    return interleaved(tasks, rounds=size.rounds, times=size.times, pause=pause)


def paces(size: Size) -> list[tuple[int, float, str]]:
    """How many runs a session has, the pause before each turn, and both in words."""
    return [
        (runs, pause, f"after {runs:,} runs{words}")
        for runs in (size.short, size.long)
        for pause, words in ((size.pause, ""), (0.0, ", without a pause"))
    ]


def cost(system: Any, runs: int) -> Cost:
    """Count what one turn costs in a session that has so many runs; the last thing that is done with a system."""
    system.watch()
    session_id = f"counted-{type(system).__name__}-{runs}"
    system.fill([session_id], runs)

    def turn(n: int) -> None:
        system.turn(session_id, runs + n, system.run(session_id, runs + n))

    return counted(system.place, system.sent, turn, range(COUNTED + 1))


@contextmanager
def opened(cls: Callable[[Place], Any], place: Place) -> Iterator[Any]:
    with closing(cls(place)) as system:
        yield system


def own(place: Place, size: Size) -> Result:
    """A turn through our own API, against the driver."""
    result = Result()
    with ExitStack() as stack:
        kinds: list[Any] = [Raw, RawAtOnce, Store]
        systems = {cls.name: stack.enter_context(opened(cls, place)) for cls in kinds}
        raw, store = systems[Raw.name], systems[Store.name]
        raw.make()
        store.make()
        beside: dict[Any, Any] = {RawAsync: raw, **dict.fromkeys((*FLOORS, AsyncStore, *FLOORS_ASYNC), store)}
        fill = {**systems, **{cls.name: filler for cls, filler in beside.items()}}
        for cls in beside:
            systems[cls.name] = stack.enter_context(opened(cls, place))
        for runs, pause, words in paces(size):
            found = timed(systems, fill, runs, size, pause)
            what, goal = f"a turn {words}", OWN[place.backend]
            for ours, floors, theirs in ((Store, FLOORS, Raw), (AsyncStore, FLOORS_ASYNC, RawAsync)):
                raws, measured = found[theirs.name], found[ours.name].over(found[theirs.name])
                note = "".join(f"; {cls.name}: {found[cls.name].over(raws):.3g} ×" for cls in floors)
                note = f"{ours.name}, over the {theirs.name}{note}"
                result.lines.append(Line("turn", what, place.title, goal, measured, note=note))
            result.details += [Detail("turn", what, place.title, name, times) for name, times in found.items()]
        for cls in kinds:
            spent = cost(systems[cls.name], size.short)
            result.details.append(Detail("turn", f"cost after {size.short} runs", place.title, cls.name, cost=spent))
    return result


def contract(place: Place, size: Size) -> Result:
    """A turn as agno takes it, against agno's own store."""
    result = Result()
    kinds: list[Any] = [Contract, AgnosOwn, *FLOORS_AGNO]
    goals = dict(zip((size.short, size.long), CONTRACT[place.backend], strict=True))
    with ExitStack() as stack:
        systems = {cls.name: stack.enter_context(opened(cls, place)) for cls in kinds}
        for system in systems.values():
            system.make()
        for runs, pause, words in paces(size):
            found = timed(systems, systems, runs, size, pause)
            what, theirs = f"agno's turn {words}", found[AgnosOwn.name]
            note = "times as fast as agno's own store"
            if runs not in (10, 1_000):
                note += "; the goal is for 1,000 runs"
            faster = theirs.over(found[Contract.name])
            note += "".join(f"; {cls.name}: {theirs.over(found[cls.name]):.3g} ×" for cls in FLOORS_AGNO)
            result.lines.append(Line("contract", what, place.title, goals[runs], faster, at_least=True, note=note))
            result.details += [Detail("contract", what, place.title, name, times) for name, times in found.items()]
        for name in (Contract.name, AgnosOwn.name):
            spent, what = cost(systems[name], size.long), f"cost after {size.long:,} runs"
            result.details.append(Detail("contract", what, place.title, name, cost=spent))
    return result


def growth(place: Place, size: Size) -> Result:
    """A turn in a very long session, against one at its beginning, when the window of 5 runs is just full."""
    return _growth(place, size, Store, "own API")


def contract_growth(place: Place, size: Size) -> Result:
    """The same as agno takes it."""
    return _growth(place, size, Contract, "agno's contract")


def _growth(place: Place, size: Size, cls: Any, how: str) -> Result:
    result, few = Result(), 5
    with opened(cls, place) as system:
        system.make()
        tasks, turns = {}, (size.rounds + 1) * size.times
        system.fill([BEHIND], few)
        for runs in (few, size.longest):
            visits = size.visits if runs == few else 10**9
            sessions = Visits(system, f"grown-{runs}", runs, turns, visits)
            system.fill(sessions.ids, runs)
            tasks[str(runs)] = Task(sessions.act, sessions.ready)
        found = interleaved(tasks, rounds=size.rounds, times=size.times, pause=size.pause)
        early, late = cost(system, few), cost(system, size.longest)
    what = f"{how}: a turn after {size.longest:,} runs, over one after {few}"
    ratios: dict[str, float | None] = {"time": found[str(size.longest)].over(found[str(few)])}
    for name in ("statements", "bytes_read", "bytes_written"):
        before, after = getattr(early, name), getattr(late, name)
        ratios[name.replace("_", " ")] = after / before if before and after is not None else None
    for name, measured in ratios.items():
        note = "" if measured is not None else "cannot be counted here"
        result.lines.append(Line("growth", f"{what}: {name}", place.title, 1.2, measured, note=note))
    for runs, spent in ((few, early), (size.longest, late)):
        result.details.append(Detail("growth", f"{how}, {runs:,} runs", place.title, cls.name, found[str(runs)], spent))
    return result


def threads(place: Place, size: Size) -> Result:
    """Turns of 16 threads on sessions of their own, against as many connections of the driver."""
    kinds: list[Any] = [Raw, Store, *FLOORS]
    rates: dict[str, list[tuple[float, float]]] = {cls.name: [] for cls in kinds}
    lost = 0
    with ExitStack() as whole:
        systems = {cls: whole.enter_context(opened(cls, place)) for cls in kinds}
        raw, store = systems[Raw], systems[Store]
        for system in (raw, store):
            system.make()
            system.fill([BEHIND], size.short)
        hands = {cls: [systems[cls]] * size.threads for cls in kinds}
        hands[Raw] = [whole.enter_context(opened(Raw, place)) for _ in range(size.threads)]
        for number in range(2 * size.rounds + 1):  # in an order that moves on
            first = number % len(kinds)
            for cls in kinds[first:] + kinds[:first]:
                ids = [f"{cls.__name__}-{number}-{thread}" for thread in range(size.threads)]
                (raw if cls is Raw else store).fill(ids, 0)
                rates[cls.name].append(_rate([hand.turn for hand in hands[cls]], ids, size.turns))
                if cls is not Raw:
                    lost += sum(size.turns - len(store.db.get_session(one).runs) for one in ids)
    over: dict[Any, float] = {cls: _times(rates[cls.name], rates[Raw.name]) for cls in kinds[1:]}
    what = f"{size.threads} threads, {size.turns} turns each"
    note = "; ".join(f"{cls.name}: {over[cls]:.3g} ×" for cls in FLOORS)
    note = f"throughput over the raw driver's; {note}; {lost} runs lost"
    line = Line("threads", what, place.title, 0.8, over[Store], at_least=True, note=note)
    details = [
        Detail("threads", what, place.title, name, more={"turns_per_second": median(rate), "cpu_ms": median(cpu)})
        for name, found in rates.items()
        for rate, cpu in [zip(*found[1:], strict=True)]
    ]
    return Result([line], details)


def _times(ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> float:
    """Return how many times the throughput: the median of the rounds, each compared with itself, but for the first."""
    return median(mine / other for (mine, _), (other, _) in zip(ours[1:], theirs[1:], strict=True))


def _rate(turns: list[Callable[[str, int, Any], None]], ids: list[str], count: int) -> tuple[float, float]:
    """Return turns per second, and milliseconds of the processor per turn; raises what a thread raised."""
    prepared = {session_id: [run(session_id, number) for number in range(count)] for session_id in ids}

    def work(turn: Callable[[str, int, Any], None], session_id: str) -> None:
        for number, done in enumerate(prepared[session_id]):
            turn(session_id, number, done)

    start, worked = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(ids)) as pool:
        list(pool.map(work, turns, ids))
    turns_done = len(ids) * count
    return turns_done / (time.perf_counter() - start), (time.process_time() - worked) / turns_done * 1000
