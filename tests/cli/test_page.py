"""``agno-store stats --html``: a page that is whole, asks for nothing, obeys nothing, and says what ``--json`` says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agno_store import SqliteDb
from tests.cli.program import Answer, run

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg></table>&lt;&amp;",
    "\u202etxt.exe\x00\x1b[31m\ud800",
    "' onmouseover='x",
)
VOID = {"meta"}
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "dl", "div", "dt", "dd", "section"),
    *("svg", "rect", "text", "path", "g", "details", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("data", "time"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "value", "datetime", "role", "aria-label"),
    *("viewbox", "x", "y", "width", "height", "rx", "d", "text-anchor"),
}


class Page(HTMLParser):
    """A page as a browser reads it; fails where an element is not closed, or closed and not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.tables: dict[str, list[list[Any]]] = {}
        self.bars: list[float] = []
        self.said: list[str] = []
        self._row: list[Any] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs)
        self.elements.add(tag)
        self.attributes |= given.keys()
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self._row = []
        elif tag in ("th", "td"):
            self._row.append("")
        elif tag == "data" and "td" in self.open:
            self._row[-1] = int(str(given["value"]))
        elif tag == "rect":
            self.bars.append(float(str(given["width"])))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "tr":
            next(reversed(self.tables.values())).append(self._row)

    def handle_data(self, data: str) -> None:
        self.said.append(data)
        if self.open and self.open[-1] == "caption":
            self.tables[data] = []
        elif {"th", "td"} & {*self.open} and "data" not in self.open:
            self._row[-1] += data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGNO_STORE_DB_URL", f"sqlite:///{tmp_path / 'a.db'}")
    return tmp_path


def filled(folder: Path) -> None:
    """Make a store with users, agents and sessions whose ids are mark-up, and a session of nobody's."""
    with SqliteDb(folder / "a.db") as db:
        for number, user in enumerate((*HOSTILE, None)):
            db.upsert_session({"session_id": f"s{user}", "user_id": user, "agent_id": user})
            for index in range(number):
                db.upsert_run({"run_id": f"r{index}", "content": "said " * 10 * number}, f"s{user}")


def written(*words: str) -> tuple[Page, Answer]:
    """Return the page that the program writes, and what it answers."""
    answer = run("stats", "--html", "report.html", *words)
    assert (answer.code, answer.err) == (0, "")
    return Page(Path("report.html").read_text(encoding="utf-8")), answer


def test_a_page_says_what_the_program_says(folder: Path) -> None:
    filled(folder)
    page, answer = written("--json", "--days", "3")
    found = answer.document
    shares = [[one["sessions"], one["runs"], one["bytes"]] for one in found["by_user"]]
    days = [[one["date"], one["runs"], one["sessions"], one["bytes"]] for one in found["days"]]
    rows = {caption: table[1:] for caption, table in page.tables.items()}
    assert [row[1:] for row in rows["Users, those with the most first"]] == shares
    assert rows["What was added on each day"] == days
    assert [row[2:4] for row in rows["Largest sessions"]] == [[one["runs"], one["bytes"]] for one in found["largest"]]
    assert len(rows["Sessions at rest for the longest time"]) == len(found["oldest"]) == 6
    assert len(rows["Agents, teams and workflows, those with the most first"]) == len(found["by_component"])
    assert (found["sessions"], found["runs"], len(shares)) == (6, 15, 6)
    widths = page.bars[3 : 3 + len(shares)]  # behind those of the one day on which something was added
    assert [round(width / widths[0], 2) for width in widths] == [round(one[2] / shares[0][2], 2) for one in shares]


def test_a_page_asks_for_nothing_and_obeys_nothing_that_was_stored(folder: Path) -> None:
    filled(folder)
    page, _ = written()
    text = Path("report.html").read_text(encoding="utf-8")
    assert page.elements <= ELEMENTS
    assert page.attributes <= ATTRIBUTES
    assert not any(word in text for word in ("http://", "https://", "url(", "@import", "javascript:"))
    assert "default-src 'none'" in text
    assert not any(sign in text for sign in "\x00\x1b\u202e")
    names = [row[0] for row in page.tables["Users, those with the most first"][1:]]
    assert set(names) == {*HOSTILE[:3], HOSTILE[4], r"\u202etxt.exe\x00\x1b[31m\ud800", "(nobody)"}


def test_a_store_without_sessions_has_a_page(folder: Path) -> None:
    SqliteDb(folder / "a.db").upgrade_schema()
    page, answer = written("--days", "1")
    assert page.said.count("Nothing yet.") == 4
    assert "report.html: 0 sessions, 0 runs and 0 B told" in answer.out


def others(folder: Path) -> Iterator[str]:
    return (name for name in os.listdir(folder) if not name.startswith("a.db"))


def test_a_page_is_put_in_its_place_when_it_is_whole(folder: Path) -> None:
    SqliteDb(folder / "a.db").upgrade_schema()
    (folder / "report.html").write_text("what was there before")
    written()
    assert list(others(folder)) == ["report.html"]
    for place in ("/dev/full", "nowhere/report.html"):
        answer = run("stats", "--html", place)
        assert (answer.code, answer.out) == (1, "")
        assert f"{place} cannot be written" in answer.complaint
    answer = run("stats", "--html", "a.db")
    assert (answer.code, answer.out, "a.db is a SQLite database" in answer.complaint) == (2, "", True)
    assert list(others(folder)) == ["report.html"]
    assert run("check").code == 0
