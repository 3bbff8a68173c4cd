"""A chat in the manner of agno 1's documentation: it goes on where it was left, or with `--new` starts afresh.

    python -m tests.others.programs.chat URL USER [--new]

What is said comes line by line on standard input. It prints the session's id, the answers, what the model was sent
last, and the ids of all sessions of the user.
"""

from __future__ import annotations

import json
import sys

from agno.agent import Agent
from agno.storage.base import Storage
from sqlalchemy import make_url

from agno_store import storage as storages
from tests.others.programs import complaints
from tests.others.programs.scripted import from_memory, scripted

CLASSES = {
    "sqlite": storages.SqliteStorage,
    "postgresql": storages.PostgresStorage,
    "mysql": storages.MySQLStorage,
}


def open_storage(url: str, table_name: str = "agent_sessions", **options: object) -> storages._Storage:
    cls = CLASSES[make_url(url).get_backend_name()]
    if cls is not storages.SqliteStorage:
        options["schema"] = None
    return cls(table_name, db_url=url, **options)


def chat(storage: Storage, user: str, new: bool, said: list[str]) -> dict[str, object]:
    storage.upgrade_schema()
    session_id = None
    if not new:
        existing = storage.get_all_session_ids(user)
        if existing:
            session_id = existing[0]
    agent = Agent(
        user_id=user,
        session_id=session_id,
        model=scripted(*[from_memory if line.endswith("?") else "Nice to meet you." for line in said]),
        storage=storage,
        add_history_to_messages=True,
        num_history_runs=3,
    )
    answers = [agent.run(line).content for line in said]
    return {
        "session_id": agent.session_id,
        "answers": answers,
        "prompt": [text for role, text in agent.model.turns[-1] if role != "system"],
        "sessions": storage.get_all_session_ids(user),
    }


if __name__ == "__main__":
    url, user, *flags = sys.argv[1:]
    with open_storage(url, auto_upgrade_schema=True) as opened, complaints.none():
        assert isinstance(opened, Storage)
        told = chat(opened, user, "--new" in flags, sys.stdin.read().splitlines())
    sys.stdout.write(json.dumps(told))
