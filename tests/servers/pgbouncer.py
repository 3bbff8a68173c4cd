"""A private PgBouncer in front of a PostgreSQL server, from a package that is unpacked and not installed.

Installing it would start a service.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from tests.servers.packages import CACHE, Package, call, copy
from tests.servers.process import Server

UNPACKED = CACHE / "pgbouncer"
MISSING = """\
no PgBouncer found. One of these helps:
  TEST_POSTGRESQL_URL= python -m tests.servers.install    (Debian, Ubuntu; unpacks it in .cache)
  brew install pgbouncer                                  (macOS)
  TEST_PGBOUNCER=/path/to/pgbouncer
  make test PYTEST_ARGS='-m "not pgbouncer"'               (to do without)"""
PLACES = (
    "/usr/sbin",
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/opt/pgbouncer/bin",
    "/usr/local/opt/pgbouncer/bin",
)


class PgBouncer(Server):
    """A private PgBouncer in transaction pooling mode, in front of the PostgreSQL server of a URL.

    Whoever connects is that URL's user at the server, in the database of the same name: each database has
    three sessions, which its clients take turns to use.
    """

    name = "pgbouncer"
    fast: ClassVar = {}
    stop_signal = signal.SIGKILL  # has nothing to save, and by others newer versions wait for the clients
    _binary: Path

    def __init__(self, server: str, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings=settings)
        self._server = server

    @property
    def url(self) -> str:
        """The server's SQLAlchemy URL, through PgBouncer."""
        return self.through(self._server)

    def through(self, url: str) -> str:
        """Return the URL of the same database, through PgBouncer."""
        user, _, _ = urlsplit(url).netloc.rpartition("@")
        return urlsplit(url)._replace(netloc=f"{user}@127.0.0.1:{self.port}").geturl()

    def _prepare(self) -> None:
        self._binary = PACKAGE.find()
        try:
            self._run([*call(self._binary), "--version"])
        except PermissionError:  # typically .cache in root's home
            self._binary = copy(self._binary, self.directory)

    def _command(self) -> list[str]:
        settings = self.directory / "settings.ini"
        settings.write_text(self._settings())  # now, for the command line does not take a port
        settings.chmod(0o644)
        return [*call(self._binary), str(settings)]

    def _is_ready(self) -> bool:
        return "process up" in self.log_text()[self._log_start :]

    def _settings(self) -> str:
        server = urlsplit(self._server)
        target = {
            "host": server.hostname or "",
            "port": str(server.port or 5432),
            "user": unquote(server.username or ""),
            "password": unquote(server.password or ""),
        }
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": "3",
            "max_client_conn": "200",
            **self.settings,
        }
        words = ("{}='{}'".format(key, value.replace("'", "''")) for key, value in target.items() if value)
        lines = (f"{key} = {value}\n" for key, value in settings.items())
        return f"[databases]\n* = {' '.join(words)}\n\n[pgbouncer]\n{''.join(lines)}"


def _candidates() -> Iterator[Path]:
    if on_the_path := shutil.which("pgbouncer"):
        yield Path(on_the_path)
    for place in (*PLACES, UNPACKED / "usr/sbin"):
        yield Path(place) / "pgbouncer"


PACKAGE = Package("pgbouncer", "TEST_PGBOUNCER", _candidates, MISSING, UNPACKED, has_service=True)
