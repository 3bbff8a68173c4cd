"""What is built holds what it must, and works where nothing else is installed."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import agno_store
from agno_store.tables import HEAD, REVISIONS
from tests.package.building import UV, Environment, build, command, once
from tests.package.source import FILES, PACKAGE, ROOT, SCRIPTS

VERSION = agno_store.__version__


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the wheel and the sdist."""
    return once(tmp_path_factory, "distributions", build)


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    return next(distributions.glob("*.whl"))


@pytest.fixture(scope="session")
def sdist(distributions: Path) -> Path:
    return next(distributions.glob("*.tar.gz"))


def test_the_wheel_holds_the_package_the_scripts_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    package = {f"agno_store/{file.relative_to(PACKAGE)}" for file in FILES} | {"agno_store/py.typed"}
    scripts = {
        f"agno_store/_alembic/{file.relative_to(SCRIPTS)}"
        for file in (SCRIPTS / "env.py", SCRIPTS / "script.py.mako", *(SCRIPTS / "versions").glob("*.py"))
    }
    assert len(scripts) == 2 + len(REVISIONS)
    assert {name for name in names if ".dist-info/" not in name} == package | scripts
    assert {name.partition("/")[0] for name in names} == {"agno_store", f"agno_store-{VERSION}.dist-info"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"agno_store-{VERSION}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("agno-store", VERSION)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("Project-URL") is None  # none that leads nowhere
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(str(re.match("[a-z]+", line)[0]) for line in required) == [  # type: ignore[index]
        "alembic",
        "psycopg",
        "pymysql",
        "rich",
        "sqlalchemy",
        "tomli",
        "typer",
    ]
    assert "agno-store = agno_store.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in archive.namelist()


def test_pypi_shows_the_readme_without_links_that_lead_nowhere_there(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    command(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, directory=tmp_path)
    archive = zipfile.ZipFile(wheel)
    metadata = Parser().parsestr(archive.read(f"agno_store-{VERSION}.dist-info/METADATA").decode())
    text = str(metadata.get_payload())
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert re.findall(r"\]\((?!https://)[^)]*", text) == []
    shown, here = text.splitlines(), (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in here if "](" not in line and line not in shown] == []


def test_the_sdist_holds_all_that_a_checkout_needs_and_no_rubbish(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("pyproject.toml", "alembic.ini", "alembic/env.py", "README.md", "LICENSE", "tests/conftest.py"):
        assert needed in names
    top = {name.partition("/")[0] for name in names}
    assert top <= {path.name for path in ROOT.iterdir()} | {"PKG-INFO"}
    rubbish = ("__pycache__", ".pyc", ".db", ".venv", ".git/", "_cache")
    assert [name for name in names if any(part in name for part in rubbish)] == []
    assert "alembic/__init__.py" not in names


def works(place: Path, *way: object) -> None:
    """Assert that the programs found this way, from anywhere, are those of a distribution and keep a store."""
    where = "import agno_store, alembic; print(agno_store.__file__, alembic.__version__)"
    assert str(ROOT) not in command(*way, "python", "-c", where, directory=Path("/"))
    program, url = (*way, "agno-store"), f"sqlite:///{place}/a.db"
    assert command(*program, "--version", directory=Path("/")) == f"agno-store {VERSION}\n"
    assert f"no tables -> {HEAD}" in command(*program, "upgrade", "--db-url", url, directory=Path("/"))
    command(*program, "check", "--drift", "--db-url", url, directory=Path("/"))
    history = json.loads(command(*program, "history", "--json", "--db-url", url, directory=Path("/")))
    assert [(step["revision"], step["state"]) for step in history] == [(one, "applied") for one in REVISIONS]


def test_the_sdist_works_where_nothing_else_is_installed(sdist: Path, tmp_path: Path) -> None:
    place = Environment(tmp_path / "environment")
    place.install(sdist)
    works(tmp_path, "env", f"PATH={place.folder / 'bin'}:/usr/bin:/bin")


def test_the_wheel_works_without_being_installed(wheel: Path, tmp_path: Path) -> None:
    """As uvx and pipx run it."""
    works(tmp_path, UV, "tool", "run", "--from", wheel)
