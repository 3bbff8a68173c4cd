"""Revisions that `agno-store history --new` writes run unedited on every database, under every name."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from agno_store import ConfigurationError, InvalidArgument, Names, open_db, types
from agno_store.migrations import Migrator
from agno_store.migrations.chain import Chain, chain
from agno_store.migrations.generate import generate
from agno_store.tables import HEAD, REVISIONS, Extend, Tables
from tests.cli.stores import dropped_at_the_end
from tests.migrations.conftest import contents, snapshot
from tests.migrations.own_columns import LIFE, first, nothing, second
from tests.package.documents import blocks
from tests.package.source import ROOT


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The revisions of an application's life so far."""
    folder = tmp_path_factory.mktemp("application") / "made" / "here"
    for message, extend in LIFE.items():
        assert generate(message, Chain(folder), extend) is not None
    return folder


@pytest.fixture
def revisions(versions: Path) -> list[str]:
    return [script.revision for script in Chain(versions).application]


def text_of(file: Path | None) -> str:
    assert file is not None
    return file.read_text(encoding="utf-8")


# -- they run -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["plain", "odd"])
def names(request: pytest.FixtureRequest, backend: str, fresh_url: str) -> Iterator[Names]:
    """The default names, and odd ones in a schema."""
    if request.param == "plain":
        yield Names()
        return
    schema = None if backend == "sqlite" else f"ai x {uuid.uuid4().hex[:8]}"
    with dropped_at_the_end(fresh_url, schema) if schema else contextmanager(lambda: iter([None]))():
        yield Names("odd Name%s", schema)


@contextmanager
def opened(url: str, names: Names, versions: Path | None, extend: Extend | None = None) -> Iterator[Any]:
    """Open a store; without ``versions`` as one who knows nothing of the application."""
    with open_db(url, table_name=names.sessions, db_schema=names.schema, versions=versions, extend=extend) as db:
        yield db


