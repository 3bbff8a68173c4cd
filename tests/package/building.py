"""Building the distributions and installing them into an environment of their own, once for a test run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.package.source import ROOT

UV = Path(sysconfig.get_path("scripts")) / "uv"
"""It does in one second what pip does in ten."""


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that ``make`` has filled, in whichever worker of pytest-xdist was first."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with alone(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same file."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def command(*words: object, directory: Path) -> str:
    """Run a command that must succeed, with nothing of this checkout on its path, and return its stdout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AGNO_STORE_"))}
    done = subprocess.run(
        [str(word) for word in words], cwd=directory, env=kept, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path) -> None:
    """Build the sdist, and the wheel from the sdist."""
    command(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, ROOT, directory=folder)


class Environment:
    """A virtual environment with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True)

    def install(self, distribution: Path) -> None:
        """Install a distribution, with all that it needs."""
        to = ("--python", self.folder / "bin" / "python")
        command(UV, "pip", "install", "--quiet", *to, distribution, directory=self.folder)
