"""agno 1 and the storages made for it: the real package, each process with nothing but the database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.others import ROOT, V1, V2, run
from tests.package.documents import blocks

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
    shown = [{"document": block.place, "line": block.line, "text": block.text} for block in found]
    assert len(shown) == 3
    said = json.dumps([*shown, {"document": "the end", "line": 1, "text": "print('true')\n"}])
    assert run(V1, "tests.package.run_blocks", said=said, directory=tmp_path) is True


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
