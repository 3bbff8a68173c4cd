"""The documentation builds as a site, strictly; nothing in it leads nowhere, and its reference leaves nothing out."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import FunctionType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer

import agno_store
from agno_store import AsyncMySQLDb, AsyncPostgresDb, AsyncSqliteDb, MySQLDb, PostgresDb, SqliteDb
from agno_store.cli import app
from tests.package.building import once
from tests.package.source import ROOT

STORES = ROOT / "docs" / "reference" / "stores.md"
TWINS = {AsyncSqliteDb: SqliteDb, AsyncPostgresDb: PostgresDb, AsyncMySQLDb: MySQLDb}
LOADS = {"img": "src", "link": "href", "script": "src", "source": "src"}
"""What a browser fetches by itself."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the site, built as ``make docs`` builds it."""
    return once(tmp_path_factory, "site", build)


def build(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Seen(HTMLParser):
    """The links, the anchors and the loaded files of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value for name, value in attrs if value}
        if "id" in said:
            self.anchors.add(said["id"])
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        if LOADS.get(tag) in said and said.get("rel") != "canonical":
            self.loaded.append(said[LOADS[tag]])


@cache
def seen(page: Path) -> Seen:
    return Seen(page)


def pages(site: Path) -> list[Path]:
    return [page for page in sorted(site.rglob("*.html")) if page.name != "404.html"]


def test_every_document_is_a_page(site: Path) -> None:
    documents = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")}
    generated = {"index.html", "changes.html", "contributing.html", "reference/commands.html"}
    assert {str(page.relative_to(site)) for page in pages(site)} == documents | generated


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    broken, followed = [], 0
    for page in pages(site):
        for link in [*seen(page).links, *seen(page).loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchored = target.suffix == ".html" and parts.fragment and not parts.fragment.startswith("__")
            if not target.exists() or (anchored and unquote(parts.fragment) not in seen(target).anchors):
                broken.append(f"{page.relative_to(site)}: {link}")
            followed += 1
    assert broken == []
    assert followed > 1000


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = {name for page in pages(site) for name in seen(page).loaded}
    assert any(name.endswith(".css") for name in loaded)
    assert any(name.endswith(".js") for name in loaded)
    assert [name for name in sorted(loaded) if urlsplit(name).netloc] == []
    styles = "".join(style.read_text(encoding="utf-8") for style in site.rglob("*.css"))
    assert re.findall(r"url\(\"?(?:https?:)?//[^)]*\)|@import[^;]*//[^;]*", styles) == []


def test_the_reference_tells_of_every_public_name(site: Path) -> None:
    told = set[str]().union(*(seen(page).anchors for page in (site / "reference").glob("*.html")))
    told |= set(re.findall(r"agno_store\.errors\.\w+", " ".join(told)))
    names = set(agno_store.__all__) - {"__version__", *(cls.__name__ for cls in TWINS)}
    missing = {name for name in names if not told & {f"agno_store.{name}", f"agno_store.errors.{name}"}}
    assert missing == set()


def test_the_reference_tells_of_every_method_of_a_store(site: Path) -> None:
    told = seen(site / "reference" / "stores.html").anchors
    methods = public(SqliteDb, FunctionType, property)
    assert {"get_session", "prune", "db_url"} <= methods
    assert {name for name in methods if f"agno_store.SqliteDb.{name}" not in told} == set()


def public(cls: Any, *kinds: type) -> set[str]:
    """Return the names of a class's members of these kinds, without what it has for agno once that is imported."""
    found = {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}
    made = {name: getattr(one, "fget", one) for name, one in found.items() if isinstance(one, kinds)}
    where = {name: function.__module__ for name, function in made.items()}
    return {name for name, module in where.items() if module.startswith("agno_store") and ".bridge" not in module}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the page about stores."""
    section = STORES.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def parameters(cls: Any) -> dict[str, Any]:
    return {name: one.default for name, one in inspect.signature(cls).parameters.items()}


def test_every_option_of_a_store_is_described_with_its_default() -> None:
    described = {row[0].strip("`"): row[1] for row in rows("Options")}
    every = {**parameters(SqliteDb), **parameters(PostgresDb), **parameters(MySQLDb)}
    assert described.keys() == every.keys()
    for name, default in every.items():
        if default is not None:
            said = described[name].strip("`").strip('"')
            assert said in (str(default), f"{default:g}" if isinstance(default, float) else ""), name


def test_an_asynchronous_class_has_the_options_and_methods_that_the_page_gives_it() -> None:
    for twin, of in TWINS.items():
        assert parameters(twin) == parameters(of)
        methods = public(of, FunctionType)
        assert len(methods) > 30
        assert {name for name in methods if not hasattr(twin, name)} == set()


def test_the_page_about_the_commands_tells_of_each(site: Path) -> None:
    told = seen(site / "reference" / "commands.html").anchors

    def walk(command: Any, *words: str) -> list[str]:
        inner = getattr(command, "commands", {})
        return [" ".join(words), *(name for key, one in inner.items() for name in walk(one, *words, key))]

    commands = walk(typer.main.get_command(app), "agno-store")
    assert len(commands) > 20
    assert [name for name in commands[1:] if name.replace(" ", "-") not in told] == []
