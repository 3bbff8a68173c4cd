"""agno 1 and the storages made for it: the real package, each process with nothing but the database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.others import ROOT, V1, V2, run
from tests.package.documents import Block, blocks

OF_AGENT = ["agent", "COMPLETED"]


def chat(url: str, *arguments: str, said: str) -> Any:
    return run(V1, "tests.others.programs.chat", url, *arguments, said=said)


def test_a_chat_goes_on_where_it_was_left_and_starts_afresh_when_told_so(url: str) -> None:
    first = chat(url, "ada", said="I am Ada\nWho am I?\n")
    assert first["answers"] == ["Nice to meet you.", "You are Ada"]
    again = chat(url, "ada", said="Who am I?\n")
    assert again["session_id"] == first["session_id"]
    assert again["answers"] == ["You are Ada"]
    assert again["prompt"] == ["I am Ada", "Nice to meet you.", "Who am I?", "You are Ada", "Who am I?"]
    afresh = chat(url, "ada", "--new", said="Who am I?\n")
    assert afresh["answers"] == ["I do not know you."]
    assert afresh["sessions"] == [afresh["session_id"], first["session_id"]]


def test_a_new_process_knows_what_an_earlier_one_was_told(url: str) -> None:
    told = run(V1, "tests.others.programs.agno1", url, "tell")
    assert told["answers"] == {"counter": "run 1", "pipe": "counted one"}
    asked = run(V1, "tests.others.programs.agno1", url, "ask")
    assert asked["answers"] == {
        "chat": "You are Ada",
        "summary": "They got to know each other.",
        "basket": "['tea', 'milk']",
        "team": "You are Ada",
        "counter": "run 2",
        "pipe": "counted one",
    }
    assert asked["stored"] == {
        "chat": [OF_AGENT, OF_AGENT],
        "team": [["team", "COMPLETED"]] * 2,
        "counter": [["workflow", "COMPLETED"]] * 2,
        "pipe": [["workflow", "COMPLETED"]] * 2,
    }


def test_a_storage_keeps_its_promises(url: str) -> None:
    assert len(run(V1, "tests.others.programs.keeping1", url)) == 11


def test_what_the_documentation_shows_runs(tmp_path: Path) -> None:
    found = blocks(ROOT / "docs" / "howto" / "agno-1.md")
    assert len(found) == 3
    assert outcome(tmp_path, *found, program("print('true')")) is True


MOVING = """
from agno.storage.session.agent import AgentSession
from agno.storage.sqlite import SqliteStorage as OldStorage
from agno_store.storage import SqliteStorage
old_storage = OldStorage(table_name="old_sessions", db_file="old.db")
for name in ("one", "two"):
    memory = {"runs": [{"run_id": name, "agent_id": "a", "content": "Hello"}]}
    old_storage.upsert(AgentSession(session_id=name, user_id="ada", agent_id="a", memory=memory))
new_storage = SqliteStorage(table_name="agent_sessions", db_file="new.db", auto_upgrade_schema=True)
"""

MOVED = """
import json
print(json.dumps({one.session_id: one.memory["runs"][0]["content"] for one in new_storage.get_all_sessions("ada")}))
"""


def test_the_loop_that_takes_old_sessions_along_takes_all(tmp_path: Path) -> None:
    *_, loop = blocks(ROOT / "docs" / "howto" / "coming-from-agno.md")
    moved = outcome(tmp_path, program(MOVING), loop, program(MOVED))
    assert moved == {"one": "Hello", "two": "Hello"}


def program(text: str) -> Block:
    """Return a text as a block of a document."""
    return Block(Path(__file__), "python", 1, text, None)


def outcome(folder: Path, *shown: Block) -> Any:
    """Run blocks on agno 1, in one program, and return what the last of them prints."""
    said = json.dumps([{"document": one.place, "line": one.line, "text": one.text} for one in shown])
    return run(V1, "tests.package.run_blocks", said=said, directory=folder)


def test_agno_1_may_be_imported_after_the_storages() -> None:
    assert run(V1, "tests.others.programs.order") == {
        "SqliteStorage": True,
        "PostgresStorage": True,
        "MySQLStorage": True,
    }


@pytest.mark.backends("sqlite")
def test_a_later_agno_goes_on_with_the_conversation(url: str) -> None:
    run(V1, "tests.others.programs.agno1", url, "tell")
    for runs, release in enumerate((V2[-1], None), start=2):
        told = run(release, "tests.others.programs.later", url, "agents", "chat", "ada")
        assert told == {"answer": "You are Ada", "runs": runs, "summary": "They got to know each other."}
