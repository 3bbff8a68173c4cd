"""The doctor at SQLite: the journal, the disk, the file itself."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from agno_store import SqliteDb
from agno_store.dialects import health_sqlite
from agno_store.dialects.health_sqlite import SQLiteHealth
from agno_store.dialects.sqlite_line import BUSY_SECONDS
from agno_store.doctor import ERROR, OK, WARNING, diagnose
from tests.cli.diagnoses import doctor, engine_of, finding, troubles
from tests.cli.stores import NAMES, execute, filled
from tests.migrations.test_joined_sqlite import begins_by_event
from tests.migrations.test_rights_sqlite import place as place
from tests.migrations.test_rights_sqlite import unprivileged


@pytest.fixture
def file(tmp_path: Path) -> Path:
    filled(f"sqlite:///{tmp_path}/agents.db")
    return tmp_path / "agents.db"


def test_a_rollback_journal_is_found_where_it_stays(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    answer = doctor(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert answer.code == 0
    one = finding(answer, "journal")
    assert (one.level, "DELETE" in one.message) == (WARNING, True)
    assert "PRAGMA journal_mode = WAL" in one.cure
    assert finding(answer, "rights").level == WARNING
    assert troubles(f"sqlite:///{file}") == []


@pytest.mark.parametrize(
    ("pragma", "subject", "level"),
    [
        ("synchronous = NORMAL", "synchronous", WARNING),
        ("synchronous = OFF", "synchronous", ERROR),
        ("foreign_keys = OFF", "foreign keys", WARNING),
        ("journal_mode = MEMORY", "journal", ERROR),
        ("journal_mode = OFF", "journal", ERROR),
        ("query_only = ON", "rights", WARNING),
    ],
)
def test_what_an_engine_of_the_callers_leaves_out_is_found(file: Path, pragma: str, subject: str, level: str) -> None:
    engine = engine_of(f"sqlite:///{file}")

    def set_up(driver: sqlite3.Connection, _: object) -> None:
        for one in ("foreign_keys = ON", "synchronous = EXTRA", pragma):
            driver.execute(f"PRAGMA {one}")

    sa.event.listen(engine, "connect", set_up)
    found = [entry for entry in diagnose(SqliteDb(db_engine=engine)) if entry.level != OK]
    assert [(entry.subject, entry.level) for entry in found] == [(subject, level)]
    assert found[0].cure


def test_rows_without_their_session_are_found_and_deleted(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"DELETE FROM {NAMES.sessions} WHERE session_id = 'two'")
        connection.commit()
    answer = doctor(f"sqlite:///{file}")
    assert answer.code == 1
    execute(f"sqlite:///{file}", finding(answer, "foreign keys").cure)
    assert troubles(f"sqlite:///{file}") == []


def test_a_damaged_file_is_found(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (f"ix_{NAMES.sessions}_created_at",)
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\x55" * size
    file.write_bytes(bytes(content))
    answer = doctor(f"sqlite:///{file}")
    assert answer.code == 1
    assert finding(answer, "integrity").level == ERROR
    assert ".recover" in finding(answer, "integrity").cure


def test_a_file_that_is_no_database_is_found(folder: Path) -> None:
    (folder / "notes.txt").write_text("somebody's notes " * 100)
    answer = doctor(f"sqlite:///{folder}/notes.txt")
    assert answer.code == 1
    assert "file is not a database" in finding(answer, "connection").message
    assert [found["subject"] for found in answer.document["findings"]] == ["versions", "file", "disk", "connection"]


def test_a_file_that_is_not_there_is_not_made(folder: Path) -> None:
    answer = doctor(f"sqlite:///{folder}/new/agents.db")
    assert answer.code == 3
    assert [found["subject"] for found in answer.document["findings"]] == ["versions", "file", "disk", "tables"]
    assert list(folder.iterdir()) == []


def test_a_writer_that_does_not_end_is_found(file: Path) -> None:
    began = time.monotonic()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = doctor(f"sqlite:///{file}")
    assert time.monotonic() - began < BUSY_SECONDS / 2
    assert answer.code == 0
    assert finding(answer, "lock").level == WARNING


def test_a_connection_is_left_as_it_was_and_one_in_a_transaction_is_not_asked_for_the_lock(file: Path) -> None:
    with SqliteDb(file) as db:
        assert [entry for entry in diagnose(db) if entry.level != OK] == []
        with db.db_engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == BUSY_SECONDS * 1000
    engine = begins_by_event(f"sqlite:///{file}")
    assert "lock" not in [entry.subject for entry in diagnose(SqliteDb(db_engine=engine))]
    engine.dispose()


TOLD = sys.version_info >= (3, 11)
"""Before 3.11 Python does not tell SQLite's code, and any error may be that somebody writes."""


