"""A rehearsed upgrade is run for real, finds what would fail, and leaves no trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import open_db
from agno_store.errors import ConfigurationError, InvalidArgument, SchemaConflict, SchemaDrifted, UpgradeLocked
from agno_store.migrations import Migrator
from agno_store.migrations.rehearsal import rehearse
from agno_store.tables import HEAD, REVISIONS, Tables
from tests.cli.program import run
from tests.cli.stores import contents
from tests.history import above
from tests.migrations.applications import BATCH, FIRST, written
from tests.migrations.conftest import advisory_locks, fill
from tests.migrations.revisions import write

ABLE = pytest.mark.backends("sqlite", "postgresql")
UNIQUE = """
    op.create_index(f"uq_{n.sessions}_user_id", n.sessions, ["user_id"], unique=True, schema=n.schema)
"""
TAKEN_BACK = """
def downgrade(op, n):
    op.drop_index(f"uq_{n.sessions}_user_id", n.sessions, schema=n.schema)
"""


@ABLE
@pytest.mark.parametrize("at", ["base", *REVISIONS[:-1]])
def test_it_runs_what_is_pending_and_leaves_no_trace(fresh_url: str, at: str) -> None:
    with open_db(fresh_url) as db:
        migrator = Migrator.of(db)
        migrator.upgrade()
        fill(db)
        migrator.downgrade(at)
        before, journal = contents(fresh_url), entries(migrator)
        said: list[str] = []
        done = rehearse(migrator, on_step=lambda step, _: said.append(step.revision))
        assert done == said == [revision for revision in REVISIONS if at == "base" or revision > at]
        assert (contents(fresh_url), entries(migrator)) == (before, journal)
        assert migrator.upgrade() == done


@ABLE
def test_where_there_is_nothing_yet_nothing_is_made(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        assert rehearse(Migrator.of(db)) == list(REVISIONS)
    assert contents(fresh_url) == {}


def entries(migrator: Migrator) -> list[Any]:
    """Return the journal of a store."""
    with migrator.engine.connect() as connection:
        return list(migrator.journal.entries(connection))


def file_of(url: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(str(sa.make_url(url).database))


@pytest.mark.backends("sqlite")
def test_the_file_stays_as_it_was_and_has_no_company(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url) as db:
        fill(db)
        Migrator.of(db).downgrade("0001")
    file = file_of(fresh_url)
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    answer = run("upgrade", "--rehearse", "--db-url", fresh_url, "--json")
    assert (answer.code, [step["revision"] for step in answer.document["rehearsed"]]) == (0, above("0001"))
    assert (answer.document["state"], answer.document["current"]) == ("behind", "0001")
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert list(tmp_path.glob("test_*")) == [file]


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert run("upgrade", "--rehearse", "--db-url", f"sqlite:///{tmp_path}/new/agents.db").code == 0
    assert list(tmp_path.iterdir()) == []


def test_in_memory_it_is_a_copy_too() -> None:
    with open_db("sqlite://") as db:
        fill(db)
        migrator = Migrator.of(db)
        migrator.downgrade("0002")
        assert rehearse(migrator) == above("0002")
        assert migrator.current() == "0002"
        assert migrator.upgrade() == above("0002")
        assert len(db.get_sessions(deserialize=False)[0]) == 3


@ABLE
def test_an_upgrade_that_would_fail_on_the_real_rows_is_found(fresh_url: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "versions", UNIQUE, downgrade=TAKEN_BACK)
    with open_db(fresh_url, versions=folder) as db:
        migrator = Migrator.of(db)
        migrator.upgrade(HEAD)
        assert rehearse(migrator) == ["app1"]
        with open_db(fresh_url) as plain:
            fill(plain, sessions=2)  # of the same user
        before = contents(fresh_url)
        with pytest.raises(sa.exc.IntegrityError):
            rehearse(migrator)
        assert contents(fresh_url) == before
        words = ("upgrade", "--rehearse", "--versions", str(folder), "--db-url", fresh_url)
        answer = run(*words)
        assert (answer.code, answer.out) == (1, "")
        assert "IntegrityError" in answer.complaint or "UniqueViolation" in answer.complaint
        assert contents(fresh_url) == before


@ABLE
def test_a_rebuilt_table_keeps_its_rows(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url) as plain:
        fill(plain)
    with open_db(fresh_url, versions=written(tmp_path, FIRST, BATCH)) as db:
        before = contents(fresh_url)
        assert rehearse(Migrator.of(db)) == ["a1", "a2"]
        assert contents(fresh_url) == before


@ABLE
def test_tables_that_would_not_be_as_declared_are_found(fresh_url: str, tmp_path: Path) -> None:
    folder = written(tmp_path, FIRST)
    with open_db(fresh_url, versions=folder, extend=declared) as db:
        with pytest.raises(SchemaDrifted, match="Everything was taken back") as raised:
            rehearse(Migrator.of(db))
        assert [difference for difference in raised.value.differences if "forgotten" in difference]
        assert Migrator.of(db).position().own is None
        assert rehearse(Migrator.of(db), "0002") == ["0001", "0002"]  # where nothing is declared to be complete


def declared(tables: Tables) -> None:
    """Declare what the revisions make, and a column that none does."""
    tables.sessions.append_column(sa.Column("tenant", sa.String(255)))
    tables.sessions.append_column(sa.Column("forgotten", sa.String(255)))


@ABLE
def test_a_strangers_table_is_found(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE agent_sessions_runs (id INTEGER)")
        before = contents(fresh_url)
        with pytest.raises(SchemaConflict, match="agent_sessions_runs is there already"):
            rehearse(Migrator.of(db))
        assert contents(fresh_url) == before


@pytest.mark.backends("postgresql")
def test_a_schema_that_is_not_there_is_not_made(fresh_url: str) -> None:
    with open_db(fresh_url, db_schema='own "Schema" %s') as db:
        assert rehearse(Migrator.of(db)) == list(REVISIONS)
        with db.db_engine.connect() as connection:
            assert not sa.inspect(connection).has_schema('own "Schema" %s')
            assert advisory_locks(connection) == 0


@pytest.mark.backends("mysql")
def test_mysql_says_that_it_cannot(fresh_url: str) -> None:
    answer = run("upgrade", "--rehearse", "--db-url", fresh_url)
    assert (answer.code, answer.out) == (2, "")
    assert "cannot roll a CREATE or ALTER back" in answer.complaint
    with open_db(fresh_url) as db, pytest.raises(InvalidArgument, match="Nothing was changed"):
        rehearse(Migrator.of(db))
    assert contents(fresh_url) == {}


@contextmanager
def in_use(db: Any, seconds: float) -> Iterator[None]:
    """Hold a table of the store for some seconds, as a long transaction of a reader does."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with db.db_engine.connect() as connection:
            connection.execute(sa.text(f"SELECT * FROM {db.names.sessions}"))
            held.set()
            over.wait(seconds)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(20)
    yield
    over.set()
    holder.join()


