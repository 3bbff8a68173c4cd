"""What docs/howto/coming-from-agno.md says to type works, in the order in which it says so."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import run_installed
from tests.legacy import DATABASES
from tests.package.documents import SHELLS, blocks, typed
from tests.package.source import ROOT

DOCUMENT = ROOT / "docs/howto/coming-from-agno.md"


def test_the_commands_of_the_document_work(tmp_path: Path) -> None:
    shutil.copy(DATABASES / "agno-2.9.0.sqlite3", tmp_path / "old.db")
    lines = [line for block in blocks(DOCUMENT) if block.language in SHELLS for _, line in typed(block)]
    assert len(lines) == 4
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "agno-store"
        answer = run_installed(*words, directory=tmp_path)
        assert answer.code == 0, (line, answer.out, answer.err)


def test_the_python_of_the_document_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(DATABASES / "agno-2.9.0.sqlite3", tmp_path / "old.db")
    monkeypatch.chdir(tmp_path)
    (shown, _) = (block.text for block in blocks(DOCUMENT) if block.language == "python")
    found: dict[str, Any] = {}
    exec(shown, found)
    done, kept = found["done"], len(found["db"].get_sessions())
    assert (done.complete, done.sessions.inserted, done.verified) == (True, kept, kept)
    assert kept > 0
    found["db"].close()
