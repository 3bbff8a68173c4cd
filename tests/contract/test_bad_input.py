"""What cannot work is refused by a typed error that says what to do, before anything is written."""

from __future__ import annotations

import io
import re
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from agno_store import (
    AgnoStoreError,
    ConfigurationError,
    DatabaseError,
    DatabaseUnreachable,
    InvalidArgument,
    MissingDriver,
    MySQLDb,
    PostgresDb,
    Session,
    SqliteDb,
)
from agno_store.names import LONGEST
from tests.contract.database import dump
from tests.contract.samples import append, run, session
from tests.contract.stores import open_db

PASSWORD = "s3cr3t/p@ss:w%rd#"
SPELLINGS = (PASSWORD, quote(PASSWORD, safe=""), "s3cr3t")
LOGIN = f"user:{quote(PASSWORD, safe='')}"

Build = Callable[[], Any]


def shown(error: BaseException) -> str:
    """All that a log or a screen may ever show of an error."""
    chain = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain + "".join(f"{found}{found!r}{found.args}" for found in causes)


def assert_no_secret_in(text: str) -> None:
    assert [spelling for spelling in SPELLINGS if spelling in text] == []


# -- how a store is set up ---------------------------------------------------------------------------

WRONG: dict[str, tuple[Build, str]] = {
    "a PostgreSQL URL for SQLite": (lambda: SqliteDb(db_url=f"postgresql://{LOGIN}@host/db"), "PostgresDb"),
    "a MySQL URL for PostgreSQL": (lambda: PostgresDb(db_url=f"mysql://{LOGIN}@host/db"), "MySQLDb"),
    "a PostgreSQL URL for MySQL": (lambda: MySQLDb(db_url=f"postgresql://{LOGIN}@host/db"), "PostgresDb"),
    "a SQLite URL for MySQL": (lambda: MySQLDb(db_url="sqlite://"), "SqliteDb"),
    "a SQLite engine for PostgreSQL": (lambda: PostgresDb(db_engine=sa.create_engine("sqlite://")), "SqliteDb"),
    "an unknown database": (lambda: open_db(f"oracle://{LOGIN}@host/db"), "PostgreSQL, MySQL"),
    "an unknown driver": (lambda: open_db(f"postgresql+nothing://{LOGIN}@host/db"), "postgresql+nothing"),
    "no URL at all": (lambda: open_db(f"{LOGIN} at host"), "percent-encoded"),
    "a port that is none": (lambda: open_db(f"mysql://{LOGIN}@host:port/db"), "percent-encoded"),
    "an empty URL": (lambda: open_db(""), "percent-encoded"),
    "a connection for an engine": (
        lambda: SqliteDb(db_engine=cast("Any", sa.create_engine("sqlite://").connect())),
        "needs an engine as db_engine=, as create_engine() makes it; this is of the type Connection",
    ),
    "a URL for an engine": (lambda: SqliteDb(db_engine=cast("Any", "sqlite://")), "of the type str"),
    "a text as extend=": (lambda: SqliteDb(db_url="sqlite://", extend=cast("Any", "shop:extend")), "a function that"),
    "a list as extend=": (lambda: SqliteDb(db_url="sqlite://", extend=cast("Any", [])), "extend= is given a list"),
    "neither URL nor engine": (lambda: PostgresDb(), "db_url="),
    "URL and engine": (lambda: MySQLDb("mysql://host/db", sa.create_engine("sqlite://")), "not both"),
    "file and URL": (lambda: SqliteDb("a.db", "sqlite://"), "not several"),
    "two table names": (lambda: SqliteDb(db_url="sqlite://", table_name="a", session_table="b"), "one of them"),
    "a schema in SQLite": (lambda: open_db("sqlite://", db_schema="ai"), "no schemas"),
    "a pooler in MySQL": (lambda: MySQLDb(f"mysql://{LOGIN}@host/db", pooler="transaction"), "PostgreSQL"),
    "an unknown pooler": (lambda: PostgresDb(f"postgresql://{LOGIN}@host/db", pooler="session"), "transaction"),
}


