"""Who may import whom (docs/design.md): the layers, and the packages that only one of them may know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.source import FILES, PACKAGE, REVISIONS, ROOT, SCRIPTS, Import, imports, module_name, tree

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "urls", "release", "clock", "escapes", "legacy", "apart", "plain", "counts", "valued"}),
    frozenset({"names", "encoding", "owners", "folding", "envelope", "hooks", "media", "copies", "misread"}),
    frozenset({"undecoded"}),
    frozenset({"records"}),
    frozenset({"types", "beside", "codecs", "merging", "reports", "run_changes", "settings", "shown", "unread"}),
    frozenset({"paging", "removed", "tables", "tenants", "history"}),
    frozenset({"listings", "rows", "sending", "bridge"}),
    frozenset({"statements", "watching"}),
    frozenset({"quick", "tracing"}),
    frozenset({"dialects", "failures", "removals", "saving"}),
    frozenset({"filtering", "rekeys", "sealing", "shortcuts", "survey", "parts", "objects"}),
    frozenset({"shapes"}),
    frozenset({"engines", "reads"}),
    frozenset({"attempts", "loops", "schema", "standby", "store", "recall"}),
    frozenset({"transfer", "figures", "searching", "tidying", "appends"}),
    frozenset({"clearing"}),
    frozenset({"rekeying"}),
    frozenset({"operations"}),
    frozenset({"database"}),
    frozenset({"db"}),
    frozenset({"aio", "storage"}),
    frozenset({""}),
    frozenset({"doctor"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""The modules and packages of agno_store, lowest first. Each imports only from layers below its own."""

OF_MIGRATIONS = frozenset(
    {
        "errors",
        "escapes",
        "names",
        "types",
        "tables",
        "statements",
        "dialects",
        "urls",
        "schema",
        "release",
        "legacy",
        "clock",
    }
)
"""What migrations/ may import. It stands beside the layers: database, doctor and cli use it, nothing else does."""

ONLY_IN = {
    "alembic": "migrations",
    "typer": "cli",
    "click": "cli",
    "rich": "cli",
    "sqlite3": "dialects",
    "psycopg": "dialects",
    "pymysql": "dialects",
    "opentelemetry": "tracing",
    "importlib": "bridge",
}
"""Packages that one part of ours alone knows. Through importlib agno could be met without being imported."""

DATABASES = {"sqlite", "postgresql", "postgres", "mysql", "mariadb"}

ALL = [found for file in FILES for found in imports(file)]


def part(name: str) -> str:
    """The layer's name for a module: ``dialects`` for ``dialects.mysql``."""
    return name.partition(".")[0]


def internal() -> Iterator[tuple[str, str, Import]]:
    """Every import of ours by ours that happens at run time: who, whom, where."""
    for found in ALL:
        first, _, rest = found.module.partition(".")
        if first == PACKAGE.name and not found.for_types:
            yield part(module_name(found.file)), part(rest), found


def layer(name: str) -> int:
    """How high a part stands."""
    return next(height for height, names in enumerate(LAYERS) if name in names)


def test_every_module_has_its_layer() -> None:
    there = {part(module_name(file)) for file in FILES}
    assert there == {name for names in LAYERS for name in names} | {"migrations"}


def test_a_module_imports_only_from_the_layers_below_it() -> None:
    upward = [
        str(found)
        for who, whom, found in internal()
        if "migrations" not in (who, whom) and who != whom and layer(who) <= layer(whom)
    ]
    assert upward == []


def test_the_lowest_modules_know_hardly_any() -> None:
    lowest = {who: {whom for this, whom, _ in internal() if this == who} for who in ("names", "records", "encoding")}
    assert lowest == {
        "names": {"errors", "valued"},
        "records": {"undecoded", "errors", "valued"},
        "encoding": {"errors", "escapes", "apart", "plain"},
    }
    assert {whom for who, whom, _ in internal() if who == "undecoded"} == {"encoding"}
    assert {whom for who, whom, _ in internal() if who == "types"} == {"escapes", "errors"}
    assert not [found for who, _, found in internal() if who == "errors"]


def test_migrations_import_only_what_they_may() -> None:
    more = [str(found) for who, whom, found in internal() if who == "migrations" and whom not in OF_MIGRATIONS | {who}]
    assert more == []


def test_only_database_doctor_and_cli_import_migrations_and_none_before_it_needs_them() -> None:
    users = [(who, found.lazily) for who, whom, found in internal() if whom == "migrations" and who != "migrations"]
    assert {who for who, _ in users} == {"database", "doctor", "cli"}
    assert all(lazily for _, lazily in users)


def test_nobody_imports_the_command_line_but_its_program() -> None:
    assert {who for who, whom, _ in internal() if whom == "cli"} == {"cli", "__main__"}


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_is_known_to_one_part_alone(package: str) -> None:
    elsewhere = [
        str(found)
        for found in ALL
        if part(found.module) == package and part(module_name(found.file)) != ONLY_IN[package]
    ]
    assert elsewhere == []


def test_agno_is_met_in_the_bridge_and_imported_nowhere() -> None:
    assert [str(found) for found in ALL if part(found.module) == "agno"] == []
    named = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules")
        or (isinstance(node, ast.Constant) and node.value == "agno")
        if part(module_name(file)) != "bridge"
    ]
    assert named == []


def outside_dialects() -> list[Path]:
    """The files that must not know one database from another."""
    return [file for file in [*FILES, *SCRIPTS.rglob("*.py")] if PACKAGE / "dialects" not in file.parents]


def test_a_dialects_name_is_only_read_to_look_the_dialect_up() -> None:
    found = []
    for file in outside_dialects():
        looked_up = {
            ast.unparse(argument)
            for call in ast.walk(tree(file))
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "by_name"
            for argument in call.args
        }
        read = {
            ast.unparse(node)
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Attribute) and ast.unparse(node).endswith(("dialect.name", "get_backend_name"))
        }
        found += [f"{file.relative_to(ROOT)}: {text}" for text in sorted(read - looked_up)]
    assert found == []


def test_databases_are_told_apart_only_in_dialects() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{name.lineno}: {ast.unparse(node)}"
        for file in outside_dialects()
        for node in ast.walk(tree(file))
        if isinstance(node, (ast.Compare, ast.MatchValue))
        or (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("startswith"))
        for name in ast.walk(node)
        if isinstance(name, ast.Constant) and name.value in DATABASES
    ]
    assert found == []


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda file: file.stem)
def test_a_revision_imports_only_what_never_changes(revision: Path) -> None:
    assert {found.module for found in imports(revision)} <= {"sqlalchemy", "agno_store.types"}


def test_env_py_only_hands_over() -> None:
    assert {found.module for found in imports(SCRIPTS / "env.py")} == {
        "alembic.context",
        "agno_store.migrations.environment",
    }