NONSENSE = 7
"""No answer that SQLite knows: its statement fails, and not for want of a right."""


@pytest.mark.parametrize(("answer", "expected"), [(sqlite3.SQLITE_DENY, []), (NONSENSE, [ERROR])])
def test_a_lock_that_is_refused_is_nobodys_and_another_error_is_said(
    file: Path, answer: int, expected: list[str]
) -> None:
    engine = engine_of(f"sqlite:///{file}")

    def set_up(driver: sqlite3.Connection, _: object) -> None:
        driver.execute("PRAGMA foreign_keys = ON")
        driver.set_authorizer(lambda action, *_: answer if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK)

    sa.event.listen(engine, "connect", set_up)
    found = [entry.level for entry in diagnose(SqliteDb(db_engine=engine)) if entry.subject == "lock"]
    assert found == (expected if TOLD else [WARNING])


def test_a_file_in_a_folder_that_may_not_be_written_can_only_be_read(place: Path) -> None:
    filled(f"sqlite:///{place}/agents.db")
    with closing(sqlite3.connect(place / "agents.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    (place / "agents.db").chmod(0o666)
    store = SqliteDb(db_engine=engine_of(f"sqlite:///{place}/agents.db"))
    assert "rights" not in [entry.subject for entry in diagnose(store) if entry.level != OK]
    place.chmod(0o555)
    with unprivileged():
        assert finding(diagnose(store), "rights").level == WARNING


def test_a_large_file_wants_as_much_room_again_and_a_closed_folder_is_named(tmp_path: Path) -> None:
    large, closed = tmp_path / "large.db", tmp_path / "closed"
    with large.open("wb") as sparse:
        sparse.truncate(shutil.disk_usage(tmp_path).free + 2**30)
    found = list(SQLiteHealth().outside(sa.make_url(f"sqlite:///{large}")))
    assert [(one.subject, one.level) for one in found] == [("file", OK), ("disk", WARNING)]
    large.unlink()
    closed.mkdir(mode=0o555)
    with unprivileged():
        found = list(SQLiteHealth().outside(sa.make_url(f"sqlite:///{closed}/agents.db")))
    assert finding(found, "file").level == ERROR


def test_a_log_that_cannot_be_folded_back_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_sqlite, "LONG_LOG", 4096)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader, SqliteDb(file) as db:
        reader.execute("BEGIN")
        reader.execute(f"SELECT * FROM {NAMES.sessions}").fetchall()
        for n in range(9):
            db.upsert_session({"session_id": f"s{n}"})
        found = finding(diagnose(db), "file")
        assert "PRAGMA wal_checkpoint(TRUNCATE)" in found.cure


@pytest.mark.parametrize(("space", "level", "code"), [("LITTLE_SPACE", WARNING, 0), ("NO_SPACE", ERROR, 1)])
def test_a_full_disk_is_found(file: Path, monkeypatch: pytest.MonkeyPatch, space: str, level: str, code: int) -> None:
    monkeypatch.setattr(health_sqlite, "LITTLE_SPACE", 2**60)
    monkeypatch.setattr(health_sqlite, space, 2**60)
    answer = doctor(f"sqlite:///{file}")
    assert (answer.code, finding(answer, "disk").level) == (code, level)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ext4"])
def test_a_file_system_of_another_machine_is_found(file: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (file.parent / "a folder").mkdir()
    file = file.rename(file.parent / "a folder" / file.name)
    mounts = file.with_name("mounts")
    there = str(file.parent).replace(" ", "\\040")
    mounts.write_text(
        f"/dev/vda / ext4 rw 0 0\nserver:/export {there} {kind} rw 0 0\ntmpfs {there}/deeper tmpfs rw 0 0\n"
    )
    monkeypatch.setattr(health_sqlite, "MOUNTS", mounts)
    assert troubles(f"sqlite:///{file}") == ([] if kind == "ext4" else [("file system", WARNING)])
    mounts.write_text(f"server:/export {there}/{file.name} {kind} rw 0 0\n")  # as into a container, alone
    assert health_sqlite.file_system(file) == kind
    mounts.unlink()
    assert health_sqlite.file_system(file) is None
