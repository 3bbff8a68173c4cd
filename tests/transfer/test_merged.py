"""A session that comes where one is already: what is newer replaces it, and what is the target's own stays."""

from __future__ import annotations

import io
from typing import Any

import pytest

from agno_store import open_db
from agno_store.dialects.limits import Limit
from agno_store.owners import GONE
from agno_store.transfer import Counts
from tests.contract.database import content, dump, overwrite, stored
from tests.contract.samples import append, positions, session
from tests.transfer.test_between_stores import totals
from tests.transfer.test_files import HEADER, end, imported, keys, line

pytestmark = pytest.mark.backends("sqlite")  # what is decided here is decided before a database is asked


def test_of_what_was_written_at_one_moment_the_higher_version_is_newer_and_stays_so(target: Any) -> None:
    for version, counts in ((3, Counts(1)), (3, Counts(kept=1)), (9, Counts(updated=1)), (9, Counts(kept=1))):
        run = {"run_id": "r", "version": version, "run_data": {"n": version}}
        done = imported(target, HEADER, line("s", run, version=version, session_data={"n": version}), end(1))
        assert (done.problems, done.sessions, done.runs) == ([], counts, counts)
    found = target.get_session("s")
    assert (found.session_data, found.runs[0].run_data, found.version) == ({"n": 9}, {"n": 9}, 9)
    assert stored(target, "runs", "version", run_id="r") == 9


def test_a_newer_session_changes_neither_what_it_is_nor_where_its_runs_stand(target: Any) -> None:
    imported(target, HEADER, line("s", {"run_id": "a"}, {"run_id": "b"}), end(1))
    newer = line("s", session_type="team", created_at=7, updated_at=9, next_run_index=1, metadata={"n": 1})
    assert imported(target, HEADER, newer, end(1)).sessions == Counts(updated=1)
    [row] = dump(target)["sessions"]
    assert [row[name] for name in ("session_type", "created_at", "updated_at", "next_run_index")] == ["agent", 1, 9, 2]
    assert target.get_session("s").metadata == {"n": 1}


def test_what_stays_of_a_row_that_is_replaced_is_no_difference(target: Any) -> None:
    run = {"run_id": "r", "created_at": 1, "updated_at": 2, "run_data": {"n": 1}}
    imported(target, HEADER, line("s", {"run_id": "first"}, run), end(1))
    newer = {**run, "run_index": 7, "created_at": 4, "updated_at": 9, "version": 2, "run_data": {"n": 2}}
    row = {"session_type": "team", "created_at": 3, "updated_at": 9, "version": 2, "metadata": {"n": 1}}
    lines = HEADER, line("s", newer, **row), end(1)
    for counts in (Counts(updated=1), Counts(kept=1)):
        done = imported(target, *lines, verify=True)
        assert (done.problems, done.verified, done.sessions, done.runs) == ([], 1, counts, counts)
    assert [stored(target, "runs", name, run_id="r") for name in ("created_at", "run_index")] == [1, 1]
    overwrite(target, "runs", "run_data", '{"n": 3}', run_id="r")
    assert "run 'r' says something else there" in str(imported(target, *lines, verify=True).problems[0])


def test_of_a_run_that_is_there_and_comes_twice_the_newest_stays_and_its_session_is_as_new(target: Any) -> None:
    imported(target, HEADER, line("s", {"run_id": "r"}), end(1))
    twice = ({"run_id": "r", "updated_at": n, "run_data": {"n": n}} for n in (9, 5))
    assert imported(target, HEADER, line("s", *twice), end(1)).runs == Counts(updated=1, kept=1)
    assert target.get_run("r").run_data == {"n": 9}
    assert stored(target, "sessions", "updated_at", session_id="s") == 9


def test_one_that_is_being_deleted_is_made_anew(target: Any) -> None:
    imported(target, HEADER, line("s", {"run_id": "a"}), end(1))
    overwrite(target, "sessions", "user_id", GONE, session_id="s")
    done = imported(target, HEADER, line("s", {"run_id": "b"}, user_id="ada"), end(1))
    assert (done.problems, done.sessions) == ([], Counts(1))
    assert (positions(target, "s"), stored(target, "sessions", "user_id", session_id="s")) == ({"b": 0}, "ada")