def rows(db: Any, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of a table, in order."""
    found = sa.table(table, *map(sa.column, columns), schema=db.names.schema)
    with db.db_engine.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(sa.select(*found.c)))


def shape(db: Any) -> dict[str, Any]:
    """Return a snapshot in which a column that was dropped and added again is where it was."""
    found = snapshot(db.db_engine, db.names)
    for table in found.values():
        if isinstance(table, dict):
            table["columns"].sort()
    return found


def test_they_run_up_and_down_and_up_and_leave_no_drift(
    fresh_url: str, names: Names, versions: Path, revisions: list[str]
) -> None:
    seen, down = {}, {revisions[0]: "base", revisions[1]: revisions[0], revisions[2]: revisions[1]}
    for revision, extend in zip(revisions, LIFE.values(), strict=True):
        with opened(fresh_url, names, versions, extend) as db:
            migrator = Migrator.of(db)
            migrator.upgrade(revision)
            assert migrator.drift() == []
            seen[revision] = shape(db)
            migrator.downgrade(down[revision])
            assert shape(db) == seen.get(down[revision], shape(db))
            assert revision not in shape(db)["revision"]
            migrator.upgrade(revision)
            assert shape(db) == seen[revision]
    with opened(fresh_url, names, versions) as db:
        assert Migrator.of(db).downgrade("base") == [*reversed(revisions), *reversed(REVISIONS)]


def test_rows_are_kept_and_get_their_defaults(
    fresh_url: str, names: Names, versions: Path, revisions: list[str]
) -> None:
    with opened(fresh_url, names, None) as db:
        write(db, "before")
        before = contents(db)
    with opened(fresh_url, names, versions) as db:
        Migrator.of(db).upgrade(revisions[0])
    with opened(fresh_url, names, None) as db:
        write(db, "between")
        own = ("session_id", "tenant", "plan", "priority", "archived", "customer", "two words")
        plan = 'it\'s 100% "free"'
        assert rows(db, names.sessions, *own) == [
            (f"{when} {n}", None, plan, 5, False, f"{when} {'x' * 300}"[:255] if n == "a" else None, word)
            for when in ("before", "between")
            for n, word in (("a", "true"), ("b", "é"))
        ]
        assert rows(db, names.runs, "session_id", "model") == [
            ("before a", "gpt"),
            ("before b", "gpt"),
            ("between a", "gpt"),
            ("between b", "gpt"),
        ]
        assert None not in [moment for (moment,) in rows(db, names.sessions, "seen_at")]
    with opened(fresh_url, names, versions) as db:
        assert db.upgrade_schema(revisions[1]) == [revisions[1]]
        assert rows(db, names.sessions, "tenant", "plan", "priority") == [("nobody's", plan, 5)] * 4
        assert rows(db, names.summaries, "rating") == [(3,)] * 4
        assert db.upgrade_schema() == [revisions[2]]
        assert [session for session in contents(db) if session["session_id"].startswith("before")] == before


def write(db: Any, when: str) -> None:
    """Store two sessions with a run and a summary each."""
    deep: Any = "bottom"
    for _ in range(20):
        deep = [deep]
    for n, metadata in (
        ("a", {"customer": {"id": f"{when} {'x' * 300}"}, "it's": {"100% sure": True}, "deep": deep}),
        ("b", {"customer": {"id": None}, "it's": {"100% sure": "é"}}),
    ):
        session = {"session_id": f"{when} {n}", "metadata": metadata, "session_data": {"session_name": n}}
        db.upsert_session(session)
        db.upsert_run({"run_id": "r", "agent_id": "a", "model": "gpt"}, session_id=f"{when} {n}")
        db.upsert_summary(f"{when} {n}", {"summary": f"about {n}"})


# -- they are readable --------------------------------------------------------------------------------------


def test_they_are_formatted_and_import_only_what_never_changes(versions: Path) -> None:
    files = sorted(versions.glob("*.py"))
    assert len(files) == len(LIFE)
    for command in (("format", "--check"), ("check", "--select", "E,F,W,I,UP,B")):
        words = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120", "."]
        done = subprocess.run(words, cwd=versions, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
    for file in files:
        found = [node for node in parsed(file).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert [ast.unparse(node) for node in found] == ["import sqlalchemy as sa", "from agno_store import types"]


def test_every_operation_names_its_table_and_schema_by_n(versions: Path) -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in versions.glob("*.py"))
    for marker in ("n_sessions_", "n_schema_", "agent_sessions", "nullable=True)"):
        assert marker not in text
    assert 'f"uq_{n.runs}_model"' in text
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    operations = [call for call in calls if call.startswith("op.") and not call.startswith("op.execute(")]
    assert len(operations) > 40
    for call in operations:
        assert "schema=n.schema" in call
        assert any(f"n.{table}" in call for table in ("sessions", "runs", "summaries"))


def test_a_table_is_only_made_anew_where_sqlite_has_to(versions: Path) -> None:
    [first_one, *_] = sorted(versions.glob("*our_columns.py"))
    upgrade = ast.unparse(function(first_one, "upgrade"))
    assert upgrade.count("batch_alter_table") == 1, "for the default that is worked out at each insert"
    assert "batch_op.add_column(sa.Column('seen_at'" in upgrade
    assert upgrade.count("op.add_column(n.") == 8


def test_what_is_dropped_comes_back_in_order_and_as_it_was(tmp_path: Path, versions: Path) -> None:
    [last] = versions.glob("*all_away.py")
    down = ast.unparse(function(last, "downgrade"))
    places = [down.index(f"Column('{name}'") for name in ("tenant", "plan", "priority", "archived", "customer")]
    assert places == sorted(places)
    partial = index("own", postgresql_where=sa.text("own > '5'"), mysql_length=20)
    up, back = (text_of(generate("own", Chain(tmp_path), extend)) for extend in (partial, nothing))
    made = next(line for line in up.splitlines() if "postgresql_where" in line)
    assert made in back.partition("def downgrade")[2]


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def function(file: Path, name: str) -> ast.FunctionDef:
    """Return a function of a file."""
    return next(node for node in parsed(file).body if isinstance(node, ast.FunctionDef) and node.name == name)


def test_a_file_is_called_by_its_day_its_revision_and_what_it_brings(tmp_path: Path) -> None:
    message = """It's \\ "new":  our\n%(tenant)s"""
    file = generate(message, Chain(tmp_path), first)
    assert file is not None
    [script] = Chain(tmp_path).application
    today = datetime.now(timezone.utc)
    assert file.name in [
        f"{day:%Y_%m_%d}_{script.revision}_it_s_new_our_tenant_s.py" for day in (today, today - timedelta(days=1))
    ]
    assert script.doc == 'It\'s \\ "new": our %(tenant)s'
    assert (script.branch_labels, script.module.requires) == ({"application"}, HEAD)
    assert "branch_labels" not in text_of(generate("more", Chain(tmp_path), second))


def test_the_revision_in_the_document_is_the_one_that_is_written(tmp_path: Path) -> None:
    declaration, shown, *_ = [
        block.text for block in blocks(ROOT / "docs/howto/own-columns.md") if block.language == "python"
    ]
    application: dict[str, Any] = {}
    exec(declaration, application)
    text = text_of(generate("tenants and customers", Chain(tmp_path), application["extend"]))
    assert text[text.index("def upgrade") :] == shown[shown.index("def upgrade") :]
    beginning = [line.partition(" = ")[0] for line in shown.splitlines()[:4]]
    assert beginning == [line.partition(" = ")[0] for line in text.splitlines() if " = " in line][:4]


# -- when there is nothing to write, or too much ------------------------------------------------------------


def test_where_nothing_has_changed_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "versions"
    assert generate("nothing", Chain(folder), nothing) is None
    assert not folder.exists()
    generate("columns", Chain(folder), first)
    before = sorted(folder.iterdir())
    assert generate("nothing more", Chain(folder), first) is None
    assert sorted(folder.iterdir()) == before


def test_an_empty_one_is_written_without_comparing(tmp_path: Path) -> None:
    assert chain(tmp_path).application == ()
    file = generate("by hand", chain(tmp_path), first, empty=True)
    assert [script.path for script in chain(tmp_path).application] == [str(file)], "it is not read once for all"
    assert text_of(file).count("    pass\n") == 2
    assert [script.doc for script in Chain(tmp_path).application] == ["by hand"]
    assert Migrator.of(open_db("sqlite://", versions=tmp_path)).upgrade()[-1] == Chain(tmp_path).application[0].revision


def test_it_needs_a_few_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="few words"):
        generate(" \n", Chain(tmp_path), first)


