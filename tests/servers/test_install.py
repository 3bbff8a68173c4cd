"""What the tests need is installed where that is possible, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import clients, galera, install, mariadb, pgbouncer, postgresql
from tests.servers.packages import Package

URLS = ("TEST_MYSQL_URL", "TEST_POSTGRESQL_URL")
VARIABLES = ("TEST_MYSQLD", "TEST_GALERA_LIB", "TEST_PGBOUNCER", "TEST_MYSQL_CLIENT", "TEST_SQLITE3")
CLIENTS = [clients.MYSQL, clients.SQLITE]


class Machine:
    """Three packages that are not there, and what was done to get them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.done: list[tuple[str, ...]] = []
        self.server = self._package("server", essential=True)
        self.library = self._package("library", shared="server")
        self.service = self._package("service", has_service=True)

    def get(self, how: str, *names: str) -> None:
        self.done.append((how, *names))
        for name in names:
            (self.place / name).touch()

    def _package(self, name: str, *, shared: str = "", essential: bool = False, has_service: bool = False) -> Package:
        def candidates() -> Iterator[Path]:
            yield self.place / name

        unpacked = self.place / f"{shared or name}-unpacked"
        variable = f"TEST_{name.upper()}"
        return Package(name, variable, candidates, f"no {name} found", unpacked, has_service, essential)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for variable in (*URLS, *VARIABLES, "DATABASES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(install, "PACKAGES", (made.server, made.library, made.service))
    monkeypatch.setattr(install, "wanted", lambda: iter(install.PACKAGES))
    monkeypatch.setattr(install, "_rights", list)
    monkeypatch.setattr(install, "_install", lambda rights, names: made.get("installed", *names))
    monkeypatch.setattr(install, "_unpack", lambda root, names: made.get(root.name, *names))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return made


def test_nothing_is_done_where_all_is_there(machine: Machine) -> None:
    for package in install.PACKAGES:
        (machine.place / package.name).touch()
    install.main()
    assert machine.done == []


def test_with_the_rights_all_but_a_service_is_installed(machine: Machine) -> None:
    install.main()
    assert machine.done == [("installed", "server", "library"), ("service-unpacked", "service")]


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    (machine.place / "server").touch()
    install.main()
    assert machine.done == [("installed", "library"), ("service-unpacked", "service")]


def test_without_the_rights_what_fits_is_unpacked_together(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_rights", lambda: None)
    (machine.place / "server").touch()
    install.main()
    assert machine.done == [("server-unpacked", "server", "library"), ("service-unpacked", "service")]


def test_without_apt_only_the_essential_is_an_error(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SystemExit, match="no server found"):
        install.main()
    (machine.place / "server").touch()
    install.main()
    assert capsys.readouterr().err == "no library found\nno service found\n"
    assert machine.done == []


def test_a_file_that_is_named_and_not_there_is_an_error(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVICE", "/nowhere")
    with pytest.raises(SystemExit, match="TEST_SERVICE=/nowhere: there is no such file"):
        install.main()
    assert machine.done == [("installed", "server", "library")]


@pytest.mark.parametrize(
    ("environment", "kind", "packages"),
    [
        ({}, "MariaDB", [mariadb.PACKAGE, galera.PACKAGE, *CLIENTS, pgbouncer.PACKAGE]),
        ({}, "MySQL", [mariadb.PACKAGE, *CLIENTS, pgbouncer.PACKAGE]),
        ({"DATABASES": "sqlite"}, "MariaDB", [clients.SQLITE]),
        ({"DATABASES": "postgresql"}, "MariaDB", [pgbouncer.PACKAGE]),
        ({"TEST_POSTGRESQL_URL": "postgresql://it"}, "MariaDB", [mariadb.PACKAGE, galera.PACKAGE, *CLIENTS]),
        ({"TEST_MYSQL_URL": "mysql://it"}, "MariaDB", [*CLIENTS, pgbouncer.PACKAGE]),
    ],
)
def test_it_depends_on_the_databases_what_is_wanted(
    environment: dict[str, str], kind: str, packages: list[Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (*URLS, "DATABASES"):
        monkeypatch.setenv(variable, environment.get(variable, ""))
    monkeypatch.setenv("TEST_MYSQLD", __file__)
    monkeypatch.setattr(mariadb, "is_mariadb", lambda binary: kind == "MariaDB")
    assert list(install.wanted()) == packages


@pytest.mark.parametrize("package", CLIENTS, ids=lambda package: package.name)
def test_a_client_that_is_nowhere_is_an_error_that_helps(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(package.variable, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(RuntimeError, match=package.name):
        package.find()


def test_psql_is_that_of_the_server_or_the_one_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "psql").touch()
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(postgresql, "candidates", lambda: [tmp_path / "without", tmp_path])
    assert clients.psql() == tmp_path / "psql"
    monkeypatch.setattr(postgresql, "candidates", list)
    with pytest.raises(RuntimeError, match="no psql found"):
        clients.psql()
    monkeypatch.setattr("shutil.which", lambda name: f"{tmp_path}/{name}")
    assert clients.psql() == tmp_path / "psql"