@pytest.mark.parametrize("way", ["from a store", "from a file"])
def test_a_summary_that_is_newer_comes_into_a_session_that_is(source: Any, target: Any, way: str) -> None:
    def bring_again() -> tuple[Counts, Counts, Counts]:
        file = io.BytesIO()
        source.export(file)
        return totals(target.import_from(source if way == "from a store" else io.BytesIO(file.getvalue())))

    append(source, "s", "a")
    assert bring_again() == (Counts(1), Counts(1), Counts())
    source.upsert_summary("s", {"summary": "new"})
    target.upsert_session(session("s", metadata={"by": "target"}))
    assert bring_again() == (Counts(updated=1), Counts(kept=1), Counts(1))
    source.upsert_summary("s", {"summary": "newer"})
    target.upsert_session(session("s", metadata={"by": "target again"}))
    assert bring_again() == (Counts(updated=1), Counts(kept=1), Counts(updated=1))
    assert target.get_summary("s").summary == "newer"
    append(source, "s", "b")
    assert bring_again() == (Counts(updated=1), Counts(1, kept=1), Counts(kept=1))
    assert bring_again() == (Counts(kept=1), Counts(kept=2), Counts())


def test_nobodys_session_with_a_run_of_another_is_not_claimed(target: Any) -> None:
    imported(target, HEADER, line("s", {"run_id": "b", "user_id": "bob"}), end(1))
    before = content(target)
    [problem] = imported(target, HEADER, line("s", user_id="ada", updated_at=9), end(1)).problems
    assert "belongs to another user" in problem.reason
    assert content(target) == before
    assert imported(target, HEADER, line("s", user_id="bob", updated_at=9), end(1)).sessions == Counts(updated=1)


OLDER = {"updated_at": 3}


@pytest.mark.parametrize("plan", [False, True])
def test_a_run_of_a_users_does_not_become_nobodys(target: Any, plan: bool) -> None:
    imported(target, HEADER, line("s", updated_at=9), end(1))
    before = content(target)
    theirs = line("s", {"run_id": "r"}, user_id="ada", **OLDER)
    [problem] = imported(target, HEADER, theirs, end(1), plan=plan).problems
    assert "belongs to a user where it comes from, and to nobody there" in problem.reason
    assert content(target) == before
    for own in (line("s", {"run_id": "r", "user_id": "ada"}, user_id="ada", **OLDER), line("t", {"run_id": "r"})):
        assert imported(target, HEADER, own, end(1)).problems == []
    assert [run.run_id for run in target.get_runs(user_id="ada")] == ["r"]


@pytest.mark.parametrize("user", ["bob", None])
def test_a_newer_run_does_not_take_the_place_of_another_users(target: Any, user: str | None) -> None:
    imported(target, HEADER, line("s", {"run_id": "r", "user_id": "ada"}), end(1))
    before = content(target)
    newer = {"run_id": "r", "user_id": user, "updated_at": 9}
    [problem] = imported(target, HEADER, line("s", newer), end(1)).problems
    assert "the run of that id there belongs to another user" in problem.reason
    assert content(target) == before
    assert imported(target, HEADER, line("s", {**newer, "user_id": "ada"}), end(1)).runs == Counts(updated=1)


def test_what_only_an_older_run_needed_beside_it_is_not_kept_and_a_plan_keeps_nothing() -> None:
    older, newer = (
        {"run_id": "r", "updated_at": n, "run_data": {"x": letter * 2_000}} for n, letter in enumerate("ab")
    )
    with open_db("sqlite://", media_over=1_000) as target:
        target.upsert_session(session("other"))
        before, lines = dump(target), (HEADER, line("s", older, newer), end(1))
        assert imported(target, *lines, plan=True).sessions == Counts(1)
        assert dump(target) == before
        assert imported(target, *lines).problems == []
        assert [row["data"] for row in dump(target)["media"]] == ["b" * 2_000]


def test_an_id_without_room_behind_the_tenant_is_reported() -> None:
    with open_db("sqlite://", tenant_id="tenant") as target:
        [problem] = imported(target, HEADER, line("s" * 255), line("t"), end(2)).problems
        assert (problem.place[:6], "tenant" in problem.reason) == ("line 2", True)
        assert [each.session_id for each in target.get_sessions()] == ["t"]


def test_what_is_larger_than_the_database_takes_is_reported(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(target.dialect), "largest", lambda *_: Limit(20_000))
    large = {"run_id": "r", "run_data": {"x": "x" * 30_000}}
    [problem] = imported(target, HEADER, line("s", large), line("t"), end(2)).problems
    assert problem.place == "line 2, session 's'"
    assert keys(target) == ["t"]
