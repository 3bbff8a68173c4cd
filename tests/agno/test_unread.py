"""A run that was not looked at yet is, to whoever looks, the object that agno would have made of it."""

from __future__ import annotations

import copy
import dataclasses
import json
import operator
import os
import pickle
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.run.workflow import WorkflowRunOutput
from pydantic import BaseModel

from agno_store import encoding
from agno_store import unread as unread_runs
from agno_store.unread import _KEPT, Kept, Runs, _fields

MESSAGES = [{"id": role, "role": role, "content": "hello", "created_at": 1} for role in ("user", "assistant")]
PAYLOADS: dict[type, dict[str, Any]] = {
    RunOutput: {"agent_id": "helper", "messages": MESSAGES, "session_state": {"n": 1}},
    TeamRunOutput: {"team_id": "team", "member_responses": [{"run_id": "m", "agent_id": "a", "created_at": 1}]},
    WorkflowRunOutput: {"workflow_id": "flow", "step_results": [], "metadata": {"a": 1}},
}


def payload(cls: type, number: int) -> dict[str, Any]:
    given = {"run_id": f"r{number}", "session_id": "s", "content": f"text {number}", "status": "COMPLETED"}
    return {**given, "created_at": number, **PAYLOADS[cls]}


def plain(cls: Any, number: int = 0) -> Any:
    """What agno makes of a stored run."""
    return cls.from_dict(encoding.decode(encoding.encode(payload(cls, number), "run_data")))


def kept(cls: type, number: int = 0) -> Kept:
    text = encoding.encode(payload(cls, number), "run_data")
    found = Kept({"run_index": number, "version": 1, "updated_at": 1, "run_data": text})
    found.read_as(plain(cls, number))
    assert (found.row, found.is_passed_over) == (None, False)
    return found


def runs_of(cls: type, number: int = 0, *, is_copied: bool = False) -> Runs:
    """A list of one run, which is decoded or copied when it is looked at."""
    only = kept(cls, number)
    if is_copied:
        only.prepare(plain(cls, number))
        assert only.copied is not None
    return Runs([only])


def unread(cls: type, number: int = 0, *, is_copied: bool = False) -> Any:
    [found] = runs_of(cls, number, is_copied=is_copied)[:]
    assert type(found) is not cls
    return found


CLASSES = pytest.mark.parametrize("cls", PAYLOADS)
EITHER_WAY = pytest.mark.parametrize("is_copied", [False, True], ids=["decoded", "copied"])

LOOKS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda run: run,
    "a comparison from its side": lambda run: run == plain(run.__class__),
    "a comparison from the other side": lambda run: plain(run.__class__) == run,
    "an inequality": lambda run: run != plain(run.__class__),
    "to_dict": lambda run: run.to_dict(),
    "to_json": lambda run: run.to_json() if hasattr(run, "to_json") else None,
    "asdict": dataclasses.asdict,
    "replace": lambda run: dataclasses.replace(run, content="other"),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda run: pickle.loads(pickle.dumps(run)),
    "pickle of old": lambda run: pickle.loads(pickle.dumps(run, 0)),
    "repr": repr,
    "str": str,
    "vars": lambda run: dict(vars(run)),
    "dir": dir,
    "its class": lambda run: run.__class__,
    "isinstance": lambda run: (isinstance(run, run.__class__), isinstance(run, dict)),
    "every field": lambda run: {field.name: getattr(run, field.name) for field in dataclasses.fields(run)},
    "a property": lambda run: (getattr(run, "is_paused", None), run.is_cancelled),
    "what is not there": lambda run: [hasattr(run, name) for name in ("nothing", "agent_id", "team_id", "__hash__")],
    "whether it can be hashed": lambda run: run.__hash__,
}


@CLASSES
@EITHER_WAY
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_run_looks_as_agno_would_have_made_it(cls: type, is_copied: bool, look: Callable[[Any], Any]) -> None:
    seen, expected = look(unread(cls, is_copied=is_copied)), look(plain(cls))

    assert seen == expected
    assert seen.__class__ is expected.__class__


@CLASSES
def test_two_unread_runs_are_compared(cls: type) -> None:
    assert unread(cls, 1) == unread(cls, 1)
    assert unread(cls, 1) != unread(cls, 2)


@CLASSES
@EITHER_WAY
def test_a_run_is_of_agnos_own_class_once_it_is_read(cls: type, is_copied: bool) -> None:
    run = unread(cls, is_copied=is_copied)
    assert (run.run_id, run.status, type(run) is cls) == ("r0", RunStatus.completed, False)
    assert run.content == "text 0"
    assert type(run) is cls
    assert vars(run) == vars(plain(cls))


