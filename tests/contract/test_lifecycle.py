"""The life of a store: opening, sharing, closing, odd names, foreign engines."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from agno_store import EncodingError
from agno_store.names import LONGEST
from tests.contract.database import dump
from tests.contract.processes import together
from tests.contract.samples import append, listed, positions, run, run_ids, session
from tests.contract.stores import class_of, create_engine, open_db
from tests.contract.stores import run as run_in_colour

# -- opening and closing -----------------------------------------------------------------------------


def test_what_was_stored_is_there_after_closing(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        append(db, "s", "r")
    with open_db(fresh_url) as db:
        assert run_ids(db, "s") == ["r"]


def test_the_url_chooses_the_class(fresh_url: str, backend: str) -> None:
    with open_db(fresh_url) as one, open_db(sa.make_url(fresh_url)) as two:
        assert type(one) is type(two) is class_of(backend)


@pytest.mark.own_pool
def test_closing_gives_the_connections_back(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    engine = db.db_engine
    assert engine.pool.checkedin() > 0
    db.close()

    assert engine.pool.checkedin() == 0
    assert engine.pool.checkedout() == 0


@pytest.mark.own_pool
def test_stores_of_one_url_share_their_connections_until_the_last_is_closed(opened: Callable[..., Any]) -> None:
    one, two, three = opened(), opened(), opened(table_name="other")
    append(one, "s", "r")
    pool = two.db_engine.pool

    assert one.db_engine is two.db_engine is three.db_engine
    one.close()
    one.close()
    three.close()
    assert two.db_engine.pool is pool
    assert pool.checkedin() > 0
    assert run_ids(two, "s") == ["r"]
    two.close()
    assert two.db_engine.pool.checkedin() == 0


@pytest.mark.own_pool
def test_a_store_that_was_refused_keeps_no_connections_open(opened: Callable[..., Any]) -> None:
    db = opened()
    append(db, "s", "r")
    for wrong in ({"tenant_id": ""}, {"on_conflict": "never"}, {"codec": "key"}, {"tracing": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            opened(**wrong)
    db.close()

    assert db.db_engine.pool.checkedin() == 0


def test_a_store_can_be_opened_again_after_all_were_closed(opened: Callable[..., Any]) -> None:
    one = opened()
    append(one, "s", "r")
    one.close()

    assert run_ids(opened(), "s") == ["r"]


@pytest.mark.own_pool
def test_a_store_is_closed_by_an_error_too(fresh_url: str) -> None:
    db: Any = open_db(fresh_url)
    append(db, "s", "r")
    with pytest.raises(ZeroDivisionError), db:
        raise ZeroDivisionError

    assert db.db_engine.pool.checkedin() == 0


@pytest.mark.own_pool
def test_no_connection_is_kept_after_a_call(db: Any) -> None:
    append(db, "s", "r")
    db.get_session("s")
    with pytest.raises(EncodingError):
        db.update_session_state("s", lambda state: {"x": object()})
    with pytest.raises(ZeroDivisionError):
        db.update_session_state("s", lambda state: {"x": 1 / 0})

    assert db.db_engine.pool.checkedout() == 0


@pytest.mark.own_pool
@pytest.mark.backends("postgresql", "mysql")
def test_what_a_program_leaves_open_on_a_connection_of_ours_is_rolled_back(
    opened: Callable[..., Any], fresh_url: str
) -> None:
    db = opened()
    append(db, "s", "r")
    lock = f"SELECT session_id FROM {db.names.sessions} FOR UPDATE"

    def leave_open() -> None:
        with db.db_engine.connect() as connection:
            cursor: Any = connection.connection.cursor()
            cursor.execute(lock)
            cursor.fetchall()

    run_in_colour(leave_open)
    other = create_engine(fresh_url, poolclass=NullPool)
    with run_in_colour(other.connect) as connection:
        assert run_in_colour(connection.exec_driver_sql, f"{lock} NOWAIT").one() == ("s",)
        run_in_colour(connection.rollback)


@pytest.mark.backends("postgresql")
def test_what_a_program_does_as_a_transaction_begins_is_true_of_every_statement(
    opened: Callable[..., Any], fresh_url: str
) -> None:
    db, text = opened(), "SET LOCAL search_path TO elsewhere"
    other = create_engine(fresh_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with run_in_colour(other.connect) as connection:
        run_in_colour(connection.exec_driver_sql, "CREATE SCHEMA elsewhere")
        sa.event.listen(db.db_engine, "begin", lambda begun: begun.exec_driver_sql(text))
        append(db, "s", "r", "r2")
        db.upsert_session(db.get_session("s"), run=run("r3"))

        assert run_ids(db, "s") == ["r", "r2", "r3"]
        count = f"SELECT count(*) FROM elsewhere.{db.names.runs}"
        assert run_in_colour(connection.exec_driver_sql, count).scalar_one() == 3
        run_in_colour(connection.close)


@pytest.mark.own_pool
@pytest.mark.backends("postgresql")
def test_what_a_program_does_as_a_connection_is_handed_out_is_true_of_every_statement(
    opened: Callable[..., Any],
) -> None:
    db, there = opened(), opened(db_schema="elsewhere")
    for store in (db, there):
        append(store, "s", "r")

    def begin(driver: Any, *_: object) -> None:
        driver.cursor().execute("SET LOCAL search_path TO elsewhere")

    sa.event.listen(db.db_engine, "checkout", begin)
    append(db, "s", "r2")
    db.upsert_session(db.get_session("s"), run=run("r3"))
    assert run_ids(db, "s") == ["r", "r2", "r3"]
    sa.event.remove(db.db_engine, "checkout", begin)
    assert [run_ids(store, "s") for store in (db, there)] == [["r"], ["r", "r2", "r3"]]


def test_copies_are_the_same_store(opened: Callable[..., Any]) -> None:
    db = opened(table_name="my sessions", id="mine")
    append(db, "s", "r")
    copied = pickle.loads(pickle.dumps(db))

    assert copy.deepcopy(db) is db
    assert copy.deepcopy({"db": [db]})["db"][0] is db
    assert (copied.id, copied.names, type(copied)) == (db.id, db.names, type(db))
    assert run_ids(copied, "s") == ["r"]
    copied.close()


def test_an_id_belongs_to_a_place(opened: Callable[..., Any]) -> None:
    assert opened().id == opened().id
    assert opened().id != opened(table_name="other").id
    assert opened(id="mine").id == "mine"


# -- the caller's own engine -------------------------------------------------------------------------

ENGINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
    "serializable": {"isolation_level": "SERIALIZABLE"},
    "without a pool": {"poolclass": NullPool},
}


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def engine(request: pytest.FixtureRequest, db: Any) -> Iterator[sa.Engine]:
    """An engine of the caller's own to the database of the shared store."""
    made = create_engine(db.db_engine.url, **request.param)
    yield made
    run_in_colour(made.dispose)


