"""Packages of Debian and Ubuntu that the servers are in, installed or only unpacked.

What was unpacked and not installed (see install.py) is run by the loader and with the libraries that were
unpacked with it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"
LIBRARIES = ("lib/*-linux-gnu*", "usr/lib/*-linux-gnu*")


@dataclass(frozen=True)
class Package:
    """A package, and how to find the one file of it that counts."""

    name: str
    variable: str  # of the environment; names that file instead
    candidates: Callable[[], Iterator[Path]]  # best first
    missing: str  # what to say, and do, if there is none
    unpacked: Path  # packages that have to fit each other share a directory
    has_service: bool = False  # installing it would start one
    essential: bool = False  # not just some tests need it

    def find(self) -> Path:
        """Return the file, only the variable's where that is set; RuntimeError if there is none."""
        if chosen := os.environ.get(self.variable):
            if not Path(chosen).is_file():
                raise RuntimeError(f"{self.variable}={chosen}: there is no such file")
            return Path(chosen).resolve()
        for candidate in self.candidates():
            if os.access(candidate, os.R_OK):
                return candidate.resolve()
        raise RuntimeError(self.missing)


def call(binary: Path) -> list[str]:
    """The command that runs the binary, with its own loader and libraries if it was only unpacked."""
    libraries = _libraries(root(binary))
    loaders = [loader for directory in libraries for loader in sorted(directory.glob("ld-linux*.so*"))]
    if not loaders:
        return [str(binary)]
    return [str(loaders[0]), "--library-path", ":".join(map(str, libraries)), str(binary)]


def copy(binary: Path, directory: Path) -> Path:
    """Copy a binary, with the loader and libraries if it was only unpacked, and return the copy."""
    origin = root(binary)
    for libraries in _libraries(origin):
        shutil.copytree(libraries, directory / libraries.relative_to(origin), symlinks=True)
    copied = directory / binary.relative_to(origin)
    copied.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(binary, copied))


def root(binary: Path) -> Path:
    """The directory that is `/` to a package with the binary in /usr/sbin."""
    return Path("/", *binary.parts[1:-3])


def _libraries(origin: Path) -> list[Path]:
    """The directories of the libraries that were unpacked here."""
    if origin == Path("/"):
        return []
    return [path for pattern in LIBRARIES for path in sorted(origin.glob(pattern)) if path.is_dir()]
