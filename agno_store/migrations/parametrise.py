"""Operations written as the Python of a revision: with ``n`` for every name, and formatted as people would.

Alembic writes them with the names of a scratch store. What it wrote is read as a syntax tree, in which each
text that holds such a name becomes an expression of ``n``, and printed again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from agno_store import types
from agno_store.errors import ConfigurationError
from agno_store.names import Names

MARKERS = Names("n_sessions_", "n_schema_")
"""The names of the scratch store: plain identifiers, which no quoting changes, and which nobody else has."""

WIDTH = 120

_PROPERTIES = [name for name, value in vars(Names).items() if isinstance(value, property)]
_NAMED = ((getattr(MARKERS, name), name) for name in ("sessions", *_PROPERTIES))
_TABLES = dict(sorted((pair for pair in _NAMED if isinstance(pair[0], str)), key=lambda pair: -len(pair[0])))
"""The attribute of ``n`` for each table, the longest name first, because the shorter begin the longer."""
_SAID_ANYWAY = {("Column", "nullable", "True"), ("create_index", "unique", "False")}


def parametrise(code: str) -> list[ast.stmt]:
    """Return statements with every name of the scratch store as an expression of ``n``.

    Raises ConfigurationError where a text holds one that is no name, such as the SQL of a condition.
    """
    tree = _Names().visit(ast.parse(code))
    statements: list[ast.stmt] = tree.body
    return [statement for statement in statements if not isinstance(statement, ast.Pass)]


def written(statements: list[ast.stmt], indent: int = 4) -> str:
    """Return statements as lines of at most 120 characters."""
    return "\n".join(line for statement in statements for line in _statement(statement, " " * indent))


def names_used(statements: list[ast.stmt]) -> set[str]:
    """Return the variables that statements read."""
    found = (node for statement in statements for node in ast.walk(statement))
    return {node.id for node in found if isinstance(node, ast.Name)}


def plain(text: str) -> str:
    """Return a message without the names of the scratch store."""
    return text.replace(MARKERS.sessions, "<table_name>").replace(str(MARKERS.schema), "<db_schema>")


# -- names ------------------------------------------------------------------------------------------------


class _Names(ast.NodeTransformer):
    """Replaces the names of the scratch store, and leaves out what goes without saying."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str) or not ("n_sessions_" in node.value or "n_schema_" in node.value):
            return node
        return _expression(node.value)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        if name == "sa.text":
            _refuse_names(node)
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and hasattr(sa, node.func.id):  # as Alembic leaves JSONB(astext_type=Text())
            node.func = ast.Attribute(ast.Name("sa", ast.Load()), node.func.id, ast.Load())
        last = name.rpartition(".")[2]
        node.keywords = [k for k in node.keywords if (last, k.arg, ast.unparse(k.value)) not in _SAID_ANYWAY]
        if last == "create_table":
            _shorten_options(node)
        elif last == "drop_index":
            node.args += [keyword.value for keyword in node.keywords if keyword.arg == "table_name"]
            node.keywords = [keyword for keyword in node.keywords if keyword.arg == "schema"]
        return node


def _expression(text: str) -> ast.expr:
    """Return what stands for a text that holds names of the scratch store."""
    if text == MARKERS.schema:
        return _attribute("schema")
    if text in _TABLES:
        return _attribute(_TABLES[text])
    schema, _, rest = text.partition(".")
    table, _, column = rest.partition(".")
    if schema == MARKERS.schema and table in _TABLES and "n_sessions_" not in column:
        qualify = ast.Attribute(ast.Name("n", ast.Load()), "qualify", ast.Load())
        return ast.Call(qualify, [_attribute(_TABLES[table]), ast.Constant(column)], [])
    if "n_schema_" in text:
        raise ConfigurationError(
            f"A name is made out of the schema's: {plain(text)}. Choose one that is made out of the table's, as in "
            "f'ix_{table.name}_tenant'."
        )
    return ast.JoinedStr(list(_parts(text)))


