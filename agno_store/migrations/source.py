"""A revision as it is written: what it imports, what its comments say, and whether its downgrade does anything."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Comment:
    """A comment; ``alone`` says that there is nothing else on its line."""

    line: int
    text: str
    alone: bool


class Source:
    """The text of one revision."""

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def comments(self) -> Iterator[Comment]:
        """Give every comment, in order."""
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield Comment(token.start[0], token.string, token.line.strip() == token.string.strip())

    def imports(self) -> Iterator[tuple[int, str]]:
        """Give what is imported, with the line: ``a.b`` for ``import a.b`` and for ``from a import b``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parent = "." * node.level + (f"{node.module}." if node.module else "")
                yield from ((node.lineno, f"{parent}{alias.name}") for alias in node.names)

    def line_of(self, name: str) -> int:
        """Return where a function or a variable of the module is defined; 1 where it is not."""
        return self._defined.get(name, ast.Pass(lineno=1)).lineno

    def can_be_undone(self) -> bool:
        """Whether there is a ``downgrade`` that does more than refuse."""
        return not isinstance(self._first_statement("downgrade"), (ast.Raise, type(None)))

    def is_empty(self, name: str) -> bool:
        """Whether a function is missing or does nothing."""
        first = self._first_statement(name)
        return first is None or isinstance(first, ast.Pass) or _is_ellipsis(first)

    @cached_property
    def _defined(self) -> dict[str, ast.stmt]:
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign):
                found.update((target.id, node) for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = node
        return found

    def _first_statement(self, name: str) -> ast.stmt | None:
        """Return what a function begins with after its docstring, or None where there is no such function."""
        function = self._defined.get(name)
        if not isinstance(function, ast.FunctionDef):
            return None
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        return body[0] if body else ast.Pass(lineno=function.lineno)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
