"""No password is in anything that a failure leaves behind: message, repr, log, traceback, with all its causes."""

from __future__ import annotations

import logging
import socket
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from agno_store import AgnoStoreError, MySQLDb, PostgresDb, SqliteDb, open_db
from agno_store.dialects import answers, postgresql
from agno_store.dialects.limits import Limit
from tests.contract.samples import append, session
from tests.faults.methods import furnish
from tests.faults.proxy import Proxy

CLASSES = {"postgresql": PostgresDb, "mysql": MySQLDb}
PASSWORD = "-".join(("s3cr3t", "of", "the/house@40%"))
PARTS = ("s3cr3t", "the/house", "house@40", quote(PASSWORD, safe=""), quote_plus(PASSWORD))
CONVERSATION = "-".join(("what", "was", "said", "in", "private"))

pytestmark = pytest.mark.backends("postgresql", "mysql")


@pytest.fixture
def secret(database: str, backend: str) -> Iterator[str]:
    """The URL of the store for a role with a password, which may do everything in its database."""
    role = f"keeper_{uuid.uuid4().hex[:8]}"
    url = sa.make_url(database)
    make, drop = {
        "postgresql": (
            [f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'"],
            [f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}"],
        ),
        "mysql": (
            [f"CREATE USER {role}@'%' IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON {url.database}.* TO {role}@'%'"],
            [f"DROP USER {role}@'%'"],
        ),
    }[backend]
    administer(database, make)
    yield url.set(username=role, password=PASSWORD).render_as_string(hide_password=False)
    administer(database, drop)


def administer(url: str, statements: list[str]) -> None:
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execution_options(no_parameters=True)
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


class Left:
    """All that failures leave behind."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.failures = 0

    def by(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call what may fail."""
        try:
            call(*arguments)
        except AgnoStoreError as error:
            self.failures += 1
            self.texts += [str(error), repr(error), str(vars(error)), "".join(traceback.format_exception(error))]
            cause: BaseException | None = error
            while cause is not None:
                self.texts += [str(cause), repr(cause)]
                cause = cause.__cause__ or cause.__context__


@contextmanager
def left(caplog: pytest.LogCaptureFixture) -> Iterator[Left]:
    """Collect what the failures inside leave behind; fail where a secret is in it, or where nothing failed."""
    found = Left()
    with caplog.at_level(logging.DEBUG):
        yield found
    found.texts += [f"{record.getMessage()} {record.exc_text}" for record in caplog.records]
    shown = "\n".join(found.texts)
    assert found.failures
    assert [part for part in PARTS if part in shown] == []
    assert CONVERSATION not in shown


def write(db: Any) -> None:
    db.upsert_run({"run_id": "r", "content": CONVERSATION}, "s")


def get(db: Any) -> None:
    db.get_session("s")


def look(db: Any) -> None:
    db.schema_status()


def change(db: Any) -> None:
    db.update_session_state("s", lambda state: {"x": CONVERSATION})


def test_a_server_that_cuts_refuses_or_hangs(
    beside: Any,
    secret: str,
    proxy: Proxy,
    backend: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agno_store.attempts.PATIENCE", 0.2)
    monkeypatch.setattr(answers, "LONGEST", 0.5)
    bounds = {"postgresql": "?connect_timeout=2", "mysql": "&connect_timeout=2&read_timeout=1"}
    furnish(beside)
    with left(caplog) as behind, open_db(proxy.through(secret) + bounds[backend]) as db:
        db.get_session("s")
        proxy.cut_at({"postgresql": b"COMMIT", "mysql": b"\x03COMMIT"}[backend], arrives=True)
        behind.by(change, db)
        proxy.refuse()
        for call in (write, change, get, look):
            behind.by(call, db)
        proxy.restore()
        db.get_session("s")
        proxy.freeze()
        behind.by(write, db)
        proxy.cut()
        assert PASSWORD not in repr(db) + db.db_url + str(db.to_dict())


def test_a_password_that_is_wrong_and_a_server_that_is_not_there(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = sa.make_url(secret).set(port=nobody.getsockname()[1]).render_as_string(hide_password=False)
        no_database = sa.make_url(secret).set(database="nowhere").render_as_string(hide_password=False)
        no_role = sa.make_url(secret).set(username="nobody_known").render_as_string(hide_password=False)
        with left(caplog) as behind:
            for url in (away, no_database, no_role):
                with open_db(url) as db:
                    for call in (get, write, look):
                        behind.by(call, db)


def test_a_pool_that_is_exhausted_a_table_that_is_gone_and_a_role_without_rights(
    beside: Any, secret: str, database: str, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    furnish(beside)
    engine = sa.create_engine(secret, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.1)
    db = CLASSES[backend](db_engine=engine)
    role = engine.url.username
    rights = {
        "postgresql": (f"ALTER ROLE {role} NOSUPERUSER", f"ALTER ROLE {role} SUPERUSER"),
        "mysql": (f"REVOKE ALL ON {engine.url.database}.* FROM {role}@'%'",) * 2,
    }[backend]
    with left(caplog) as behind:
        db.get_session("s")
        with engine.connect():
            behind.by(write, db)
        with beside.db_engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {db.names.runs} RENAME TO elsewhere")
        behind.by(write, db)
        with beside.db_engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE elsewhere RENAME TO {db.names.runs}")
        administer(database, [rights[0]])
        engine.dispose()
        behind.by(write, db)
        behind.by(change, db)
        if backend == "postgresql":
            administer(database, [rights[1]])
    engine.dispose()


def test_a_payload_that_is_too_large_and_a_server_that_only_reads(
    beside: Any, secret: str, backend: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(beside)
    monkeypatch.setattr(postgresql, "LARGEST", Limit(10_000))
    engine = sa.create_engine(secret)

    @sa.event.listens_for(engine, "connect")
    def only_read(driver: Any, _record: object) -> None:
        with driver.cursor() as cursor:
            cursor.execute(
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
                if backend == "postgresql"
                else "SET SESSION TRANSACTION READ ONLY"
            )
        driver.commit()

    db = CLASSES[backend](db_engine=engine)
    with left(caplog) as behind:
        for call in (write, change):
            behind.by(call, db)
        if backend == "postgresql":
            behind.by(lambda: append(open_db(secret), "s", "large", content=CONVERSATION * 1000))
    engine.dispose()


def test_a_file_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with SqliteDb(tmp_path / "agents.db") as whole:
        whole.upsert_session(session("s"))
    url = f"sqlite:///file:{tmp_path}/agents.db?mode=ro&uri=true"
    engine = sa.create_engine(url)
    with left(caplog) as behind, open_db(url) as ours:
        for one in (ours, SqliteDb(db_engine=engine)):
            behind.by(write, one)
            behind.by(change, one)
    engine.dispose()
