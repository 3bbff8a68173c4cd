"""An upgrade that says it succeeded has: what others do to the version table or to a COMMIT is an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from agno_store import MySQLDb, PostgresDb, SchemaError, SqliteDb, open_db
from agno_store.dialects.mysql import upgrader
from agno_store.errors import AgnoStoreError, DatabaseError, SchemaConflict
from agno_store.migrations import Migrator
from agno_store.migrations.chain import Position
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.history import BEFORE_HEAD
from tests.migrations.conftest import contents, fill
from tests.migrations.sessions import ADD_COLUMN, ON_ANOTHER_TABLE, application, locks_left, session

EVERY = list(REVISIONS)
CLASSES: dict[str, Any] = {"sqlite": SqliteDb, "postgresql": PostgresDb, "mysql": MySQLDb}
VERSION = "agent_sessions_alembic_version"


def execute(url: str, *statements: str) -> None:
    """Do something in the database, as another program does."""
    with session(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.commit()


# -- somebody else at the version table --------------------------------------------------------------

MOVES = {
    "deletes": f"DELETE FROM {VERSION}",
    "moves back": f"UPDATE {VERSION} SET version_num = '{BEFORE_HEAD}' WHERE version_num = '{HEAD}'",
    "adds": f"INSERT INTO {VERSION} VALUES ('{BEFORE_HEAD}')",
    "empties": f"UPDATE {VERSION} SET version_num = 'zzzz' WHERE version_num = '{HEAD}'",
}


@pytest.mark.parametrize("move", MOVES)
def test_a_version_that_somebody_changes_before_it_is_read_again_is_no_success(fresh_url: str, move: str) -> None:
    class Meddled(Migrator):
        """Meets somebody else between giving the lock back and reading the version again."""

        def verify(self, connection: Any, wanted: Any, *, up: bool) -> None:
            connection.rollback()
            execute(fresh_url, MOVES[move])
            super().verify(connection, wanted, up=up)

    with open_db(fresh_url) as db:
        with pytest.raises(SchemaError) as caught:
            Meddled.of(db).upgrade()
        assert caught.value.head == HEAD
        with suppress(AgnoStoreError):
            assert not db.schema_status().in_step


def test_of_several_stores_it_is_said_which_is_at_two_revisions(fresh_url: str) -> None:
    with open_db(fresh_url, table_name="talks") as db, open_db(fresh_url) as other:
        for each in (db, other):
            each.upgrade_schema()
        execute(fresh_url, "INSERT INTO talks_alembic_version VALUES ('0002')")
        for look in (db.schema_status, db.upgrade_schema):
            with pytest.raises(
                SchemaConflict, match=f"^talks is at several .* talks_alembic_version: 0002, {HEAD}"
            ) as raised:
                look()
            assert raised.value.store == "talks"
        assert other.schema_status().in_step


def test_two_revisions_of_one_application_are_a_conflict(fresh_url: str, tmp_path: Path) -> None:
    with open_db(fresh_url, versions=application(tmp_path / "versions", ADD_COLUMN, ON_ANOTHER_TABLE)) as db:
        db.upgrade_schema()
        execute(fresh_url, f"INSERT INTO {VERSION} VALUES ('a1')")
        with pytest.raises(SchemaConflict, match=r"^agent_sessions: .*several revisions of one application: a\d, a\d"):
            db.upgrade_schema()


@pytest.mark.parametrize("move", ["deletes", "moves back"])
def test_a_version_that_changes_within_a_revision_is_no_success(fresh_url: str, tmp_path: Path, move: str) -> None:
    versions = application(tmp_path / "versions", ADD_COLUMN, f'op.execute("{MOVES["deletes"]}")')
    if move == "moves back":
        moved = MOVES[move].replace(HEAD, "a1").replace(BEFORE_HEAD, "b0")
        versions = application(tmp_path / "versions", ADD_COLUMN, f'op.execute("{moved}")')
    with open_db(fresh_url, versions=versions) as db:
        with pytest.raises(SchemaError, match="Alembic stopped"):
            db.upgrade_schema()
        with pytest.raises(SchemaError):
            db.upgrade_schema()
        first = None if db.dialect.title == "SQLite" else HEAD
        assert Migrator.of(db).position().own == first
    answer = run("check", "--db-url", fresh_url)
    assert answer.code == (0 if first else 3)


TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER back AFTER UPDATE ON {VERSION} WHEN NEW.version_num = '{HEAD}' "
        f"BEGIN UPDATE {VERSION} SET version_num = '{BEFORE_HEAD}'; END",
    ),
    "postgresql": (
        "CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF NEW.version_num = '{HEAD}' THEN NEW.version_num := '{BEFORE_HEAD}'; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER back BEFORE UPDATE ON {VERSION} FOR EACH ROW EXECUTE FUNCTION back()",
    ),
    "mysql": (
        f"CREATE TRIGGER back BEFORE UPDATE ON {VERSION} FOR EACH ROW "
        f"SET NEW.version_num = IF(NEW.version_num = '{HEAD}', '{BEFORE_HEAD}', NEW.version_num)",
    ),
}


def test_a_version_that_a_trigger_turns_back_is_no_success(backend: str, fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema(BEFORE_HEAD)
        execute(fresh_url, *TRIGGERS[backend])
        for _ in range(2):
            with pytest.raises(SchemaError, match="omebody else"):
                db.upgrade_schema()
        execute(fresh_url, f"DROP TRIGGER back{f' ON {VERSION}' if backend == 'postgresql' else ''}")
        assert db.upgrade_schema() == [HEAD]
        assert Migrator.of(db).drift() == []


def test_two_programs_with_alembic_tell_their_revisions_apart(fresh_url: str, tmp_path: Path) -> None:
    versions = application(tmp_path / "versions", ADD_COLUMN)
    with open_db(fresh_url) as plain, open_db(fresh_url, versions=versions) as db:
        plain.upgrade_schema()
        execute(fresh_url, f"INSERT INTO {VERSION} VALUES ('of somebody else')")
        assert db.upgrade_schema() == ["a1"]
        assert plain.upgrade_schema() == []
        with session(fresh_url) as connection:
            rows = sorted(connection.exec_driver_sql(f"SELECT version_num FROM {VERSION}").scalars())
        assert rows == [HEAD, "a1", "of somebody else"]


# -- COMMIT ------------------------------------------------------------------------------------------


class Losing:
    """Rolls a transaction back where an engine says COMMIT, for one of the commits or for all."""

    def __init__(self, backend: str, engine: Engine, which: int | None = None) -> None:
        self.commits = 0
        self._which = which
        self._engine = engine
        if backend == "sqlite":
            self._listener: tuple[str, Any] = ("before_cursor_execute", self._in_text)
        else:
            self._listener = ("commit", self._by_event)

    def __enter__(self) -> Losing:
        name, listener = self._listener
        if name == "before_cursor_execute":
            sa.event.listen(self._engine, name, listener, retval=True)
        else:
            sa.event.listen(self._engine, name, listener)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, *self._listener)

    def _loses(self) -> bool:
        self.commits += 1
        return self._which in (None, self.commits)

    def _in_text(self, _c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return ("ROLLBACK" if statement == "COMMIT" and self._loses() else statement), parameters

    def _by_event(self, connection: Connection) -> None:
        if self._loses():
            driver: Any = connection.connection.dbapi_connection
            driver.rollback()


def test_commits_that_do_nothing_are_no_success(backend: str, fresh_url: str) -> None:
    engine = sa.create_engine(fresh_url)
    db = CLASSES[backend](db_engine=engine)
    with Losing(backend, engine), pytest.raises(AgnoStoreError):
        db.upgrade_schema()
    with open_db(fresh_url) as looking:
        assert looking.schema_status().state == "missing"
    db.upgrade_schema()
    assert db.schema_status().in_step
    engine.dispose()


@pytest.mark.parametrize("way", ["upgrade", "downgrade", "stamp"])
def test_no_commit_can_be_lost_and_the_whole_be_a_success(backend: str, fresh_url: str, way: str) -> None:
    engine = sa.create_engine(fresh_url)
    db = CLASSES[backend](db_engine=engine)
    migrator, target = Migrator.of(db), {"upgrade": HEAD, "downgrade": "0001", "stamp": BEFORE_HEAD}[way]
    lost, whole, which = 0, False, 0
    while not whole:
        which += 1
        db.upgrade_schema()
        migrator.downgrade(BEFORE_HEAD if way == "stamp" else "0001" if way == "upgrade" else HEAD)
        if way == "stamp":
            execute(fresh_url, f"UPDATE {VERSION} SET version_num = '{HEAD}'")
        with Losing(backend, engine, which) as losing:
            try:
                getattr(migrator, way)(target)
                with open_db(fresh_url) as looking:
                    assert looking.schema_status().current == target, f"{way} without commit {which}"
            except (AgnoStoreError, sa.exc.DBAPIError):
                lost += 1
            whole = losing.commits < which
        getattr(migrator, way)(target)
    assert lost >= 1
    engine.dispose()


# -- listeners of the host ---------------------------------------------------------------------------


def select(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT 1").fetchall()


def select_on_driver(driver: Any, *_: Any) -> None:
    cursor = driver.cursor()
    cursor.execute("SELECT 1")
    cursor.fetchall()
    cursor.close()


LISTENERS: dict[str, Callable[..., None]] = {
    "engine_connect": select,
    "begin": select,
    "commit": select,
    "checkout": select_on_driver,
    "connect": select_on_driver,
}


@pytest.mark.parametrize("event", LISTENERS)
def test_a_select_of_the_hosts_at_any_moment_keeps_nothing_from_being_committed(
    backend: str, fresh_url: str, tmp_path: Path, event: str
) -> None:
    engine = sa.create_engine(fresh_url)
    sa.event.listen(engine, event, LISTENERS[event])
    db = CLASSES[backend](db_engine=engine)
    assert db.upgrade_schema("0002") == EVERY[:2]
    assert Migrator.of(db).downgrade("0001") == ["0002"]
    Migrator.of(db).stamp("0001")
    db = CLASSES[backend](db_engine=engine, versions=application(tmp_path / "versions", ADD_COLUMN))
    assert db.upgrade_schema() == [*EVERY[1:], "a1"]
    with open_db(fresh_url) as other:  # what another connection sees is committed
        assert other.schema_status().in_step
        fill(other)
        assert len(contents(other)) == 3
    engine.dispose()


# -- revisions that fail -----------------------------------------------------------------------------

FAILURES = {
    "in Python": ("raise LookupError('in the middle')", SchemaError),
    "in SQL": ('op.execute("SELECT nothing FROM nowhere")', DatabaseError),
    "over a row": ('op.execute(f"INSERT INTO {n.sessions} SELECT * FROM {n.sessions}")', DatabaseError),
}


def is_free(backend: str, db: Any, url: str) -> bool:
    """Whether nothing of an upgrade is left that keeps another one out."""
    if backend == "sqlite":
        with closing(sqlite3.connect(str(sa.make_url(url).database), timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
        return True
    if backend == "postgresql":
        return locks_left(url) == 0
    with session(url) as connection:
        return upgrader(connection, db.names) is None


@pytest.mark.parametrize("failure", FAILURES)
def test_a_revision_that_fails_leaves_no_lock_and_is_run_again_when_it_is_mended(
    backend: str, fresh_url: str, tmp_path: Path, failure: str
) -> None:
    upgrade, error = FAILURES[failure]
    with open_db(fresh_url) as db:
        fill(db)
        rows = contents(db)
    failing = application(tmp_path / "failing", ON_ANOTHER_TABLE, f"{ADD_COLUMN}\n{upgrade}")
    with open_db(fresh_url, versions=failing) as db:
        for _ in range(2):
            with pytest.raises(error):
                db.upgrade_schema()
            assert is_free(backend, db, fresh_url)
        applied = None if backend == "sqlite" else "a1"
        assert Migrator.of(db).position() == Position(HEAD, applied)
    mended = application(tmp_path / "mended", ON_ANOTHER_TABLE, ADD_COLUMN)
    with open_db(fresh_url, versions=mended) as db:
        assert db.upgrade_schema() == (["a1", "a2"] if applied is None else ["a2"])
        noted = [step.revision for step in Migrator.of(db).history() if step.applied_at]
        assert noted == [*EVERY, "a1", "a2"]
        assert contents(db) == rows


# -- databases that only read ------------------------------------------------------------------------


@pytest.fixture
def reader(backend: str, fresh_url: str) -> Iterator[Any]:
    """A store whose connections may not write."""
    options: dict[str, Any] = {}
    url = sa.make_url(fresh_url)
    if backend == "postgresql":
        options["connect_args"] = {"options": "-c default_transaction_read_only=on"}
    elif backend == "sqlite":
        url = url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
    engine = sa.create_engine(url, **options)
    if backend == "mysql":
        statement = "SET SESSION TRANSACTION READ ONLY"
        sa.event.listen(engine, "connect", lambda driver, _: driver.cursor().execute(statement))
    yield CLASSES[backend](db_engine=engine)
    engine.dispose()


@pytest.mark.parametrize("at", ["0001", "head"])
def test_a_database_that_only_reads_says_so(fresh_url: str, reader: Any, at: str) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema(at)
    if at == "head":
        assert reader.upgrade_schema() == []
        assert reader.get_session("s") is None
        return
    with pytest.raises(DatabaseError, match=r"(?i)read.?only"):
        reader.upgrade_schema()
    assert reader.schema_status().current == "0001"
