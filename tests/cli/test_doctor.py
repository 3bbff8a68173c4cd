"""``agno-store doctor`` and ``diagnose()``: each trouble is found, with a cure that cures it."""

from __future__ import annotations

import re
import shlex
import time
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import SqliteDb, open_db
from agno_store.doctor import ERROR, OK, WARNING, diagnose
from agno_store.tables import HEAD, REVISIONS
from tests.cli.diagnoses import doctor, engine_of, finding, troubles, with_engine
from tests.cli.program import run
from tests.cli.stores import NAMES, at, contents, drop_an_index, execute, filled, locked, set_version

COMMON = ["versions", "connection", "server", "rights", "lock", "isolation", "clock", "tables", "drift"]
SUBJECTS = {
    "sqlite": ["file", "disk", "journal", "synchronous", "foreign keys", "integrity"],
    "postgresql": ["writable", "schema", "encoding", "indexes"],
    "mysql": ["writable", "encoding", "collation", "max_allowed_packet", "sql_mode", "engine"],
}


# -- all is well -------------------------------------------------------------------------------------


def test_a_healthy_store_is_healthy(backend: str, fresh_url: str) -> None:
    filled(fresh_url)
    before = contents(fresh_url)
    answer = doctor(fresh_url)
    assert (answer.code, answer.err) == (0, "")
    document = answer.document
    assert list(document) == ["store", "url", "findings", "exit_code"]
    assert (document["store"], document["exit_code"]) == ("agent_sessions", 0)
    assert all(list(found) == ["subject", "level", "message", "cure"] for found in document["findings"])
    assert [found for found in document["findings"] if found["level"] != OK] == []
    assert {found["subject"] for found in document["findings"]} == {*COMMON, *SUBJECTS[backend]}
    assert contents(fresh_url) == before


def test_people_read_a_line_for_each_finding_and_its_cure(fresh_url: str) -> None:
    at(fresh_url, "head")
    answer = run("doctor", "--db-url", fresh_url)
    assert (answer.code, answer.err) == (0, "")
    first, *lines = answer.out.splitlines()
    assert first.startswith("agent_sessions at ")
    assert all(re.match(r"  ok {7}[\w ]+: \S", line) for line in lines), answer.out
    assert any(f"agent_sessions is at {HEAD}, in step" in line for line in lines)
    set_version(fresh_url, REVISIONS[0])
    answer = run("doctor", "--db-url", fresh_url)
    assert answer.code == 3
    lines = answer.out.splitlines()
    number = next(
        n for n, line in enumerate(lines) if line.startswith("  error    tables: agent_sessions is at revision")
    )
    assert lines[number + 1].startswith("           agno-store upgrade --db-url ")
    assert answer.err.startswith("SchemaBehind: ")


def test_a_store_in_memory_has_no_file_to_look_at() -> None:
    with SqliteDb(db_url="sqlite://") as db:
        db.upgrade_schema()
        with db.db_engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA synchronous = OFF")  # nor one that a power cut could harm
        found = diagnose(db)
    assert [entry for entry in found if entry.level != OK] == []
    assert "disk" not in {entry.subject for entry in found}


def test_python_is_given_the_findings_with_the_error_that_a_call_raises(fresh_url: str) -> None:
    at(fresh_url, REVISIONS[0])
    with open_db(fresh_url) as db:
        found = diagnose(db)
        one = finding(found, "tables")
        assert type(one.error).__name__ == "SchemaBehind"
        assert one.to_dict() == {"subject": "tables", "level": ERROR, "message": one.message, "cure": one.cure}


# -- the tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "code"), [("missing", 3), (REVISIONS[0], 3)])
def test_a_store_that_is_not_in_step_is_cured_by_the_command_given(fresh_url: str, state: str, code: int) -> None:
    at(fresh_url, state)
    answer = doctor(fresh_url)
    assert (answer.code, answer.document["exit_code"]) == (code, code)
    program, *words = shlex.split(finding(answer, "tables").cure.partition("  (")[0])
    assert program == "agno-store"
    words[words.index("--db-url") + 1] = fresh_url  # where the password stands
    assert run(*words).code == 0
    assert doctor(fresh_url).code == 0


