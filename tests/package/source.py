"""The source of the package, read as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "agno_store"
SCRIPTS = ROOT / "alembic"

FILES = sorted(PACKAGE.rglob("*.py"))
REVISIONS = sorted((SCRIPTS / "versions").glob("*.py"))


@dataclass(frozen=True)
class Import:
    """One module that a file imports, ``a.b`` for both ``import a.b`` and ``from a import b``."""

    file: Path
    line: int
    module: str
    lazily: bool
    """Whether it stands inside a function."""
    for_types: bool
    """Whether only a type checker sees it."""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def tree(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


def module_name(file: Path) -> str:
    """Return what a file of the package is called without ``agno_store.``, and '' for the package itself."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(file: Path) -> list[Import]:
    """Return everything that a file imports."""
    return list(_imports(file, tree(file), lazily=False, for_types=False))


def _imports(file: Path, node: ast.AST, *, lazily: bool, for_types: bool) -> Iterator[Import]:
    for name in _imported(node):
        yield Import(file, node.lineno, name, lazily, for_types)  # type: ignore[attr-defined]
    lazily = lazily or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for statement in node.body:
            yield from _imports(file, statement, lazily=lazily, for_types=True)
        for statement in node.orelse:
            yield from _imports(file, statement, lazily=lazily, for_types=for_types)
        return
    for child in ast.iter_child_nodes(node):
        yield from _imports(file, child, lazily=lazily, for_types=for_types)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports are not understood here"
        return [_module(f"{node.module}.{alias.name}") for alias in node.names]
    return []


def _module(name: str) -> str:
    """Return the module of ours that a name is or is in; any other name as it is."""
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return name
    while rest and not (PACKAGE.joinpath(*rest).is_dir() or PACKAGE.joinpath(*rest).with_suffix(".py").is_file()):
        rest.pop()
    return ".".join([first, *rest])
