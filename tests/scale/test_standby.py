"""Listings from a standby: what this process wrote is in them, and nothing else ever goes there."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from agno_store import ConfigurationError, MySQLDb, PostgresDb, open_db
from agno_store.dialects.standby import Standbys
from tests.contract.processes import together
from tests.contract.samples import append, listed, positions, run_ids, session
from tests.scale.lag import paused, reads, write
from tests.servers.sql import caught_up

THREADS = 8
EACH = 10

ANOTHER = """
import sys
from agno_store import PostgresDb
with PostgresDb(sys.argv[1]) as db:
    db.upsert_run({"run_id": "theirs", "agent_id": "helper"}, "s")
"""


@pytest.fixture
def db(replicated: tuple[str, str]) -> Iterator[PostgresDb]:
    """A store with one session of one run, and a standby that has both."""
    primary, standby = replicated
    with PostgresDb(primary, read_url=standby) as store:
        append(store, "s", "r0")
        caught_up(primary, standby)
        yield store


def runs(db: PostgresDb, session_id: str = "s") -> list[str]:
    """The ids of a session's runs, as ``get_runs`` lists them."""
    return list(positions(db, session_id))


# -- what is read where ------------------------------------------------------------------------------

LISTINGS: dict[str, Callable[[Any], Any]] = {
    "sessions": lambda db: db.get_sessions(),
    "sessions without runs": lambda db: db.get_sessions(user_id="u", include_runs=False, deserialize=False),
    "runs": lambda db: db.get_runs(),
    "runs of a session": lambda db: db.get_runs(session_id="s", deserialize=False),
}