def test_a_store_ahead_of_this_release_needs_another_release(fresh_url: str) -> None:
    at(fresh_url, "head")
    set_version(fresh_url, "9999")
    answer = doctor(fresh_url)
    assert answer.code == 4
    assert finding(answer, "tables").cure == "pip install --upgrade agno-store"


def test_drift_is_found(fresh_url: str) -> None:
    at(fresh_url, "head")
    index = drop_an_index(fresh_url)
    answer = doctor(fresh_url)
    assert (answer.code, answer.document["error"]["type"]) == (5, "SchemaDrifted")
    assert f"index {index} on agent_sessions_runs is missing" in finding(answer, "drift").message
    assert "agno-store check --drift" in finding(answer, "drift").cure


def test_a_table_of_somebody_else_is_a_failure(fresh_url: str) -> None:
    execute(fresh_url, f"CREATE TABLE {NAMES.sessions} (id INTEGER, title VARCHAR(9))")
    answer = doctor(fresh_url)
    assert (answer.code, answer.document["error"]["type"]) == (1, "SchemaConflict")
    assert finding(answer, "tables")


def test_what_a_killed_batch_left_is_found_and_dropped(fresh_url: str) -> None:
    at(fresh_url, "head")
    execute(fresh_url, f"CREATE TABLE _alembic_tmp_{NAMES.runs} (id INTEGER)")
    answer = doctor(fresh_url)
    assert answer.code == 0
    assert finding(answer, "leftovers").level == WARNING
    execute(fresh_url, finding(answer, "leftovers").cure)
    assert troubles(fresh_url) == []


# -- the connection ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_not_there_is_unreachable_and_the_rest_is_told(scheme: str) -> None:
    answer = doctor(f"{scheme}://me:secret-word@127.0.0.1:1/app")
    assert answer.code == 7
    assert [found["subject"] for found in answer.document["findings"]] == ["versions", "connection"]
    assert "SQLAlchemy" in answer.document["findings"][0]["message"]
    assert "127.0.0.1" in answer.complaint
    assert "secret-word" not in answer.out + answer.err
    answer = run("doctor", "--db-url", f"{scheme}://me@127.0.0.1:1/app")
    assert answer.code == 7
    assert "  ok       versions: " in answer.out
    assert "Is the server running" in answer.out


def test_a_database_far_away_is_found(fresh_url: str) -> None:
    at(fresh_url, "head")
    with open_db(fresh_url) as db:

        def travel(*_: Any) -> None:
            time.sleep(0.06)

        db.schema_status()
        sa.event.listen(db.db_engine, "before_cursor_execute", travel)
        try:
            assert finding(diagnose(db), "connection").level == WARNING
        finally:
            sa.event.remove(db.db_engine, "before_cursor_execute", travel)
        assert [entry for entry in diagnose(db) if entry.level != OK] == []


@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_that_is_wrong_is_found(fresh_url: str, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    at(fresh_url, "head")
    real = time.time
    monkeypatch.setattr("agno_store.doctor.time.time", lambda: real() + seconds)
    with open_db(fresh_url) as db:
        one = finding(diagnose(db), "clock")
    assert one.level == WARNING
    assert re.search(r"(59|60|61) s " + ("behind" if seconds > 0 else "ahead of"), one.message)


def test_another_isolation_level_is_found(backend: str, fresh_url: str) -> None:
    at(fresh_url, "head")
    level = "READ UNCOMMITTED" if backend == "sqlite" else "REPEATABLE READ"
    engine = engine_of(fresh_url, isolation_level=level)
    one = finding(diagnose(with_engine(backend, engine)), "isolation")
    assert one.level == WARNING
    assert level in one.message


@pytest.mark.backends("postgresql", "mysql")
def test_an_upgrade_that_is_at_work_is_named(fresh_url: str) -> None:
    at(fresh_url, "head")
    with locked(fresh_url) as holder:
        answer = doctor(fresh_url)
    assert answer.code == 0
    assert holder in finding(answer, "lock").message
    assert troubles(fresh_url) == []
