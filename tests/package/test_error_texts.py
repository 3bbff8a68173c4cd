"""Errors are told apart by their classes and codes: their texts are translated, and change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.package.source import FILES, ROOT, tree

_FOREIGN = re.compile(r"(?<!Store)(Error|Exception)\b")
_ASKING = {"startswith", "endswith", "find", "rfind", "index", "count", "partition", "rpartition"}
_MATCHING = {"match", "search", "fullmatch", "findall", "finditer"}
_TEXTS = {"orig", "detail", "msg", "message", "diag", "sqlite_errorname"}
"""Attributes of an error that are, or hold, its text."""


def texts_asked(module: ast.AST) -> list[int]:
    """Return the lines on which a function decides by the text of an error that is not ours."""
    functions = (node for node in ast.walk(module) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return sorted({line for function in functions for line in _asked(function)})


def _asked(scope: ast.AST) -> Iterator[int]:
    errors = {node.name for node in ast.walk(scope) if isinstance(node, ast.ExceptHandler) and node.name}
    errors |= {
        node.arg
        for node in ast.walk(scope)
        if isinstance(node, ast.arg) and node.annotation and _FOREIGN.search(ast.unparse(node.annotation))
    }
    texts: set[str] = set()
    for node in ast.walk(scope):
        told = isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Tuple, ast.Dict))
        if isinstance(node, ast.Assign) and not told and _holds_text(node.value, errors, texts):
            texts |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(scope):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ASKING:
            sides = [node.func.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MATCHING:
            sides = list(node.args)
        else:
            continue
        if any(_holds_text(side, errors, texts) for side in sides):
            yield node.lineno


def _holds_text(value: ast.AST, errors: set[str], texts: set[str]) -> bool:
    """Whether an expression has the text of an error in it: str(error), f"{error}", error.args[1] or a name for it."""
    for node in ast.walk(value):
        if isinstance(node, ast.Name) and node.id in texts:
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("str", "repr", "format"):
            inside: list[ast.AST] = list(node.args)
        elif isinstance(node, ast.FormattedValue) or ast.unparse(node).endswith(".args[1]"):
            inside = [getattr(node, "value", node)]
        else:
            continue
        if any(_is_error(part, errors) for part in inside):
            return True
    return False


def _is_error(value: ast.AST, errors: set[str]) -> bool:
    """Whether an expression is an error, or what the driver's error hangs on."""
    while isinstance(value, ast.Attribute) and value.attr in _TEXTS | {"args", "__cause__"}:
        value = value.value
    return isinstance(value, ast.Name) and value.id in errors


def test_no_error_is_told_from_another_by_its_text() -> None:
    found = [f"{file.relative_to(ROOT)}:{line}" for file in FILES for line in texts_asked(tree(file))]
    assert found == []


@pytest.mark.parametrize(
    "asked",
    [
        'if "locked" in str(error): pass',
        'if "locked" in str(error.orig).lower(): pass',
        'x = f"{error}".startswith("no such")',
        'x = error.orig.args[1] == "gone"',
        'said = str(error)\n    if "gone" in said: pass',
        're.search("gone", str(error.__cause__))',
    ],
)
def test_such_a_decision_is_found(asked: str) -> None:
    assert texts_asked(ast.parse(f"def denies(error: DBAPIError):\n    {asked}\n"))
    lines = "\n".join(f"        {line.strip()}" for line in asked.splitlines())
    assert texts_asked(ast.parse(f"def f():\n    try:\n        g()\n    except sa.exc.E as error:\n{lines}\n"))


def test_a_code_may_be_asked_for_and_a_text_be_told() -> None:
    told = "def f(error: DBAPIError):\n    if error.orig.args[0] == 1205: raise E(f'{error}') from error\n"
    assert texts_asked(ast.parse(told + "    return str(error.orig).strip().splitlines()[0]\n")) == []