OTHERS: dict[str, Callable[[Any], Any]] = {
    "a session": lambda db: db.get_session("s"),
    "its last runs": lambda db: db.get_session("s", runs_limit=1),
    "a run": lambda db: db.get_run("r0"),
    "a summary": lambda db: db.get_summary("s"),
    "a save": lambda db: db.upsert_session(session("s", metadata={"n": 1})),
    "several": lambda db: db.upsert_sessions([session("s"), session("t")]),
    "a first save": lambda db: db.insert_session_if_absent(session("new")),
    "a name": lambda db: db.rename_session("s", "agent", "name"),
    "a state": lambda db: db.update_session_state("s", lambda state: {"n": 1}),
    "a new owner": lambda db: db.reassign_session_owner("s", previous_user_id="u", user_id="v"),
    "a run saved": lambda db: append(db, "s", "r1"),
    "a run appended": lambda db: db.append_run_to_session_if_absent("s", {"run_id": "r2", "agent_id": "helper"}),
    "a run changed": lambda db: db.update_run_in_session("s", "r0", {"content": "new"}),
    "a run cancelled": lambda db: db.cancel_pending_run("r0", session_id="s", reason="no"),
    "a summary saved": lambda db: db.upsert_summary("s", {"summary": "short"}),
    "a run deleted": lambda db: db.delete_run("r0", session_id="s"),
    "runs deleted": lambda db: db.delete_runs(["r0"]),
    "a session deleted": lambda db: db.delete_session("s"),
    "sessions deleted": lambda db: db.delete_sessions(["s"]),
    "the version": lambda db: db.schema_status(),
    "a table": lambda db: db.table_exists("agent_sessions"),
    "an upgrade": lambda db: db.upgrade_schema(),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_listings_are_read_at_the_standby(db: PostgresDb, name: str) -> None:
    with reads(db) as found:
        LISTINGS[name](db)
    assert found
    assert all(statement.startswith("SELECT") and "FOR UPDATE" not in statement for statement in found)


def test_all_else_goes_to_the_primary(db: PostgresDb) -> None:
    for name, call in OTHERS.items():
        with reads(db) as found:
            call(db)
        assert found == [], name


def test_a_standby_is_never_written_to_not_even_as_a_primary(replicated: tuple[str, str]) -> None:
    primary, standby = replicated
    for read_url in (standby, primary):  # what was promoted takes writes
        with PostgresDb(primary, read_url=read_url) as db:
            append(db, "s", "r0")
            caught_up(primary, standby)
            assert db.read_engine is not None
            with pytest.raises(DBAPIError, match="read-only transaction"):
                write(db.read_engine)
            assert runs(db) == ["r0"]


# -- what is in it -----------------------------------------------------------------------------------


def test_own_writes_are_seen_however_far_the_standby_is_behind(
    db: PostgresDb, replicated: tuple[str, str], record_property: Callable[[str, Any], None]
) -> None:
    with paused(*replicated), reads(db) as found:
        for n in range(1, 20):
            append(db, "s", f"r{n}")
            assert runs(db) == [f"r{m}" for m in range(n + 1)]
            db.upsert_session(session(f"s{n}"))
            assert len(listed(db)) == n + 1
        db.delete_session("s")
        assert "s" not in listed(db)
        assert found == []
    caught_up(*replicated)
    with reads(db) as found:
        assert len(listed(db)) == 19
    assert found
    record_property("told", "standby that replays nothing: 39 writes of this process, 0 not seen by its next listing")


def test_own_writes_are_seen_at_a_standby_that_follows(
    db: PostgresDb, record_property: Callable[[str, Any], None]
) -> None:
    with reads(db) as found:
        for n in range(1, 101):
            append(db, "s", f"r{n}")
            assert len(runs(db)) == n + 1
    assert found
    there = len(found) // 2  # a list and its length
    record_property("told", f"standby that follows: 100 writes, 0 not seen by the next listing; {there} read there")


def test_writes_of_other_stores_and_threads_of_this_process_are_seen(
    db: PostgresDb, replicated: tuple[str, str]
) -> None:
    with paused(*replicated), PostgresDb(replicated[0]) as other:
        append(other, "s", "r1")
        assert runs(db) == ["r0", "r1"]

        def written_and_read(thread: int) -> None:
            for n in range(EACH):
                append(db, f"t{thread}", f"{n}")
                assert runs(db, f"t{thread}") == [f"{m}" for m in range(n + 1)]

        together(*(partial(written_and_read, thread) for thread in range(THREADS)))
    caught_up(*replicated)
    together(*(partial(written_and_read, thread) for thread in range(THREADS, 2 * THREADS)))
    assert len(listed(db)) == 2 * THREADS + 1


def test_a_write_of_another_process_is_seen_a_moment_later(db: PostgresDb, replicated: tuple[str, str]) -> None:
    with paused(*replicated):
        assert runs(db) == ["r0"]  # of what was written here the standby has all
        subprocess.run([sys.executable, "-c", ANOTHER, replicated[0]], check=True, timeout=60)
        assert runs(db) == ["r0"]
        assert run_ids(db, "s") == ["r0", "theirs"]  # a run begins with what is true
    caught_up(*replicated)
    with reads(db) as found:
        assert runs(db) == ["r0", "theirs"]
    assert found


def test_who_wants_speed_alone_gets_what_the_standby_has(replicated: tuple[str, str]) -> None:
    with PostgresDb(replicated[0], read_url=replicated[1], read_your_writes=False) as db:
        append(db, "s", "r0")
        with paused(*replicated):
            append(db, "s", "r1")
            assert runs(db) == ["r0"]
        caught_up(*replicated)
        assert runs(db) == ["r0", "r1"]


def test_tables_that_the_standby_does_not_have_yet_are_read_at_the_primary(
    replicated: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with PostgresDb(replicated[0], read_url=replicated[1]) as db, paused(*replicated):
        assert listed(db) == []
        assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    with paused(*replicated), PostgresDb(replicated[0], table_name="other") as other:
        append(other, "s", "r0")
        with PostgresDb(replicated[0], read_url=replicated[1], table_name="other", read_your_writes=False) as hasty:
            assert runs(hasty) == ["r0"]
            assert runs(hasty) == ["r0"]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "other: the standby at postgresql+psycopg://" in warning.getMessage()
    assert "does not exist" in warning.getMessage()


# -- how it is asked for -----------------------------------------------------------------------------


def test_a_standby_behind_a_pooler_and_of_an_engine_of_the_callers(replicated: tuple[str, str], db: PostgresDb) -> None:
    with (
        PostgresDb(db_engine=db.db_engine, read_url=replicated[1], pooler="transaction") as other,
        reads(other) as found,
    ):
        append(other, "s", "r1")
        assert runs(other) == ["r0", "r1"]
    assert found


def test_stores_share_the_standbys_connections_and_close_them(replicated: tuple[str, str], db: PostgresDb) -> None:
    other = PostgresDb(replicated[0], read_url=replicated[1], table_name="other")
    assert other.read_engine is db.read_engine
    assert other.read_engine is not other.db_engine
    assert other.id != db.id
    other.close()
    other.close()
    assert other.read_engine is None
    with reads(db) as found:
        assert runs(db) == ["r0"]
    assert found
    engine: Any = db.read_engine
    assert engine.pool.checkedin() == 1
    db.close()
    assert engine.pool.checkedin() == 0


def test_a_store_with_a_standby_can_be_pickled(db: PostgresDb) -> None:
    with pickle.loads(pickle.dumps(db)) as copy:
        assert copy.read_engine is db.read_engine
        assert runs(copy) == ["r0"]


URL, OTHER = "postgresql://ann:secret99@db.test/x", "mysql://ann:secret99@db.test/x"

REFUSED: dict[str, Callable[[], Any]] = {
    "another kind": lambda: PostgresDb(URL, read_url=OTHER),
    "MySQL": lambda: MySQLDb(OTHER, read_url=OTHER),
    "a store in MySQL": lambda: MySQLDb(OTHER, read_url=URL),
    "a store in SQLite": lambda: open_db("sqlite://", read_url=URL),
}


@pytest.mark.parametrize("name", REFUSED)
def test_read_url_is_for_postgresql_and_its_own_kind(name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        REFUSED[name]()
    assert "secret99" not in str(raised.value)


def test_a_driver_that_cannot_be_interrupted_is_refused() -> None:
    url = sa.make_url(URL).set(drivername="postgresql+pg8000")
    with pytest.raises(ConfigurationError, match="works with psycopg:"):
        Standbys().options(url, {"connect_args": {}})


def test_a_tenants_listings_from_a_standby_are_the_tenants(db: PostgresDb, replicated: tuple[str, str]) -> None:
    primary, standby = replicated
    with PostgresDb(primary, read_url=standby, tenant_id="acme") as acme:
        append(acme, "s", "theirs")
        caught_up(primary, standby)
        with reads(acme) as sent:
            assert listed(acme) == ["s"]
            assert [found.run_id for found in acme.get_runs(session_id="s")] == ["theirs"]
        assert len(sent) == 3

    assert runs(db) == ["r0"]
