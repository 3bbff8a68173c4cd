"""Two who save one session: what each of them changed is there afterwards, whatever they had read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from agno_store import InvalidArgument, Session, StaleSession, Summary
from tests.contract.database import dump, overwrite, statements, stored
from tests.contract.processes import together
from tests.contract.samples import append, session

PAYLOADS = ("session_data", "agent_data", "team_data", "workflow_data", "metadata")


def with_state(found: Session, **state: Any) -> Session:
    """The session as somebody saves it who has changed its state."""
    data = found.session_data or {}
    return replace(found, session_data={**data, "session_state": {**data.get("session_state", {}), **state}})


@pytest.fixture
def two(db: Any) -> tuple[Session, Session]:
    """One session as two have read it."""
    db.upsert_session(session("s", session_data={"session_name": "old", "session_state": {"n": 0}}, metadata={"a": 1}))
    return db.get_session("s"), db.get_session("s")


# -- merging -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAYLOADS)
def test_changes_of_different_keys_both_last(db: Any, name: str) -> None:
    db.upsert_session(session("s", **{name: {"both": 0, "gone": 0}}))
    first, second = db.get_session("s"), db.get_session("s")
    db.upsert_session(replace(first, **{name: {"both": 0, "gone": 0, "first": {"x": 1}}}))
    db.upsert_session(replace(second, **{name: {"both": 0, "second": {"y": 2}}}))

    assert getattr(db.get_session("s"), name) == {"both": 0, "first": {"x": 1}, "second": {"y": 2}}


@pytest.mark.clear
def test_a_rename_during_a_long_run_survives(db: Any, two: Any) -> None:
    db.rename_session("s", "agent", "New Name")
    saved = db.upsert_session(with_state(two[0], answered=True))
    found = db.get_session("s")

    assert found.session_data == saved.session_data
    assert found.session_data == {"session_name": "New Name", "session_state": {"n": 0, "answered": True}}
    assert [entry.session_id for entry in db.get_sessions(session_name="new name")] == ["s"]
    assert db.get_sessions(session_name="old") == []


@pytest.mark.clear
def test_a_name_given_by_the_later_save_is_found(db: Any, two: Any) -> None:
    db.update_session_state("s", lambda state: {"n": 1})
    db.upsert_session(replace(two[0], session_data={**two[0].session_data, "session_name": "Later"}))

    assert db.get_session("s").session_data == {"session_name": "Later", "session_state": {"n": 1}}
    assert [entry.session_id for entry in db.get_sessions(session_name="later")] == ["s"]


def test_a_payload_that_was_not_changed_is_not_written(db: Any, two: Any) -> None:
    with statements(db.db_engine) as sent:
        db.upsert_session(with_state(two[0], n=1))
    (update,) = [statement for statement in sent if statement.startswith("UPDATE")]

    assert "session_data" in update
    assert not any(name in update for name in PAYLOADS[1:])


def test_a_key_taken_away_stays_away(db: Any, two: Any) -> None:
    db.upsert_session(replace(two[0], session_data={"session_name": "old"}))
    db.upsert_session(replace(two[1], metadata={"b": 2}))
    found = db.get_session("s")

    assert (found.session_data, found.metadata) == ({"session_name": "old"}, {"b": 2})


def test_one_key_changed_by_both_is_as_the_later_save_has_it(db: Any, two: Any) -> None:
    db.upsert_session(with_state(two[0], n=1))
    db.upsert_session(with_state(two[1], n=2))

    assert db.get_session("s").session_data["session_state"] == {"n": 2}


def test_an_object_saved_again_changes_what_it_changed_since(db: Any, two: Any) -> None:
    """As agno does: one object, saved after every step of a run."""
    mine = SimpleNamespace(**{name: entry for name, entry in vars(two[0]).items() if name != "snapshot"})
    mine.session_data = {"session_state": {"step": 1}}
    db.upsert_session(mine)
    db.update_session_state("s", lambda state: {**state, "other": True})
    mine.session_data = {"session_state": {"step": 2}}
    db.upsert_session(mine)
    del mine.session_data["session_state"]["step"]
    db.upsert_session(mine)

    assert db.get_session("s").session_data["session_state"]["other"] is True
    assert "step" not in db.get_session("s").session_data["session_state"]


def test_what_a_save_returns_is_the_base_of_the_next(db: Any, two: Any) -> None:
    saved = db.upsert_session(with_state(two[0], a=1))
    db.update_session_state("s", lambda state: {**state, "b": 2})
    db.upsert_session(with_state(saved, c=3))

    assert db.get_session("s").session_data["session_state"] == {"n": 0, "a": 1, "b": 2, "c": 3}


def test_a_listed_session_is_the_base_of_its_save(db: Any, two: Any) -> None:
    (listed,) = db.get_sessions()
    db.update_session_state("s", lambda state: {**state, "b": 2})
    db.upsert_session(with_state(listed, a=1))

    assert db.get_session("s").session_data["session_state"] == {"n": 0, "a": 1, "b": 2}


def test_two_first_saves_of_a_session_both_last(db: Any) -> None:
    db.upsert_session(Session("s", session_data={"session_state": {"a": 1}}))
    db.upsert_session(Session("s", session_data={"session_state": {"b": 2}}, metadata={"m": 1}))
    found = db.get_session("s")

    assert (found.session_data, found.metadata) == ({"session_state": {"a": 1, "b": 2}}, {"m": 1})


def test_a_dict_is_written_as_it_stands(db: Any, two: Any) -> None:
    db.upsert_session(db.get_session("s", deserialize=False) | {"session_data": {"only": 1}})

    assert db.get_session("s").session_data == {"only": 1}


def test_a_newer_summary_is_not_replaced_by_the_one_that_was_read(db: Any) -> None:
    db.upsert_session(session("s"))
    db.upsert_summary("s", Summary("first", topics=["t"]))
    read = db.get_session("s")
    db.upsert_summary("s", Summary("second"))
    db.upsert_session(replace(read, metadata={"m": 1}))
    assert db.get_summary("s").summary == "second"

    db.upsert_session(replace(read, summary=Summary("third")))
    assert db.get_summary("s").summary == "third"


def test_a_session_deleted_meanwhile_is_stored_whole(db: Any, two: Any) -> None:
    db.delete_session("s")
    db.upsert_session(with_state(two[0], n=1))
    found = db.get_session("s")

    assert found.session_data == {"session_name": "old", "session_state": {"n": 1}}
    assert (found.metadata, found.version) == ({"a": 1}, 2)  # no version that somebody has read of the one before


def test_a_session_that_is_stored_anew_brings_its_summary(db: Any) -> None:
    db.upsert_session(Session("s", summary=Summary("what was said")))
    read = db.get_session("s")
    db.delete_session("s")
    db.upsert_session(read)
    db.upsert_session(replace(read, session_id="copy"))

    assert [db.get_summary(key).summary for key in ("s", "copy")] == ["what was said"] * 2


def test_a_session_made_anew_meanwhile_is_not_taken_for_the_one_that_was_read(db: Any, two: Any) -> None:
    db.delete_session("s")
    db.upsert_session(session("s", session_data={"theirs": 1}))
    assert db.get_session("s").version == two[0].version
    with pytest.raises(StaleSession, match="made since"):
        db.upsert_session(two[0], on_conflict="error")
    db.upsert_session(with_state(two[0], n=1))

    assert db.get_session("s").session_data == {"theirs": 1, "session_name": "old", "session_state": {"n": 1}}
    assert db.get_session("s").metadata == {"a": 1}


def test_a_session_stored_anew_by_another_reader_is_merged_with(db: Any) -> None:
    made = Session("s", session_data={"session_state": {"n": 0}}, created_at=1_700_000_000)
    db.upsert_session(db.upsert_session(made))
    first, second = db.get_session("s"), db.get_session("s")
    db.delete_session("s")
    db.upsert_session(db.upsert_session(with_state(first, first=1)))
    db.upsert_session(with_state(second, second=2))

    assert db.get_session("s").session_data["session_state"] == {"n": 0, "first": 1, "second": 2}


@pytest.mark.parametrize("policy", ["merge", "last_write_wins"])
def test_what_was_read_from_another_store_is_no_change_of_this_one(
    opened: Callable[..., Any], db: Any, policy: str
) -> None:
    other = opened(tenant_id="other")
    made = Session("s", session_data={"session_name": "of one"}, summary=Summary("of one"), created_at=1_700_000_000)
    db.upsert_session(made)
    other.upsert_session(replace(made, session_data={"session_name": "of other"}, summary=None))
    read = db.get_session("s")
    other.upsert_session(read, on_conflict=policy)
    found = other.get_session("s")

    assert (found.session_data, found.summary.summary) == ({"session_name": "of one"}, "of one")
    with pytest.raises(StaleSession, match="not there"):
        other.upsert_session(read, on_conflict="error")


def test_keys_that_are_no_text_are_merged_like_others(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": {1: "one", "both": 0}}))
    first, second = db.get_session("s"), db.get_session("s")
    db.upsert_session(with_state(first, first=1))
    db.upsert_session(with_state(second, second=2))

    assert db.get_session("s").session_data["session_state"] == {1: "one", "both": 0, "first": 1, "second": 2}


def test_no_clock_is_asked(db: Any, two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store", "shortcuts"):
        monkeypatch.setattr(f"agno_store.{module}.now", lambda: 1)
    db.upsert_session(with_state(two[0], a=1))
    for n in range(10):
        db.upsert_session(with_state(db.get_session("s"), n=n))
    db.upsert_session(with_state(two[1], b=2))

    assert db.get_session("s").session_data["session_state"] == {"n": 9, "a": 1, "b": 2}


def test_many_savers_of_one_session_all_last(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": {}}))

    def work(name: str) -> None:
        for n in range(4):
            db.upsert_session(with_state(db.get_session("s"), **{f"{name}{n}": n}))

    together(*(partial(work, f"w{t}-") for t in range(8)))
    assert db.get_session("s").session_data["session_state"] == {f"w{t}-{n}": n for t in range(8) for n in range(4)}


def test_what_cannot_be_read_is_not_merged_with(db: Any, two: Any) -> None:
    overwrite(db, "sessions", "version", 9, session_id="s")
    overwrite(db, "sessions", "metadata", '"a text"', session_id="s")
    db.upsert_session(with_state(two[0], n=1))

    assert stored(db, "sessions", "metadata", session_id="s") == '"a text"'


# -- those who ask for something else ----------------------------------------------------------------


def test_a_stale_session_is_refused_where_that_is_asked_for(db: Any, two: Any) -> None:
    db.upsert_session(with_state(two[0], n=1), on_conflict="error")
    before = dump(db)
    with pytest.raises(StaleSession, match="Read it again") as refused:
        db.upsert_session(with_state(two[1], n=2), on_conflict="error")

    assert (refused.value.session_id, refused.value.expected, refused.value.current) == ("s", 1, 2)
    assert dump(db) == before


@pytest.mark.parametrize("deserialize", [True, False])
def test_ten_saves_of_what_was_just_read_are_none_of_them_stale(db: Any, two: Any, deserialize: bool) -> None:
    for _ in range(10):
        db.upsert_session(db.get_session("s", deserialize=deserialize), on_conflict="error")

    assert db.get_session("s").version == 11


def test_a_dict_is_stale_by_its_version(db: Any, two: Any) -> None:
    old = db.get_session("s", deserialize=False)
    db.rename_session("s", None, "new")
    with pytest.raises(StaleSession):
        db.upsert_session(old, on_conflict="error")
    with pytest.raises(StaleSession):
        db.upsert_session(session("s"), on_conflict="error")

    assert db.upsert_session(session("new"), on_conflict="error").version == 1


def test_a_session_deleted_meanwhile_is_stale(db: Any, two: Any) -> None:
    db.delete_session("s")
    with pytest.raises(StaleSession, match="not there"):
        db.upsert_session(two[0], on_conflict="error")

    assert db.get_session("s") is None


def test_runs_and_summaries_make_no_session_stale(db: Any, two: Any) -> None:
    append(db, "s", "r")
    db.upsert_summary("s", Summary("new"))

    assert db.upsert_session(replace(two[0], summary=None), on_conflict="error").version == 2


def test_one_stale_session_of_several_leaves_all_as_they_were(db: Any, two: Any) -> None:
    db.upsert_session(two[0])
    before = dump(db)
    with pytest.raises(StaleSession):
        db.upsert_sessions([Session("new"), two[1]], on_conflict="error")

    assert dump(db) == before


def test_the_last_write_wins_where_that_is_asked_for(db: Any, two: Any) -> None:
    db.upsert_session(with_state(two[0], first=1))
    db.upsert_session(with_state(two[1], second=2), on_conflict="last_write_wins")

    assert db.get_session("s").session_data["session_state"] == {"n": 0, "second": 2}


def test_a_store_has_a_policy_of_its_own(opened: Callable[..., Any]) -> None:
    db = opened(on_conflict="error")
    db.upsert_session(Session("s"))
    read = db.get_session("s")
    db.rename_session("s", None, "new")
    with pytest.raises(StaleSession):
        db.upsert_session(read)

    assert db.upsert_session(read, on_conflict="merge").session_data == {"session_name": "new"}


@pytest.mark.parametrize("policy", ["", "Merge", "ignore", 1])
def test_another_policy_is_refused(db: Any, policy: Any) -> None:
    with pytest.raises(InvalidArgument, match="on_conflict"):
        db.upsert_session(session("s"), on_conflict=policy)


@pytest.mark.parametrize("version", [True, -1, "1", 1.0])
def test_a_version_that_is_none_is_refused(db: Any, version: Any) -> None:
    with pytest.raises(InvalidArgument, match="version"):
        db.upsert_session(session("s", version=version))


def test_a_time_that_is_brought_along_hides_no_save_from_who_has_read_before(db: Any) -> None:
    given = session("s", created_at=5, updated_at=7)
    db.upsert_sessions([given], preserve_updated_at=True)
    read = db.get_session("s")
    db.upsert_sessions([given | {"metadata": {"a": 1}}], preserve_updated_at=True)
    with pytest.raises(StaleSession, match="at version 2"):
        db.upsert_session(replace(read, session_data={"b": 1}), on_conflict="error")

    db.delete_session("s")
    db.upsert_sessions([given | {"created_at": 6}], preserve_updated_at=True)
    with pytest.raises(StaleSession, match="another one"):
        db.upsert_session(replace(read, session_data={"b": 1}), on_conflict="error")


def test_what_a_save_answers_has_what_was_stored_beside_the_session_meanwhile(db: Any) -> None:
    db.upsert_session(session("s"))
    read = db.get_session("s")
    db.upsert_summary("s", {"summary": "theirs"})

    saved = db.upsert_session(replace(read, session_data={"b": 1}))
    assert (saved.summary.summary, saved.version) == ("theirs", 2)
