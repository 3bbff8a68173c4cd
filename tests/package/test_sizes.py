"""Nothing grows beyond what can be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.package.source import FILES, ROOT, SCRIPTS, tree

FUNCTION, FILE = 40, 400
ALL = [*FILES, *sorted(SCRIPTS.rglob("*.py"))]


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file and its length, with its signature and docstring."""
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_function_is_over_40_lines() -> None:
    lengths = [(f"{file.relative_to(ROOT)}: {name}", length) for file in ALL for name, length in functions(file)]
    assert len(lengths) > 100
    assert [entry for entry in lengths if entry[1] > FUNCTION] == []


def test_no_file_is_over_400_lines() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in ALL}
    assert {name: length for name, length in lengths.items() if length > FILE} == {}
