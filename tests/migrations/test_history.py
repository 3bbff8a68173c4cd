"""The chain of revisions itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from agno_store import release, tables
from agno_store.migrations.chain import chain
from agno_store.migrations.scripts import folder

VERSIONS = sorted((folder() / "versions").glob("*.py"))
OWN = chain().own


def test_there_is_one_base_and_one_head() -> None:
    script = chain().script
    assert len(script.get_bases()) == len(script.get_heads()) == 1


def test_the_release_knows_exactly_the_revisions_that_are_there() -> None:
    assert tuple(script.revision for script in OWN) == tables.REVISIONS


@pytest.mark.parametrize("script", OWN, ids=lambda script: script.revision)
def test_a_file_is_called_by_its_revision_and_what_it_brings(script: object) -> None:
    name = Path(script.path).stem  # type: ignore[attr-defined]
    assert name == f"{script.revision}_{script.doc.replace(' ', '_')}"  # type: ignore[attr-defined]


def test_each_revision_says_which_release_brought_it_and_which_ones_work_with_it() -> None:
    for attribute in ("release", "works_with"):
        said = [release.order(getattr(script.module, attribute)) for script in OWN]
        assert said == sorted(said), attribute
    for script in OWN:
        brought_by, oldest = release.order(script.module.release), release.order(script.module.works_with)
        assert oldest <= brought_by <= release.order(release.__version__)


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
