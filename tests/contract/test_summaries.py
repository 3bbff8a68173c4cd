"""Summaries: one for each session, kept with it."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from agno_store import InvalidArgument, NotFound, Summary
from tests.contract.database import dump
from tests.contract.samples import append, session

TEXT = "They talked about \x00 and 🎉 and half \ud83d of it"

FORMS = {
    "a record": Summary(TEXT, ["a", "b"], "2026-01-01", run_index=3, data={"model": {"id": "m"}}),
    "a dict": {
        "summary": TEXT,
        "topics": ["a", "b"],
        "updated_at": "2026-01-01",
        "run_index": 3,
        "model": {"id": "m"},
    },
    "an object": SimpleNamespace(
        to_dict=lambda: {
            "summary": TEXT,
            "topics": ["a", "b"],
            "updated_at": "2026-01-01",
            "run_index": 3,
            "model": {"id": "m"},
        }
    ),
}


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS.keys())
def test_a_summary_comes_back_whatever_form_it_had(db: Any, given: Any) -> None:
    db.upsert_session(session("s"))
    db.upsert_summary("s", given)
    expected = Summary(TEXT, ["a", "b"], "2026-01-01", session_id="s", run_index=3, data={"model": {"id": "m"}})

    assert db.get_summary("s") == expected
    assert db.get_session("s").summary.to_dict() == expected.to_dict()
    assert db.get_session("s", deserialize=False)["summary"] == expected.to_dict()


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS.keys())
def test_a_summary_is_saved_with_its_session(db: Any, given: Any) -> None:
    saved = db.upsert_session(session("s", summary=given))

    assert saved.summary.summary == db.get_summary("s").summary == TEXT
    assert db.get_summary("s").run_index == 3


@pytest.mark.parametrize("topics", [None, [], ["one"], ["\x00", "\ud800"]])
@pytest.mark.parametrize("updated_at", [None, 0, 12.5, "2026", datetime(2026, 1, 2, 3, tzinfo=timezone.utc)])
def test_topics_and_times_come_back(db: Any, topics: list[str] | None, updated_at: Any) -> None:
    db.upsert_session(session("s"))
    db.upsert_summary("s", Summary("text", topics, updated_at))

    assert db.get_summary("s") == Summary("text", topics, updated_at, session_id="s")


def test_an_empty_summary_is_one(db: Any) -> None:
    db.upsert_session(session("s", summary={"summary": ""}))

    assert db.get_summary("s").summary == ""
    assert db.get_session("s").summary.summary == ""


def test_a_later_summary_replaces_the_earlier_one(db: Any) -> None:
    db.upsert_session(session("s", summary=Summary("first", ["a"], "t", run_index=1, data={"x": 1})))
    (before,) = dump(db)["summaries"]
    db.upsert_summary("s", {"summary": "second"})
    (after,) = dump(db)["summaries"]

    assert db.get_summary("s") == Summary("second", session_id="s")
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]


def test_a_save_without_a_summary_keeps_it(db: Any) -> None:
    db.upsert_session(session("s", summary={"summary": "text"}))
    db.upsert_session(session("s", metadata={}))
    db.upsert_session(session("s", summary=None))
    append(db, "s", "r")

    assert db.get_summary("s").summary == "text"


def test_there_is_no_summary_where_none_was_made(db: Any) -> None:
    db.upsert_session(session("s"))

    assert db.get_summary("s") is None
    assert db.get_summary("nothing") is None
    assert db.get_session("s").summary is None
    assert db.get_session("s", deserialize=False)["summary"] is None


def test_a_listing_has_the_summaries(db: Any) -> None:
    db.upsert_sessions([session("with", summary={"summary": "text"}), session("without")])

    found = {entry.session_id: entry.summary and entry.summary.summary for entry in db.get_sessions()}
    assert found == {"with": "text", "without": None}


def test_a_session_that_is_not_there_has_no_summary_to_store(db: Any) -> None:
    with pytest.raises(NotFound, match="Store the session first") as missing:
        db.upsert_summary("nothing", {"summary": "text"})

    assert isinstance(missing.value, LookupError)
    assert dump(db)["summaries"] == []


@pytest.mark.parametrize("given", [{}, {"summary": None}, {"summary": 5}, "text", None, ["text"]], ids=repr)
def test_a_summary_without_its_text_is_refused(db: Any, given: Any) -> None:
    db.upsert_session(session("s"))
    before = dump(db)
    with pytest.raises(InvalidArgument, match="summary"):
        db.upsert_summary("s", given)
    if given is not None:
        with pytest.raises(InvalidArgument, match="summary"):
            db.upsert_session(session("s", summary=given))

    assert dump(db) == before
