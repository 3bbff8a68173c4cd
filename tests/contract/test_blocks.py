"""Of MariaDB a transaction that writes what was read is one statement; it is all or nothing as any other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from pymysql.connections import Connection

from agno_store import DatabaseError, open_db
from agno_store.dialects.mysql import _is_open
from tests.contract.database import dump, statements
from tests.contract.samples import append, run, run_ids

COLOURS = ("sync",)

pytestmark = pytest.mark.backends("mysql")


def read(db: Any, **columns: Any) -> Any:
    """The session as it was read, and changed since."""
    return replace(db.get_session("s", runs_limit=1), **columns)


@pytest.fixture
def used(db: Any) -> Any:
    """A store with one session that is known to it; a run of an id that it has seen would not be a new one."""
    append(db, "s", "r")
    db.get_session("s", runs_limit=1)
    return db


def is_mariadb(db: Any) -> bool:
    return bool(db.db_engine.dialect.is_mariadb)


@contextmanager
def commands() -> Iterator[list[str]]:
    """Collect what PyMySQL sends, with the borders of transactions, but for what SQLAlchemy sends to who listens."""
    sent: list[str] = []
    plain: Any = Connection

    def note(self: Any, command: Any, sql: Any) -> Any:
        if sql != "ROLLBACK":
            sent.append(sql.decode() if isinstance(sql, bytes) else str(sql))
        return usual(self, command, sql)

    usual, plain._execute_command = plain._execute_command, note
    try:
        yield sent
    finally:
        plain._execute_command = usual


def test_a_write_is_one_way_to_the_server(used: Any) -> None:
    with commands() as saved:
        used.upsert_session(read(used, metadata={"n": 1}))
    with commands() as both:
        used.upsert_session(read(used, metadata={"n": 2}), run=run("w2"))
    with commands() as added:
        used.upsert_run(run("w3"), "s")

    reading = 2  # and the end of its transaction
    expected = (1, 1, 1) if is_mariadb(used) else (2, 3, 3)
    assert (len(saved) - reading, len(both) - reading, len(added)) == expected, (saved, both, added)
    assert run_ids(used, "s") == ["r", "w2", "w3"]
    assert used.get_session("s").metadata == {"n": 2}


def test_an_insert_that_fails_takes_the_update_with_it(used: Any) -> None:
    changed, before = read(used, metadata={"n": 1}), dump(used)
    with used.db_engine.begin() as c:
        c.exec_driver_sql(
            f"CREATE TRIGGER {used.names.runs}_no BEFORE INSERT ON {used.names.runs} FOR EACH ROW "
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'"
        )
    with pytest.raises(DatabaseError, match="not today"):
        used.upsert_session(changed, run=run("t2"))
    assert dump(used) == before

    with used.db_engine.begin() as c:
        c.exec_driver_sql(f"DROP TRIGGER {used.names.runs}_no")
    used.upsert_session(changed, run=run("t2"))
    assert run_ids(used, "s") == ["r", "t2"]


def test_the_driver_knows_that_a_block_has_ended(used: Any) -> None:
    with used.db_engine.connect() as c:
        driver: Any = c.connection.driver_connection
        driver.begin()
        assert _is_open(driver, None)
        driver.rollback()
        if is_mariadb(used):
            with driver.cursor() as cursor:
                cursor.execute("BEGIN NOT ATOMIC START TRANSACTION; COMMIT; SELECT 1; END")
        assert not _is_open(driver, None)


def test_a_statement_that_is_killed_leaves_no_transaction_open(used: Any) -> None:
    changed, before, failed = read(used, metadata={"n": 1}), dump(used), []
    waiting = "SELECT id FROM information_schema.processlist WHERE info LIKE %s AND id <> CONNECTION_ID()"

    def save() -> None:
        try:
            used.upsert_session(changed, run=run("k2"))
        except DatabaseError as error:
            failed.append(str(error))

    with used.db_engine.connect() as other:
        other.exec_driver_sql(f"UPDATE {used.names.sessions} SET updated_at = updated_at WHERE session_id = 's'")
        thread = threading.Thread(target=save)
        thread.start()
        found: Any = None
        while found is None:
            time.sleep(0.05)
            found = other.exec_driver_sql(waiting, (f"%UPDATE {used.names.sessions} SET%metadata%",)).scalar()
        other.exec_driver_sql(f"KILL QUERY {found}")
        thread.join()
        other.rollback()
        open_ones = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = %s"
        assert other.exec_driver_sql(open_ones, (found,)).scalar() == 0

    assert ["interrupted" in text for text in failed] == [True], failed
    assert dump(used) == before
    used.upsert_session(changed, run=run("k2"))
    assert run_ids(used, "s") == ["r", "k2"]


def test_what_may_be_too_much_for_one_statement_goes_in_several(used: Any) -> None:
    with statements(used.db_engine) as sent:
        used.upsert_run(run("large", content="x" * 2_500_000), "s")

    assert [text.split()[0] for text in sent if "@@" not in text] == ["UPDATE", "INSERT"]
    assert used.get_run("large").content == "x" * 2_500_000


def test_a_mode_in_which_blocks_are_written_otherwise(db: Any, fresh_url: str) -> None:
    mode = "ORACLE" if is_mariadb(db) else "ANSI"
    command = f"SET SESSION sql_mode = '{mode},STRICT_ALL_TABLES'"
    url = sa.make_url(fresh_url).update_query_dict({"init_command": command}).render_as_string(hide_password=False)
    with open_db(url) as other:
        append(other, "s", "r")
        other.upsert_session(read(other, metadata={"n": 1}), run=run("m2"))
        assert run_ids(other, "s") == ["r", "m2"]


def test_who_listens_for_statements_sees_them_as_they_are(opened: Callable[..., Any]) -> None:
    db, seen = opened(), []
    append(db, "s", "r")
    changed = read(db, metadata={"n": 1})

    def note(_connection: Any, statement: Any, *_: Any) -> None:
        seen.append(type(statement).__name__)

    sa.event.listen(db.db_engine, "before_execute", note)
    try:
        db.upsert_session(changed, run=run("e2"))
    finally:
        sa.event.remove(db.db_engine, "before_execute", note)

    assert seen == ["Update", "Insert"]
    assert run_ids(db, "s") == ["r", "e2"]