@pytest.mark.parametrize("options", ENGINES.values(), ids=ENGINES.keys())
def test_a_callers_engine_builds_the_tables(fresh_url: str, backend: str, options: dict[str, Any]) -> None:
    engine = create_engine(fresh_url, **options)
    db = class_of(backend)(db_engine=engine)
    append(db, "s", "r")

    assert db.schema_status().in_step
    assert run_ids(db, "s") == ["r"]
    engine.dispose()


def test_a_callers_engine_serves_and_stays_open(engine: sa.Engine, backend: str) -> None:
    with class_of(backend)(db_engine=engine) as db:
        assert db.db_engine is engine
        append(db, "s", "r1", "r2")
        db.update_session_state("s", lambda state: {"n": 1})
        assert run_ids(db, "s") == ["r1", "r2"]
        pool = engine.pool

    assert engine.pool is pool
    assert run_ids(db, "s") == ["r1", "r2"]
    assert db.delete_session("s") is True
    assert not any(dump(db).values())


def test_a_callers_engine_writes_all_or_nothing(engine: sa.Engine, backend: str) -> None:
    db = class_of(backend)(db_engine=engine)
    db.upsert_session(session("b", user_id="alice"))
    append(db, "b", "r", status="RUNNING")
    before = dump(db)
    with pytest.raises(PermissionError):
        db.upsert_sessions([session("a"), session("b", user_id="bob")])
    with pytest.raises(EncodingError):
        db.update_run_in_session("b", "r", {"status": "ERROR"}, session_data={"x": object()})

    assert dump(db) == before


