"""The rights of a process to a SQLite file and its folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agno_store import AccessDenied, DatabaseError, SqliteDb, open_db
from agno_store.migrations import Migrator
from agno_store.tables import REVISIONS
from tests.cli.program import run
from tests.migrations.conftest import fill
from tests.migrations.test_rights import READS, WRITES


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody whose rights to files count: root may write whatever the mode says."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can enter, which those that pytest makes are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def file(place: Path) -> Path:
    """A filled store."""
    with SqliteDb(place / "agents.db") as db:
        fill(db)
        db.upsert_run({"run_id": "waiting", "status": "PENDING"}, session_id="s0")
        for call in READS.values():
            call(db)  # imports what nobody may not: Python itself can lie where only its owner reads
    assert run("check", "--db-url", f"sqlite:///{place / 'agents.db'}").code == 0
    return place / "agents.db"


DENIED = AccessDenied if sys.version_info >= (3, 11) else DatabaseError
"""Before 3.11 Python does not tell SQLite's code, and texts are not looked at."""


@pytest.mark.parametrize("how", ["mode=ro", "immutable=1", "a file that may not be written"])
def test_a_file_that_cannot_be_written_is_read_and_a_writer_is_told(file: Path, how: str) -> None:
    before = file.read_bytes()
    url = f"sqlite:///{file}" if how.startswith("a file") else f"sqlite:///file:{file}?{how}&uri=true"
    file.chmod(0o444)
    file.parent.chmod(0o777)
    with unprivileged(), open_db(url) as db:
        for call in READS.values():
            call(db)
        assert db.upgrade_schema() == []
        for name, call in WRITES.items():
            with pytest.raises(DENIED) as caught:
                call(db)
            if DENIED is AccessDenied:
                assert re.search(r"lacks the right to (INSERT|UPDATE|DELETE): ", str(caught.value)), name
                assert f"chmod u+w {file} {file.parent}" in str(caught.value)
        for command in ("check", "current", "history"):
            assert run(command, "--db-url", url).code == 0
    assert file.read_bytes() == before


@pytest.mark.skipif(DENIED is not AccessDenied, reason="Python tells SQLite's code from 3.11 on")
@pytest.mark.parametrize("mode", [0o444, 0o666])
def test_a_folder_that_cannot_be_written_is_named_with_a_way_to_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    file.parent.chmod(0o555)
    with unprivileged():
        with (
            SqliteDb(file) as db,
            pytest.raises(AccessDenied, match=f"lacks the right to open .*{file.parent}") as caught,
        ):
            db.get_session("s0")
        answer = run("check", "--db-url", f"sqlite:///{file}")
        assert (answer.code, answer.err.split(":")[0]) == (1, "AccessDenied")
        found = re.search(r"sqlite:///file:\S+", str(caught.value))
        assert found
        with open_db(found[0]) as db:
            assert db.get_session("s0") is not None


def test_a_folder_that_cannot_be_entered_is_not_taken_for_an_empty_one(file: Path) -> None:
    file.parent.chmod(0)
    with unprivileged(), SqliteDb(file) as db:
        for call in (db.schema_status, db.upgrade_schema, lambda: db.get_session("s0")):
            with pytest.raises(DatabaseError, match="unable to open database file"):
                call()
        for command in ("check", "current"):
            answer = run(command, "--db-url", f"sqlite:///{file}")
            assert (answer.code, answer.err.split(":")[0]) == (7, "DatabaseUnreachable")


@pytest.mark.skipif(DENIED is not AccessDenied, reason="Python tells SQLite's code from 3.11 on")
def test_an_upgrade_of_a_file_that_cannot_be_written_changes_nothing(place: Path) -> None:
    with SqliteDb(place / "agents.db") as db:
        db.upgrade_schema(REVISIONS[0])
    url = f"sqlite:///file:{place / 'agents.db'}?mode=ro&uri=true"
    with open_db(url, auto_upgrade_schema=True) as db, pytest.raises(AccessDenied, match="CREATE tables"):
        db.get_session("s")
    answer = run("upgrade", "--db-url", url)
    assert (answer.code, answer.out) == (1, "")
    with SqliteDb(place / "agents.db") as db:
        assert Migrator.of(db).current() == REVISIONS[0]