@CLASSES
@EITHER_WAY
def test_a_change_of_an_unread_run_lasts(cls: type, is_copied: bool) -> None:
    changed, expected = unread(cls, is_copied=is_copied), plain(cls)
    for run in (changed, expected):
        run.status = RunStatus.cancelled
        run.metadata = {"b": 2}
        run.something_else = 1
    assert changed == expected
    assert vars(changed) == vars(expected)

    other = unread(cls)
    del other.content
    assert "content" not in vars(other)
    assert type(other) is cls


@EITHER_WAY
def test_threads_that_read_one_run_at_once_get_one_run(is_copied: bool) -> None:
    for number in range(50):
        runs = runs_of(RunOutput, number, is_copied=is_copied)
        ready, found = threading.Barrier(4), []

        def look(runs: Runs = runs, ready: threading.Barrier = ready, found: list[Any] = found) -> None:
            ready.wait()
            run = runs[0]
            run.messages.append("mine")
            found.append(run)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {id(run) for run in found} == {id(runs[0])}
        assert len(runs[0].messages) == 6


@CLASSES
@EITHER_WAY
def test_what_reads_in_c_gets_the_runs_of_a_copy_of_the_list(cls: type, is_copied: bool) -> None:
    expected = json.loads(orjson.dumps(plain(cls), default=str))
    runs = list(runs_of(cls, is_copied=is_copied))
    assert is_unread(runs[0])
    assert json.loads(orjson.dumps(runs, default=str)) == [expected]

    class Answer(BaseModel):
        runs: list[Any]

    runs = list(runs_of(cls, is_copied=is_copied))
    assert Answer(runs=runs).runs == [plain(cls)]
    assert json.loads(Answer(runs=runs).model_dump_json()) == json.loads(Answer(runs=[plain(cls)]).model_dump_json())


# -- what asks for no more of a run than is known -----------------------------------------------------

LONELY = {**payload(TeamRunOutput, 0), "member_responses": []}


def of_nobody(cls: Any = TeamRunOutput) -> Any:
    """An unread run of a team without answers of its members."""
    text = encoding.encode(LONELY, "run_data")
    found = Kept({"run_index": 0, "version": 1, "updated_at": 1, "run_data": text})
    found.read_as(cls.from_dict(encoding.decode(text)))
    return Runs([found])[0]


def is_unread(run: Any) -> bool:
    return type(run) is not run.__class__


@CLASSES
@EITHER_WAY
def test_a_copy_is_read_with_what_it_was_copied_from_as_one(cls: type, is_copied: bool) -> None:
    for first in (0, 1, 2):
        runs = [unread(cls, is_copied=is_copied)]
        runs += [copy.copy(runs[0]), copy.copy(runs[0])]
        assert all(map(is_unread, runs))
        assert vars(runs[first]) == vars(plain(cls))
        assert not is_unread(runs[first])
        for name in ("messages", "metadata", "step_results", "member_responses"):
            assert len({id(getattr(run, name, None)) for run in runs}) == 1
        assert len({id(vars(run)) for run in runs}) == len(runs)
        assert [type(run) for run in runs] == [cls] * 3


@CLASSES
def test_what_is_set_is_that_objects_alone_and_lasts(cls: type) -> None:
    run = unread(cls)
    run.content = "mine"
    other = copy.copy(run)
    other.content, other.metadata = "the copy's", {"copied": True}
    run.status = RunStatus.cancelled
    assert is_unread(run)
    assert is_unread(other)
    assert (run.content, other.content) == ("mine", "the copy's")

    for each, made in ((run, plain(cls)), (other, plain(cls))):
        made.content = each.content
        made.status = each.status
        made.metadata = each.metadata if each is run else {"copied": True}
        assert vars(each) == vars(made)
        assert not is_unread(each)
    assert (run.status, other.status) == (RunStatus.cancelled, RunStatus.completed)


def test_a_list_that_is_known_to_be_empty_is_that_objects_own() -> None:
    run, other = of_nobody(), of_nobody()
    assert run.member_responses == []
    run.member_responses.append("more")
    assert is_unread(run)
    copied = copy.copy(run)
    assert copied.member_responses is run.member_responses
    assert vars(run)["member_responses"] == copied.member_responses == ["more"]

    again = copy.copy(other)
    other.member_responses.append("later")  # of a list that both hold, as those of any copy
    assert again.member_responses == ["later"]
    assert vars(again)["member_responses"] is vars(other)["member_responses"]