def test_a_callers_engine_loses_no_concurrent_write(engine: sa.Engine, backend: str) -> None:
    db = class_of(backend)(db_engine=engine)
    db.upsert_session(session("s"))
    together(*(partial(append, db, "s", *(f"{t}-{n}" for n in range(3))) for t in range(4)))
    together(*[partial(db.update_session_state, "s", lambda state: {"n": state.get("n", 0) + 1})] * 4)

    assert list(positions(db, "s").values()) == list(range(12))
    assert db.get_session("s").session_data == {"session_state": {"n": 4}}


def test_a_callers_engine_is_left_as_it_was(engine: sa.Engine, backend: str) -> None:
    probe = sa.Table("probe", sa.MetaData(), sa.Column("n", sa.Integer()))
    probe.drop(engine, checkfirst=True)
    probe.create(engine)

    def kept_after_rolling_back() -> int:
        with engine.connect() as connection:
            connection.execute(probe.insert().values(n=1))
            connection.rollback()
            return connection.execute(sa.select(sa.func.count()).select_from(probe)).scalar_one()

    before = kept_after_rolling_back()
    db = class_of(backend)(db_engine=engine)
    append(db, "s", "r")
    db.get_session("s")

    assert kept_after_rolling_back() == 2 * before


# -- several stores in one database ------------------------------------------------------------------

ODD_NAMES = [
    "agent_sessions",
    "my agent sessions",
    "it's",
    'say "hi"',
    "100%",
    "%s %(x)s",
    "select",
    "Chats",
    "Größe_ß",
    "a:b",
    "a\\b",
    "a-b;--",
    "$1",
    "?",
    "[brackets]",
    "{braces}",
    "x" * LONGEST,
]


def test_stores_of_any_name_live_in_one_database(opened: Callable[..., Any]) -> None:
    stores = [opened(table_name=name) for name in ODD_NAMES]
    for db in stores:
        db.upsert_session(session("s", user_id="u", session_data={"session_name": db.table_name}))
        append(db, "s", "r1", "r2", content=db.table_name)
        db.upsert_summary("s", {"summary": db.table_name})
    for db in stores:
        name = db.table_name
        assert db.schema_status().in_step
        assert db.upgrade_schema() == []
        assert [entry.session_name for entry in db.get_sessions(session_name=name)] == [name]
        assert [found.content for found in db.get_runs(session_id="s", user_id="u")] == [name, name]
        assert db.get_run("r1").content == db.get_summary("s").summary == name
        assert all(db.table_exists(table) for table in db.names.tables)
    for db in stores[::2]:
        assert db.delete_session("s") is True

    assert [len(listed(db)) for db in stores] == [n % 2 for n in range(len(stores))]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_operation_works_under_any_name(db: Any, name: str) -> None:
    db = type(db)(db_engine=db.db_engine, session_table=name)
    append(db, "s", "r1", status="PENDING")
    db.upsert_session(session("s", user_id="u", summary={"summary": "text"}))
    db.rename_session("s", None, "100% %s")
    db.update_session_state("s", lambda state: {"n": 1})

    assert listed(db, session_name="% %S", user_id="u", component_id="helper") == ["s"]
    assert db.cancel_pending_run("r1", session_id="s", reason="no") is True
    assert db.append_run_to_session_if_absent("s", run("r2")) is True
    assert db.update_run_in_session("s", "r2", {"n": 1}, session_data={}).value == "updated"
    assert db.reassign_session_owner("s", previous_user_id="u", user_id="v") is True
    assert db.get_runs(user_id="v", limit=1, page=2, sort_by="run_index", deserialize=False)[1] == 2
    assert db.delete_run("r1") is True
    assert db.delete_session("s", user_id="v") is True
    assert not any(dump(db).values())