@pytest.mark.parametrize(("build", "way_out"), WRONG.values(), ids=WRONG.keys())
def test_a_store_that_cannot_work_is_refused_when_it_is_built(build: Build, way_out: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        build()

    assert way_out in str(refused.value)
    assert isinstance(refused.value, ValueError)
    assert_no_secret_in(shown(refused.value))


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("postgresql://{}@host/db", "psycopg", 'pip install "psycopg[binary]"'),
        ("postgresql+psycopg://{}@host/db", "psycopg", 'pip install "psycopg[binary]"'),
        ("mysql://{}@host/db", "pymysql", "pip install pymysql"),
        ("mariadb+pymysql://{}@host/db", "pymysql", "pip install pymysql"),
        ("mysql+mysqldb://{}@host/db", "MySQLdb", "pip install mysqlclient"),
    ],
)
def test_a_missing_driver_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDriver) as refused:
        open_db(url.format(LOGIN))

    assert package in str(refused.value)
    assert isinstance(refused.value, ImportError)
    assert_no_secret_in(shown(refused.value))


NAMES = {
    "too long": ("t" * (LONGEST + 1), f"the limit is {LONGEST}"),
    "too long in bytes": ("ü" * (LONGEST // 2 + 1), f"the limit is {LONGEST}"),
    "with a schema": ("ai.sessions", "db_schema="),
    "with a backtick": ("a`b", "backtick"),
    "with a control character": ("a\nb", "control character"),
    "with nul": ("a\x00b", "control character"),
    "with half a character": ("a\ud800", "outside"),
    "with an emoji": ("chats 🎉", "outside"),
    "with a space at its end": ("a ", "ends with a space"),
    "empty": ("", "table_name must be a name, not ''"),
    "of a space": (" ", "must be a name"),
    "of bytes": (b"a", "must be a name"),
}


@pytest.mark.parametrize(
    ("cls", "url"),
    [(SqliteDb, "sqlite://"), (PostgresDb, "postgresql://host/db"), (MySQLDb, "mysql://host/db")],
)
@pytest.mark.parametrize(("name", "said"), NAMES.values(), ids=NAMES.keys())
def test_a_name_that_not_every_database_can_have_is_refused(cls: Any, url: str, name: Any, said: str) -> None:
    for keyword in ("table_name", "session_table"):
        with pytest.raises(ConfigurationError, match=said):
            cls(db_url=url, **{keyword: name})


def test_a_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AgnoStoreError, match="file"):
        SqliteDb(tmp_path / "file" / "agents.db").get_session("s")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "agents.db").write_text("no database" * 1000)
    with SqliteDb(tmp_path / "agents.db") as db, pytest.raises(DatabaseError, match="not a database"):
        db.upsert_session(session("s"))

    assert (tmp_path / "agents.db").read_text() == "no database" * 1000


# -- a server that does not answer -------------------------------------------------------------------


def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.get_session("s"),
        lambda db: db.upsert_run(run("r"), "s"),
        lambda db: db.schema_status(),
        lambda db: db.upgrade_schema(),
        lambda db: db.table_exists("t"),
    ],
    ids=["read", "write", "schema_status", "upgrade_schema", "table_exists"],
)
def test_a_server_that_is_not_there_is_unreachable(
    scheme: str, call: Callable[[Any], object], caplog: pytest.LogCaptureFixture
) -> None:
    port = closed_port()
    with (
        caplog.at_level("DEBUG"),
        open_db(f"{scheme}://{LOGIN}@127.0.0.1:{port}/db?connect_timeout=5") as db,
        pytest.raises(DatabaseUnreachable) as refused,
    ):
        call(db)

    assert isinstance(refused.value, DatabaseError)
    assert str(port) in str(refused.value)
    assert "Is the server running" in str(refused.value)
    assert not re.search(r"[.?][.?]", str(refused.value))
    assert refused.value.__cause__ is not None
    assert_no_secret_in(shown(refused.value) + caplog.text)


@pytest.mark.backends("postgresql", "mysql")
def test_a_database_that_is_not_there_is_a_typed_error(fresh_url: str) -> None:
    url = sa.make_url(fresh_url).set(database="no_such_database", password=PASSWORD)
    with pytest.raises(DatabaseError) as refused, open_db(url) as db:
        db.get_session("s")

    assert_no_secret_in(shown(refused.value))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_no_description_of_a_store_holds_a_secret(scheme: str) -> None:
    db = open_db(f"{scheme}://{LOGIN}@host/db?sslpassword={quote(PASSWORD, safe='')}", id=None)

    assert_no_secret_in(f"{db!r} {db} {db.to_dict()} {db.db_url} {db.id} {db.names}")
    db.close()


