"""What is wrong, and what helps: a look at everything that a store depends on.

Every check has a connection of its own, and whatever the database refuses is a finding like any other, so that
one trouble does not hide the next. Nothing is written.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from agno_store import failures, release, schema
from agno_store.clock import SECOND
from agno_store.database import Database
from agno_store.dialects import health
from agno_store.dialects.findings import ERROR, OK, WARNING, Check, Finding, Look
from agno_store.errors import AgnoStoreError, SchemaDrifted, SchemaError
from agno_store.urls import redacted

__all__ = ["ERROR", "OK", "WARNING", "Finding", "diagnose"]

SLOW = 0.05
"""Seconds of a round trip; an agent's answer takes about ten of them."""

APART = 5.0
"""Seconds between this machine's clock and the server's, by both of which sessions are ordered."""

CURES = (" Run: ", " Let ", " Is the server ")
"""With these the cure begins in the messages of errors."""


def diagnose(db: Database) -> list[Finding]:
    """Look at the database, the role, the settings and the tables of a store, and return what was found.

    Writes nothing, and raises nothing for what the database refuses: that is a finding.
    """
    url = db.db_engine.url
    found = [_versions(db), *health.of(db.dialect).outside(url)]
    if db.dialect.is_there(url):  # else to connect would make it
        found += _looked_at(db, "connection", partial(_connected, db, _connection))
        if found[-1].level == ERROR:
            return found
        checks: dict[str, Check] = {**health.of(db.dialect).checks, "isolation": _isolation(db), "clock": _clock}
        for subject, check in checks.items():
            found += _looked_at(db, subject, partial(_connected, db, check))
    found += (tables := _looked_at(db, "tables", partial(_tables, db)))
    if all(finding.level != ERROR for finding in tables):
        found += _looked_at(db, "leftovers", partial(_connected, db, _leftovers))
        found += _looked_at(db, "drift", partial(_drift, db))
    return found


def _looked_at(db: Database, subject: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Run one check; an error is what it has found."""
    found: list[Finding] = []
    try:
        with failures.translated(db):
            found += check()
    except AgnoStoreError as error:
        found.append(_of_error(subject, error))
    return found


def _connected(db: Database, check: Check) -> Iterator[Finding]:
    with db.dialect.connected(db.db_engine) as connection:
        yield from check(Look(connection, db.dialect, db.names, db.db_engine.url))


def _of_error(subject: str, error: AgnoStoreError) -> Finding:
    said = str(error)
    at = min((place for word in CURES if (place := said.find(word)) >= 0), default=len(said))
    cure = said[at:].strip().removeprefix("Run: ") or "The message says what the database was asked and answered."
    return Finding(subject, ERROR, said[:at].strip(), cure, error)


# -- the checks --------------------------------------------------------------------------------------


def _versions(db: Database) -> Finding:
    from agno_store.migrations import ALEMBIC

    driver: Any = db.db_engine.dialect.dbapi
    version = getattr(driver, "__version__", None) or getattr(driver, "sqlite_version", "")
    return Finding(
        "versions",
        OK,
        f"agno_store {release.__version__}, SQLAlchemy {sa.__version__}, Alembic {ALEMBIC}, "
        f"{driver.__name__} {version}, Python {platform.python_version()}",
    )


def _connection(look: Look) -> Iterator[Finding]:
    times = []
    for _ in range(3):
        began = time.monotonic()
        look.connection.execute(sa.text("SELECT 1"))
        times.append(time.monotonic() - began)
    taken = statistics.median(times)
    said = f"{redacted(look.url)} answers in {taken * 1000:.1f} ms"
    if taken > SLOW:
        yield Finding("connection", WARNING, f"{said}: every statement waits as long", "Run the app near its database")
    else:
        yield Finding("connection", OK, said)


def _isolation(db: Database) -> Check:
    wanted = health.of(db.dialect).isolation

    def check(look: Look) -> Iterator[Finding]:
        level = str(look.connection.get_isolation_level())
        if level in wanted:
            yield Finding("isolation", OK, f"transactions are {level}")
            return
        yield Finding(
            "isolation",
            WARNING,
            f"transactions are {level}, not {wanted[0]}: writers of one session get into each other's way",
            f'create_engine(..., isolation_level="{wanted[0]}"), or give db_url= instead of db_engine=',
        )

    return check


def _clock(look: Look) -> Iterator[Finding]:
    before = time.time()
    server = int(look.connection.scalar(sa.text(f"SELECT {look.dialect.clock}")) or 0) / SECOND
    apart = server - (before + time.time()) / 2
    if abs(apart) > APART:
        direction = "ahead of" if apart > 0 else "behind"
        yield Finding(
            "clock",
            WARNING,
            f"the server's clock is {abs(apart):.0f} s {direction} this machine's",
            "Let both machines take their time from NTP: timedatectl set-ntp true",
        )
    else:
        yield Finding("clock", OK, "the clocks of the server and of this machine agree")


def _tables(db: Database) -> Iterator[Finding]:
    from agno_store.migrations import Migrator

    status = db.schema_status()
    if status.state == schema.MISSING:
        Migrator.of(db).refuse_foreign()
    status.raise_unless_usable()
    gone = schema.lacking(db.db_engine, db.dialect, db.names)
    if gone:
        missing = [f"table {table} is missing" for table in gone]
        yield _drifted(db, "tables", f"{db.names} is recorded at {status.current}", missing)
    elif status.in_step:
        yield Finding("tables", OK, f"the version table says: {db.names} is at {status.current}, in step")
    else:
        yield Finding("tables", OK, f"{db.names} is at {status.current}, ahead of this release, which works with it")


def _leftovers(look: Look) -> Iterator[Finding]:
    # Listed, as a table that may not be seen is an error to look for on MySQL.
    there = sa.inspect(look.connection).get_table_names(schema=look.names.schema)
    for table in (f"_alembic_tmp_{name}" for name in look.names.tables):
        if table in there:
            yield Finding(
                "leftovers",
                WARNING,
                f"{table} is left of a batch of Alembic's that was killed outside of agno_store",
                f"DROP TABLE {look.quoted(table)};",
            )


def _drift(db: Database) -> Iterator[Finding]:
    from agno_store.migrations import Migrator

    if not db.schema_status().in_step:
        return
    differences = Migrator.of(db).drift()
    if differences:
        yield _drifted(db, "drift", "the tables are not as the revisions make them", differences)
    else:
        yield Finding("drift", OK, "the tables are as the revisions make them")


def _drifted(db: Database, subject: str, what: str, differences: list[str]) -> Finding:
    from agno_store.migrations.cures import mending

    message, url = f"{what}: {'; '.join(differences)}", redacted(db.db_engine.url)
    error: SchemaError = SchemaDrifted(message, store=str(db.names), differences=differences)
    cure = f"{mending(db.names, url)}  To look again: {db.names.command('check --drift', url)}"
    return Finding(subject, ERROR, message, cure, error)
