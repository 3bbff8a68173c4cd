"""The databases of the test run, for pytest: `pytest_plugins = ["tests.servers.plugin"]`.

A test that asks for `backend` or `fresh_url` runs once for each database in DATABASES; a mark
`@pytest.mark.backends("postgresql", "mysql")` narrows that. The servers are private ones, started when they
are first needed, or those of TEST_POSTGRESQL_URL and TEST_MYSQL_URL. One that does not start is a failure:
a database is never skipped.

A test that asks for `pgbouncer`, `standby` or `galera` runs once, as one of PostgreSQL or of MySQL, and has a mark
of that name: `-m "not galera"` leaves it out.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests.servers import BACKENDS, Galera, MariaDB, PgBouncer, PostgreSQL, Standby, databases, via
from tests.servers.process import Server
from tests.servers.sql import caught_up

VARIABLES = {"postgresql": "TEST_POSTGRESQL_URL", "mysql": "TEST_MYSQL_URL"}
SERVERS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mysql": MariaDB}
EXTRAS = {
    "pgbouncer": "postgresql",
    "standby": "postgresql",
    "galera": "mysql",
}  # fixtures, and their backends
CREATE = {
    "postgresql": "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'",
    "mysql": "CREATE DATABASE {} CHARACTER SET utf8mb4",
}
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
LOCK_WAIT = 10  # seconds
Startable = TypeVar("Startable", PgBouncer, Standby, Galera)


class Found(NamedTuple):
    """A server that has answered."""

    url: str
    version: str


class Servers:
    """The servers of this test run, each started when its URL is first asked for.

    Under pytest-xdist the controller starts them all and its workers adopt their URLs.
    """

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}
        self._engines: dict[str, Engine] = {}
        self._started: list[Server] = []
        self._failures: dict[str, str] = {}

    def adopt(self, found: dict[str, tuple[str, str]]) -> None:
        """Use servers that another process has started."""
        self.found.update({name: Found(*server) for name, server in found.items()})

    def url(self, name: str) -> str:
        """Return the URL of the server; RuntimeError, the same at every call, if it cannot be had."""
        if name in self._failures:
            raise RuntimeError(self._failures[name])
        if name not in self.found:
            try:
                url = os.environ.get(VARIABLES[name]) or self._start(name)
                self.found[name] = Found(url, _version(url))
            except RuntimeError as error:
                self._failures[name] = str(error)
                raise
        return self.found[name].url

    def connect(self, name: str) -> Connection:
        """Connect to the server, outside of any transaction."""
        if name not in self._engines:  # kept: making the TLS context of a PyMySQL connection takes 40 ms
            self._engines[name] = create_engine(
                self.url(name), isolation_level="AUTOCOMMIT", pool_size=1, pool_pre_ping=True
            )
        return self._engines[name].connect()

    def stop(self) -> None:
        """Stop what url() has started."""
        while self._engines:
            self._engines.popitem()[1].dispose()
        while self._started:
            self._started.pop().stop()

    def _start(self, name: str) -> str:
        server = SERVERS[name]().start()
        self._started.append(server)
        return server.url


servers = Servers()


def server_url(name: str) -> str:
    """Return the URL of the backend's server; fails the test if there is none."""
    try:
        return servers.url(name)
    except RuntimeError as error:
        failure = f"{name}: {error}"
    pytest.fail(failure, pytrace=False)


@contextlib.contextmanager
def fresh_database(backend: str, directory: Path) -> Iterator[str]:
    """Make an empty database and yield its URL; it is dropped afterwards, whoever is still connected.

    On SQLite it is a file in the directory, which stays.
    """
    if backend == "sqlite":
        yield f"sqlite:///{directory / _new_name()}.db"
        return
    url = server_url(backend)
    with (
        _new_database(backend, lambda: servers.connect(backend)) as name,
        via.by(_with_database(url, name)) as found,
    ):
        yield found