# -- what a call is given ----------------------------------------------------------------------------

LONG = "x" * 256
TOO_LONG: dict[str, Callable[[Any], object]] = {
    "session_id": lambda db: db.upsert_session({"session_id": LONG}),
    "session_id of nul characters": lambda db: db.upsert_session({"session_id": "\x00" * 128}),
    "session_id in bulk": lambda db: db.upsert_sessions([session("new"), session(LONG)]),
    "session_id if absent": lambda db: db.insert_session_if_absent(Session(LONG)),
    "user_id": lambda db: db.upsert_session(session("new", user_id=LONG)),
    "agent_id": lambda db: db.upsert_session(session("s", agent_id=LONG)),
    "team_id": lambda db: db.upsert_session(session("s", team_id=LONG)),
    "workflow_id": lambda db: db.upsert_session(session("s", workflow_id=LONG)),
    "run_id": lambda db: db.upsert_run(run(LONG), "s"),
    "session_id of a run": lambda db: db.upsert_run(run("r"), LONG),
    "user_id of a run": lambda db: db.upsert_run(run("r"), "new", user_id=LONG),
    "parent_run_id": lambda db: db.upsert_run(run("new", parent_run_id=LONG), "s"),
    "agent_id of a run": lambda db: db.append_run_to_session_if_absent("s", run("new", agent_id=LONG)),
    "status": lambda db: db.upsert_run(run("r", status=LONG), "s"),
    "status of an update": lambda db: db.update_run_in_session("s", "busy", {"status": LONG}),
    "user_id of a new owner": lambda db: db.reassign_session_owner("s", previous_user_id="u", user_id=LONG),
}


@pytest.fixture
def furnished(db: Any) -> Any:
    db.upsert_session(session("s", user_id="u"))
    append(db, "s", "r")
    append(db, "s", "busy", status="RUNNING")
    return db


@pytest.mark.parametrize("call", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_an_id_that_is_too_long_is_refused_by_name(
    furnished: Any, call: Callable[[Any], object], request: pytest.FixtureRequest
) -> None:
    before = dump(furnished)
    with pytest.raises(InvalidArgument, match="the limit is 255") as refused:
        call(furnished)

    assert request.node.callspec.id.split("-", 2)[2].split()[0] in str(refused.value)
    assert "Use a shorter id" in str(refused.value)
    assert dump(furnished) == before


@pytest.mark.parametrize("text", [LONG, "x" * 100_000])
def test_an_id_too_long_to_be_stored_is_simply_not_found(furnished: Any, text: str) -> None:
    assert furnished.get_session(text) is None
    assert furnished.get_session("s", user_id=text) is None
    assert furnished.get_run(text) is None
    assert furnished.get_runs(agent_id=text) == []
    assert furnished.get_sessions(component_id=text) == []
    assert furnished.delete_session(text) is False


ODD_IDS = [None, b"s", 1.5, True, [], ("s",), {"s": 1}, object()]
BY_ID: dict[str, Callable[[Any, Any], object]] = {
    "get_session": lambda db, odd: db.get_session(odd),
    "delete_session": lambda db, odd: db.delete_session(odd),
    "delete_sessions": lambda db, odd: db.delete_sessions(["s", odd]),
    "rename_session": lambda db, odd: db.rename_session(odd, "agent", "new"),
    "update_session_state": lambda db, odd: db.update_session_state(odd, lambda state: {}),
    "upsert_session": lambda db, odd: db.upsert_session({"session_id": odd}),
    "upsert_session as a record": lambda db, odd: db.upsert_session(Session(odd)),
    "reassign_session_owner": lambda db, odd: db.reassign_session_owner(odd, previous_user_id="u", user_id="v"),
    "reassign_session_owner of nobody": lambda db, odd: db.reassign_session_owner(
        "s", previous_user_id=odd, user_id="v"
    ),
    "get_run": lambda db, odd: db.get_run(odd),
    "delete_run": lambda db, odd: db.delete_run(odd),
    "delete_runs": lambda db, odd: db.delete_runs(["r", odd]),
    "upsert_run": lambda db, odd: db.upsert_run({"run_id": odd}, "s"),
    "upsert_run into a session": lambda db, odd: db.upsert_run(run("r"), odd),
    "append_run_to_session_if_absent": lambda db, odd: db.append_run_to_session_if_absent(odd, run("r")),
    "cancel_pending_run": lambda db, odd: db.cancel_pending_run(odd, session_id="s", reason="no"),
    "update_run_in_session": lambda db, odd: db.update_run_in_session("s", odd, {}),
    "get_summary": lambda db, odd: db.get_summary(odd),
    "upsert_summary": lambda db, odd: db.upsert_summary(odd, {"summary": "text"}),
}


@pytest.mark.parametrize("call", BY_ID.values(), ids=BY_ID.keys())
def test_an_id_that_is_no_text_is_refused(furnished: Any, call: Callable[[Any, Any], object]) -> None:
    before = dump(furnished)
    for odd in ODD_IDS:
        with pytest.raises(InvalidArgument, match="_id"):
            call(furnished, odd)

    assert dump(furnished) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.upsert_session({"session_id": ""}),
        lambda db: db.upsert_run({"run_id": ""}, "s"),
        lambda db: db.upsert_run(run("r"), ""),
        lambda db: db.upsert_session({}),
        lambda db: db.upsert_session(object()),
        lambda db: db.upsert_session(None),
        lambda db: db.upsert_run({}, "s"),
        lambda db: db.upsert_run({"run_data": {"content": "x"}}, "s"),
        lambda db: db.upsert_run(object(), "s"),
        lambda db: db.upsert_run(None, "s"),
        lambda db: db.upsert_run("r", "s"),
        lambda db: db.upsert_session(session("s", session_type="crew", user_id="u")),
        lambda db: db.upsert_session(session("s", session_data="text", user_id="u")),
        lambda db: db.upsert_session(session("s", session_data=[1], user_id="u")),
        lambda db: db.get_sessions(session_name=5),
    ],
    ids=[
        "an empty session_id",
        "an empty run_id",
        "a run of an empty session_id",
        "a session without an id",
        "an object that is no session",
        "no session",
        "a run without an id",
        "a row of a run without an id",
        "an object that is no run",
        "no run",
        "a text that is no run",
        "an unknown type",
        "a text as session_data",
        "a list as session_data",
        "a number as session_name",
    ],
)
def test_what_makes_no_sense_is_refused(furnished: Any, call: Callable[[Any], object]) -> None:
    before = dump(furnished)
    with pytest.raises(InvalidArgument):
        call(furnished)

    assert dump(furnished) == before


