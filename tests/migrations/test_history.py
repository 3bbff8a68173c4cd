"""The chain of revisions itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from agno_store import tables
from agno_store.migrations import script_directory
from agno_store.migrations.scripts import ordered

VERSIONS = sorted(Path(script_directory().versions).glob("*.py"))


def test_there_is_one_base_and_one_head() -> None:
    script = script_directory()
    assert len(script.get_bases()) == len(script.get_heads()) == 1


def test_the_release_knows_exactly_the_revisions_that_are_there() -> None:
    assert tuple(script.revision for script in ordered()) == tables.REVISIONS


@pytest.mark.parametrize("script", ordered(), ids=lambda script: script.revision)
def test_a_file_is_called_by_its_revision_and_what_it_brings(script: object) -> None:
    name = Path(script.path).stem  # type: ignore[attr-defined]
    assert name == f"{script.revision}_{script.doc.replace(' ', '_')}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("file", VERSIONS, ids=lambda file: file.stem)
def test_a_revision_imports_nothing_that_may_change(file: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert imported <= {"sqlalchemy", "agno_store.types"}


def test_the_folder_is_no_package() -> None:
    # With an __init__.py it would shadow the real alembic for everything run from the checkout.
    assert not (VERSIONS[0].parent.parent / "__init__.py").exists()
