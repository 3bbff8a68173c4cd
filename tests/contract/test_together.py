"""A transaction that goes to MySQL and MariaDB in one packet: as whole as one that takes several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.util import await_only

from agno_store import AgnoStoreError, DatabaseError, shortcuts
from agno_store.dialects import together
from agno_store.dialects.limits import Limit
from agno_store.dialects.mysql import MySQL
from agno_store.errors import OutcomeUnknown
from tests.contract import stores
from tests.contract.database import dump, statements
from tests.contract.samples import append, positions, run, run_ids, session
from tests.contract.test_by_driver import core_engine, still_open
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.backends("mysql"), pytest.mark.own_pool]


@pytest.fixture
def proxy(fresh_url: str) -> Iterator[Proxy]:
    with Proxy(fresh_url) as between:
        yield between


@pytest.fixture
def there(fresh_url: str, proxy: Proxy) -> Iterator[Any]:
    """A store with a session of one run, through the proxy, used before."""
    url = make_url(proxy.through(fresh_url))  # unencrypted: a server that offers it would have words hidden
    db = stores.open_db(url.difference_update_query(["ssl_disabled"]) if stores.is_async() else url)
    append(db, "s", "first")
    used(db)
    yield db
    db.close()


def used(db: Any) -> None:
    """Have a connection be as it stays from its second use on, and the last runs be known."""
    for _ in range(3):
        db.get_session("s", runs_limit=5)


def turn(db: Any, run_id: str) -> None:
    """Read a session, and store it with a run."""
    found = db.get_session("s", runs_limit=5)
    db.upsert_session(replace(found, metadata={"last": run_id}), run=run(run_id))


def ways(db: Any, proxy: Proxy, call: Callable[[], object]) -> int:
    """How often a call goes to the server."""
    before = proxy.ways
    stores.run(call)
    return proxy.ways - before


CALLS: dict[str, tuple[int, Callable[[Any], object]]] = {
    "a turn": (2, lambda db: turn(db, "second")),
    "a session is read": (1, lambda db: db.get_session("s", runs_limit=5)),
    "none is there": (1, lambda db: db.get_session("nothing")),
    "a run is read": (1, lambda db: db.get_run("first", session_id="s")),
    "a run is added": (1, lambda db: db.upsert_run(run("second"), "s")),
    "a session is saved": (
        2,
        lambda db: db.upsert_session(replace(db.get_session("s", runs_limit=5), metadata={"a": 1})),
    ),
    "a run is changed": (5, lambda db: db.upsert_run(run("first", content="other"), "s")),
}


@pytest.mark.backends("postgresql", "mysql")
@pytest.mark.parametrize(("most", "call"), CALLS.values(), ids=CALLS.keys())
def test_a_call_goes_to_the_server_as_seldom_as_it_can(
    there: Any, proxy: Proxy, most: int, call: Callable[[Any], object]
) -> None:
    assert ways(there, proxy, lambda: call(there)) == most


@pytest.mark.backends("postgresql", "mysql")
def test_a_list_of_sessions_takes_one_way(there: Any, proxy: Proxy) -> None:
    assert ways(there, proxy, lambda: there.get_sessions(include_runs=False, limit=5)) == 1


def test_a_turn_is_one_packet_where_a_change_could_answer_with_its_row_too(
    there: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As SQLAlchemy may say of a MariaDB to come. On this connection a statement alone would be committed by itself.
    monkeypatch.setattr(core_engine(there).dialect, "update_returning", True)

    assert ways(there, proxy, lambda: turn(there, "second")) == 2
    assert run_ids(there, "s") == ["first", "second"]


def trigger(db: Any, text: str) -> None:
    def make() -> None:
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql(text)

    stores.run(make)


def test_a_run_that_cannot_be_stored_leaves_its_session_as_it_was(there: Any) -> None:
    runs = there.names.runs
    trigger(there, f"CREATE TRIGGER no BEFORE INSERT ON {runs} FOR EACH ROW SIGNAL SQLSTATE '45000'")
    used(there)
    before = there.get_session("s", deserialize=False)
    with pytest.raises(DatabaseError):
        turn(there, "second")
    assert still_open(there) == []
    with pytest.raises(DatabaseError):
        there.upsert_run(run("second"), "s")
    assert still_open(there) == []
    assert there.get_session("s", deserialize=False) == before

    trigger(there, "DROP TRIGGER no")
    turn(there, "second")
    assert positions(there, "s") == {"first": 0, "second": 1}


def test_a_run_is_not_inserted_where_its_session_is_not_as_it_was_read(
    there: Any, answered: Callable[..., None]
) -> None:
    counts: list[list[int]] = []

    def note(answers: Any) -> Any:
        counts.append([count for count, _ in answers])
        return answers

    found = there.get_session("s")
    append(there, "s", "of another")
    there.upsert_session(replace(there.get_session("s"), metadata={"by": "another"}))
    answered(note)
    there.upsert_session(replace(found, metadata={"by": "me"}), run=run("mine"))
    assert counts == [[0, 0, 0, 0, 0]]
    assert positions(there, "s") == {"first": 0, "of another": 1, "mine": 2}


def test_a_session_that_was_saved_in_the_same_microsecond_is_told_from_ones_own(
    there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.upsert_session(session("empty"))
    monkeypatch.setattr(shortcuts, "now", lambda: 4_000_000_000_000_000)
    for session_id, others in (("empty", 1), ("s", 2)):
        found = there.get_session(session_id)
        for n in range(others):
            there.upsert_session(replace(there.get_session(session_id), metadata={"by": n}))
        there.upsert_session(replace(found, session_data={"by": "me"}), run=run(f"mine-{session_id}"))
    assert positions(there, "empty") == {"mine-empty": 0}
    assert positions(there, "s") == {"first": 0, "mine-s": 1}


def test_a_session_that_was_saved_in_the_same_microsecond_does_not_give_the_place_of_a_deleted_run(
    there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(there, "s", "deleted")
    there.delete_run("deleted", session_id="s")
    used(there)
    monkeypatch.setattr(shortcuts, "now", lambda: 4_000_000_000_000_000)
    found = there.get_session("s")
    there.upsert_session(replace(there.get_session("s"), metadata={"by": "another"}))
    there.upsert_session(replace(found, session_data={"by": "me"}), run=run("mine"))
    assert positions(there, "s") == {"first": 0, "mine": 2}


def test_a_run_is_not_inserted_into_the_session_of_another_user(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there.upsert_session(session("adas", user_id="ada"))
    there.upsert_run(run("hers"), "adas", user_id="ada")
    there.delete_run("hers", session_id="adas")
    moment = dump(there)["sessions"][0]["updated_at"]
    monkeypatch.setattr(shortcuts, "now", lambda: moment)
    with pytest.raises(AgnoStoreError, match="user"):
        there.upsert_run(run("bobs"), "adas", user_id="bob")
    assert run_ids(there, "adas") == []


@pytest.fixture
def answered(there: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Let a function see, and change, what is answered to statements that are sent together."""
    usual = together._together

    def install(look: Callable[[Any], Any]) -> None:
        monkeypatch.setattr(together, "_together", lambda *sent: look(usual(*sent)))
        stores.run(there.db_engine.dispose)
        used(there)

    return install


