"""Asking the doctor, and finding one trouble in what he answers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from agno_store import MySQLDb, PostgresDb, SqliteDb
from agno_store.doctor import OK, Finding
from tests.cli.program import Answer, run


def troubles(url: str, *words: str) -> list[tuple[str, str]]:
    """The subjects and levels of what is not ok."""
    document = run("doctor", "--db-url", url, *words, "--json").document
    return [(found["subject"], found["level"]) for found in document["findings"] if found["level"] != OK]


def finding(found: Any, subject: str) -> Finding:
    """The one finding about a subject that is not ok."""
    if isinstance(found, Answer):
        found = [Finding(**entry) for entry in found.document["findings"]]
    (one,) = (entry for entry in found if entry.subject == subject and entry.level != OK)
    assert isinstance(one, Finding)
    assert one.cure
    return one


def doctor(url: str, *words: str) -> Answer:
    return run("doctor", "--db-url", url, *words, "--json")


def engine_of(url: str, **options: Any) -> sa.Engine:
    """An engine as an application brings it, with none of our settings."""
    return sa.create_engine(url, poolclass=NullPool, **options)


def with_engine(backend: str, engine: sa.Engine) -> Any:
    return {"sqlite": SqliteDb, "postgresql": PostgresDb, "mysql": MySQLDb}[backend](db_engine=engine)
