"""The programs run on the release of agno that they were started for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.others import RELEASES, ROOT, run, where


@pytest.mark.parametrize("release", RELEASES)
def test_a_program_runs_on_the_release_named_and_on_this_checkout(release: str) -> None:
    found = run(release, "tests.others.programs.release")
    assert found["release"] == release
    assert Path(found["agno"]) == where(release) / "agno" / "__init__.py"
    assert Path(found["agno_store"]) == ROOT / "agno_store" / "__init__.py"


def test_the_makefile_installs_the_releases_that_the_tests_run() -> None:
    listed = re.search(r"^AGNO := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed is not None
    assert tuple(listed[1].split()) == RELEASES
