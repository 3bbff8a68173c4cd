"""A caller's engine that repeats what it has read, as MySQL does by default: what counts is what is there now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agno_store import OwnerMismatch
from tests.contract.database import dump, overwrite
from tests.contract.samples import run, session
from tests.contract.stores import class_of, create_engine
from tests.contract.test_media_store import Folder

COLOURS = ("sync",)
"""What is sent is the same in both, and a listener can only call what is not awaited."""

pytestmark = pytest.mark.backends("mysql", "postgresql")


@pytest.fixture
def repeating(db: Any, backend: str) -> Iterator[Any]:
    """The store over an engine of the caller's."""
    engine = create_engine(db.db_engine.url, isolation_level="REPEATABLE READ")
    yield class_of(backend)(db_engine=engine)
    engine.dispose()


@contextmanager
def before_it_locks(repeating: Any, session_id: str, meddle: Callable[[], object]) -> Iterator[list[object]]:
    """Have somebody else write right before a session is locked for the first time; gives what came of it."""
    done: list[object] = []

    def look(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        given = values.values() if isinstance(values, dict) else values
        if not done and "FOR UPDATE" in statement and session_id in given:
            done.append(None)
            done.append(meddle())

    event.listen(repeating.db_engine, "before_cursor_execute", look)
    try:
        yield done
    finally:
        event.remove(repeating.db_engine, "before_cursor_execute", look)
    assert len(done) == 2


# -- several sessions at once ------------------------------------------------------------------------


def test_a_save_of_several_is_merged_with_what_is_there_now(db: Any, repeating: Any) -> None:
    for session_id in ("a", "b"):
        db.upsert_session(session(session_id, session_data={"session_state": {"n": 0}}))
    mine = [repeating.get_session(session_id) for session_id in ("a", "b")]
    for each in mine:
        each.session_data["session_state"]["mine"] = 1
    with before_it_locks(repeating, "b", lambda: db.update_session_state("b", lambda state: {**state, "theirs": 1})):
        repeating.upsert_sessions(mine)

    assert db.get_session("a").session_data == {"session_state": {"n": 0, "mine": 1}}
    assert db.get_session("b").session_data == {"session_state": {"n": 0, "mine": 1, "theirs": 1}}


def test_a_save_of_several_claims_no_session_with_a_run_of_another(db: Any, repeating: Any) -> None:
    for session_id in ("a", "b"):
        db.upsert_session(session(session_id))
    claimed = [session(session_id, user_id="bob") for session_id in ("a", "b")]
    with (
        before_it_locks(repeating, "b", lambda: db.upsert_run(run("r"), "b", user_id="alice")),
        pytest.raises(OwnerMismatch),
    ):
        repeating.upsert_sessions(claimed)

    assert [db.get_session(session_id).user_id for session_id in ("a", "b")] == [None, None]


def test_a_session_that_is_saved_twice_at_once_is_what_the_second_save_says(db: Any, repeating: Any) -> None:
    db.upsert_session(session("a"))
    saves = [session("a", metadata={"n": 1}), session("b"), session("a", metadata={"n": 2})]
    first, _, second = repeating.upsert_sessions(saves)

    assert (first.metadata, second.metadata) == ({"n": 1}, {"n": 2})
    assert second.version == first.version + 1
    assert db.get_session("a").metadata == {"n": 2}


# -- runs whose session is not named -----------------------------------------------------------------


@pytest.mark.parametrize("owner", ["bob", None])
def test_a_run_of_a_session_that_is_handed_over_is_not_its_former_owners_to_delete(
    db: Any, repeating: Any, owner: str | None
) -> None:
    db.upsert_run(run("r"), "s", user_id="bob")
    overwrite(db, "sessions", "user_id", "alice", session_id="s")
    with before_it_locks(repeating, "s", lambda: overwrite(db, "sessions", "user_id", owner, session_id="s")):
        assert repeating.delete_run("r", user_id="alice") is False

    assert db.get_run("r", user_id="bob") is not None


def test_what_is_kept_beside_a_run_by_now_goes_with_it(db: Any, backend: str, repeating: Any) -> None:
    with class_of(backend)(db_engine=db.db_engine, media_over=1_000) as other:
        other.upsert_run(run("r", content="before " * 300), "s")
        with before_it_locks(repeating, "s", lambda: other.upsert_run(run("r", content="now " * 500), "s")):
            assert repeating.delete_run("r") is True

    assert dump(db)["media"] == []


def test_no_object_is_left_of_a_session_that_is_deleted_behind_another(
    db: Any, backend: str, repeating: Any, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    options = {"media_over": 1_000, "media_store": folder}
    other, deleting = (class_of(backend)(db_engine=each.db_engine, **options) for each in (db, repeating))
    for session_id in ("a", "between", "c"):  # what is next to rows that are deleted is locked, too
        other.upsert_run(run("r1", content="before " * 300), session_id)
    with before_it_locks(deleting, "c", lambda: other.upsert_run(run("r2", content="now " * 500), "c")):
        deleting.delete_sessions(["a", "c"])

    assert len(folder.there) == len(dump(db)["media"]) == 1
