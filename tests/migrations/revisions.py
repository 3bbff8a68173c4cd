"""Revisions of an application, written into a folder."""

from __future__ import annotations

import textwrap
from pathlib import Path

HEAD = """
import sqlalchemy as sa

from agno_store import types
"""

VARIABLES = """
revision = "app1"
down_revision = None
branch_labels = ("application",)
requires = "0003"
"""

DOWNGRADE = """
def downgrade(op, n):
    op.drop_index(f"ix_{n.sessions}_gone", n.sessions, schema=n.schema)
"""


def write(
    folder: Path,
    upgrade: str,
    *,
    head: str = HEAD,
    variables: str = VARIABLES,
    downgrade: str = DOWNGRADE,
    name: str = "app1_first",
) -> Path:
    """Write a revision with this body of ``upgrade``, and return its folder."""
    folder.mkdir(exist_ok=True)
    parts = [f'"""what {name} brings"""', *(textwrap.dedent(part).strip("\n") for part in (head, variables))]
    body = textwrap.indent(textwrap.dedent(upgrade).strip("\n"), "    ")
    parts += ["", f"def upgrade(op, n):\n{body}", "", textwrap.dedent(downgrade).strip("\n"), ""]
    (folder / f"{name}.py").write_text("\n\n".join(part for part in parts if part is not None), encoding="utf-8")
    return folder


def line(folder: Path, text: str, name: str = "app1_first") -> int:
    """Return the line of a revision that holds a text, which must be in one line only."""
    lines = (folder / f"{name}.py").read_text(encoding="utf-8").splitlines()
    [found] = [number for number, content in enumerate(lines, start=1) if text in content]
    return found
