"""What an independent attempt to break the store found, so that it stays mended."""

from __future__ import annotations

import copy
import io
import os
import pickle
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import (
    ConfigurationError,
    DatabaseError,
    InvalidArgument,
    OwnerMismatch,
    SchemaConflict,
    SchemaError,
    SqliteDb,
)
from agno_store.migrations import Migrator
from tests.contract.database import dump, statements
from tests.contract.processes import together
from tests.contract.samples import run, run_ids, session
from tests.contract.stores import open_db
from tests.servers import MariaDB


def test_in_memory_no_thread_undoes_what_another_one_writes() -> None:
    with SqliteDb(db_url="sqlite://") as db:
        db.upsert_session(session("s"))
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                db.table_exists("x")
                db.schema_status()

        looker = threading.Thread(target=look)
        looker.start()
        try:
            for n in range(300):
                db.upsert_run(run(f"r{n}"), "s")
        finally:
            done.set()
            looker.join()
        assert db.get_runs(session_id="s", deserialize=False)[1] == 300


def test_a_callers_sqlite_engine_rolls_back_as_before(tmp_path: Path) -> None:
    # sqlite3 has this mode from Python 3.12 on.
    arguments = {"autocommit": False} if sys.version_info >= (3, 12) else {}
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db", connect_args=arguments, pool_size=1)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE host (n INTEGER)")
    SqliteDb(db_engine=engine).upsert_session(session("s"))

    def fail() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO host VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM host").scalar() == 0
    engine.dispose()


def meanwhile(db: Any, statement: str, act: Callable[[], object]) -> None:
    """Do something in another store object right after the first statement that contains a text."""
    happened = False

    def watch(_connection: Any, _cursor: Any, sent: str, *_: Any) -> None:
        nonlocal happened
        if statement in sent and not happened:
            happened = True
            act()

    sa.event.listen(db.db_engine, "after_cursor_execute", watch)


@pytest.mark.backends("postgresql", "mysql")
def test_a_run_of_a_session_that_is_handed_over_meanwhile_is_not_deleted(opened: Callable[..., Any]) -> None:
    db, other = opened(), opened()
    db.upsert_session(session("s", user_id="alice"))
    db.upsert_run(run("r"), "s", user_id="alice")
    hand_over = lambda: other.reassign_session_owner("s", previous_user_id="alice", user_id="bob")  # noqa: E731
    meanwhile(db, "agent_sessions_runs", hand_over)

    # Without the session's name it is found first; with it, nothing is looked at before the session is locked.
    assert db.delete_run("r", user_id="alice") is False
    assert db.delete_run("r", session_id="s", user_id="alice") is False
    assert db.get_run("r", user_id="bob") is not None


CREATED = 1_700_000_000


def handed_over(db: Any) -> None:
    db.reassign_session_owner("s", previous_user_id="alice", user_id="bob")


def made_anew(db: Any, **more: Any) -> None:
    db.delete_session("s")
    db.upsert_session(session("s", user_id="bob", **more))


TAKEN: dict[str, Callable[[Any], None]] = {
    "handed over": handed_over,
    "made anew": made_anew,
    "made anew in the same second": partial(made_anew, created_at=CREATED),
}
READ: dict[str, Callable[[Any], Any]] = {
    "get_session": lambda db: db.get_session("s", user_id="alice", deserialize=False),
    "get_session with its last runs": lambda db: db.get_session("s", user_id="alice", deserialize=False, runs_limit=5),
    "get_sessions": lambda db: db.get_sessions(user_id="alice", deserialize=False)[0][0],
}


@pytest.mark.backends("postgresql", "mysql")
@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("read", READ)
def test_a_reader_never_gets_the_runs_of_a_session_that_is_another_users_since(
    opened: Callable[..., Any], read: str, taken: str
) -> None:
    db, other = opened(), opened()
    db.upsert_session(session("s", user_id="alice", created_at=CREATED))
    db.upsert_run(run("hers"), "s", user_id="alice")

    def take() -> None:
        TAKEN[taken](other)
        other.upsert_run(run("secret"), "s", user_id="bob")

    meanwhile(db, "agent_sessions_summaries", take)
    assert [entry["run_id"] for entry in READ[read](db)["runs"]] == []
    for options in ({}, {"runs_limit": 5}):  # and nobody takes that for what is there
        assert run_ids(db, "s", user_id="bob", **options) == run_ids(other, "s", user_id="bob")


