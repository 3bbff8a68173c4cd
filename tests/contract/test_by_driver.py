"""Transactions that a driver begins by itself with the first statement, and that SQLAlchemy need not hear of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from agno_store import dialects
from agno_store.sending import say
from tests.contract import stores
from tests.contract.samples import append, run_ids
from tests.contract.test_sending import core

pytestmark = pytest.mark.backends("mysql")


@pytest.fixture
def there(opened: Callable[..., Any]) -> Any:
    db = opened()
    append(db, "s", "r")
    return db


def transaction(db: Any, *acts: Callable[[sa.Connection], Any]) -> None:
    """Do this with the connection of one transaction that writes."""
    engine = core_engine(db)

    def whole() -> None:
        with dialects.of(engine).transaction(engine, writes=True) as connection:
            for act in acts:
                act(connection)

    stores.run(whole)


def core_engine(db: Any) -> sa.Engine:
    """The engine that the store's own transactions are made of."""
    found: sa.Engine = stores.run(lambda: db.inner._here().core._engine) if stores.is_async() else db._engine
    return found


def still_open(db: Any) -> list[Any]:
    """The transactions that the server knows of in the test's own database."""
    ask = (
        "SELECT trx_state FROM information_schema.innodb_trx WHERE trx_mysql_thread_id IN "
        "(SELECT id FROM information_schema.processlist WHERE db = DATABASE())"
    )

    def found() -> list[Any]:
        with core_engine(db).connect() as connection:
            return list(connection.exec_driver_sql(ask).scalars())

    there: list[Any] = stores.run(found)
    return there


def delete(db: Any) -> Callable[[sa.Connection], None]:
    """Delete all runs past SQLAlchemy."""
    return lambda connection: say(connection, f"DELETE FROM {core(db).names.runs}")


def fail(_: object) -> None:
    raise ZeroDivisionError


def usual(connection: sa.Connection) -> None:
    """Send something as SQLAlchemy sends it."""
    connection.execute(sa.text("SELECT 1")).all()


@pytest.mark.parametrize("before", [(), (usual,)], ids=["past", "through"])
@pytest.mark.parametrize("behind", [(), (usual,)], ids=["past", "through"])
def test_what_fails_has_written_nothing(there: Any, before: Any, behind: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        transaction(there, *before, delete(there), *behind, fail)
    assert run_ids(there, "s") == ["r"]

    transaction(there, *before, delete(there), *behind)
    assert run_ids(there, "s") == []


@pytest.mark.parametrize("before", [(), (usual,)], ids=["first", "later"])
def test_a_statement_that_fails_leaves_no_transaction_open(there: Any, before: Any) -> None:
    runs = core(there).names.runs
    with pytest.raises(sa.exc.IntegrityError):  # of which the driver is not told whether a transaction is open
        transaction(there, *before, lambda c: say(c, f"INSERT INTO {runs} SELECT * FROM {runs}"))

    assert still_open(there) == []


def test_what_was_lost_in_the_middle_is_not_told_as_stored(there: Any) -> None:
    with pytest.raises(sa.exc.InvalidRequestError):
        transaction(there, delete(there), lambda connection: connection.invalidate())
    with pytest.raises(sa.exc.InvalidRequestError):  # SQLAlchemy's, where somebody listens
        transaction(there, delete(there), lambda c: c.invalidate(), lambda c: say(c, "SET @a = 1"))
    assert run_ids(there, "s") == ["r"]


def test_a_commit_that_is_not_answered_is_an_error_of_sqlalchemys(there: Any) -> None:
    seen: list[sa.Connection] = []

    def kill(connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        with connection.engine.connect() as other:
            other.exec_driver_sql(f"KILL {driver.thread_id()}")
        seen.append(connection)

    with pytest.raises(sa.exc.OperationalError) as raised:
        transaction(there, delete(there), kill)
    assert raised.value.connection_invalidated
    assert run_ids(there, "s") == ["r"]


def test_who_listens_hears_of_each_transaction(there: Any) -> None:
    heard: list[str] = []
    engine = core_engine(there)
    event.listen(engine, "begin", lambda _: heard.append("begin"))
    event.listen(engine, "commit", lambda _: heard.append("commit"))
    event.listen(engine, "rollback", lambda _: heard.append("rollback"))
    transaction(there, delete(there))
    with pytest.raises(ZeroDivisionError):
        transaction(there, delete(there), fail)

    assert heard == ["begin", "commit", "begin", "rollback"]


@pytest.mark.parametrize("by", ["engine", "driver"])
def test_a_connection_that_commits_each_statement_has_transactions_nevertheless(there: Any, by: str) -> None:
    def leave() -> None:
        if by == "engine":
            engine.update_execution_options(isolation_level="AUTOCOMMIT")
        else:
            connection = engine.raw_connection()
            connection.cursor().execute("SET autocommit = 1")
            connection.close()

    engine = core_engine(there)
    stores.run(leave)
    with pytest.raises(ZeroDivisionError):
        transaction(there, delete(there), fail)
    assert run_ids(there, "s") == ["r"]
