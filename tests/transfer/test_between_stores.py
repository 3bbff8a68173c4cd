"""A session from one store to another: it is the same there, a second time changes nothing, nothing newer is lost."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from agno_store import open_db
from agno_store.transfer import (
    Content,
    Conversation,
    Counts,
    Malformed,
    Problem,
    Reading,
    Transferred,
    Which,
    bring,
    digest,
)
from tests.contract.database import content, dump, empty, overwrite, statements, stored
from tests.contract.samples import append, positions, run, run_ids, session
from tests.frozen.population import populate
from tests.servers import databases
from tests.transfer.conftest import Opened


def brought(target: Any, source: Any, **options: Any) -> Transferred:
    """Bring all of a store, with nothing passed over."""
    done = bring(target, Reading(source), **options)
    assert done.problems == []
    return done


def said(db: Any, session_id: str) -> str:
    """The digest of a session."""
    found = Reading(db).content(session_id)
    assert found is not None
    return digest(found)


def totals(done: Transferred) -> tuple[Counts, Counts, Counts]:
    return done.sessions, done.runs, done.summaries


def test_every_row_is_the_same_in_every_database_and_when_it_comes_back(backend: str, opened: Opened) -> None:
    first = opened(backend)
    populate(first, large=True)
    before = first
    for other in [*(name for name in databases() if name != backend), backend]:
        there = opened(other)
        brought(there, before, verify=True)
        assert content(there) == content(first)
        before = there


def test_a_digest_tells_what_is_said_and_not_where(source: Any, target: Any) -> None:
    populate(source, large=False)
    brought(target, source)
    overwrite(target, "sessions", "updated_at", 1, session_id="team")
    overwrite(target, "runs", "run_index", 99, session_id="team", run_id="t1")
    ids = [row["session_id"] for row in dump(source)["sessions"]]
    of_source, of_target = ([said(db, key) for key in ids] for db in (source, target))
    assert of_source == of_target
    assert len(set(of_source)) == len(ids)
    source.update_run_in_session("team", "t1", {"content": "changed"})
    assert said(source, "team") not in of_source


def test_a_second_time_reads_no_payload_and_changes_nothing(source: Any, target: Any) -> None:
    populate(source, large=False)
    first = brought(target, source)
    before = dump(target)
    with statements(source.db_engine) as read, statements(target.db_engine) as written:
        again = brought(target, source)
    assert (len(read), len(written)) == (3, 2)
    assert totals(again) == (Counts(kept=first.sessions.inserted), Counts(kept=first.runs.inserted), Counts())
    assert dump(target) == before


def test_what_came_since_is_added_and_what_was_changed_is_replaced(source: Any, target: Any) -> None:
    append(source, "s", "a", "b")
    append(source, "other", "a")
    brought(target, source)
    append(source, "s", "c")
    source.upsert_run(run("a", "changed"), "s")
    source.upsert_summary("s", {"summary": "new"})
    source.upsert_session(session("s", metadata={"n": 1}))
    done = brought(target, source, verify=True)
    assert totals(done) == (Counts(updated=1, kept=1), Counts(1, 1, 2), Counts(1))
    found = target.get_session("s")
    assert [each.content for each in found.runs] == ["changed", "hello", "hello"]
    assert (found.metadata, found.summary.summary) == ({"n": 1}, "new")
    assert stored(target, "sessions", "next_run_index", session_id="s") == 3
    assert totals(brought(target, source))[0] == Counts(kept=2)


def test_nothing_newer_is_replaced_and_nothing_of_its_own_is_lost(source: Any, target: Any) -> None:
    append(source, "s", "a", "b")
    source.upsert_summary("s", {"summary": "old"})
    brought(target, source)
    append(source, "s", "late")
    source.upsert_session(session("s", metadata={"by": "source"}))
    target.upsert_run(run("a", "newer"), "s")
    append(target, "s", "own")
    target.upsert_summary("s", {"summary": "newer"})
    target.upsert_session(session("s", metadata={"by": "target"}))
    done = brought(target, source, verify=True)
    assert totals(done) == (Counts(updated=1), Counts(1, 0, 2), Counts(kept=1))
    found = target.get_session("s")
    assert [each.content for each in found.runs] == ["newer", "hello", "hello", "hello"]
    assert (found.metadata, found.summary.summary) == ({"by": "target"}, "newer")
    assert positions(target, "s") == {"a": 0, "b": 1, "own": 2, "late": 3}
    before = dump(target)
    assert totals(brought(target, source)) == (Counts(kept=1), Counts(kept=3), Counts(kept=1))
    assert dump(target) == before
    append(target, "s", "next")
    assert positions(target, "s")["next"] == 4


def test_a_replaced_row_has_a_version_that_nobody_has_read(source: Any, target: Any) -> None:
    append(source, "s", "a")
    brought(target, source)
    for n in range(3):
        target.upsert_session(session("s", metadata={"n": n}))
        target.upsert_run(run("a", str(n)), "s")
    source.upsert_session(session("s", metadata={"n": "source"}))
    source.upsert_run(run("a", "source"), "s")
    brought(target, source)
    assert stored(target, "sessions", "version", session_id="s") == 5
    assert stored(target, "runs", "version", session_id="s", run_id="a") == 5
    assert target.get_session("s").metadata == {"n": "source"}


def test_when_a_session_was_written_is_what_its_own_row_says(source: Any, target: Any) -> None:
    """agno says it in whole seconds, so its runs may have been written after that."""
    append(source, "s", "a")
    overwrite(source, "sessions", "updated_at", 5_000_000, session_id="s")
    brought(target, source)
    assert content(target) == content(source)
    append(source, "s", "b")
    overwrite(source, "sessions", "updated_at", 6_000_000, session_id="s")
    brought(target, source)
    assert {**content(target)["sessions"][0], "version": 1} == content(source)["sessions"][0]
    append(source, "s", "c")
    overwrite(source, "sessions", "updated_at", 6_000_000, session_id="s")
    brought(target, source)
    written = stored(source, "runs", "updated_at", session_id="s", run_id="c")
    assert stored(target, "sessions", "updated_at", session_id="s") == written


def test_places_that_are_empty_stay_so(source: Any, target: Any) -> None:
    append(source, "s", "a", "b", "c")
    source.delete_run("c", session_id="s")
    source.delete_run("a", session_id="s")
    brought(target, source)
    append(target, "s", "next")
    assert positions(target, "s") == {"b": 1, "next": 3}


def test_the_session_of_another_user_is_left_alone_and_reported(source: Any, target: Any) -> None:
    source.upsert_run(run("a"), "s", "ada")
    source.upsert_run(run("a"), "t", "ada")
    source.upsert_run(run("a"), "u", "ada")
    target.upsert_run(run("b"), "s", "bob")
    target.upsert_run(run("b", user_id="bob"), "u")
    overwrite(target, "sessions", "updated_at", 1, session_id="u")
    before = dump(target)
    done = bring(target, Reading(source), verify=True)
    assert [problem.place for problem in done.problems] == ["session 's'", "session 'u'"]
    assert all("belongs to another user" in problem.reason for problem in done.problems)
    assert (done.sessions, done.verified) == (Counts(1), 1)
    target.delete_session("t")
    assert dump(target) == before


def test_a_plan_counts_what_will_be_done_and_writes_nothing(source: Any, target: Any) -> None:
    append(source, "s", "a", "b")
    append(source, "t", "a")
    source.upsert_summary("s", {"summary": "x"})
    nothing = bring(target, Reading(source), plan=True)
    assert target.schema_status().state == "missing"
    assert totals(nothing) == (Counts(2), Counts(3), Counts(1))
    brought(target, source)
    append(source, "s", "c")
    source.upsert_run(run("a", "changed"), "s")
    before = dump(target)
    planned = bring(target, Reading(source), plan=True, verify=True)
    assert (dump(target), planned.planned, planned.verified) == (before, True, None)
    assert totals(planned) == totals(brought(target, source))


def test_a_comparison_finds_what_was_lost_or_changed(source: Any, target: Any) -> None:
    for key in ("s", "t", "u", "v"):
        append(source, key, "a", "b", "c")
        source.upsert_summary(key, {"summary": "text"})
    brought(target, source)
    target.delete_session("v")
    for table, column, value, where in (
        ("sessions", "metadata", '{"x":1}', {"session_id": "s"}),
        ("runs", "run_data", '{"x":1}', {"session_id": "t", "run_id": "b"}),
        ("runs", "run_id", "z", {"session_id": "t", "run_id": "c"}),
        ("summaries", "summary", "other", {"session_id": "u"}),
    ):
        overwrite(target, table, column, value, **where)
    append(target, "u", "more than there was")
    overwrite(target, "summaries", "updated_at", 1, session_id="u")

    class Nothing(Reading):
        """Brings nothing the first time."""

        times = 0

        def conversations(self) -> Any:
            self.times += 1
            return super().conversations() if self.times > 1 else iter(())

    done = bring(target, Nothing(source), verify=True)
    assert done.verified == 4
    assert done.problems == [
        Problem("session 's'", "verified: its row says something else there"),
        Problem("session 't'", "verified: run 'b' says something else there, and 1 more"),
        Problem("session 'u'", "verified: its summary says something else there"),
        Problem("session 'v'", "verified: it is not there"),
    ]


def test_tenants_are_read_and_written_apart(backend: str, opened: Opened) -> None:
    url = opened(backend).db_engine.url
    from agno_store import open_db

    with open_db(url, tenant_id="one") as one, open_db(url, tenant_id="two") as two, open_db(url) as none:
        append(one, "s", "of one")
        append(none, "s", "of none")
        there = opened(backend, tenant_id="x")
        brought(there, one)
        assert run_ids(there, "s") == ["of one"]
        brought(two, there)  # back into the table in which others are
        assert (run_ids(two, "s"), run_ids(one, "s"), run_ids(none, "s")) == (["of one"], ["of one"], ["of none"])


FILTERS = (
    (Which(user_id="ada"), {"a1", "a2"}),
    (Which(session_type="team"), {"t1"}),
    (Which(component_id="crew"), {"t1"}),
    (Which(session_ids=frozenset({"a2", "b1", "no"})), {"a2", "b1"}),
    (Which(updated_from=2_000_000), {"b1", "t1"}),
    (Which(updated_before=2_000_000), {"a1", "a2"}),
    (Which(user_id="ada", updated_from=1_000_001), {"a2"}),
    (Which(), {"a1", "a2", "b1", "t1"}),
)


def test_only_what_is_meant_is_brought(source: Any, target: Any) -> None:
    kinds = {"a1": "agent", "a2": "agent", "b1": "agent", "t1": "team"}
    users = {"a1": "ada", "a2": "ada", "b1": "bob"}
    for n, (key, kind) in enumerate(kinds.items()):
        component = {f"{kind}_id": "crew" if kind == "team" else "helper"}
        source.upsert_session(session(key, user_id=users.get(key), **component) | {"session_type": kind})
        overwrite(source, "sessions", "updated_at", 1_000_000 + n * 500_000, session_id=key)
    for which, expected in FILTERS:
        reading = Reading(source, which)
        assert reading.total == len(expected), which
        assert bring(target, reading).sessions == Counts(len(expected))
        assert {row["session_id"] for row in dump(target)["sessions"]} == expected
        assert {row["session_id"] for row in dump(source)["sessions"] if which.fits(row)} == expected
        empty(target)


@pytest.mark.backends("sqlite")
def test_a_long_session_is_never_in_memory_as_a_whole(
    source: Any, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_store.transfer.files._IN_MEMORY", 1_000_000)
    whole = "x" * 10_000
    source.upsert_session(session("s"))
    with source.db_engine.begin() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1499) INSERT INTO "
            "agent_sessions_runs (session_id, run_index, run_id, run_type, run_data, created_at, updated_at) "
            f"""SELECT 's', i, 'r' || i, 'agent', '{{"content":"{whole}"}}', i, i FROM n"""
        )
        connection.exec_driver_sql("UPDATE agent_sessions SET next_run_index = 1500")
    brought(target, source)  # what is kept for good is allocated by now
    target.delete_session("s")
    tracemalloc.start()
    done = brought(target, source, verify=True)
    written = source.export("/dev/null")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert done.runs == Counts(1500)
    assert written.runs == 1500
    assert peak < 8_000_000 < 1500 * len(whole)


@pytest.mark.parametrize("table", ["agent_sessions", "agent_sessions_runs"])
def test_of_a_session_that_is_deleted_meanwhile_no_half_is_taken(source: Any, target: Any, table: str) -> None:
    append(source, "a", "r", content="x" * 100_000)
    append(source, "s", *(f"r{n}" for n in range(40)), content="x" * 100_000)
    deleted: list[bool] = []

    def delete(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        """While the target stores the session, or the first of its runs."""
        words = statement.replace("`", "").replace('"', "").split()
        if words[:3] == ["INSERT", "INTO", table] and "'s'" in repr(values) and not deleted:
            deleted.append(source.delete_session("s"))

    event.listen(target.db_engine, "before_cursor_execute", delete)
    done = target.import_from(source)
    assert deleted == [True]
    assert [str(problem) for problem in done.problems] == [
        "session 's': it was deleted or handed over while it was read"
    ]
    assert [row["session_id"] for row in dump(target)["sessions"]] == ["a"]
    assert len(dump(target)["runs"]) == 1


class Once(Reading):
    """A store whose sessions can be read one time, and are damaged by the next."""

    def conversations(self) -> Iterator[Conversation | Problem]:
        for each in super().conversations():
            assert isinstance(each, Conversation)
            yield replace(each, read=each.read if self.reads == 0 else damaged)
        self.reads += 1

    reads = 0


def damaged() -> Content:
    raise Malformed("its row is no JSON")


def test_what_has_become_unreadable_is_named_by_the_look_afterwards(source: Any, target: Any) -> None:
    append(source, "s", "a")
    done = bring(target, Once(source), verify=True)
    assert (done.sessions, done.verified) == (Counts(1), 0)
    assert done.problems == [Problem("session 's'", "verified: its row is no JSON")]


def test_what_is_kept_beside_runs_travels_with_them_and_is_kept_as_the_target_was_told() -> None:
    long, file = "a text of some length, " * 100, io.BytesIO()
    with open_db("sqlite://", media_over=1_000) as source, open_db("sqlite://", media_over=2_000) as target:
        source.upsert_run({"run_id": "r", "agent_id": "a", "content": long, "more": long[:1_500]}, "s")
        assert len(dump(source)["media"]) == 2
        source.export(file)
        assert long in file.getvalue().decode()
        for given in (source, io.BytesIO(file.getvalue())):
            done = target.import_from(given, verify=True)
            assert (done.problems, done.verified) == ([], 1)
        assert [row["data"] for row in dump(target)["media"]] == [long]
        assert target.get_run("r").run_data == source.get_run("r").run_data
        source.upsert_run({"run_id": "r", "agent_id": "a", "content": "short"}, "s")
        assert target.import_from(source, verify=True).problems == []
        assert dump(target)["media"] == []
