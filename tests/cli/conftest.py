"""What every test of the command line starts from: an empty folder, and none of our variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.program import is_ours


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    for name in filter(is_ours, list(os.environ)):
        monkeypatch.delenv(name)
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place
