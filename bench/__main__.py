"""Run the benchmark: ``make bench``, or ``python -m bench --quick --databases sqlite --only turn``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from bench import others, report, turns
from bench.places import Place, Places
from bench.results import Result
from bench.sizes import FULL, QUICK, Size
from tests.servers import BACKENDS

WORKS: dict[str, Callable[[Place, Size], Result]] = {
    "turn": turns.own,
    "contract": turns.contract,
    "growth": turns.growth,
    "contract-growth": turns.contract_growth,
    "listing": others.listing,
    "threads": turns.threads,
    "startup": others.startup,
    "memory": others.memory,
    "disk": others.disk,
}
PACKAGES = ("sqlalchemy", "psycopg", "pymysql", "agno", "orjson")


def main() -> None:
    """Measure what was asked for, and print it. Ends well however slow it was."""
    options = _options()
    console, size = Console(width=None if sys.stdout.isatty() else 170), QUICK if options.quick else FULL
    result = Result(about=_about(size))
    with Places(options.databases) as places:
        result.about["servers"] = places.versions()
        for name in options.only:
            for backend in options.databases:
                with places.new(backend) as place, console.status(f"{name} on {place.title}"):
                    # Each in a process of its own: what one imports, agno above all, must not change the next.
                    result.add(others.in_a_new_process(WORKS[name], place, size))
                if options.json:  # after each work: one that is ended early has measured what it has measured
                    options.json.write_text(json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n")
    report.show(result, console)
    if options.plot:
        report.plot(result, options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: to see that it works")
    parser.add_argument("--databases", type=_of(BACKENDS), default=list(BACKENDS), metavar="A,B")
    parser.add_argument("--only", type=_of(tuple(WORKS)), default=list(WORKS), metavar="A,B", help=", ".join(WORKS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the table there, as PNG; needs matplotlib")
    return parser.parse_args()


def _of(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := sorted(set(chosen) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return [name for name in known if name in chosen]

    return names


def _about(size: Size) -> dict[str, object]:
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": load}
    return {"machine": machine, "packages": packages, "size": asdict(size)}


if __name__ == "__main__":
    main()