@pytest.mark.backends("postgresql")
@pytest.mark.parametrize("seconds", [0.5, 30])
def test_it_steps_back_from_a_table_in_use_as_the_upgrade_does(fresh_url: str, tmp_path: Path, seconds: float) -> None:
    with open_db(fresh_url, versions=written(tmp_path, FIRST), lock_timeout=1) as db:
        migrator = Migrator.of(db, ddl_lock_timeout=0.2)
        migrator.upgrade(HEAD)
        with in_use(db, seconds):
            begun = time.monotonic()
            if seconds < 1:
                assert rehearse(migrator) == ["a1"]
            else:
                with pytest.raises(UpgradeLocked, match="in a transaction since"):
                    rehearse(migrator)
            assert time.monotonic() - begun < 5
        assert migrator.position().application is None


OUTSIDE = """
    with op.get_context().autocommit_block():
        op.create_index(f"ix_{n.sessions}_gone", n.sessions, ["team_id"], postgresql_concurrently=True)
"""


@ABLE
def test_what_cannot_be_taken_back_is_not_begun(backend: str, fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url, versions=write(tmp_path / "versions", OUTSIDE)) as db:
        migrator = Migrator.of(db)
        migrator.upgrade(HEAD)
        before = contents(fresh_url)
        if backend == "sqlite":  # on the copy all is one transaction in any case
            assert rehearse(migrator) == ["app1"]
        else:
            with pytest.raises(ConfigurationError, match="outside of a transaction"):
                rehearse(migrator)
        assert contents(fresh_url) == before
        assert migrator.upgrade() == ["app1"]
