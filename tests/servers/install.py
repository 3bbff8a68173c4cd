"""Make sure that the tests can start their servers: `python -m tests.servers.install`.

PostgreSQL, with psql, comes with the package's extra `dev`; MariaDB, Galera, PgBouncer and the client programs of
MariaDB and SQLite are in no Python package. Does nothing where a program is there already, its database is not wanted
in DATABASES or, of a server, is given by TEST_MYSQL_URL or TEST_POSTGRESQL_URL.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.servers import clients, databases, galera, mariadb, pgbouncer
from tests.servers.packages import Package

PACKAGES = (mariadb.PACKAGE, galera.PACKAGE, pgbouncer.PACKAGE, clients.MYSQL, clients.SQLITE)
# Taken for installed when unpacking: what sets up a service needs them, and they need 17 MB of Perl.
UNUSED = ("debconf", "init-system-helpers", "postgresql-common")


def main() -> None:
    """Install what is needed and missing; exits with an explanation if that fails.

    Of what only some tests need the explanation is enough: they fail, or are left out.
    """
    try:
        for package in wanted():
            try:
                ensure(package)
            except RuntimeError as error:
                if package.essential or os.environ.get(package.variable):
                    raise
                _say(str(error))
    except (ValueError, RuntimeError) as error:
        sys.exit(str(error))


def wanted() -> Iterator[Package]:
    """Yield what the tests need; each is to be there before the next is asked for."""
    chosen = databases()
    if "mysql" in chosen and not os.environ.get("TEST_MYSQL_URL"):
        yield mariadb.PACKAGE
        if mariadb.is_mariadb(mariadb.PACKAGE.find()):  # MySQL has no use for it
            yield galera.PACKAGE
    if "mysql" in chosen:
        yield clients.MYSQL
    if "sqlite" in chosen:
        yield clients.SQLITE
    if "postgresql" in chosen and not os.environ.get("TEST_POSTGRESQL_URL"):
        yield pgbouncer.PACKAGE


def ensure(package: Package) -> None:
    """Find the package, or install it and find it then."""
    if _is_there(package):
        return
    if os.environ.get(package.variable) or not shutil.which("apt-get"):
        package.find()  # says what is wrong
    rights = None if package.has_service else _rights()
    fitting = [other for other in PACKAGES if other.unpacked == package.unpacked]
    try:
        if rights is None:
            _say(f"no {package.name}: unpacking it in {package.unpacked}")
            _unpack(package.unpacked, [other.name for other in fitting])
        else:
            _say(f"no {package.name}: installing it")
            _install(rights, [other.name for other in fitting if not _is_there(other)])
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{error}\n{package.missing}") from None
    _say(f"{package.name}: {package.find()}")


def _is_there(package: Package) -> bool:
    try:
        return bool(package.find())
    except RuntimeError:
        return False


def _rights() -> list[str] | None:
    """What goes before a command to run it as root; None if that is not possible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _install(rights: Sequence[str], names: Sequence[str]) -> None:
    apt = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60"]
    _run([*apt, "update"])
    _run([*apt, "install", "-y", "--no-install-recommends", *map(_full_name, names)])


def _unpack(root: Path, names: Sequence[str]) -> None:
    """Unpack the packages with all they depend on, down to the C library, into the directory."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as place:
        state, half = Path(place, "apt"), Path(place, "root")
        options = _private_apt(state)
        _run(["apt-get", *options, "update"])
        _run(["apt-get", *options, "-y", "--download-only", "install", *(_full_name(name, options) for name in names)])
        for archive in sorted(state.glob("archives/*.deb")):
            _run(["dpkg-deb", "--extract", archive, half])
        shutil.rmtree(root, ignore_errors=True)
        half.rename(root)


def _private_apt(state: Path) -> list[str]:
    """Options for apt that uses the system's sources, writes only here and takes next to nothing for installed."""
    for directory in ("lists/partial", "archives/partial"):
        (state / directory).mkdir(parents=True)
    entry = "Package: {}\nStatus: install ok installed\nArchitecture: all\nVersion: 99999\n\n"
    (state / "status").write_text("".join(map(entry.format, UNUSED)))
    settings = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Dir::Log": state,
        "APT::Sandbox::User": "",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    return ["-qq", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]


def _full_name(name: str, options: Sequence[str] = ()) -> str:
    """The package's name, which in older releases ends in a version."""
    search = ["apt-cache", *options, "search", "--names-only", f"^{name}"]
    listing = subprocess.run(search, check=True, stdout=subprocess.PIPE, text=True).stdout
    names = sorted(line.split()[0] for line in listing.splitlines())
    return names[-1] if names and name not in names else name


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
