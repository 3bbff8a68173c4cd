"""Running ``agno-store`` and reading what it answered."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agno_store.cli import main

ROOT = Path(__file__).resolve().parents[2]

COMMANDS: dict[str, tuple[str, ...]] = {
    "upgrade": ("upgrade",),
    "check": ("check",),
    "current": ("current",),
    "history": ("history",),
    "downgrade": ("downgrade", "--to", "base", "--yes"),
    "stamp": ("stamp", "head"),
    "doctor": ("doctor",),
    "backfill": ("backfill",),
    "sessions list": ("sessions", "list"),
    "sessions delete": ("sessions", "delete", "s1", "--yes"),
    "search": ("search", "hello"),
    "stats": ("stats",),
    "export": ("export", "sessions.jsonl"),
    "import": ("import", "sessions.jsonl"),
    "copy": ("copy", "--to-url", "sqlite:///to.db"),
    "prune": ("prune", "--older-than", "90d", "--yes"),
    "delete-user": ("delete-user", "nobody", "--yes"),
    "rekey": ("rekey", "--codec", "tests.contract.sealing:CODEC"),
}
"""Every command about a database, with what it cannot do without."""

LOOKS: dict[str, tuple[str, ...]] = {
    "sessions show": ("sessions", "show", "s1"),
    "sessions rename": ("sessions", "rename", "s1", "a name"),
    "sessions state": ("sessions", "state", "s1"),
    "runs list": ("runs", "list"),
    "runs show": ("runs", "show", "r1"),
}
"""More that find their store in the way of those."""

OF_ROWS = ("export", "import", "copy", "prune", "delete-user", "rekey")
"""Those that are about rows: they look at no revisions of an application."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile("[│╭╮╰╯─]")
_FORCING_COLOURS = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH", "COLUMNS")


@dataclass(frozen=True)
class Answer:
    """An exit code, and what was said on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What ``--json`` answered; fails where there is anything but one document on stdout."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """What is on stderr as one line, without the frame that Typer draws around a usage error."""
        return " ".join(_FRAME.sub(" ", self.err).split())


def run(*words: str) -> Answer:
    """Run the program's own main() in this process; an exception that it lets through fails the test."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["agno-store", *words])
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Answer(int(code), _COLOURS.sub("", out.getvalue()), _COLOURS.sub("", err.getvalue()))


def run_process(*command: str, directory: Path, stdin: int = subprocess.DEVNULL, **variables: str) -> Answer:
    """Run a command, by default the installed ``agno-store``, in a process of its own."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**environment(), **variables},
        stdin=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def run_installed(*words: str, directory: Path, stdin: int = subprocess.DEVNULL, **variables: str) -> Answer:
    """Run the installed ``agno-store`` in a process of its own."""
    return run_process(installed(), *words, directory=directory, stdin=stdin, **variables)


def installed() -> str:
    """Return the path of the installed program."""
    return str(Path(sysconfig.get_path("scripts")) / "agno-store")


def environment() -> dict[str, str]:
    """Return an environment without our variables, in which this checkout is what is imported."""
    kept = {name: value for name, value in os.environ.items() if not is_ours(name)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}


def is_ours(variable: str) -> bool:
    """Whether the program looks at a variable of the environment, for its options or its colours."""
    return variable.startswith("AGNO_STORE_") or variable in _FORCING_COLOURS
