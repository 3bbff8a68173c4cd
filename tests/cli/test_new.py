"""``agno-store history --new``: a revision out of what is declared, and ``history`` of both branches."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_store import open_db
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import ROOT, Answer, run, run_process
from tests.package.documents import blocks, typed

GUIDE = ROOT / "docs/howto/own-columns.md"

SHOP = """
import sqlalchemy as sa
from agno_store import SqliteDb, types

NUMBER = 5

def extend(tables):
    tables.sessions.append_column(sa.Column("tenant", types.ID))
    sa.Index(f"ix_{tables.sessions.name}_tenant", tables.sessions.c.tenant)

def unportable(tables):
    tables.sessions.append_column(sa.Column("tenant", sa.String))

def broken(tables):
    raise LookupError("nobody's fault")

store = SqliteDb(db_url="sqlite://", extend=extend, versions="theirs")
bare = SqliteDb(db_url="sqlite://", extend=extend)
"""


@pytest.fixture
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an application, in which we stand."""
    (folder / "shop.py").write_text(SHOP)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    sys.modules.pop("shop", None)


def new(*words: str, message: str = "the tenant") -> Answer:
    return run("history", "--new", message, *words)


def revisions(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py"))


def options(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **values: str) -> list[str]:
    """Give options on the command line, in variables, or in the pyproject.toml of a folder above."""
    if source == "flag":
        return [word for name, value in values.items() for word in (f"--{name}", value)]
    if source == "variable":
        for name, value in values.items():
            monkeypatch.setenv(f"AGNO_STORE_{name.upper()}", value)
    else:
        lines = [f"{name} = '{value}'" for name, value in values.items()]
        (folder / "pyproject.toml").write_text("\n".join(["[tool.agno-store]", *lines, ""]))
    return []


@pytest.mark.parametrize("source", ["flag", "variable", "pyproject"])
def test_a_function_and_a_folder_may_come_from_anywhere(
    shop: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    answer = new(*options(source, shop, monkeypatch, app="shop:extend", versions="mine"))
    assert (answer.code, answer.err) == (0, "")
    [file] = revisions(shop / "mine")
    assert answer.out == f"{file}: written. Read it, then apply it with: agno-store upgrade\n"
    assert '"tenant"' in file.read_text()


def test_the_folder_in_pyproject_is_the_one_beside_it_wherever_the_program_is_called(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options("pyproject", shop, monkeypatch, app="shop:extend", versions="mine")
    below = shop / "src"
    below.mkdir()
    (shop / "shop.py").rename(below / "shop.py")
    monkeypatch.chdir(below)
    assert new().code == 0
    assert len(revisions(shop / "mine")) == 1
    assert [path.name for path in below.iterdir()] == ["shop.py"]


def test_a_store_brings_its_function_and_its_folder(shop: Path) -> None:
    assert new("--app", "shop:store").code == 0
    assert len(revisions(shop / "theirs")) == 1
    assert new("--app", "shop:store", "--versions", "mine").code == 0
    assert len(revisions(shop / "mine")) == 1
    assert new("--app", "shop:bare", "--versions", "mine", message="again").code == 0
    assert len(revisions(shop / "mine")) == 1


def test_the_answer_is_one_document_for_programs(shop: Path) -> None:
    answer = new("--app", "shop:store", "--json")
    [file] = revisions(shop / "theirs")
    assert answer.document == {"revision": file.name.split("_")[3], "path": str(file)}
    assert new("--app", "shop:store", "--json").document == {"revision": None, "path": None}


def test_where_nothing_has_changed_it_says_so_and_writes_nothing(shop: Path) -> None:
    assert new("--app", "shop:store").code == 0
    answer = new("--app", "shop:store", message="nothing")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("No changes detected")
    assert len(revisions(shop / "theirs")) == 1
    assert new("--app", "shop:store", "--empty", message="by hand").code == 0
    assert len(revisions(shop / "theirs")) == 2


MISTAKES = {
    "no folder": (("--app", "shop:extend"), "--versions FOLDER (AGNO_STORE_VERSIONS, or versions in [tool.agno-store]"),
    "nor one of the store": (("--app", "shop:bare"), "or versions= of the store"),
    "a folder alone": (("--versions", "mine"), "--app MODULE:OBJECT (AGNO_STORE_APP, or app in [tool.agno-store]"),
    "no colon": (("--app", "shop.extend", "--versions", "mine"), "write module:object"),
    "no module": (("--app", "nowhere:extend", "--versions", "mine"), "No module named 'nowhere'"),
    "no such object": (("--app", "shop:nothing", "--versions", "mine"), "has no attribute 'nothing'"),
    "a module that fails": (("--app", "failing:extend", "--versions", "mine"), "ZeroDivisionError: division by zero"),
    "another object": (("--app", "shop:NUMBER", "--versions", "mine"), "is of the type int"),
    "a function that fails": (("--app", "shop:broken", "--versions", "mine"), "LookupError: nobody's fault"),
    "what MySQL has not": (("--app", "shop:unportable", "--versions", "mine"), "VARCHAR requires a length"),
    "no message": (("--app", "shop:extend", "--versions", "mine", "--new", ""), "few words"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_usage_error_that_says_what_to_do(shop: Path, mistake: str) -> None:
    (shop / "failing.py").write_text("1 / 0\n")
    words, said = MISTAKES[mistake]
    answer = new(*words, "--json")
    assert answer.code == 2
    assert said in answer.complaint
    assert answer.document["error"]["exit_code"] == 2
    assert not (shop / "mine").exists()


def test_empty_is_for_new_alone() -> None:
    answer = run("history", "--empty")
    assert (answer.code, answer.out) == (2, "")
    assert "it is for --new" in answer.complaint


def test_an_installed_package_is_not_written_into(shop: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "agno_store", site / "agno_store", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "alembic", site / "agno_store" / "_alembic", ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(site.rglob("*.py"))

    def installed(*words: str) -> Answer:
        command = (sys.executable, "-m", "agno_store", "history", "--new", "own", *words)
        return run_process(*command, directory=shop, PYTHONPATH=str(site))

    answer = installed()
    assert (answer.code, answer.out) == (2, "")
    assert "into the installed package" in answer.complaint
    assert "--app MODULE:OBJECT --versions FOLDER" in answer.complaint
    assert installed("--app", "shop:store").code == 0
    assert len(revisions(shop / "theirs")) == 1
    assert sorted(site.rglob("*.py")) == before


def test_in_a_checkout_our_own_declaration_is_what_the_revisions_make() -> None:
    before = sorted((ROOT / "alembic").rglob("*.py"))
    answer = new()
    assert answer.code == 0
    assert answer.out.startswith("No changes detected")
    assert sorted((ROOT / "alembic").rglob("*.py")) == before


def test_history_shows_both_branches(shop: Path, fresh_url: str) -> None:
    made = json.loads(new("--app", "shop:store", "--json").out)["revision"]
    listed = run("history", "--app", "shop:store", "--json").document
    assert [(entry["revision"], entry["state"]) for entry in listed] == [(one, None) for one in (*REVISIONS, made)]
    at = ("--db-url", fresh_url, "--versions", "theirs", "--json")
    with open_db(fresh_url, versions="theirs") as db:
        db.upgrade_schema(HEAD)
        assert [entry["state"] for entry in run("history", *at).document] == ["applied"] * len(REVISIONS) + ["pending"]
        db.upgrade_schema()
    last = run("history", *at).document[-1]
    assert (last["revision"], last["message"], last["state"]) == (made, "the tenant", "applied")
    assert last["applied_at"].endswith("+00:00")
    assert last["seconds"] >= 0
    assert len(run("history", "--db-url", fresh_url, "--json").document) == len(REVISIONS)


def allow_what_the_guide_allows(found: Any) -> None:
    """Write the marker of the guide above the one line that is found."""
    [finding] = found["findings"]
    [marker] = re.findall(rf"`(# allow {finding['rule']}: [^`]+)`", GUIDE.read_text(encoding="utf-8"))
    lines = Path(finding["file"]).read_text().splitlines()
    lines.insert(finding["line"] - 1, f"    {marker}")
    Path(finding["file"]).write_text("\n".join(lines))


def test_the_guide_leads_from_a_declaration_to_the_use_of_a_column(shop: Path) -> None:
    declared, *_, used = (block.text for block in blocks(GUIDE) if block.language == "python")
    (shop / "stores").mkdir()
    (shop / "stores/storage.py").write_text(declared)
    for block in blocks(GUIDE):
        for _, command in typed(block) if block.language == "console" else ():
            program, *words = shlex.split(command.replace("shop.storage", "stores.storage"))
            if "lint" in words:
                allow_what_the_guide_allows(run(*words, "--json").document)
            answer = run(*words)
            assert (program, answer.code) == ("agno-store", 0), (command, answer.out, answer.err)
    module = vars(sys.modules.pop("stores.storage"))
    del sys.modules["stores"]
    with module["store"] as store:
        store.upsert_session({"session_id": "s1", "metadata": {"customer": {"id": "c-17"}}})
        exec(used, module)
        assert module["found"] == ["s1"]
        with store.db_engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT tenant FROM agent_sessions").scalars().all() == ["acme"]