@pytest.mark.backends("postgresql", "mysql")
def test_nothing_is_found_in_a_session_that_is_handed_over_meanwhile(opened: Callable[..., Any]) -> None:
    db, other = opened(), opened()
    db.upsert_session(session("s", user_id="alice", metadata={"of": "secret hers"}))
    db.upsert_run(run("r", "secret hers"), "s", user_id="alice")

    def take() -> None:
        handed_over(other)
        other.upsert_session(session("s", user_id="bob", metadata={"of": "secret of bob"}))
        other.upsert_run(run("r2", "secret of bob"), "s", user_id="bob")

    meanwhile(db, "agent_sessions_runs", take)
    assert list(db.search("secret", user_id="alice")) == []
    assert len(list(db.search("secret of bob", user_id="bob"))) == 1


@pytest.mark.backends("postgresql", "mysql")
def test_a_session_that_is_handed_over_meanwhile_is_not_exported(opened: Callable[..., Any]) -> None:
    db, other = opened(), opened()
    db.upsert_session(session("s", user_id="alice"))
    db.upsert_run(run("r", "hers"), "s", user_id="alice")

    def take() -> None:
        handed_over(other)
        other.upsert_run(run("r2", "secret of bob"), "s", user_id="bob")

    meanwhile(db, "next_run_index", take)
    file = io.BytesIO()
    assert [str(problem) for problem in db.export(file, user_id="alice").problems] == [
        "session 's': it was deleted or handed over while it was read"
    ]
    assert b"bob" not in file.getvalue()


def test_a_session_with_another_users_run_cannot_be_claimed(db: Any) -> None:
    db.upsert_session(session("s"))
    for run_id, user in (("a", "eve"), ("r", "alice"), ("z", "eve")):
        db.upsert_run(run(run_id), "s", user_id=user)
    before = dump(db)
    with pytest.raises(OwnerMismatch):
        db.upsert_session(session("s", user_id="eve"))
    assert dump(db) == before
    db.delete_runs(["a", "z"], session_id="s")
    db.upsert_session(session("s", user_id="alice"))


