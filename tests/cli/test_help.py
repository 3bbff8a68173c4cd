"""Help, completion, and the ways to start the program."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from agno_store import __version__
from agno_store.cli.exits import Exit
from agno_store.tables import REVISIONS
from tests.cli.program import COMMANDS, LOOKS, installed, run, run_installed, run_process


@pytest.mark.parametrize("command", [*COMMANDS, *LOOKS, "schema", "lint"])
def test_help_of_a_command_has_an_example_of_it(command: str) -> None:
    answer = run(*command.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"Usage: agno-store {command}" in answer.out
    example = re.search("Example: *(.+)", answer.out)
    assert example
    program, *words = shlex.split(example[1])
    assert (program, *words[: len(command.split())]) == ("agno-store", *command.split())
    assert all(word in answer.out for word in words if word.startswith("--"))


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_and_every_exit_code(words: tuple[str, ...]) -> None:
    answer = run(*words)
    said = answer.out + answer.err
    assert all(re.search(rf"^│ {command.split()[0]}\b", said, re.MULTILINE) for command in COMMANDS)
    listed = " ".join(said.split())
    for code in Exit:
        assert f"{int(code)} {code.name.lower().replace('_', ' ')}" in listed


def test_the_version_is_the_packages() -> None:
    answer = run("--version")
    assert (answer.code, answer.out) == (0, f"agno-store {__version__}\n")


def test_python_m_agno_store_is_the_program(folder: Path) -> None:
    module = run_process(sys.executable, "-m", "agno_store", "check", "--db-url", "sqlite:///a.db", directory=folder)
    assert module == run_installed("check", "--db-url", "sqlite:///a.db", directory=folder)
    assert module.code == 3


COMPLETED = {
    "agno-store sessions re": ["rename"],
    "agno-store upgrade --to 00": list(REVISIONS),
    "agno-store stamp h": ["head"],
    "agno-store runs list --sort st": ["status"],
}


@pytest.mark.parametrize("line", COMPLETED)
def test_the_shell_completes_commands_options_and_what_they_take_and_connects_to_nothing(
    folder: Path, line: str
) -> None:
    count = str(len(line.split()) - 1)
    answer = run_installed(
        directory=folder,
        _AGNO_STORE_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=count,
        AGNO_STORE_DB_URL="sqlite:///a.db",
    )
    assert (answer.out.split(), answer.err) == (COMPLETED[line], "")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_own_way(folder: Path, shell: str) -> None:
    answer = run_installed(
        directory=folder,
        _AGNO_STORE_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="agno-store sessions re",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "rename" in answer.out
    assert "delete" not in answer.out


def test_what_is_installed_for_bash_completes_there(folder: Path) -> None:
    # Below a bash, because the program asks which shell it was called from.
    install = f"{shlex.quote(installed())} --install-completion bash"
    ask = "COMP_WORDS=(agno-store sessions re); COMP_CWORD=2; $(complete -p agno-store | sed 's/.*-F *//;s/ .*//')"
    script = f'set -e; {install}; . ~/.bashrc; {ask} agno-store re; echo "completed: ${{COMPREPLY[*]}}"'
    path = f"{Path(installed()).parent}:{os.environ['PATH']}"
    answer = run_process("bash", "-c", script, directory=folder, HOME=str(folder), PATH=path)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "completed: rename"


def test_the_program_imports_no_agno(folder: Path) -> None:
    program = """
import json, sys
from agno_store.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
    answer = run_process(sys.executable, "-c", program, "upgrade", "--db-url", "sqlite:///a.db", directory=folder)
    assert answer.code == 0
    imported = json.loads(answer.err)
    assert "agno_store" in imported
    assert "agno" not in imported
