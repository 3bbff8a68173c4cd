"""The lock of threads and tasks, and the second line of work: who waits, in which order, and who is let go."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.util import await_only, greenlet_spawn

from agno_store.dialects.waiting import Flag, Line, Lock, beside, caller, in_task, pause, unhurried, whole
from tests.forking import in_child


def in_loop(*work: Callable[[], Any]) -> list[Any]:
    """Run functions as tasks of one event loop, in the order given."""

    async def main() -> list[Any]:
        return await asyncio.wait_for(asyncio.gather(*(greenlet_spawn(each) for each in work)), 30)

    return asyncio.run(main())


def test_tasks_take_a_lock_one_after_the_other_in_the_order_they_come() -> None:
    lock, inside, order = Lock(), [], []

    def work(n: int) -> None:
        with lock, lock:  # its holder as often as it likes
            inside.append(n)
            pause(0.01)
            assert inside == [n]
            inside.remove(n)
            order.append(n)

    in_loop(*(lambda n=n: work(n) for n in range(10)))
    assert order == list(range(10))


def test_threads_and_tasks_of_several_loops_keep_each_other_out() -> None:
    lock, inside = Lock(), []
    most = 0

    def work() -> None:
        nonlocal most
        for _ in range(20):
            with lock:
                inside.append(caller())
                most = max(most, len(inside))
                pause(0.0001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    threads += [threading.Thread(target=lambda: in_loop(*[work] * 5)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 1


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_task_that_is_cancelled_while_it_waits_lets_the_next_one_in(handed_over: bool) -> None:
    lock, entered = Lock(), []

    def work(n: int) -> None:
        with lock:
            entered.append(n)

    async def main() -> None:
        with lock:
            tasks = [asyncio.create_task(greenlet_spawn(work, n)) for n in range(3)]
            await asyncio.sleep(0.01)
            if not handed_over:
                tasks[0].cancel()
                await asyncio.sleep(0.01)
        tasks[0].cancel()  # the lock is its own already, and it has not run since
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert [type(result) for result in results] == [asyncio.CancelledError, type(None), type(None)]

    asyncio.run(main())
    assert entered == [1, 2]


@pytest.mark.parametrize("where", [lambda work: work(), lambda work: in_loop(work)])
def test_who_has_no_patience_left_leaves_the_line_and_the_next_one_comes(where: Callable[..., Any]) -> None:
    line = Line()
    assert line.take("first")

    def impatient() -> None:
        began = time.monotonic()
        assert not line.take("impatient", 0.1)
        assert 0.09 < time.monotonic() - began < 5

    where(impatient)
    next_one = threading.Thread(target=line.take, args=("next", 10))
    next_one.start()
    time.sleep(0.05)
    line.leave("first")
    next_one.join(5)
    assert not next_one.is_alive()
    assert not line.take("first", 0.01)
    line.leave("next")
    assert line.take("first", 0)


def test_who_leaves_a_place_that_is_not_his_changes_nothing() -> None:
    line = Line()
    line.leave("nobody")
    assert line.take("one")
    line.leave("another")
    assert not line.take("two", 0)
    line.leave("one")
    line.leave("one")
    assert line.take("two", 0)


def test_a_task_whose_event_loop_is_gone_is_passed_over() -> None:
    line = Line()
    assert line.take("first")
    loop = asyncio.new_event_loop()

    async def stand() -> None:
        task = asyncio.create_task(greenlet_spawn(line.take, "gone"))
        await asyncio.sleep(0.01)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # nobody awaits it

    loop.run_until_complete(stand())
    loop.close()
    behind = threading.Thread(target=line.take, args=("behind",))
    behind.start()
    while len(line._queue) < 2:
        time.sleep(0.001)
    line.leave("first")
    behind.join(5)
    assert not behind.is_alive()


def test_who_is_given_the_place_in_the_moment_his_patience_ends_has_it() -> None:
    line, had = Line(), []
    assert line.take("first")
    late = threading.Thread(target=lambda: had.append(line.take("late", 0.05)))
    late.start()
    while not line._queue:
        time.sleep(0.001)
    with line._guard:
        time.sleep(0.2)  # its time is over, and it is not known to have given up
        line.leave("first")
    late.join(5)
    assert had == [True]
    assert line.holder == "late"


def test_the_line_can_be_left_in_the_middle_of_what_is_done_to_it() -> None:
    line, had = Line(), []

    class Interrupted(deque[Any]):
        def append(self, item: Any) -> None:
            super().append(item)
            line.leave("first")  # as a signal's handler does, and the end of garbage

    assert line.take("first")
    line._queue = Interrupted()
    thread = threading.Thread(target=lambda: had.append(line.take("next", 5)), daemon=True)
    thread.start()
    thread.join(5)
    assert had == [True]


def test_a_task_gives_way_while_it_pauses_and_a_thread_sleeps() -> None:
    assert not in_task()
    began = time.monotonic()
    in_loop(*[lambda: pause(0.3)] * 10)
    assert time.monotonic() - began < 1.5
    pause(0.01)
    assert caller() == threading.get_ident()
    assert len(set(in_loop(caller, caller))) == 2


def test_work_beside_ends_when_its_flag_says_so_in_a_thread_and_in_a_task() -> None:
    def work() -> tuple[int, bool]:
        flag, turns, mine = Flag(), [], threading.get_ident()
        where: list[int] = []

        def touch() -> None:
            where.append(threading.get_ident())
            while not flag.wait(0.02):
                turns.append(1)

        ended = beside(touch, "test")
        pause(0.2)
        flag.set()
        ended()
        return len(turns), where == [mine]

    turns, same_thread = work()
    assert turns >= 2
    assert not same_thread
    [(turns, same_thread)] = in_loop(work)
    assert turns >= 2
    assert same_thread


@pytest.mark.parametrize("stops", [False, True])
def test_an_unhurried_task_stops_where_it_pauses_and_nowhere_else(stops: bool) -> None:
    reached: list[str] = []

    def work() -> str:
        await_only(asyncio.sleep(0.05))  # as for a statement
        reached.append("statement")
        if stops:
            pause(0)
        reached.append("end")
        return "done"

    async def main() -> None:
        for start in (lambda: unhurried(work), lambda: greenlet_spawn(whole, work)):
            reached.clear()
            task = asyncio.create_task(start())
            await asyncio.sleep(0.01)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert reached == (["statement"] if stops else ["statement", "end"])
        assert await unhurried(lambda: whole(work)) == "done"

    asyncio.run(main())
    assert whole(lambda: "in a thread") == "in a thread"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_child_waits_for_no_thread_of_its_parent_but_keeps_what_it_has_itself() -> None:
    others, own = Lock(), Lock()
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with others:
            held.set()
            free.wait(30)

    def wait() -> None:
        with own:
            pass

    def child() -> None:
        own.__exit__(None)
        for lock in (others, own):
            with lock, lock:
                assert lock._depth == 2

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    with own:
        for thread in threads:
            thread.start()
        assert held.wait(10)
        while not own._line._queue:
            time.sleep(0.01)
        status = in_child(child, 5)
    free.set()
    for thread in threads:
        thread.join()
    assert status() == 0