def test_a_function_that_calls_the_store_is_told_so_at_once(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_state": {"n": 1}}))
    before = dump(db)
    calls: tuple[Callable[[], object], ...] = (
        lambda: db.upsert_run(run("r"), "s"),
        lambda: db.get_session("s"),
        lambda: db.schema_status(),
        lambda: db.upgrade_schema(),
        lambda: db.table_exists("x"),
    )
    for call in calls:
        with pytest.raises(InvalidArgument, match="update_session_state"):
            db.update_session_state("s", lambda state, call=call: call())
    assert dump(db) == before
    assert db.update_session_state("s", lambda state: {"n": state["n"] + 1}) == {"n": 2}


@pytest.mark.parametrize("ids", ["ab", None, 5, b"ab"])
def test_a_single_id_is_no_list_of_ids(db: Any, ids: Any) -> None:
    for one in ("a", "b"):
        db.upsert_session(session(one))
        db.upsert_run(run(one), one)
    before = dump(db)
    for call in (db.delete_sessions, db.delete_runs):
        with pytest.raises(InvalidArgument, match="list of ids"):
            call(ids)
    assert dump(db) == before


@pytest.mark.backends("mysql")
@pytest.mark.parametrize(("one", "two"), [("Support", "support"), ("support", "SUPPORT")])
def test_mysql_stores_that_differ_in_capitals_alone_are_not_made(fresh_url: str, one: str, two: str) -> None:
    with open_db(fresh_url, table_name=one) as db, open_db(fresh_url, table_name=two) as other:
        db.upsert_session(session("s"))
        look = sa.inspect(db.db_engine)
        before = look.get_table_names()
        for call in (other.upgrade_schema, lambda: other.get_session("s"), Migrator.of(other).refuse_foreign):
            with pytest.raises(SchemaConflict, match=rf"{two!r} from {one!r}.* Nothing was changed"):
                call()
        look.clear_cache()
        assert look.get_table_names() == before
        db.upgrade_schema()


@pytest.mark.backends("mysql")
def test_where_tables_have_small_names_stores_that_differ_in_capitals_alone_are_not_one() -> None:
    with MariaDB(settings={"lower-case-table-names": "1"}) as server:
        for made, found in (("Support", "support"), ("sales", "Sales")):
            with open_db(server.url, table_name=made) as db:
                db.upsert_session(session("s"))
            with open_db(server.url, table_name=found) as db:
                for call in (db.upgrade_schema, db.schema_status, lambda: db.get_session("s")):
                    with pytest.raises(SchemaConflict, match=f"{found!r} from {made!r}"):
                        call()
            with open_db(server.url, table_name=made) as db, statements(db.db_engine) as sent:
                assert db.get_session("s") is not None
                db.get_session("s")
            assert len([statement for statement in sent if "information_schema" in statement]) == 1


@pytest.mark.parametrize("table", ["alembic_version", "upgrades", "runs"])
@pytest.mark.parametrize("theirs", ["a store's", "an application's"])
def test_a_table_of_the_books_that_is_another_ones_is_a_conflict(fresh_url: str, table: str, theirs: str) -> None:
    with open_db(fresh_url, table_name=f"a_{table}") as other, open_db(fresh_url, table_name="a") as db:
        if theirs == "a store's":
            other.upsert_session(session("s"))
        else:
            with other.db_engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE TABLE a_{table} (id INTEGER, title VARCHAR(9))")
        before = sorted(sa.inspect(db.db_engine).get_table_names())
        for call in (db.upgrade_schema, lambda: db.upsert_session(session("s"))):
            with pytest.raises(SchemaConflict, match=f"a_{table} is there already and is not .* Nothing was changed"):
                call()
        assert sorted(sa.inspect(db.db_engine).get_table_names()) == before


def test_sqlite_stores_that_differ_in_capitals_alone_are_not_one(tmp_path: Path) -> None:
    with (
        SqliteDb(tmp_path / "a.db", table_name="Support") as one,
        SqliteDb(tmp_path / "a.db", table_name="support") as two,
    ):
        one.upsert_session(session("s"))
        with pytest.raises(SchemaConflict, match="Support"):
            two.get_session("s")


@pytest.mark.backends("postgresql")
def test_the_default_schema_by_name_and_without_one_is_built_once(fresh_url: str) -> None:
    def build(n: int) -> None:
        with open_db(fresh_url, db_schema="public" if n % 2 else None) as db:
            db.upgrade_schema()

    together(*(partial(build, n) for n in range(6)))


@pytest.mark.parametrize("revisions", [("0001", "0003"), ("0003", "0009")])
def test_a_version_table_with_several_revisions_is_a_conflict(
    db: Any, opened: Callable[..., Any], revisions: Any
) -> None:
    with opened() as store:
        Migrator.of(store).upgrade()
        with store.db_engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM agent_sessions_alembic_version")
            for revision in revisions:
                connection.exec_driver_sql(f"INSERT INTO agent_sessions_alembic_version VALUES ('{revision}')")
        for call in (store.schema_status, store.upgrade_schema, lambda: store.get_session("s")):
            with pytest.raises(SchemaConflict, match=", ".join(revisions)):
                call()


@pytest.mark.parametrize("bad", [{"runs": {"a": 1}}, {"runs": [None]}, {"runs": "r"}])
@pytest.mark.parametrize("deserialize", [True, False])
def test_a_session_with_runs_that_are_none_is_not_written(db: Any, bad: dict[str, Any], deserialize: bool) -> None:
    with pytest.raises(InvalidArgument):
        db.upsert_session(session("s", **bad), deserialize=deserialize)
    assert db.get_session("s") is None


def test_a_rename_with_an_unknown_type_renames_nothing(db: Any) -> None:
    db.upsert_session(session("s"))
    with pytest.raises(InvalidArgument):
        db.rename_session("s", "crew", "name")
    assert db.get_session("s").session_name is None


def test_a_store_is_unpickled_to_the_same_file_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SqliteDb("here.db", table_name="talks") as db:
        db.upsert_session(session("s"))
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir(tmp_path / "sub")
        with pickle.loads(pickle.dumps(db)) as again:
            assert again.id == db.id
            assert again.get_session("s") is not None
        assert copy.copy(db) is db
    with SqliteDb(db_url="sqlite://") as memory, pytest.raises(TypeError, match="memory"):
        pickle.dumps(memory)


ODD_SUMMARIES: list[dict[str, Any]] = [
    {"run_index": "abc"},
    {"run_index": 1.5},
    {"run_index": True},
    {"run_index": 2**70},
    {"topics": "abc"},
]


@pytest.mark.parametrize("bad", ODD_SUMMARIES)
def test_a_summary_of_another_shape_is_refused(db: Any, bad: dict[str, Any]) -> None:
    db.upsert_session(session("s"))
    with pytest.raises(InvalidArgument):
        db.upsert_summary("s", {"summary": "text", **bad})
    assert db.get_summary("s") is None


def test_the_order_asked_for_is_the_order_given(db: Any) -> None:
    for n in range(4):
        db.upsert_run(run(f"r{n}"), "s")
    assert [r.run_id for r in db.get_runs(session_id="s", sort_order="desc", limit=2)] == ["r3", "r2"]
    assert [r.run_id for r in db.get_runs(session_id="s", limit=2)] == ["r0", "r1"]


@pytest.mark.parametrize("bad", ["5", float("nan"), -1, True, None])
def test_a_lock_timeout_is_a_number_of_seconds(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="lock_timeout"):
        SqliteDb(db_url="sqlite://", lock_timeout=bad)


def test_an_asynchronous_driver_is_refused_with_a_synchronous_one_to_use() -> None:
    with pytest.raises(ConfigurationError, match=r"postgresql\+psycopg\."):
        open_db("postgresql+psycopg_async://me@127.0.0.1/app")


def test_a_run_cannot_be_made_another_one(db: Any) -> None:
    db.upsert_run(run("r"), "s")
    before = dump(db)
    for fields in ({"run_id": "other"}, None, "text"):
        with pytest.raises(InvalidArgument):
            db.update_run_in_session("s", "r", fields)
    assert dump(db) == before


def test_no_conversation_is_in_a_traceback_even_with_a_callers_engine(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    db = SqliteDb(db_engine=engine)
    db.upsert_session(session("s"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE UPDATE ON agent_sessions BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    secret = "".join(reversed("TERCESPOT"))  # a traceback shows this line, too
    with pytest.raises(DatabaseError) as raised:
        db.upsert_session(session("s", session_data={"pw": secret}))
    assert secret not in "".join(traceback.format_exception(raised.value))
    engine.dispose()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python tells no code of SQLite's")
def test_no_conversation_is_in_an_error_about_bytes_that_are_no_text(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    db = SqliteDb(db_engine=engine)
    db.upsert_session(session("s", metadata={}))
    secret = "".join(reversed("TERCESPOT"))  # a traceback shows this line, too
    with engine.begin() as connection:
        text = f"CAST(x'{secret.encode().hex()}ff' AS TEXT)"
        connection.exec_driver_sql(f"UPDATE agent_sessions SET metadata = {text}")
    reads: list[Callable[[], object]] = [
        lambda: db.get_session("s"),
        db.get_sessions,
        lambda: db.export(os.devnull),
    ]
    for read in reads:
        with pytest.raises(DatabaseError, match=r"cannot be read: .* column 'metadata'.* integrity_check") as error:
            read()
        assert type(error.value) is DatabaseError
        assert secret not in "".join(traceback.format_exception(error.value))
    engine.dispose()


def test_an_open_store_looks_again_after_its_tables_are_gone(opened: Callable[..., Any]) -> None:
    db = opened()
    db.upsert_session(session("s"))
    Migrator.of(db).downgrade("0001")
    with pytest.raises(DatabaseError):
        db.get_session("s")
    with pytest.raises(SchemaError, match="agno-store upgrade"):
        db.get_session("s")


def test_a_read_only_file_is_opened_without_waiting(tmp_path: Path) -> None:
    plain = sqlite3.connect(tmp_path / "a.db")
    plain.execute("CREATE TABLE t (n INTEGER)")
    plain.close()
    uri = f"sqlite:///file:{tmp_path}/a.db?mode=ro&uri=true"
    waits: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agno_store.dialects.sqlite_driver.pause", waits.append)
        with open_db(uri) as db:
            db.schema_status()
    assert waits == [] or sys.version_info < (3, 11)


WRITES: dict[str, Callable[[Any], object]] = {
    "a new run": lambda db: db.upsert_run(run("new"), "s"),
    "a stored run": lambda db: db.upsert_run(run("r", content="again"), "s"),
    "a changed status": lambda db: db.update_run_in_session("s", "r", {"status": "COMPLETED"}),
    "a cancelled run": lambda db: db.cancel_pending_run("r", session_id="s", reason="no"),
    "a summary": lambda db: db.upsert_summary("s", {"summary": "text"}),
    "a name": lambda db: db.rename_session("s", None, "name"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_every_write_moves_the_last_activity_of_a_session(db: Any, write: Callable[[Any], object]) -> None:
    def moment() -> Any:
        with db.db_engine.connect() as connection:
            return connection.exec_driver_sql(f"SELECT updated_at FROM {db.table_name}").scalar()

    db.upsert_session(session("s"))
    db.upsert_run(run("r", status="PENDING"), "s")
    before = moment()
    write(db)
    assert moment() > before


def test_a_renaming_whose_answer_cannot_be_read_has_renamed_nothing(db: Any) -> None:
    db.upsert_session(session("s", session_data={"session_name": "old"}))
    engine: Any = getattr(db.db_engine, "sync_engine", db.db_engine)
    seen: list[str] = []

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement.split()[0])
        if "UPDATE" in seen[:-1] and seen[-1] == "SELECT":
            raise sa.exc.ProgrammingError(statement, {}, Exception("no answer"))

    sa.event.listen(engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(DatabaseError):
            db.rename_session("s", None, "new")
    finally:
        sa.event.remove(engine, "before_cursor_execute", fail)

    assert db.get_session("s").session_name == "old"
