"""The picture of the command line in README.md: ``python examples/picture.py > docs/cli.svg``.

The command is run, on a store that is made for it; what it answers is drawn as it is, in colours and all.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agno_store import SqliteDb

COMMAND = "agno-store sessions show rome"
COLUMNS, NOVEMBER = 84, 1700000000


def main() -> None:
    """Write the picture to stdout."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder, "agents.db"))
        console.print(Text.assemble(("$ ", "dim"), (COMMAND, "bold")))
        console.print(Text.from_ansi(answer(folder).rstrip()))
    svg = console.export_svg(title="agno-store", unique_id="agno-store")
    # Whoever looks at it shall fetch nothing from elsewhere: no font, either.
    print(re.sub(r" *@font-face \{.*?\}\n", "", svg, flags=re.DOTALL).rstrip())


def fill(file: Path) -> None:
    """Make a store with a session."""
    call = {"function": {"name": "hotels", "arguments": '{"city": "Rome", "nights": 3}'}}
    booking = {"function": {"name": "book", "arguments": '{"hotel": "Campo Suites"}'}}
    turns = [
        [
            {"role": "user", "content": "I need a hotel in Rome for the 20th, three nights."},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_name": "hotels", "content": '[{"Pantheon View": 120}, {"Campo Suites": 95}]'},
            {"role": "assistant", "content": "Campo Suites has a room for 95 € a night. Shall I book it?"},
        ],
        [
            {"role": "user", "content": "Yes, please."},
            {"role": "assistant", "tool_calls": [booking]},
            {"role": "tool", "tool_name": "book", "content": "confirmed: C-4711"},
            {"role": "assistant", "content": "It is booked from the 20th to the 23rd; the confirmation is C-4711."},
        ],
    ]
    data = {"session_name": "Trip to Rome", "session_state": {"plan": "free", "nights": 3}}
    rome = {"session_id": "rome", "agent_id": "guide", "user_id": "ada", "session_data": data}
    rome |= {"created_at": NOVEMBER, "updated_at": NOVEMBER + 71}
    rome |= {"summary": {"summary": "Ada has booked a hotel in Rome."}}
    with SqliteDb(db_file=file) as db:
        db.upsert_session(rome)
        for number, messages in enumerate(turns):
            run = {"run_id": f"r{number + 1}", "agent_id": "guide", "status": "COMPLETED", "messages": messages}
            db.upsert_run({**run, "created_at": NOVEMBER + 60 * number}, session_id="rome", user_id="ada")
        db.upsert_sessions([rome], preserve_updated_at=True)


def answer(folder: str) -> str:
    """Return what the command shows on a terminal."""
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "", "COLUMNS": str(COLUMNS), "LINES": "99"}
    given = {"AGNO_STORE_DB_URL": f"sqlite:///{folder}/agents.db", "PYTHONIOENCODING": "utf-8", **terminal}
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    words = [sys.executable, "-m", "agno_store", *COMMAND.split()[1:]]
    return subprocess.run(words, env={**variables, **given}, capture_output=True, encoding="utf-8", check=True).stdout


if __name__ == "__main__":
    main()
