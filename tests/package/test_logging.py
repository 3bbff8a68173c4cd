"""A library says what it has to say under its own name, and leaves it to the program what becomes of that."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.package.source import FILES, ROOT, tree

CONFIGURING = {
    *("basicConfig", "dictConfig", "fileConfig", "captureWarnings", "disable", "addLevelName", "setLoggerClass"),
    *("addHandler", "addFilter", "setLevel", "propagate", "StreamHandler", "FileHandler"),
}


def loggers() -> Iterator[tuple[str, str]]:
    """Give the place of each logger of ours, and its name."""
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "getLogger":
                name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "?"
                yield f"{file.relative_to(ROOT)}:{node.lineno}", str(name)


def test_loggers_are_under_the_name_of_the_package() -> None:
    found = dict(loggers())
    assert {"agno_store", "agno_store.slow"} <= set(found.values())
    assert {place: name for place, name in found.items() if f"{name}.".partition(".")[0] != "agno_store"} == {}


def test_nothing_configures_logging_or_prints() -> None:
    used = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.attr if isinstance(node, ast.Attribute) else node.id}"
        for file in FILES
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Attribute) and node.attr in CONFIGURING)
        or (isinstance(node, ast.Name) and node.id in CONFIGURING | {"print"})
    ]
    assert used == []