def _parts(text: str) -> Iterator[ast.expr]:
    """Give the pieces of an f-string."""
    for marker, attribute in _TABLES.items():
        before, found, after = text.partition(marker)
        if found:
            yield from _parts(before)
            yield ast.FormattedValue(_attribute(attribute), -1)
            yield from _parts(after)
            return
    if text:
        yield ast.Constant(text)


def _attribute(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name("n", ast.Load()), name, ast.Load())


def _refuse_names(call: ast.Call) -> None:
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and "n_sessions_" in str(node.value):
            raise ConfigurationError(
                f"The SQL {plain(str(node.value))!r} names a table, which in another store has another name. Name "
                "columns without their table."
            )


def _shorten_options(call: ast.Call) -> None:
    """Write the options that every table has as they are written everywhere."""
    there = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if all(there.get(name) == repr(value) for name, value in types.TABLE.items()):
        call.keywords = [keyword for keyword in call.keywords if keyword.arg not in types.TABLE]
        call.keywords.append(ast.keyword(None, ast.parse("types.TABLE", mode="eval").body))


# -- lines ------------------------------------------------------------------------------------------------


def _statement(node: ast.stmt, indent: str) -> Iterator[str]:
    if isinstance(node, ast.With):
        [item] = node.items
        assert item.optional_vars is not None
        yield from _wrapped(item.context_expr, indent, "with ", f" as {ast.unparse(item.optional_vars)}:")
        for inner in node.body:
            yield from _statement(inner, indent + "    ")
    elif isinstance(node, ast.Assign):
        yield from _wrapped(node.value, indent, f"{ast.unparse(node.targets[0])} = ", "")
    else:
        assert isinstance(node, ast.Expr)
        yield from _wrapped(node.value, indent, "", "")


def _wrapped(node: ast.expr, indent: str, before: str, after: str) -> Iterator[str]:
    """Give an expression on one line, else its arguments on the next, else a line for each of them."""
    line = f"{indent}{before}{_flat(node)}{after}"
    opened = _opened(node)
    if len(line) <= WIDTH or opened is None:
        yield line
        return
    head, items, tail = opened
    deeper = indent + "    "
    yield f"{indent}{before}{head}"
    together = deeper + ", ".join(prefix + _flat(item) for prefix, item in items)
    if len(together) <= WIDTH:
        yield together
    else:
        for prefix, item in items:
            yield from _wrapped(item, deeper, prefix, ",")
    yield f"{indent}{tail}{after}"


def _opened(node: ast.expr) -> tuple[str, list[tuple[str, ast.expr]], str] | None:
    """Return what opens the brackets of an expression, what is in them, and what closes them."""
    if isinstance(node, ast.Call) and (node.args or node.keywords):
        keywords = [(f"{k.arg}=" if k.arg else "**", k.value) for k in node.keywords]
        return f"{_flat(node.func)}(", [*(("", argument) for argument in node.args), *keywords], ")"
    if isinstance(node, ast.List) and node.elts:
        return "[", [("", item) for item in node.elts], "]"
    if isinstance(node, ast.Dict) and node.keys:
        pairs = zip(node.keys, node.values, strict=True)
        return "{", [(f"{_flat(key)}: ", value) for key, value in pairs if key is not None], "}"
    return None


def _flat(node: Any) -> str:
    """Return an expression on one line, its texts in double quotes where they hold none."""
    opened = _opened(node)
    if opened is not None:
        head, items, tail = opened
        return head + ", ".join(prefix + _flat(item) for prefix, item in items) + tail
    if isinstance(node, ast.Call):
        return f"{_flat(node.func)}()"
    if isinstance(node, ast.Attribute):
        return f"{_flat(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        return f"{_flat(node.value)}[{_flat(node.slice)}]"
    text = ast.unparse(node)
    prefix = "f" if isinstance(node, ast.JoinedStr) else ""
    if text.startswith(f"{prefix}'") and '"' not in text and "\\'" not in text:
        return f'{prefix}"{text[len(prefix) + 1 : -1]}"'
    return text
