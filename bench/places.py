"""Where is measured: private servers and files that keep what they have acknowledged, as in production.

SQLite: WAL and synchronous=FULL. PostgreSQL: fsync and synchronous_commit on. MariaDB: the log is flushed at
every commit. All of it on the disk of the temporary directory, never in memory.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from tests.servers import BACKENDS, MariaDB, PostgreSQL

SERVERS: dict[str, type[PostgreSQL] | type[MariaDB]] = {"postgresql": PostgreSQL, "mysql": MariaDB}
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}


@dataclass(frozen=True)
class Place:
    """One empty database."""

    backend: str
    url: str

    @property
    def title(self) -> str:
        return TITLES[self.backend]

    @property
    def file(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def parts(self) -> sa.URL:
        return sa.make_url(self.url)

    def analyze(self) -> None:
        """Let the database know what it holds, as it does by itself after a while."""
        with self.beside().connect() as connection:
            if self.backend != "mysql":
                connection.exec_driver_sql("ANALYZE")

    def beside(self) -> sa.Engine:
        """Return an engine with which to look at the database, and at nothing that is timed."""
        return sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


class Places:
    """Servers, and new databases in them."""

    def __init__(self, backends: list[str]) -> None:
        if unknown := sorted(set(backends) - set(BACKENDS)):
            raise ValueError(f"{', '.join(unknown)}: there are {', '.join(BACKENDS)}")
        self.backends = backends
        self._servers = {name: SERVERS[name](durable=True) for name in backends if name in SERVERS}

    def __enter__(self) -> Places:
        for server in self._servers.values():
            server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.stop()

    @contextmanager
    def new(self, backend: str) -> Iterator[Place]:
        """Give an empty database, gone afterwards."""
        if backend == "sqlite":
            folder = Path(tempfile.mkdtemp(prefix="agno-store-bench-"))
            try:
                yield Place(backend, f"sqlite:///{folder}/bench.db")
            finally:
                shutil.rmtree(folder)
            return
        name = f"bench_{uuid.uuid4().hex[:12]}"
        server = Place(backend, self._servers[backend].url)
        with server.beside().connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            yield replace(server, url=server.parts.set(database=name).render_as_string(hide_password=False))
        finally:
            force = " WITH (FORCE)" if backend == "postgresql" else ""
            with server.beside().connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name}{force}")

    def versions(self) -> dict[str, str]:
        """Return what each server says it is."""
        found = {}
        for backend in self.backends:
            with self.new(backend) as place, place.beside().connect() as connection:
                function = "sqlite_version()" if backend == "sqlite" else "version()"
                found[backend] = str(connection.exec_driver_sql(f"SELECT {function}").scalar())
        return found
