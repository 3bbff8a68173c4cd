"""A private MariaDB server, or MySQL where only that is there."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.packages import CACHE, Package, call
from tests.servers.process import Server

UNPACKED = CACHE / "mariadb"
MISSING = """\
no MariaDB server found. One of these helps:
  apt-get install --no-install-recommends mariadb-server-core    (Debian, Ubuntu)
  python -m tests.servers.install                                (the same, or without being root)
  brew install mariadb                                           (macOS)
  TEST_MYSQLD=/path/to/mariadbd
  TEST_MYSQL_URL=mysql+pymysql://user:password@host/database
  DATABASES=sqlite,postgresql                                    (to do without)"""
PLACES = (
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
    "/opt/homebrew/opt/mysql/bin",
    "/usr/local/opt/mysql/bin",
)
# Run at every start. MySQL has root@localhost only, and nothing that resolves 127.0.0.1 to that name.
BEGINNING = """\
CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS root@127.0.0.1;
GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
"""
# Run before the system tables are made: a root who has no password and no other way in, and nobody else.
ACCOUNTS = """\
CREATE DATABASE mysql;
USE mysql;
SET @auth_root_socket=NULL;
SET @skip_auth_anonymous=1;
"""


class MariaDB(Server):
    """A private MariaDB (or MySQL) server with a database `test`; its user `root` needs no password."""

    name = "mysql"
    fast: ClassVar = {
        "innodb-buffer-pool-size": "64M",
        "innodb-doublewrite": "0",
        "innodb-flush-log-at-trx-commit": "0",
        "loose-innodb-flush-method": "nosync",
        "max-connections": "200",
        "performance-schema": "OFF",
        "skip-log-bin": "1",
    }
    stop_signal = signal.SIGTERM
    _binary: Path
    _is_mariadb: bool

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database `test`."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/test?charset=utf8mb4"

    def _prepare(self) -> None:
        self._find()
        (self.directory / "beginning.sql").write_text(BEGINNING)
        (self.directory / "beginning.sql").chmod(0o644)
        if not self._is_mariadb:
            # lower_case_table_names is for good.
            self._run([*self._server(), "--initialize-insecure", *_options(self.settings)])
            return
        # What mariadb-install-db does, without its help tables and its shell: 0.3 s instead of 3 s.
        options = ["--loose-innodb-flush-method=nosync", "--log-warnings=0", "--enforce-storage-engine="]
        self._run([*self._server(), "--bootstrap", *options], _system_tables(_share(self._binary)))

    def _find(self) -> None:
        self._binary = PACKAGE.find()
        self._is_mariadb = is_mariadb(self._binary, **self._surroundings())

    def _command(self) -> list[str]:
        settings = {
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "init-file": str(self.directory / "beginning.sql"),
            "character-set-server": "utf8mb4",
            "default-time-zone": "+00:00",
            "skip-name-resolve": "1",
            **({} if self._is_mariadb else {"mysqlx": "OFF"}),
            **self.settings,
        }
        return [*self._server(), *_options(settings)]

    def _is_ready(self) -> bool:
        return ": ready for connections" in self.log_text()[self._log_start :]  # the X plugin has no colon

    def _server(self) -> list[str]:
        """The beginning of every command line."""
        base, share = self._binary.parent.parent, _share(self._binary)
        paths = {
            "basedir": base,
            "datadir": self.data,
            "lc-messages-dir": share,
            "character-sets-dir": share / "charsets",
            "plugin-dir": _first(base / "lib/mysql/plugin", base / "lib/plugin", base),
            "secure-file-priv": self.directory,
            "socket": self.directory / "socket",
            "pid-file": self.directory / "pid",
            "tmpdir": self.directory,
        }
        return [*call(self._binary), "--no-defaults", *(f"--{key}={path}" for key, path in paths.items())]


def is_mariadb(binary: Path, **arguments: Any) -> bool:
    """Whether it is MariaDB and not MySQL; the arguments are for running it."""
    command = [*call(binary), "--no-defaults", "--version"]
    try:
        return "MariaDB" in str(subprocess.run(command, capture_output=True, text=True, **arguments).stdout)
    except PermissionError as error:
        raise RuntimeError(f"the account the server runs as may not run it: {error}") from None


def _candidates() -> Iterator[Path]:
    for name in ("mariadbd", "mysqld"):  # MariaDB before MySQL
        if on_the_path := shutil.which(name):
            yield Path(on_the_path)
        for place in (*PLACES, UNPACKED / "usr/sbin"):
            yield Path(place) / name


def _options(settings: Mapping[str, str]) -> list[str]:
    return [f"--{key}={value}" for key, value in settings.items()]


def _share(binary: Path) -> Path:
    """The directory of the server's messages, and MariaDB's system tables."""
    places = [binary.parent.parent / "share" / name for name in ("mariadb", "mysql", "")]
    for place in places:
        if (place / "english/errmsg.sys").exists():
            return place
    raise RuntimeError(f"{binary} is not complete: no english/errmsg.sys in {places[0].parent} or below")


def _system_tables(share: Path) -> str:
    """The SQL that makes MariaDB's system tables, for --bootstrap, which reads one statement per line."""
    prefix = "mariadb" if (share / "mariadb_system_tables.sql").exists() else "mysql"  # until 10.11
    parts = ("system_tables", "performance_tables", "system_tables_data")
    return ACCOUNTS + "".join((share / f"{prefix}_{part}.sql").read_text() for part in parts)


def _first(*paths: Path) -> Path:
    """The first of the paths that exists, or the last."""
    return next((path for path in paths if path.exists()), paths[-1])


# The server without a service, an account or data.
PACKAGE = Package("mariadb-server-core", "TEST_MYSQLD", _candidates, MISSING, UNPACKED, essential=True)
