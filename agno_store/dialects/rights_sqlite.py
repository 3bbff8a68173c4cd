"""Rights in SQLite are those of the process to a file and its folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from agno_store.dialects.rights import Need, Rights, needed
from agno_store.names import Names

PERM, READONLY, AUTH = 3, 8, 23
"""https://www.sqlite.org/rescode.html"""


class SQLiteRights(Rights):
    def denies(self, error: DBAPIError) -> bool:
        # Python tells the code from 3.11 on; the lowest byte is the primary one.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (PERM, READONLY, AUTH)

    def lacking(self, connection: Connection | None, url: URL, names: Names, statement: str | None) -> tuple[str, str]:
        right, need = needed(statement)
        file = file_of(url) or Path(":memory:")
        folder = file.parent
        wanted = "open the database" if need is Need.CONNECT else right
        advice = f"Let its account write both: chmod u+w {shlex.quote(str(file))} {shlex.quote(str(folder))}  "
        if need is Need.CONNECT:
            advice += f"Or, where nobody writes to it, read it as sqlite:///file:{file}?immutable=1&uri=true"
        else:
            advice += "Or take mode=ro and immutable=1 out of the URL."
        return (
            f"this process lacks the right to {wanted}: the file {file}, or the folder {folder}, in which SQLite keeps "
            "its journal, cannot be written",
            advice,
        )


def file_of(url: URL) -> Path | None:
    """Return the file that a URL names; None for a database in memory."""
    name = str(url.database or ":memory:")
    if ":memory:" in name or url.query.get("mode") == "memory" or "mode=memory" in name:
        return None
    return Path(name.removeprefix("file:").partition("?")[0] if name.startswith("file:") else name)