INFINITE = float("inf")
HUGE: dict[str, Callable[[Any], object]] = {
    "created_at beyond 64 bits": lambda db: db.upsert_session(session("new", created_at=10**30)),
    "created_at without end": lambda db: db.upsert_session(session("new", created_at=INFINITE)),
    "created_at that is no number": lambda db: db.upsert_session(session("new", created_at=float("nan"))),
    "created_at as a text": lambda db: db.upsert_session(session("new", created_at="2026-01-01")),
    "updated_at beyond 64 bits": lambda db: db.upsert_sessions([session("new", updated_at=-(10**30))], True, True),
    "created_at of a run": lambda db: db.upsert_run(run("new", created_at=10**30), "s"),
    "created_at of a run without end": lambda db: db.upsert_run(run("new", created_at=INFINITE), "s"),
    "start_timestamp": lambda db: db.get_sessions(start_timestamp=10**30),
    "start_timestamp without end": lambda db: db.get_sessions(start_timestamp=-INFINITE),
    "end_timestamp": lambda db: db.get_sessions(end_timestamp=10**30),
    "end_timestamp as a text": lambda db: db.get_sessions(end_timestamp="today"),
    "created_at on the first day": lambda db: db.upsert_session(session("new", created_at=datetime.min)),
    "written_since on the first day": lambda db: db.export(io.BytesIO(), written_since=datetime.min),
    "limit": lambda db: db.get_sessions(limit=10**30),
    "page": lambda db: db.get_sessions(limit=100, page=10**18),
    "page of runs": lambda db: db.get_runs(limit=100, page=10**18),
    "runs_limit": lambda db: db.get_session("s", runs_limit=10**30),
}


@pytest.mark.parametrize("call", HUGE.values(), ids=HUGE.keys())
def test_a_number_that_no_database_can_hold_is_refused(furnished: Any, call: Callable[[Any], object]) -> None:
    before = dump(furnished)
    with pytest.raises(InvalidArgument):
        call(furnished)

    assert dump(furnished) == before
