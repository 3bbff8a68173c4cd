"""The conformance suite by other ways: behind PgBouncer in transaction mode, around a Galera cluster, on partitions.

Each file of it is a run of pytest of its own. Without TEST_ALL some of the files are tried.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract import __file__ as package
from tests.servers import Galera, PgBouncer
from tests.servers.plugin import server_url
from tests.servers.via import VARIABLE

CONTRACT = Path(package).parent
ALL = sorted(path.name for path in CONTRACT.glob("test_*.py"))

WAITS = "test_waiting.py"
"""Its writers wait for a lock. At two nodes of a cluster nobody waits: who commits first wins."""


def each_file(*, besides: str = "") -> pytest.MarkDecorator:
    """Try each file of the suite, or one of them."""
    files = [name for name in ALL if name != besides] if os.environ.get("TEST_ALL") else ["test_runs.py"]
    return pytest.mark.parametrize("file", files)


Told = Callable[[str, Any], None]


def passed(backend: str, way: str, urls: list[str], file: str, **variables: str) -> int:
    """Run a file of the suite on one backend by one way; return how many of its tests passed, which must be all.

    Of some files every test is about another database, or about the pool.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=short"]
    command += [] if way == "partitions" else ["-m", "not own_pool"]
    environment = {**os.environ, VARIABLE: " ".join([way, *urls]), "DATABASES": backend, **variables}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        [*command, str(CONTRACT / file)], env=environment, cwd=CONTRACT.parent.parent, capture_output=True, text=True
    )
    if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and " deselected" in done.stdout:
        return 0
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    found = re.search(rf"^{backend} .* (\d+) passed$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return int(found[1])


@pytest.mark.timeout(900)
@each_file()
def test_behind_a_transaction_pooler(pgbouncer: PgBouncer, file: str, record_property: Told) -> None:
    direct = server_url("postgresql")
    count = passed("postgresql", "pgbouncer", [pgbouncer.url], file, TEST_POSTGRESQL_URL=direct)
    record_property("told", f"{file} behind PgBouncer in transaction mode: {count} tests")


@pytest.mark.timeout(1800)  # every value is read at a node that has to follow first
@each_file(besides=WAITS)
def test_around_a_cluster(galera: Galera, file: str, record_property: Told) -> None:
    count = passed("mysql", "galera", galera.urls, file, TEST_MYSQL_URL=galera.urls[0])
    record_property("told", f"{file} on {len(galera.urls)} nodes of a Galera cluster in turn: {count} tests")


@pytest.mark.timeout(900)
@pytest.mark.backends("postgresql")
@each_file()
def test_on_partitions(backend: str, file: str, record_property: Told) -> None:
    count = passed("postgresql", "partitions", [], file, TEST_POSTGRESQL_URL=server_url("postgresql"))
    record_property("told", f"{file} with runs in 8 hash partitions: {count} tests")
