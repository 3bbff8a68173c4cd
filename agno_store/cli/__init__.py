"""The command line: each command reads its options, asks the library, shows the answer, and exits with a code."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import typer

from agno_store.cli import (
    changing,
    checking,
    describing,
    doctor,
    finding,
    lint,
    looking,
    runs,
    sealing,
    sessions,
    tidying,
    transferring,
    upgrading,
)
from agno_store.cli.app import Misuse, app
from agno_store.cli.exits import Exit, code_of
from agno_store.cli.render import Output
from agno_store.cli.signals import cleaning_up
from agno_store.errors import AgnoStoreError, InvalidArgument

__all__ = [
    "app",
    "changing",
    "checking",
    "describing",
    "doctor",
    "finding",
    "lint",
    "looking",
    "main",
    "runs",
    "sealing",
    "sessions",
    "tidying",
    "transferring",
    "upgrading",
]


def main() -> None:
    """Run ``agno-store``; every failure ends in a sentence on stderr and an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal cannot show is no reason to fail after the work is done.
            stream.reconfigure(errors="backslashreplace")
    with cleaning_up():
        _run()


def _run() -> None:
    output = Output.of_arguments(sys.argv)
    try:
        # For people Typer draws the usage around what is wrong with it, and exits by itself.
        sys.exit(app(prog_name="agno-store", standalone_mode=not output.as_json) or Exit.IN_STEP)
    except AgnoStoreError as error:
        _fail(output, error)
    except Misuse as error:
        _fail(output, InvalidArgument(error.format_message()))
    except OSError as error:
        if error.filename is not None:
            raise
        # A stream that takes no more: stdout, of which nothing else is tried.
        output.complaint(AgnoStoreError(f"The answer cannot be written: {error.strerror or error}."))
        sys.exit(Exit.FAILED)
    except typer.Abort:
        sys.exit(Exit.FAILED)


def _fail(output: Output, error: AgnoStoreError) -> NoReturn:
    code = code_of(error)
    output.failure(error, code)
    sys.exit(code)
