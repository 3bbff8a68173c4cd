"""CHANGELOG.md is in the form of Keep a Changelog, and says of the release that it was written."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

from agno_store.release import __version__, order
from tests.package.source import ROOT

UNRELEASED = "Unreleased"
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


class Section(NamedTuple):
    """What changed with a release: its entries by their kind."""

    name: str
    date: str | None
    entries: dict[str, list[str]]


def sections(text: str) -> list[Section]:
    """Return the sections of a changelog; fails for a line that is of no form of its own."""
    found: list[Section] = []
    for line in text.splitlines():
        if heading := re.fullmatch(r"## \[(.+?)\](?: - (.+))?", line):
            found.append(Section(heading[1], heading[2], {}))
        elif line.startswith("### "):
            assert line[4:] not in found[-1].entries, f"{line} stands twice in {found[-1].name}"
            found[-1].entries[line[4:]] = []
        elif found and line.startswith("- "):
            next(reversed(found[-1].entries.values())).append(line)
        else:
            assert not found or not line or line.startswith("  "), f"not in the form of Keep a Changelog: {line}"
    return found


def test_the_changelog_has_the_form_of_one() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Change")
    found = sections(text)
    for section in found:
        kinds = list(section.entries)
        assert kinds == sorted(kinds, key=KINDS.index), section.name
        assert all(section.entries.values()), f"{section.name} has a heading with nothing below"
    released = [section for section in found if section.name != UNRELEASED]
    assert released in (found, found[1:])
    assert [section.name for section in released] == sorted(
        {section.name for section in released}, key=order, reverse=True
    )
    dates = [datetime.date.fromisoformat(str(section.date)) for section in released]
    assert dates == sorted(dates, reverse=True)


def test_the_changelog_begins_with_the_release_that_this_is() -> None:
    first = sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|(a|b|rc)\d+)?", __version__)
    if "dev" in __version__:
        assert first.name == UNRELEASED
    else:
        assert (first.name, first.date is None) == (__version__, False)