def test_too_few_answers_are_no_success(there: Any, answered: Callable[..., None]) -> None:
    answered(lambda answers: answers[:1])
    with pytest.raises(OutcomeUnknown, match=r"1 of 5 .* proxy"):
        turn(there, "second")


def test_a_run_of_which_no_answer_came_is_stored_once(there: Any, proxy: Proxy) -> None:
    def two() -> None:
        for connection in [there.db_engine.raw_connection() for _ in range(2)]:
            connection.close()

    stores.run(two)
    for _ in range(2):
        used(there)
    proxy.cut_at(b"INSERT INTO", arrives=True)
    there.upsert_run(run("second"), "s")
    assert proxy.cuts == 1
    assert positions(there, "s") == {"first": 0, "second": 1}


def test_a_run_that_was_not_inserted_is_stored_in_another_way(
    there: Any, proxy: Proxy, answered: Callable[..., None]
) -> None:
    answered(lambda answers: [*answers[:3], (0, 0), *answers[4:]])
    assert ways(there, proxy, lambda: turn(there, "second")) > 3
    assert positions(there, "s") == {"first": 0, "second": 1}


def refuse(_there: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(together, "COM_SET_OPTION", 0x7E)  # no command of a server's
    return 2 if stores.is_async() else 5  # these are asked as they connect


def cluster(_there: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(together, "IS_CLUSTER", "SELECT 1")
    return 5


def forget(there: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """As if a proxy sent what follows to another server."""

    async def off(own: Any) -> None:
        await own._execute_command(together.COM_SET_OPTION, together.OFF)
        await own.read_packet()

    if stores.is_async():
        event.listen(core_engine(there), "connect", lambda driver, _: await_only(off(driver.driver_connection)))
    else:
        monkeypatch.setattr(together, "ON", together.OFF)
    return 5


@pytest.mark.parametrize("where", [refuse, cluster, forget])
def test_where_several_are_not_taken_each_goes_by_itself(
    there: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    expected = where(there, monkeypatch)
    stores.run(there.db_engine.dispose)
    used(there)
    turn(there, "second")
    assert ways(there, proxy, lambda: turn(there, "third")) == expected
    assert ways(there, proxy, lambda: there.upsert_run(run("fourth"), "s")) == expected - 1
    assert positions(there, "s") == {"first": 0, "second": 1, "third": 2, "fourth": 3}


def test_what_is_too_much_for_one_packet_goes_in_several(
    there: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MySQL, "largest", lambda *_: Limit(100_000, escapes=True))
    assert ways(there, proxy, lambda: there.upsert_run(run("second", content="x" * 30_000), "s")) == 5
    assert ways(there, proxy, lambda: there.upsert_run(run("third", content="x" * 8_000), "s")) == 1
    assert positions(there, "s") == {"first": 0, "second": 1, "third": 2}
    assert there.get_run("second", session_id="s").content == "x" * 30_000


def test_a_program_gets_its_transactions_and_statements_as_its_driver_has_them(there: Any) -> None:
    engine, runs = there.db_engine, there.names.runs

    def undone() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DELETE FROM {runs}")
            connection.rollback()
        refused = pytest.raises(sa.exc.ProgrammingError)
        with engine.connect() as connection, nullcontext() if stores.is_async() else refused:
            connection.exec_driver_sql(f"SELECT 1; DELETE FROM {runs}")

    for n in range(2):
        stores.run(undone)
        turn(there, f"r{n}")
    assert run_ids(there, "s") == ["first", "r0", "r1"]


def test_who_listens_hears_of_each_statement_and_transaction(there: Any) -> None:
    engine = core_engine(there)
    turn(there, "before")
    with statements(engine) as sent:
        turn(there, "second")
    assert [text.split()[0] for text in sent if "SHOW" not in text] == ["SELECT", "UPDATE", "INSERT"]

    heard: list[str] = []
    event.listen(engine, "commit", lambda _: heard.append("commit"))
    turn(there, "third")
    assert heard == ["commit", "commit"]
    assert run_ids(there, "s") == ["first", "before", "second", "third"]


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "READ COMMITTED"])
def test_a_level_that_a_program_gives_its_engine_is_no_matter(
    fresh_url: str, there: Any, opened: Callable[..., Any], level: str
) -> None:
    core_engine(there).update_execution_options(isolation_level=level)
    for n in range(3):
        turn(there, f"r{n}")
        there.upsert_run(run(f"added {n}"), "s")
    there.upsert_session(replace(there.get_session("s"), metadata={"at": "last"}))
    beside = opened()
    assert run_ids(beside, "s") == ["first", "r0", "added 0", "r1", "added 1", "r2", "added 2"]
    assert beside.get_session("s").metadata == {"at": "last"}


def test_a_connection_that_was_lost_before_it_was_used_is_replaced(there: Any, proxy: Proxy) -> None:
    def give_back() -> None:
        there.db_engine.raw_connection().close()  # as a program has it

    stores.run(give_back)
    proxy.cut_at(b"SET AUTOCOMMIT", arrives=True)
    turn(there, "second")
    assert proxy.cuts == 1
    assert run_ids(there, "s") == ["first", "second"]


HALF = "CREATE PROCEDURE half() BEGIN INSERT INTO beside VALUES (2); SIGNAL SQLSTATE '45000'; END"
TWICE = "INSERT INTO beside VALUES (1)"


@pytest.fixture
def beside(there: Any, fresh_url: str) -> Callable[[str], list[Any]]:
    """Send a statement over a connection of its own, which waits for nobody; there is a table for it with a 1 in it."""
    trigger(there, "CREATE TABLE beside (id INT PRIMARY KEY) ENGINE=InnoDB")
    trigger(there, TWICE)
    trigger(there, HALF)
    engine = sa.create_engine(fresh_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def send(text: str) -> list[Any]:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1")
            result = connection.exec_driver_sql(text)
            return list(result.scalars()) if result.returns_rows else []

    return send


@pytest.mark.parametrize("text", ["CALL half()", TWICE], ids=["half of a procedure", "a lock"])
def test_nothing_is_left_of_a_programs_transaction_whose_first_statement_fails(
    there: Any, beside: Callable[[str], list[Any]], text: str
) -> None:
    used(there)
    with pytest.raises(sa.exc.DBAPIError):
        trigger(there, text)  # within engine.begin()
    beside("UPDATE beside SET id = id + 10")
    used(there)
    assert beside("SELECT id FROM beside") == [11]


def test_nothing_is_left_of_a_call_whose_first_statement_fails(there: Any, beside: Callable[[str], list[Any]]) -> None:
    sessions = there.names.sessions
    trigger(there, f"CREATE TRIGGER no BEFORE UPDATE ON {sessions} FOR EACH ROW SIGNAL SQLSTATE '45000'")
    event.listen(core_engine(there), "before_cursor_execute", lambda *_: None)
    used(there)
    with pytest.raises(DatabaseError):
        there.upsert_run(run("second"), "s")
    assert beside(f"SELECT session_id FROM {sessions} FOR UPDATE") == ["s"]


def test_several_statements_that_a_url_asks_for_are_still_taken(fresh_url: str) -> None:
    url = make_url(fresh_url).update_query_dict({"client_flag": str(1 << 16)})
    db = stores.open_db(url.render_as_string(hide_password=False))
    append(db, "s", "first")
    used(db)
    trigger(db, "SELECT 1; SELECT 2")
    db.close()


def test_a_server_in_oracles_mode_is_written_to(fresh_url: str) -> None:
    with sa.create_engine(fresh_url, poolclass=sa.NullPool).connect() as connection:
        if "MariaDB" not in str(connection.exec_driver_sql("SELECT version()").scalar()):
            return
    url = make_url(fresh_url).update_query_dict({"init_command": "SET SESSION sql_mode = 'ORACLE,STRICT_ALL_TABLES'"})
    db = stores.open_db(url.render_as_string(hide_password=False))
    append(db, "s", "first")
    used(db)
    turn(db, "second")
    db.upsert_run(run("first", content="other"), "s")
    assert run_ids(db, "s") == ["first", "second"]
    db.close()
