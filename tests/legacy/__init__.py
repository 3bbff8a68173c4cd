"""Tables of agno's own storage classes, and what becomes of them.

``databases/`` holds small ones that agno 1.8.4, 2.9.0 and 3.1.10 have written; others are written by the real
releases while the tests run (tests/others/programs/conversations.py).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from agno_store import AgnoTables
from tests import others

DATABASES = Path(__file__).parent / "databases"
SAMPLES = ("agno-1.8.4", "agno-2.9.0", "agno-3.1.10")

EVERYTHING = bool(os.environ.get("TEST_ALL"))

RELEASES: dict[str, str | None] = {"1.8.4": others.V1, "2.9.0": others.V2[-1], "3.1": None}
if EVERYTHING:
    RELEASES |= {release: release for release in others.V2}


def sample(name: str, folder: Path) -> str:
    """Copy a database, and return the URL of the copy."""
    file = folder / f"{name}.sqlite3"
    shutil.copy(DATABASES / file.name, file)
    return f"sqlite:///{file}"


def schema(url: str) -> str | None:
    """Where agno's classes keep their tables: a schema of their own, and on MySQL this very database."""
    parsed = make_url(url)
    return {"postgresql": "ai", "mysql": parsed.database}.get(parsed.get_backend_name())


def write(release: str, url: str, prefix: str = "old", count: int = 1) -> dict[str, list[str]]:
    """Have a release of agno write conversations, and return the ids of the sessions by their kind."""
    module = "tests.others.programs.conversations"
    found: Any = others.run(RELEASES[release], module, url, schema(url) or "-", prefix, str(count))
    return dict(found)


def imported(db: Any, url: str, *tables: str, **options: Any) -> Any:
    """Import the old tables of a database, those named or all, and return what was done."""
    with AgnoTables(url, tables) as old:
        return db.import_from(old, **options)
