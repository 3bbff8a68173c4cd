"""Databases as released code left them: text files that are loaded, upgraded and used by tests, and never changed.

``<release>-<revision>-<backend>.sql`` holds every statement that makes one database, ``<release>-contents.json``
what that release's own calls returned of it. ``python -m tests.frozen.freeze`` makes those of the next release.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Engine

FOLDER = Path(__file__).parent
TABLES = {"default": "agent_sessions", "odd": "my Store%"}
"""The variants, with what the store of each is called."""

BETWEEN = "\n;\n"
"""What stands between two statements, and in none."""

_LONGEST_INT = 2_000
"""Bits of an integer that JSON text may hold, whatever Python's limit of digits is set to."""

_COLLATIONS = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""The collation of ids on MariaDB and on MySQL: the only difference between what is sent to them."""


class Frozen(NamedTuple):
    """One frozen database, on whichever backend."""

    revision: str
    variant: str
    release: str

    @property
    def table_name(self) -> str:
        return TABLES[self.variant]

    def file(self, backend: str) -> Path:
        """The file of statements that makes it."""
        variant = "" if self.variant == "default" else f"-{self.variant}"
        return FOLDER / f"{self.release}-{self.revision}-{backend}{variant}.sql"

    def contents(self) -> Any:
        """What ``read`` returned of it when it was frozen."""
        return json.loads(contents_file(self.release).read_text(encoding="utf-8"))[self.revision][self.variant]


def contents_file(release: str) -> Path:
    """The file that holds what a release's calls returned."""
    return FOLDER / f"{release}-contents.json"


def frozen() -> list[Frozen]:
    """Return every frozen database there is, by the files of contents."""
    return [
        Frozen(revision, variant, file.name.removesuffix("-contents.json"))
        for file in sorted(FOLDER.glob("*-contents.json"))
        for revision, variants in json.loads(file.read_text(encoding="utf-8")).items()
        for variant in variants
    ]


def load(engine: Engine, backend: str, revision: str, variant: str = "default", release: str = "0.1.0") -> None:
    """Make one frozen database in the empty one of ``engine``."""
    text = Frozen(revision, variant, release).file(backend).read_bytes().decode()
    with engine.connect() as connection:
        # Without parameters the driver takes no % for a placeholder; outside of a transaction any DDL can run.
        connection.execution_options(isolation_level="AUTOCOMMIT", no_parameters=True)
        for statement in text.removesuffix(BETWEEN).split(BETWEEN):
            if backend == "mysql" and not statement.startswith("INSERT"):
                there, here = _COLLATIONS if not _is_mariadb(connection) else _COLLATIONS[::-1]
                statement = statement.replace(there, here)
            connection.exec_driver_sql(statement)


def _is_mariadb(connection: sa.Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def read(db: Any) -> dict[str, Any]:
    """Return all that a store's calls tell of it, as JSON can say it, and how many rows its tables have."""
    sessions, total = db.get_sessions(deserialize=False, sort_by="session_id", sort_order="asc")
    assert total == len(sessions)
    ids = [session["session_id"] for session in sessions]
    runs = [run for id in ids for run in db.get_runs(session_id=id, deserialize=False)[0]]
    for run in runs:
        del run["run_data"]  # the sessions have it
    summaries = [dataclasses.asdict(summary) for summary in map(db.get_summary, ids) if summary is not None]
    return {
        "rows": {table: _rows(db, table) for table in ("sessions", "runs", "summaries")},
        "sessions": exact(sessions),
        "runs": exact(runs),
        "summaries": exact(summaries),
    }


def _rows(db: Any, table: str) -> int:
    count = sa.select(sa.func.count()).select_from(sa.table(getattr(db.names, table)))
    with db.db_engine.connect() as connection:
        return int(connection.scalar(count))


def exact(value: Any) -> Any:
    """Return ``value`` as JSON can say it; two that differ in a type, a bit or an order never become one.

    On purpose not by the package's own encoding, which is one of the things that frozen databases test.
    """
    if value is None or isinstance(value, bool) or (isinstance(value, str) and _is_whole(value)):
        return value
    if isinstance(value, int) and value.bit_length() < _LONGEST_INT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [exact(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {f"${type(value).__name__}": sorted(map(ascii, value))}
    if not isinstance(value, dict):
        return {"$python": ascii(value)}
    if all(isinstance(key, str) and _is_whole(key) and not key.startswith("$") for key in value):
        return {key: exact(item) for key, item in value.items()}
    return {"$dict": [[exact(key), exact(item)] for key, item in value.items()]}


def _is_whole(text: str) -> bool:
    """Whether it has no lone surrogates: two neighbours would come back from JSON as one character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
