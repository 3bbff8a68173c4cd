"""``--backup``: a whole copy of one moment first, and no upgrade without it."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from agno_store import open_db
from agno_store.errors import DatabaseError, InvalidArgument, NotFound
from agno_store.migrations import Migrator
from agno_store.migrations.backup import back_up
from tests.cli.program import Answer, installed, run, run_process
from tests.cli.stores import contents
from tests.migrations.conftest import fill
from tests.servers import clients

SQLITE = pytest.mark.backends("sqlite")

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("PRAGMA foreign_keys = ON")
print("begun", flush=True)
n = 0
while True:
    n += 1
    connection.execute("BEGIN IMMEDIATE")
    columns = "session_id, session_type, created_at, updated_at"
    connection.execute(f"INSERT INTO agent_sessions ({columns}) VALUES ('w{n}', '', 1, 1)")
    columns = "session_id, run_index, run_id, run_type, run_data, created_at, updated_at"
    for run in (0, 1):
        values = f"'w{n}', {run}, 'r{run}', '', '{'x' * 3000}', 1, 1"
        connection.execute(f"INSERT INTO agent_sessions_runs ({columns}) VALUES ({values})")
    connection.execute("COMMIT")
"""


def file_of(url: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(str(sa.make_url(url).database))


def upgrade(url: str, backup: Path, *words: str) -> Answer:
    """Upgrade after a backup."""
    return run("upgrade", "--backup", str(backup), "--db-url", url, *words)


def at_0002(url: str, sessions: int = 3) -> None:
    """Make a store with rows, that is behind."""
    with open_db(url) as db:
        fill(db, sessions)
        Migrator.of(db).downgrade("0002")


@SQLITE
def test_the_copy_is_the_database_before_the_upgrade(fresh_url: str, tmp_path: Path) -> None:
    at_0002(fresh_url)
    before, copy = contents(fresh_url), tmp_path / "new" / "folder" / "copy.db"
    answer = upgrade(fresh_url, copy)
    assert answer.code == 0
    assert f"  {copy}: a copy of {copy.stat().st_size} bytes, looked at and whole\n" in answer.out
    assert list(copy.parent.iterdir()) == [copy]
    assert contents(f"sqlite:///{copy}") == before != contents(fresh_url)
    with open_db(f"sqlite:///{copy}") as restored:
        restored.upgrade_schema()
        assert len(restored.get_sessions(deserialize=False)[0]) == 3


@SQLITE
def test_the_copy_is_one_moment_while_another_process_writes(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        command = [sys.executable, "-c", WRITER, str(file_of(fresh_url))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            try:
                sizes = [back_up(Migrator.of(db), tmp_path / f"copy{n}.db") for n in range(5)]
                assert writer.poll() is None
            finally:
                writer.kill()
    rows = []
    for n in range(5):
        with closing(sqlite3.connect(tmp_path / f"copy{n}.db")) as copy:
            [(sessions,)] = copy.execute("SELECT count(*) FROM agent_sessions")
            [(runs,)] = copy.execute("SELECT count(*) FROM agent_sessions_runs")
            assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
        assert runs == 2 * sessions
        rows.append(sessions)
    assert rows == sorted(rows)
    assert rows[0] < rows[-1]
    assert sizes[0] < sizes[-1]


@SQLITE
@pytest.mark.parametrize("what", ["file", "folder", "the database"])
def test_what_is_there_already_is_never_overwritten(fresh_url: str, tmp_path: Path, what: str) -> None:
    at_0002(fresh_url)
    backup = file_of(fresh_url) if what == "the database" else tmp_path / "copy.db"
    if what == "file":
        backup.write_text("mine")
    elif what == "folder":
        backup.mkdir()
    before = contents(fresh_url)
    answer = upgrade(fresh_url, backup)
    assert (answer.code, answer.out) == (2, "")
    assert "is there already. Nothing was changed" in answer.complaint
    assert contents(fresh_url) == before
    assert what != "file" or backup.read_text() == "mine"


@SQLITE
def test_a_place_that_cannot_be_written_is_a_sentence(fresh_url: str, tmp_path: Path) -> None:
    at_0002(fresh_url)
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(fresh_url)
    for backup in (tmp_path / "notes.txt" / "copy.db", Path("/proc/no/copy.db"), tmp_path / ("x" * 300)):
        answer = upgrade(fresh_url, backup)
        assert (answer.code, answer.out) == (2, "")
        assert "Nothing was changed" in answer.complaint
    assert contents(fresh_url) == before


PAGES = ("agent_sessions_runs", "ix_agent_sessions_runs_run_id", "agent_sessions")


def damage(file: Path, name: str, how: str) -> None:
    """Write over a page of a table or an index, behind SQLite's back."""
    with closing(sqlite3.connect(file)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,))
        [(size,)] = connection.execute("PRAGMA page_size")
    with file.open("r+b") as data:
        data.seek((page - 1) * size + (0 if how == "all of it" else 8))
        data.write(b"\xff" * (size if how == "all of it" else 64))


@SQLITE
@pytest.mark.parametrize("how", ["all of it", "a part"])
@pytest.mark.parametrize("name", PAGES)
def test_a_damaged_database_is_noticed_and_not_upgraded(fresh_url: str, tmp_path: Path, name: str, how: str) -> None:
    at_0002(fresh_url, sessions=20)
    file = file_of(fresh_url)
    damage(file, name, how)
    before = file.read_bytes()
    answer = upgrade(fresh_url, tmp_path / "copy.db", "--json")
    assert answer.code == 1
    assert answer.document["error"]["type"] == "DatabaseError"
    assert "Nothing was changed" in answer.complaint
    assert file.read_bytes() == before
    assert [left.name for left in tmp_path.glob("copy*")] == []
    with open_db(fresh_url) as db, pytest.raises(DatabaseError, match="is not whole"):
        back_up(Migrator.of(db), tmp_path / "copy.db")


@SQLITE
def test_a_file_that_is_half_a_database_is_a_failure(fresh_url: str, tmp_path: Path) -> None:
    at_0002(fresh_url, sessions=20)
    file = file_of(fresh_url)
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    answer = upgrade(fresh_url, tmp_path / "copy.db", "--json")
    assert (answer.code, answer.document["error"]["type"]) == (1, "DatabaseError")
    assert file.read_bytes() == half
    assert [left.name for left in tmp_path.glob("copy*")] == []


@SQLITE
@pytest.mark.parametrize("kilobytes", [36, 64])
def test_where_there_is_no_room_for_a_copy_nothing_is_left_of_it(
    fresh_url: str, tmp_path: Path, kilobytes: int
) -> None:
    at_0002(fresh_url, 50)
    assert file_of(fresh_url).stat().st_size > 64 * 1024
    before, folder = contents(fresh_url), tmp_path / "backups"
    folder.mkdir()
    for left in ("", "-wal", "-shm"):  # by a backup that was killed
        (folder / f"copy.db.part{left}").write_bytes(b"half a copy")
    # No file may grow beyond that, which SQLite meets like a full disk.
    program = f"ulimit -f {kilobytes}; exec {shlex.join([installed(), 'upgrade', '--db-url', fresh_url])} --backup"
    answer = run_process("bash", "-c", f"{program} {shlex.quote(str(folder / 'copy.db'))}", directory=tmp_path)
    assert answer.code == 1
    assert "whether there is room for a copy" in answer.complaint
    assert (list(folder.iterdir()), contents(fresh_url)) == ([], before)


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path) -> None:
    answer = upgrade(f"sqlite:///{tmp_path}/new/agents.db", tmp_path / "copies" / "copy.db", "--json")
    assert (answer.code, answer.document["error"]["type"]) == (1, "NotFound")
    assert list(tmp_path.iterdir()) == []
    with open_db(f"sqlite:///{tmp_path}/agents.db") as db, pytest.raises(NotFound, match="no database at"):
        back_up(Migrator.of(db), tmp_path / "copy.db")


def test_memory_can_be_copied_too(tmp_path: Path) -> None:
    (tmp_path / "copy.db.part").write_bytes(b"half a copy" * 100)  # of one that was killed
    with open_db("sqlite://") as db:
        fill(db)
        assert back_up(Migrator.of(db), tmp_path / "copy.db") == (tmp_path / "copy.db").stat().st_size
    with open_db(f"sqlite:///{tmp_path}/copy.db") as copy:
        assert len(copy.get_sessions(deserialize=False)[0]) == 3


@SQLITE
def test_of_several_stores_in_one_file_there_is_one_copy(fresh_url: str, tmp_path: Path) -> None:
    for table in ("one", "two"):
        with open_db(fresh_url, table_name=table) as db:
            Migrator.of(db).upgrade("0001")
    before, copy = contents(fresh_url), tmp_path / "copy.db"
    assert upgrade(fresh_url, copy, "--all").code == 0
    assert contents(f"sqlite:///{copy}") == before
    assert run("check", "--db-url", fresh_url, "--table", "two").code == 0
    assert upgrade(fresh_url, copy, "--all").code == 2


@pytest.mark.backends("postgresql", "mysql")
def test_for_a_server_there_is_the_command_that_does_it(backend: str, fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url) as db:
        Migrator.of(db).upgrade("0001")
    before = contents(fresh_url)
    answer = upgrade(fresh_url, tmp_path / "copy")
    assert (answer.code, answer.out) == (2, "")
    assert "Nothing was changed" in answer.complaint
    assert {"postgresql": "pg_dump", "mysql": "mysqldump"}[backend] in answer.complaint
    assert contents(fresh_url) == before
    assert list(tmp_path.iterdir()) == []
    if backend == "postgresql":
        words = shlex.split(answer.complaint[answer.complaint.index("pg_dump") :])
        subprocess.run([clients.psql().with_name("pg_dump"), *words[1:]], cwd=tmp_path, check=True)
        assert (tmp_path / "agno_store.dump").read_bytes().startswith(b"PGDMP")


@pytest.mark.parametrize("query", ["", "?password=s3cretive", "?sslpassword=s3cretive&application_name=x"])
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_the_command_holds_no_password(scheme: str, query: str, tmp_path: Path) -> None:
    url = f"{scheme}://me:s3cretive@db.example:1234/app{query}"
    with open_db(url) as db, pytest.raises(InvalidArgument) as raised:
        back_up(Migrator.of(db), tmp_path / "copy")
    said = str(raised.value)
    assert "s3cretive" not in said
    for part in ("db.example", "1234", "me", "app"):
        assert part in said
