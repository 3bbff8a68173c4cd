"""Records: whatever form a caller has, it is read the same way."""

from __future__ import annotations

import enum
from dataclasses import FrozenInstanceError
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from agno_store import InvalidArgument, Run, Session, Summary
from agno_store.records import SESSION_PAYLOADS, TYPES, checked_type, payloads_of, run_type
from tests.ids import stable


class Kind(enum.Enum):
    TEAM = "team"


class Status(str, enum.Enum):
    PAUSED = "PAUSED"


ENTRIES = {"session_id": "s", "session_type": "team", "team_id": "t", "session_data": {"session_name": "n"}}


# -- sessions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [dict(ENTRIES), MappingProxyType(ENTRIES), SimpleNamespace(**ENTRIES), Session(**ENTRIES)],  # type: ignore[arg-type]
    ids=["dict", "mapping", "object", "record"],
)
def test_a_session_is_read_from_any_form(form: Any) -> None:
    assert Session.of(form) == Session(**ENTRIES)  # type: ignore[arg-type]
    assert Session.of(form).session_name == "n"


def test_what_a_session_does_not_know_is_left_out() -> None:
    assert Session.of({"session_id": "s", "unheard": 1}) == Session("s")


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ({}, "agent"),
        ({"agent_id": "a"}, "agent"),
        ({"team_id": "t"}, "team"),
        ({"workflow_id": "w"}, "workflow"),
        ({"agent_id": "a", "team_id": "t"}, "agent"),
        ({"team_id": "t", "session_type": "workflow"}, "workflow"),
        ({"session_type": Kind.TEAM}, "team"),
        ({"agent_id": "a", "session_type": None}, "agent"),
    ],
    ids=str,
)
def test_the_type_is_the_given_one_or_that_of_the_component(entries: dict[str, Any], kind: str) -> None:
    assert Session.of({"session_id": "s", **entries}).session_type == kind


def test_the_caller_may_know_the_type_better() -> None:
    assert Session.of({"session_id": "s", "agent_id": "a"}, "workflow").session_type == "workflow"


@pytest.mark.parametrize("bad", [{}, {"session_id": None}, SimpleNamespace(), None, object()], ids=stable)
def test_a_session_needs_an_id(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="session_id"):
        Session.of(bad)


@pytest.mark.parametrize("data", [None, {}, {"session_name": None}, {"name": "n"}])
def test_a_session_may_have_no_name(data: dict[str, Any] | None) -> None:
    assert Session("s", session_data=data).session_name is None


def test_the_payloads_that_a_session_comes_with_are_what_a_save_changes() -> None:
    assert payloads_of({"session_id": "s", "metadata": None, "unheard": 1}) == ["metadata"]
    assert payloads_of(SimpleNamespace(session_id="s", agent_data=None)) == ["agent_data"]
    assert tuple(payloads_of(Session("s"))) == SESSION_PAYLOADS


@pytest.mark.parametrize("kind", TYPES)
def test_the_types_are_accepted(kind: str) -> None:
    assert checked_type(kind) == kind


@pytest.mark.parametrize("bad", ["", "Agent", "crew", None, 1, ["agent"]], ids=repr)
def test_other_types_are_not(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="agent, team, workflow"):
        checked_type(bad)


# -- runs --------------------------------------------------------------------------------------------


def test_a_run_is_all_of_what_was_written() -> None:
    entries = {"run_id": "r", "agent_id": "a", "content": "x", "status": Status.PAUSED, "created_at": 5, "more": [1]}
    run = Run.of(entries)

    assert run.to_dict() == entries
    assert run.to_dict() is not entries
    assert (run.run_id, run.run_type, run.status, run.created_at) == ("r", "agent", "PAUSED", 5)
    assert (run.content, run.messages) == ("x", [])


def test_a_run_is_read_from_an_object_and_from_a_row() -> None:
    entries = {"run_id": "r", "team_id": "t", "content": "x"}
    run = Run.of(entries)

    assert Run.of(SimpleNamespace(to_dict=lambda: entries)) == run
    assert Run.of(vars(run)) == run
    assert Run.of(run) is run


@pytest.mark.parametrize(
    "bad",
    [{}, {"run_id": None}, {"run_data": {}}, {"run_data": {"run_id": "r"}}, None, "r", object(), SimpleNamespace()],
    ids=stable,
)
def test_a_run_needs_an_id(bad: Any) -> None:
    with pytest.raises(InvalidArgument):
        Run.of(bad)


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ({"agent_id": "a"}, "agent"),
        ({"agent_name": "a"}, "agent"),
        ({"agent_id": "a", "team_id": "t"}, "agent"),
        ({"team_name": "t", "workflow_id": "w"}, "team"),
        ({"workflow_id": "w"}, "workflow"),
        ({"agent_id": None, "team_id": ""}, "workflow"),
    ],
    ids=str,
)
def test_whose_run_it_is(entries: dict[str, Any], kind: str) -> None:
    assert run_type(entries) == kind
    assert Run.of({"run_id": "r", **entries}).run_type == kind
    assert Run.of({"run_id": "r", **entries}, "team").run_type == "team"


# -- summaries ---------------------------------------------------------------------------------------


def test_a_summary_keeps_what_it_does_not_know() -> None:
    entries = {"summary": "text", "topics": ["a"], "updated_at": "now", "model": 1}
    summary = Summary.of(entries)

    assert (summary.summary, summary.topics, summary.updated_at, summary.data) == ("text", ["a"], "now", {"model": 1})
    assert summary.to_dict() == entries
    assert Summary.of(SimpleNamespace(to_dict=lambda: entries)) == summary
    assert entries == {"summary": "text", "topics": ["a"], "updated_at": "now", "model": 1}


@pytest.mark.parametrize("bad", [{}, {"summary": None}, {"summary": 1}, None, "text", object()], ids=stable)
def test_a_summary_needs_its_text(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="summary"):
        Summary.of(bad)


@pytest.mark.parametrize("record", [Session("s"), Run("r"), Summary("text")], ids=lambda record: type(record).__name__)
def test_records_do_not_change(record: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        record.session_id = "other"