@pytest.fixture
def fresh_url(backend: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of this test's own."""
    with fresh_database(backend, tmp_path) as url:
        yield url


@pytest.fixture(scope="session")
def pgbouncer(backend: str) -> Iterator[PgBouncer]:
    """A PgBouncer in front of this run's PostgreSQL; its through() takes the URL of a fresh database."""
    bouncer = _started(PgBouncer(server_url(backend)))
    yield bouncer
    bouncer.stop()


@pytest.fixture(scope="session")
def standby(backend: str) -> Iterator[Standby]:
    """A standby of a primary of its own, apart from this run's PostgreSQL."""
    server = _started(Standby())
    yield server
    server.stop()


@pytest.fixture
def replicated(standby: Standby) -> Iterator[tuple[str, str]]:
    """The URLs of an empty database of this test's own, at the primary and at its standby."""
    engine = create_engine(standby.primary.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with _new_database("postgresql", engine.connect) as name:
        caught_up(standby.primary.url, standby.url)
        yield _with_database(standby.primary.url, name), _with_database(standby.url, name)


@pytest.fixture(scope="session")
def galera(backend: str) -> Iterator[Galera]:
    """A cluster of MariaDB servers of its own, apart from this run's MySQL."""
    cluster = _started(Galera())
    yield cluster
    cluster.stop()


@pytest.fixture
def fresh_urls(galera: Galera) -> Iterator[list[str]]:
    """The URLs of an empty database of this test's own, one at each server of the cluster."""
    engine = create_engine(galera.urls[0], isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with _new_database("mysql", engine.connect) as name:
        yield [_with_database(url, name) for url in galera.urls]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "backends(*names): the databases to run this test on, if in DATABASES")
    config.addinivalue_line(
        "markers", "own_pool: about an engine's pool, or with roles of their own: behind a pooler there are neither"
    )
    for name in EXTRAS:
        config.addinivalue_line("markers", f"{name}: the tests that ask for the fixture `{name}`, set by itself")
    try:
        databases()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    via.take()
    servers.adopt(getattr(config, "workerinput", {}).get("servers", {}))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start the servers in the controller of pytest-xdist, and tell this worker where they are."""
    for name in databases():
        if name in SERVERS:
            try:
                servers.url(name)
            except RuntimeError as error:
                raise pytest.UsageError(f"{name}: {error}") from None
    node.workerinput["servers"] = {name: tuple(found) for name, found in servers.found.items()}


def pytest_unconfigure() -> None:
    servers.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" not in metafunc.fixturenames:
        return
    if unknown := set(_named(metafunc.definition)) - set(BACKENDS):
        pytest.fail(f"the mark names {', '.join(sorted(unknown))}; it may name {', '.join(BACKENDS)}", pytrace=False)
    if not _fitting(metafunc.definition):
        pytest.fail("no database has all that the test asks for", pytrace=False)
    metafunc.parametrize("backend", BACKENDS, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the backends that are not wanted: of an empty set of parameters pytest would make a skip."""
    config.hook.pytest_deselected(items=[item for item in items if not _is_wanted(item)])
    items[:] = [item for item in items if _is_wanted(item)]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note the backend where the test's reports, also those of a worker, carry it along."""
    if backend := _backend(item):
        item.user_properties.append(("backend", backend))
    for name in _extras(item):
        item.add_marker(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which databases were really tested."""
    if terminalreporter.config.option.collectonly:
        return
    terminalreporter.section("databases")
    for name in databases():
        version = sqlite3.sqlite_version if name == "sqlite" else "not started"
        if name in servers.found:
            version = servers.found[name].version
        counts = _counts(terminalreporter, name)
        told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
        terminalreporter.write_line(f"{name:<12}{version:<24}{told or 'no test ran'}")
    for line in _told(terminalreporter):
        terminalreporter.write_line(line)


def _told(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """What tests, also failed ones, have recorded as the property `told`, and the sums of what they `counted`."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    properties: list[dict[str, Any]] = [
        dict(report.user_properties) for report in reports if isinstance(report, pytest.TestReport)
    ]
    lines = sorted(f"{found.get('backend', '')}: {found['told']}" for found in properties if "told" in found)
    for name in databases():
        sums: Counter[str] = Counter()
        for found in properties:
            if "counted" in found and found.get("backend") == name:
                sums.update(found["counted"])
        lines += [f"{name}: " + ", ".join(f"{count} {what}" for what, count in sums.items())] if sums else []
    return lines


def _backend(item: pytest.Item) -> str | None:
    """The backend this test is for, if for any."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("backend") if callspec else None


def _named(item: pytest.Item) -> tuple[str, ...]:
    """The backends in the test's mark, all if it has none."""
    mark = item.get_closest_marker("backends")
    return mark.args if mark else BACKENDS


def _extras(item: pytest.Item) -> list[str]:
    """Which of the servers beside the databases the test asks for."""
    return [name for name in EXTRAS if name in getattr(item, "fixturenames", ())]


def _fitting(item: pytest.Item) -> set[str]:
    """The backends in the test's mark that have what it asks for."""
    return set(_named(item)).intersection(*({EXTRAS[name]} for name in _extras(item)))


def _is_wanted(item: pytest.Item) -> bool:
    backend = _backend(item)
    return backend is None or (backend in _fitting(item) and backend in databases())


def _started(server: Startable) -> Startable:
    """Start it; fails the test if that cannot be."""
    try:
        return server.start()
    except RuntimeError as error:
        failure = f"{type(server).__name__}: {error}"
    pytest.fail(failure, pytrace=False)


def _counts(terminalreporter: pytest.TerminalReporter, backend: str) -> Counter[str]:
    return Counter(
        outcome
        for outcome in OUTCOMES
        for report in terminalreporter.stats.get(outcome, [])
        if isinstance(report, pytest.TestReport)  # not of the collection of a module
        if ("backend", backend) in map(tuple, report.user_properties)
    )


def _version(url: str) -> str:
    """Connect, and return the server's name and version."""
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            version = str(connection.exec_driver_sql("SELECT version()").scalar_one())
    except DBAPIError as error:
        raise RuntimeError(f"{make_url(url)!r} cannot be used: {error.orig}") from None
    if version.startswith("PostgreSQL"):
        return " ".join(version.split()[:2])
    return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"


@contextlib.contextmanager
def _new_database(backend: str, connect: Callable[[], Connection]) -> Iterator[str]:
    name = _new_name()
    with connect() as connection:
        create = CREATE[backend].format(name)
        if backend == "postgresql" and (connection.dialect.server_version_info or ()) >= (15,):
            create += " STRATEGY file_copy"  # half the time of the default, which is kinder to a busy server's disk
        connection.exec_driver_sql(create)
    try:
        yield name
    finally:
        with connect() as connection:
            _drop(backend, connection, name)


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:16]}"


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _drop(backend: str, connection: Connection, name: str) -> None:
    if backend == "postgresql":
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        return
    # A transaction that a test left open holds locks on its tables, and DROP would wait for a day.
    # Not SHOW PROCESSLIST, which cuts statements in the middle of a character.
    its = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
    for process in connection.exec_driver_sql(its).scalars().all():
        with contextlib.suppress(DBAPIError):  # gone by itself
            connection.exec_driver_sql(f"KILL {process}")
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {LOCK_WAIT}")
    connection.exec_driver_sql(f"DROP DATABASE {name}")