class Percent(sa.types.TypeDecorator[Any]):
    """A type of the application's, made of one of SQLAlchemy's."""

    impl = sa.Numeric(5, 2)
    cache_ok = True


class Point(sa.types.UserDefinedType[Any]):
    """A type of the application's that is none of SQLAlchemy's."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "POINT"


def column(*args: Any, name: str = "own", **kwargs: Any) -> Extend:
    """Declare one column, and nothing else."""

    def extend(tables: Tables) -> None:
        tables.sessions.append_column(sa.Column(name, *args, **kwargs))

    return extend


def index(*columns: str, of: Any = types.ID, **kwargs: Any) -> Extend:
    """Declare a column and an index; where none is named on that column, in capitals."""

    def extend(tables: Tables) -> None:
        column(of)(tables)
        on: list[Any] = [tables.sessions.c[name] for name in columns] or [sa.func.upper(tables.sessions.c.own)]
        sa.Index(f"ix_{tables.sessions.name}_own", *on, **kwargs)

    return extend


def ours(tables: Tables) -> None:
    """Change what is not the application's."""
    tables.sessions.c.user_id.type = sa.String(20)


@pytest.mark.parametrize(
    ("extend", "written"),
    [
        (column(Percent()), "sa.Numeric(precision=5, scale=2)"),
        (column(sa.JSON().with_variant(JSONB(), "postgresql")), "postgresql.JSONB(astext_type=sa.Text()), "),
        (column(sa.Enum("a", "b", native_enum=False)), 'sa.Enum("a", "b", native_enum=False)'),
        (column(types.ID, name="é" * 31 + "e"), f'sa.Column("{"é" * 31}e", types.ID'),
        (column(sa.Uuid(), comment="it's"), 'sa.Uuid(), comment="it\'s"'),
        (index("own", "user_id", unique=True, postgresql_where=sa.text("own > '5'")), 'postgresql_where=sa.text("own'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_can_be_written(tmp_path: Path, extend: Extend, written: str) -> None:
    assert written in text_of(generate("own", Chain(tmp_path), extend))


@pytest.mark.parametrize(
    ("extend", "problem"),
    [
        (column(Point), "cannot be written into a revision"),
        (column(JSONB), "There is no JSONB"),
        (column(sa.String), "VARCHAR requires a length"),
        (column(sa.Enum("a", "b", name="e")), "type of its own on PostgreSQL"),
        (column(sa.Interval), "own: an Interval is a type of its own on PostgreSQL and a moment"),
        (column(types.ID, name="é" * 32), "é is 64 bytes long: PostgreSQL would cut it off"),
        (column(types.ID, types.from_json("metadata", "key"), name="c" * 64), "c is 64 bytes long"),
        (column(types.TEXT, server_default="x"), "gives a LONGTEXT .* no default"),
        (column(types.ID, types.from_json("nosuch", "key")), "no such column: nosuch"),
        (column(types.ID, index=True), "with primary_key=, index= or unique="),
        (column(types.ID, sa.ForeignKey("other.id")), "adds a constraint"),
        (column(types.ID, nullable=False), "NOT NULL without a server_default"),
        (index(), "on an expression"),
        (index("own", of=types.TEXT), "no index on own"),
        (index("own", "user_id", "agent_id", "team_id"), "4080 bytes"),
        (index("own", postgresql_where=sa.text("n_sessions_.own > 5")), "names a table"),
        (ours, "user_id would be changed, which is not the application's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_not_every_database_can_do_is_said_and_nothing_is_written(
    tmp_path: Path, extend: Extend, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        generate("own", Chain(tmp_path / "new"), extend)
    assert "n_sessions_" not in str(caught.value)
    assert list(tmp_path.glob("**/*.py")) == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (column(sa.String(20)), column(sa.Integer), "INTEGER instead of VARCHAR"),
        (column(types.TEXT), column(types.JSON), "JSON instead of TEXT on PostgreSQL"),
        (column(types.ID, types.from_json("metadata", "a")), column(types.ID), "generated in another way"),
        (
            column(types.ID, types.from_json("metadata", "a")),
            column(types.ID, types.from_json("metadata", "b")),
            "generated in another way",
        ),
    ],
)
def test_a_change_that_no_database_makes_by_itself_is_refused(
    tmp_path: Path, before: Extend, after: Extend, problem: str
) -> None:
    generate("before", Chain(tmp_path), before)
    with pytest.raises(ConfigurationError, match=problem):
        generate("after", Chain(tmp_path), after)
    assert len(Chain(tmp_path).application) == 1


@pytest.mark.parametrize("shared", [False, True], ids=["the first ones", "later ones"])
def test_revisions_of_two_developers_are_refused_until_one_comes_after_the_other(tmp_path: Path, shared: bool) -> None:
    folders = [tmp_path / "hers", tmp_path / "his"]
    if shared:
        generate("shared", Chain(folders[0]), empty=True)
        shutil.copytree(folders[0], folders[1])
    made = [generate(f.name, Chain(f), extend) for f, extend in zip(folders, (first, column(types.ID)), strict=True)]
    assert all(made)
    shutil.copy(made[1], folders[0])  # type: ignore[arg-type]
    told = "are not one line: .* Set its down_revision to" if shared else "only the first has branch_labels"
    with pytest.raises(ConfigurationError, match=told):
        Chain(folders[0])
    with open_db("sqlite://", versions=folders[0]) as db, pytest.raises(ConfigurationError, match=told):
        db.get_sessions()
