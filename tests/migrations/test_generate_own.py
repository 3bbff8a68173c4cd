"""A further revision of our own, written in a checkout, and what it does to stores that are there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_store import ConfigurationError, Names, open_db
from agno_store.migrations.chain import Chain
from agno_store.migrations.generate import generate
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run_process
from tests.migrations.conftest import contents, fill
from tests.migrations.own_columns import first
from tests.migrations.test_generate import names as names  # the fixture
from tests.package.source import ROOT, SCRIPTS

NEXT = f"{int(HEAD) + 1:04d}"

NOTES = """
    sa.Table(
        n.notes,
        meta,
        sa.Column("session_id", types.ID, nullable=False),
        sa.Column("note", types.TEXT, nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("session_id", name=f"pk_{n.notes}"),
        sa.ForeignKeyConstraint(
            ["session_id"], [n.qualify(n.sessions, "session_id")], name=f"fk_{n.notes}_session_id", ondelete="CASCADE"
        ),
        sa.Index(f"ix_{n.notes}_done", "done"),
        schema=n.schema,
        **types.TABLE,
    )
"""

RUN_INDEX = """
        sa.Column("run_index", types.COUNT, nullable=False, server_default=sa.text("7")),
        sa.Column("model", types.ID, types.from_json("summary_data", "model")),
        sa.UniqueConstraint("session_id", "run_index", name=f"uq_{n.summaries}_run_index"),
        sa.Index(f"ix_{n.summaries}_model", "model"),
"""

CHANGES = (
    ("tables.py", '\n        sa.Column("run_index", types.COUNT),\n', RUN_INDEX),
    ("tables.py", "declare(n, meta, session_key)\n    return", f"declare(n, meta, session_key){NOTES}    return"),
    ("tables.py", "    summaries: sa.Table\n", "    summaries: sa.Table\n    notes: sa.Table\n"),
    ("names.py", "self.summaries, self.media\n", "self.summaries, self.media, self.notes\n"),
    (
        "names.py",
        "    def tables(self)",
        '    def notes(self) -> str:\n        return f"{self.sessions}_notes"\n\n    @property\n    def tables(self)',
    ),
)
"""What the next release declares: in which file, before and after."""


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next release: a copy of this checkout in which something more is declared, with the revision for it."""
    copy = tmp_path_factory.mktemp("next") / "checkout"
    for part in ("agno_store", "alembic"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file, before, after in CHANGES:
        edit(copy / "agno_store" / file, before, after)
    answer = run_process(
        sys.executable, "-m", "agno_store", "history", "--new", "notes", directory=copy, PYTHONPATH=str(copy)
    )
    assert answer.code == 0, answer.err
    assert "Add it to REVISIONS in agno_store/tables.py" in answer.out
    edit(copy / "agno_store/tables.py", f'"{HEAD}")', f'"{HEAD}", "{NEXT}")')
    return copy


def in_next_release(checkout: Path, program: str, *arguments: str) -> None:
    """Run a program under the next release."""
    beginning = "import sys\nfrom agno_store import open_db\nfrom agno_store.migrations import Migrator\n"
    answer = run_process(
        sys.executable, "-c", beginning + program, *arguments, directory=checkout, PYTHONPATH=str(checkout)
    )
    assert answer.code == 0, answer.err


def test_it_is_numbered_formatted_and_says_which_releases_it_is_for(checkout: Path) -> None:
    assert [file.name for file in sorted((checkout / "alembic/versions").glob("*.py"))][-1] == f"{NEXT}_notes.py"
    text = (checkout / f"alembic/versions/{NEXT}_notes.py").read_text(encoding="utf-8")
    assert f'revision = "{NEXT}"\ndown_revision = "{HEAD}"\nrelease = "0.2.0"\nworks_with = "0.1.0"  # the' in text
    assert "        n.notes,\n" in text
    assert "**types.TABLE," in text
    assert "ix_{n.notes}" not in text.partition("def downgrade")[2], "it goes with its table"
    config = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    for command in (("format", "--check"), ("check",)):
        answer = run_process(sys.executable, "-m", "ruff", *command, *config, "alembic", directory=checkout)
        assert answer.code == 0, answer.out


LIFE = f"""
url, table, schema = sys.argv[1:]
with open_db(url, table_name=table, db_schema=schema or None) as db:
    migrator = Migrator.of(db)
    assert migrator.upgrade() == ["{NEXT}"], "the release before has made the store"
    assert migrator.drift() == [], migrator.drift()
    assert migrator.downgrade("{HEAD}") == ["{NEXT}"]
    assert migrator.drift() != []
    assert migrator.upgrade() == ["{NEXT}"]
    assert migrator.drift() == [], migrator.drift()
    assert [s["session_id"] for s in db.get_sessions(deserialize=False, sort_by="session_id")[0]] == ["s2", "s1", "s0"]
"""


def test_it_runs_up_and_down_and_leaves_no_drift(fresh_url: str, names: Names, checkout: Path) -> None:
    with open_db(fresh_url, table_name=names.sessions, db_schema=names.schema) as db:
        fill(db)
    in_next_release(checkout, LIFE, fresh_url, names.sessions, names.schema or "")


BESIDE = f"""
from tests.migrations.own_columns import first
url, versions = sys.argv[1:]
with open_db(url, extend=first, versions=versions) as db:
    assert db.schema_status().pending == ("{NEXT}",)
    assert db.upgrade_schema() == ["{NEXT}"]
    assert Migrator.of(db).drift() == [], Migrator.of(db).drift()
    assert len(db.get_sessions()) == 3
with open_db(url) as db:
    assert Migrator.of(db).drift() == [], Migrator.of(db).drift()
"""


def test_beside_an_applications_revisions_a_new_release_does_not_conflict(
    fresh_url: str, checkout: Path, tmp_path: Path
) -> None:
    generate("columns", Chain(tmp_path), first)
    with open_db(fresh_url, extend=first, versions=tmp_path, auto_upgrade_schema=True) as db:
        fill(db)
        before = contents(db)
    shutil.copytree(ROOT / "tests", checkout / "tests", dirs_exist_ok=True)
    in_next_release(checkout, BESIDE, fresh_url, str(tmp_path))
    with open_db(fresh_url, extend=first, versions=tmp_path) as db:  # the release before works on
        assert (db.schema_status().state, db.schema_status().usable) == ("ahead", True)
        assert contents(db) == before
        assert db.schema_status().application == Chain(tmp_path).application[0].revision


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    shutil.copytree(SCRIPTS, tmp_path / "alembic")
    chain = Chain(scripts=tmp_path / "alembic")
    assert tuple(script.revision for script in chain.own) == REVISIONS
    made = generate("mine", chain, empty=True)
    assert made is not None
    assert made.parent == tmp_path / "alembic" / "versions"
    shutil.copy(made, made.with_name(f"{NEXT}_yours.py"))
    with pytest.warns(UserWarning, match="more than once"), pytest.raises(ConfigurationError, match="of another file"):
        Chain(scripts=tmp_path / "alembic")


@pytest.fixture(autouse=True)
def nothing_left_in_the_checkout() -> Iterator[None]:
    """Make sure that no test writes into the real folder of revisions."""
    before = sorted(SCRIPTS.rglob("*.py"))
    yield
    assert sorted(SCRIPTS.rglob("*.py")) == before
