"""The picture in README.md shows what the command shows."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from xml.etree import ElementTree

from tests.cli.program import environment
from tests.package.source import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def said(svg: str) -> list[str]:
    """Return the lines of a picture, whatever release of Rich has drawn it."""
    lines: dict[str, str] = {}
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        place = element.get("y", "")
        lines[place] = lines.get(place, "") + html.unescape(element.text or "")
    return [" ".join(line.split()) for line in lines.values() if line.strip()]


def test_the_picture_of_the_command_line_is_what_it_shows() -> None:
    command = [sys.executable, str(ROOT / "examples" / "picture.py")]
    drawn = subprocess.run(command, env=environment(), capture_output=True, timeout=120, check=True).stdout.decode()
    picture = (ROOT / "docs" / "cli.svg").read_text(encoding="utf-8")
    assert said(picture) == said(drawn), "run: python examples/picture.py > docs/cli.svg"
    assert {"$ agno-store sessions show rome", "user Yes, please."} <= set(said(picture))
    assert not re.search(r"url\((?!#)|href|<script", picture)