def test_a_list_that_is_not_empty_is_read() -> None:
    run = unread(TeamRunOutput)
    assert [each.run_id for each in run.member_responses] == ["m"]
    assert not is_unread(run)


def test_a_class_with_ideas_of_its_own_is_asked() -> None:
    @dataclasses.dataclass
    class Upper(TeamRunOutput):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value.upper() if name == "content" else value)

        def __copy__(self) -> Any:
            return "a copy"

    run = of_nobody(Upper)
    run.content = "text"
    assert run.content == "TEXT"
    assert copy.copy(of_nobody(Upper)) == "a copy"


@pytest.mark.parametrize("is_read_first", [True, False])
def test_a_copy_that_is_made_as_another_thread_reads_is_read_as_one_with_it(
    monkeypatch: pytest.MonkeyPatch, is_read_first: bool
) -> None:
    run, copies, decode = unread(RunOutput), list[Any](), encoding.decode

    def copied_meanwhile(text: str) -> Any:
        if not copies:
            copies.append(copy.copy(run))
            if is_read_first:
                assert copies[0].messages
        return decode(text)

    with monkeypatch.context() as patch:
        patch.setattr("agno_store.unread.encoding.decode", copied_meanwhile)
        messages = run.messages
    assert is_unread(copies[0]) != is_read_first
    assert copies[0].messages is messages
    assert vars(copies[0]) == vars(run) == vars(plain(RunOutput))


@pytest.mark.parametrize("act", ["set", "look", "copy", "read"])
def test_what_is_done_as_another_thread_is_about_to_have_read_it_is_there(act: str) -> None:
    run = of_nobody()
    own = type(run)._agno_store_dict.__get__(run)
    fields = _fields(own[_KEPT], own)  # as far as that thread has come
    if act == "set":
        run.content = "set"
        assert fields["content"] == "set"
    elif act == "look":
        assert run.member_responses is fields["member_responses"]
    elif act == "copy":
        fields["content"] = "that thread's"
        copied = copy.copy(run)
        assert copied.content == "that thread's"
        assert vars(copied) is not fields
    else:
        assert _fields(own[_KEPT], own) is fields
    assert vars(run) is fields


def test_what_one_thread_sets_as_another_one_reads_is_there() -> None:
    for _ in range(300):
        run = of_nobody()
        ready = threading.Barrier(3)

        def act(work: Callable[[], Any], ready: threading.Barrier = ready) -> threading.Thread:
            thread = threading.Thread(target=lambda: (ready.wait(), work()))
            thread.start()
            return thread

        threads = [
            act(lambda run=run: run.metadata),
            act(lambda run=run: setattr(run, "content", "set")),
            act(lambda run=run: run.member_responses.append("more")),
        ]
        for thread in threads:
            thread.join()
        assert (run.content, run.member_responses) == ("set", ["more"])
        assert type(run) is TeamRunOutput


# -- the list -----------------------------------------------------------------------------------------


def test_a_run_that_holds_more_than_its_class_says_is_not_kept_as_text() -> None:
    run, found = plain(RunOutput), Kept({"run_index": 0, "version": 1, "updated_at": 1, "run_data": "{}"})
    run.something_else = 1
    found.read_as(run)
    assert found.row is not None


# -- the list ------------------------------------------------------------------------------------------

COUNT = 7


def lists() -> tuple[Runs, list[Any]]:
    kinds = [(RunOutput, TeamRunOutput)[n % 2] for n in range(COUNT)]
    return Runs([kept(cls, n) for n, cls in enumerate(kinds)]), [plain(cls, n) for n, cls in enumerate(kinds)]


NEW = RunOutput(run_id="new", created_at=1)

