"""Private, throw-away database servers, and the choice of those a test run uses.

Nothing here needs more than the standard library, so that `tests.servers.install` runs before anything is
installed; what needs pytest is in `tests.servers.plugin`.
"""

from __future__ import annotations

import os

from tests.servers.galera import Galera
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.standby import Standby

__all__ = ["BACKENDS", "Galera", "MariaDB", "PgBouncer", "PostgreSQL", "Standby", "databases"]

BACKENDS = ("sqlite", "postgresql", "mysql")


def databases() -> list[str]:
    """Return the backends to run, those named in the environment variable DATABASES or else all.

    Raises ValueError for a name that is not in BACKENDS: a typo must not leave a database untested.
    """
    chosen = [name.strip() for name in os.environ.get("DATABASES", "").split(",") if name.strip()]
    if unknown := sorted(set(chosen) - set(BACKENDS)):
        raise ValueError(f"DATABASES names {', '.join(unknown)}; it may name {', '.join(BACKENDS)}")
    return [name for name in BACKENDS if name in chosen or not chosen]
