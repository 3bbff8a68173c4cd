"""A process that only reads and writes pays for nothing else."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agno_store import dialects, open_db
from tests.cli.program import run_process
from tests.package.source import PACKAGE, module_name

HEAVY = {"agno", "alembic", "mako", "typer", "click", "rich", "opentelemetry"}

OTHERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sqlite": {"postgresql": ("psycopg", "answers", "standby"), "mysql": ("pymysql", "cluster")},
    "postgresql": {"mysql": ("pymysql", "cluster"), "sqlite": ("generated", "sqlite_driver", "writer")},
    "mysql": {"postgresql": ("psycopg", "answers", "standby"), "sqlite": ("generated", "sqlite_driver", "writer")},
}
"""For a database the others, each with what only it uses: drivers, and modules in dialects/."""

FOR_LATER = {
    *("aio", "loops", "storage", "doctor", "cli", "migrations"),
    *(module_name(file) for file in (PACKAGE / "dialects").glob("health*.py")),
    *(module_name(file) for file in (PACKAGE / "dialects").glob("rights*.py")),
    *("figures", "reports", "searching", "survey", "dialects.payloads", "beside", "counts"),
    *("dialects.findings", "dialects.locks", "dialects.generated", "dialects.places", "dialects.cluster", "tracing"),
}
"""Modules of ours for what is asked for, for errors, and for upgrades."""

IMPORT = "import agno_store"
CALLS = """
from agno_store import open_db
with open_db({url!r}) as db:
    assert db.get_session("s1", deserialize=False)["user_id"] == "ada"
    db.upsert_run({{"run_id": "r1", "content": "Hello"}}, session_id="s1")
"""
COMMANDS = """
import contextlib, io, sys
from agno_store.cli import main
for words in ("--version", "--help", "sessions list", "sessions show s1", "check", "current"):
    sys.argv = ["agno-store", *words.split()]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as answer:
        main()
    assert answer.getvalue(), words
"""


def imported_by(program: str, directory: Path) -> set[str]:
    """Return the names of all modules that a new process has when it has run a program."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    answer = run_process(sys.executable, "-c", f"{program}\n{report}", directory=directory)
    assert answer.code == 0, answer.err
    return set(json.loads(answer.out))


def of(packages: set[str], modules: set[str]) -> set[str]:
    """Return the modules that are, or are in, one of the packages."""
    return {name for name in modules if any(f"{name}.".startswith(f"{package}.") for package in packages)}


def databases(names: Iterable[str]) -> set[str]:
    """Return the modules for some databases, SQLAlchemy's and ours."""
    return {f"{where}.dialects.{name}" for where in ("sqlalchemy", "agno_store") for name in names}


def test_to_import_the_package_imports_no_database(tmp_path: Path) -> None:
    there = imported_by(IMPORT, tmp_path)
    drivers = {"sqlite3", "psycopg", "pymysql", "sqlalchemy.ext.asyncio"}
    assert of(HEAVY | databases(OTHERS) | drivers | {"orjson"}, there) == set()
    assert of({f"agno_store.{name}" for name in FOR_LATER}, there) == set()


def test_a_store_that_is_there_imports_nothing_that_it_does_not_use(db: Any, fresh_url: str, tmp_path: Path) -> None:
    db.upsert_session({"session_id": "s1", "user_id": "ada"})
    there = imported_by(CALLS.format(url=fresh_url), tmp_path)
    assert of(HEAVY | {"sqlalchemy.ext.asyncio"}, there) == set()
    assert of({f"agno_store.{name}" for name in FOR_LATER}, there) == set()
    others = next(others for name, others in OTHERS.items() if name in db.dialect.names)
    only = {name for names in others.values() for name in names}
    assert of(databases(others) | databases(only) | only, there) == set()


def test_a_command_imports_what_it_needs_when_it_is_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    with open_db(url) as db:
        db.upsert_session({"session_id": "s1", "user_id": "ada"})
    there = imported_by(f"import os\nos.environ['AGNO_STORE_DB_URL'] = {url!r}\n{COMMANDS}", tmp_path)
    assert {"agno_store.cli.sessions", "typer", "rich"} <= there
    assert of({"agno", "alembic", "mako", "psycopg", "pymysql"}, there) == set()
    assert of({f"agno_store.{name}" for name in ("migrations", "doctor", "transfer", "survey")}, there) == set()


def test_the_asynchronous_classes_are_imported_when_they_are_asked_for(tmp_path: Path) -> None:
    there = imported_by("from agno_store import AsyncSqliteDb, open_async_db", tmp_path)
    assert {"agno_store.aio", "agno_store.loops"} <= there
    assert of(HEAVY | {"agno_store.dialects.mysql", "agno_store.dialects.postgresql"}, there) == set()


def test_the_storages_for_agno_1_import_nothing_of_agno(tmp_path: Path) -> None:
    there = imported_by("from agno_store.storage import MySQLStorage, PostgresStorage, SqliteStorage", tmp_path)
    assert "agno_store.storage.sessions" in there
    assert of(HEAVY | databases(OTHERS) | {"sqlite3", "psycopg", "pymysql"}, there) == set()


def test_a_store_is_not_traced_where_opentelemetry_is_not_installed(tmp_path: Path) -> None:
    program = """
        import sys
        sys.modules["opentelemetry"] = None  # as if it were not there
        from agno_store import ConfigurationError, SqliteDb
        SqliteDb(db_url="sqlite://", slow_operation_ms=5).get_session("s")
        try:
            SqliteDb(db_url="sqlite://", tracing=True)
        except ConfigurationError as error:
            sys.exit(str(error))
    """
    answer = run_process(sys.executable, "-c", inspect.cleandoc(program), directory=tmp_path)
    assert answer.code == 1
    assert 'pip install "agno-store[otel]"' in answer.err


def test_every_dialect_is_found_by_each_of_its_names() -> None:
    assert len(dialects.ALL) == len(OTHERS)
    names = [name for dialect in dialects.ALL for name in dialect.names]
    assert sorted(names) == sorted(dialects._IMPORTED_BY)
    assert all(dialects.by_name(name) is dialect for dialect in dialects.ALL for name in dialect.names)
