"""A private Galera cluster: MariaDB servers, each with a copy of all data, that all take writes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from tests.servers import mariadb
from tests.servers.mariadb import MariaDB
from tests.servers.packages import Package, root
from tests.servers.process import free_port
from tests.servers.sql import run, wait_for

if TYPE_CHECKING:
    from typing_extensions import Self

MISSING = """\
no Galera library found. One of these helps:
  apt-get install --no-install-recommends galera-4     (Debian, Ubuntu)
  TEST_MYSQL_URL= python -m tests.servers.install      (the same, or without being root)
  TEST_GALERA_LIB=/path/to/libgalera_smm.so
  make test PYTEST_ARGS='-m "not galera"'               (to do without)"""
NO_MARIADB = """\
{} is MySQL, and only MariaDB makes a Galera cluster. One of these helps:
  TEST_MYSQLD=/path/to/mariadbd
  make test PYTEST_ARGS='-m "not galera"'    (to do without)"""
PLACES = ("usr/lib/galera", "usr/lib64/galera-4", "usr/lib64/galera")
PROVIDER = {
    "evs.inactive_check_period": "PT0.2S",
    "evs.inactive_timeout": "PT2S",
    "evs.install_timeout": "PT2S",
    "evs.keepalive_period": "PT0.2S",
    "evs.suspect_timeout": "PT1S",
    "gcache.size": "32M",
    "pc.recovery": "false",
}
STATUS = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_{}'"
# What a server knows after it has been shut down.
STATE = """\
# GALERA saved state
version: 2.1
uuid:    {group}
seqno:   {position}
safe_to_bootstrap: {is_first:d}
"""


class Node(MariaDB):
    """A server of a cluster, beside those that run already.

    All begin with the same data, and at a position where none has missed anything: nothing is ever copied
    from one to another, for which MariaDB has scripts in yet another package. So a server that has left the
    cluster cannot come back.
    """

    name = "galera"
    _library: Path
    _group_port: int

    def __init__(self, group: str, others: Sequence[Node], *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings=settings)
        self._group = group
        self._others = list(others)

    def _find(self) -> None:
        super()._find()
        if not self._is_mariadb:
            raise RuntimeError(NO_MARIADB.format(self._binary))
        self._library = PACKAGE.find()

    def _prepare(self) -> None:
        super()._prepare()
        state = STATE.format(group=self._group, position=_position(self._others), is_first=not self._others)
        (self.data / "grastate.dat").write_text(state)
        (self.data / "grastate.dat").chmod(0o666)  # its user writes it, too

    def _command(self) -> list[str]:
        self._group_port = free_port()
        provider = {**PROVIDER, "gmcast.listen_addr": f"tcp://127.0.0.1:{self._group_port}"}
        settings = {
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": "2",
            "wsrep-on": "ON",
            "wsrep-provider": str(self._library),
            "wsrep-provider-options": ";".join(f"{key}={value}" for key, value in provider.items()),
            "wsrep-cluster-name": self._group.replace("-", ""),  # has 32 characters at the most
            "wsrep-cluster-address": "gcomm://" + ",".join(f"127.0.0.1:{node._group_port}" for node in self._others),
            "wsrep-node-address": "127.0.0.1",
        }
        return [*super()._command(), *(f"--{key}={value}" for key, value in settings.items())]

    def members(self) -> int:
        """The number of servers of the cluster; 0 while this one does not belong to the greater part of it."""
        try:
            return self.status("cluster_size")
        except OperationalError:  # 1047: has not yet prepared node for application use
            return 0

    def status(self, name: str) -> int:
        """The value of a status variable of Galera."""
        return int(str(run(self.url, STATUS.format(name))))

    def _is_ready(self) -> bool:
        return super()._is_ready() and "Synchronized with group" in self.log_text()[self._log_start :]


class Galera:
    """A private cluster with a database `test`, as a context manager or with start() and stop().

    A commit may fail with error 1213 when another server has written the same row, and what is committed at
    one can be read at the others a moment later, or with `wsrep_sync_wait` at once.
    """

    def __init__(self, *, size: int = 2, settings: Mapping[str, str] | None = None) -> None:
        self.nodes: list[Node] = []
        self._size = size
        self._group = ""
        self._settings = settings

    @property
    def urls(self) -> list[str]:
        """The SQLAlchemy URLs of the database `test`, one at each server."""
        return [node.url for node in self.nodes]

    def start(self) -> Self:
        """Start the servers and return the cluster when all accept connections."""
        if self.nodes:
            raise RuntimeError("this cluster is running already")
        self._group = str(uuid.uuid4())
        try:
            for _ in range(self._size):
                self.grow()
        except BaseException:
            self.stop()
            raise
        return self

    def grow(self) -> None:
        """Add a server.

        While it comes, a busy machine can make the others lose and find one another, so that the newcomer has
        missed something after all: then another one is tried.
        """
        for attempts_left in range(4, -1, -1):
            position = _position(self.nodes)
            try:
                self.nodes.append(Node(self._group, self.nodes, settings=self._settings).start())
            except RuntimeError:
                if not attempts_left or position == _position(self.nodes):
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop the servers and remove their directories; a second call does nothing."""
        while self.nodes:
            self.nodes.pop().stop()

    def log_text(self) -> str:
        """Return what the servers have written to their logs, one after the other."""
        return "".join(node.log_text() for node in self.nodes)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _position(nodes: Sequence[Node]) -> int:
    """How often the members of a cluster, to which nothing was written, have changed."""
    wait_for(lambda: all(node.members() for node in nodes))
    return max((node.status("last_committed") for node in nodes), default=0)


def _candidates() -> Iterator[Path]:
    for place in (root(mariadb.PACKAGE.find()), Path("/"), mariadb.UNPACKED):
        for directory in PLACES:
            yield place / directory / "libgalera_smm.so"


PACKAGE = Package("galera-4", "TEST_GALERA_LIB", _candidates, MISSING, mariadb.UNPACKED)