ACTS: dict[str, Callable[[Any], Any]] = {
    "len": len,
    "bool": bool,
    "iter": lambda runs: list(iter(runs)),
    "reversed": lambda runs: list(reversed(runs)),
    "list": list,
    "tuple": tuple,
    "sorted": lambda runs: sorted(runs, key=lambda run: -run.created_at),
    "an index": lambda runs: runs[2],
    "an index from the end": lambda runs: runs[-1],
    "no index": lambda runs: [_raised(lambda n=n: runs[n]) for n in (COUNT, -COUNT - 1, "0")],
    "a slice": lambda runs: runs[-3:],
    "a slice backwards": lambda runs: runs[::-2],
    "an empty slice": lambda runs: runs[5:2],
    "contains": lambda runs: (plain(RunOutput, 2) in runs, NEW in runs),
    "count": lambda runs: runs.count(plain(RunOutput, 2)),
    "index": lambda runs: runs.index(plain(RunOutput, 4)),
    "equal": lambda runs: (runs == lists()[1], lists()[1] == runs, runs == lists()[0], runs != lists()[0]),
    "plus": lambda runs: operator.add(runs, [NEW]),
    "behind": lambda runs: operator.add([NEW], runs),
    "plus another": lambda runs: runs + lists()[0],
    "times": lambda runs: (runs * 2, 2 * runs),
    "unpacked": lambda runs: [*runs],
    "unpacked into names": lambda runs: (lambda first, *rest: (first, rest))(*runs),
    "extended by": lambda runs: _after(lambda own: own.extend(runs), [NEW]),
    "put into a slice": lambda runs: _after(lambda own: own.__setitem__(slice(0, 1), runs), [NEW, NEW]),
    "copy": lambda runs: runs.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda runs: pickle.loads(pickle.dumps(runs)),
    "repr": repr,
    "as JSON": lambda runs: json.dumps(runs, default=lambda run: run.run_id),
    "append": lambda runs: _after(lambda own: own.append(NEW), runs),
    "append and look": lambda runs: _after(lambda own: (own.append(NEW), own[-1], own[-2]), runs),
    "extend": lambda runs: _after(lambda own: own.extend([NEW, NEW]), runs),
    "extend with others": lambda runs: _after(lambda own: own.extend(lists()[0]), runs),
    "insert": lambda runs: _after(lambda own: own.insert(1, NEW), runs),
    "set": lambda runs: _after(lambda own: own.__setitem__(0, NEW), runs),
    "set a slice": lambda runs: _after(lambda own: own.__setitem__(slice(1, 3), [NEW]), runs),
    "delete": lambda runs: _after(lambda own: own.__delitem__(0), runs),
    "pop": lambda runs: (runs.pop(), runs.pop(0), runs),
    "remove": lambda runs: _after(lambda own: own.remove(plain(RunOutput, 2)), runs),
    "reverse": lambda runs: _after(lambda own: own.reverse(), runs),
    "sort": lambda runs: _after(lambda own: own.sort(key=lambda run: -run.created_at), runs),
    "clear": lambda runs: _after(lambda own: (own.clear(), own.append(NEW)), runs),
    "add to": lambda runs: _after(lambda own: own.__iadd__([NEW]), runs),
    "double": lambda runs: _after(lambda own: own.__imul__(2), runs),
    "isinstance": lambda runs: isinstance(runs, list),
}


def _after(act: Callable[[Any], object], runs: Any) -> Any:
    act(runs)
    return runs


def _raised(act: Callable[[], object]) -> str:
    with pytest.raises((IndexError, TypeError)) as found:
        act()
    return f"{found.type.__name__}: {found.value}"


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_the_list_is_the_list_that_it_would_have_been(act: Callable[[Any], Any]) -> None:
    own, expected = lists()

    assert act(own) == act(expected)
    assert own == expected
    assert list(own) == expected


def test_any_acts_one_after_the_other_lead_where_they_would_have() -> None:
    chance = random.Random(5)
    acts = [act for name, act in ACTS.items() if name not in ("no index", "put into a slice", "double", "times")]
    for _ in range(60):
        own, expected = lists()
        for act in chance.sample(acts, 5):
            seen = []
            for runs in (own, expected):
                try:
                    seen.append(act(runs))
                except (ValueError, IndexError) as error:
                    seen.append(type(error))
            assert seen[0] == seen[1]
        assert own == expected


def test_only_those_that_are_looked_at_are_made() -> None:
    runs, _ = lists()
    runs[-2:]
    runs.append(NEW)
    assert [type(item) is Kept for item in list.__iter__(runs)] == [True] * (COUNT - 2) + [False] * 3
    assert [run.run_id for run in runs] == [*(f"r{n}" for n in range(COUNT)), "new"]


def test_a_forked_child_waits_for_no_thread_that_prepares_a_run() -> None:
    run = unread(RunOutput)
    has_it, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with unread_runs._lock:
            has_it.set()
            is_done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if run.content == "text 0" and unread_runs._recipes.size else 1)
    _, status = os.waitpid(child, 0)
    is_done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
