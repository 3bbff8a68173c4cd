"""Make sure that the tests can start a MariaDB server: `python -m tests.servers.install`.

PostgreSQL comes with the package's extra `dev`; MariaDB is in no Python package. Does nothing where a server
is there already, given by TEST_MYSQL_URL, or not wanted in DATABASES.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.servers import databases, mariadb

PACKAGE = "mariadb-server-core"  # the server without a service, an account or data


def main() -> None:
    """Install MariaDB if it is needed and missing; exits with an explanation if that fails."""
    try:
        if "mysql" in databases() and not os.environ.get("TEST_MYSQL_URL"):
            ensure()
    except (ValueError, RuntimeError) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{mariadb.MISSING}")


def ensure() -> None:
    """Find the server, or install it and find it then."""
    try:
        mariadb.find()
        return
    except RuntimeError:
        if os.environ.get("TEST_MYSQLD") or not shutil.which("apt-get"):
            raise
    rights = _rights()
    if rights is None:
        _say(f"no MariaDB server and no right to install one: unpacking {PACKAGE} in {mariadb.UNPACKED}")
        _unpack(mariadb.UNPACKED)
    else:
        _say(f"no MariaDB server: installing {PACKAGE}")
        _install(rights)
    _say(f"MariaDB: {mariadb.find()}")


def _rights() -> list[str] | None:
    """What goes before a command to run it as root; None if that is not possible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _install(rights: Sequence[str]) -> None:
    apt = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60"]
    _run([*apt, "update"])
    _run([*apt, "install", "-y", "--no-install-recommends", _package()])


def _unpack(root: Path) -> None:
    """Unpack the server with all it depends on, down to the C library, into the directory."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as place:
        state, half = Path(place, "apt"), Path(place, "root")
        options = _private_apt(state)
        _run(["apt-get", *options, "update"])
        _run(["apt-get", *options, "-y", "--download-only", "install", _package(options)])
        for archive in sorted(state.glob("archives/*.deb")):
            _run(["dpkg-deb", "--extract", archive, half])
        shutil.rmtree(root, ignore_errors=True)
        half.rename(root)


def _private_apt(state: Path) -> list[str]:
    """Options for apt that uses the system's sources, writes only here and takes nothing for installed."""
    for directory in ("lists/partial", "archives/partial"):
        (state / directory).mkdir(parents=True)
    (state / "status").touch()
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


def _package(options: Sequence[str] = ()) -> str:
    """The package's name, which in older releases ends in a version."""
    search = ["apt-cache", *options, "search", "--names-only", f"^{PACKAGE}"]
    listing = subprocess.run(search, check=True, stdout=subprocess.PIPE, text=True).stdout
    names = sorted(line.split()[0] for line in listing.splitlines())
    return names[-1] if names and PACKAGE not in names else PACKAGE


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
