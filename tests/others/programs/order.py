"""Import agno 1 after the storages, and say which of them it takes for its own.

A store of a program on agno 1 answers in records, as it does without any agno.
"""

from __future__ import annotations

import json
import sys

from agno_store import Session, SqliteDb
from agno_store.storage import MySQLStorage, PostgresStorage, SqliteStorage

if __name__ == "__main__":
    assert "agno" not in sys.modules
    from agno.agent import Agent
    from agno.storage.base import Storage

    with SqliteStorage("memory") as storage, SqliteDb(db_url="sqlite://") as db:
        assert Agent(storage=storage).storage is storage
        db.upsert_run({"run_id": "r1"}, "s1")
        assert isinstance(db.get_session("s1"), Session)
    ours = (SqliteStorage, PostgresStorage, MySQLStorage)
    sys.stdout.write(json.dumps({cls.__name__: issubclass(cls, Storage) for cls in ours}))
