"""What agno_store does, in five steps on a SQLite file: ``make demo``, or ``python examples/demo.py``.

Each step is a process of its own, so nothing is remembered but what the file holds. The model runs
offline and answers from the messages in its prompt alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

SESSION = "ada-and-the-assistant"
console = Console(highlight=False)


def main() -> None:
    """Run the whole demonstration; fail if the name is forgotten."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'agents.db')}"
        step("1. A deploy pipeline makes the tables", ["agno-store", "upgrade", "--db-url", url])
        step("2. An agent is told a name, and its process ends", ["talk", url, "Hello! My name is Ada."])
        answer = step("3. A new process, a new agent: does it remember?", ["talk", url, "What is my name?"])
        step("4. What the store holds of it", ["show", url])
        step("5. The store's history", ["agno-store", "history", "--db-url", url])
        step("", ["agno-store", "check", "--db-url", url, "--drift"])
    if "Ada" not in answer:
        sys.exit("The name was forgotten.")
    console.print("\n[bold green]It remembered.[/]")


def step(title: str, words: list[str]) -> str:
    """Run one step in a process of its own, show what it prints, and return that."""
    if title:
        console.print()
        console.print(Rule(title, align="left", style="cyan"))
    if words[0] == "agno-store":
        console.print(f"$ {' '.join(words)}", style="dim")
        command = [sys.executable, "-m", "agno_store", *words[1:]]
    else:
        command = [sys.executable, __file__, *words]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    console.print(ended.stdout.rstrip(), markup=False)
    return ended.stdout


def talk(url: str, message: str) -> None:
    """Say one thing to an agent that knows the store and nothing else."""
    from agno.agent import Agent
    from offline_model import OfflineModel

    from agno_store import open_db

    with open_db(url) as db:
        agent = Agent(
            name="Assistant",
            model=OfflineModel(),
            db=db,
            session_id=SESSION,
            user_id="ada",
            add_history_to_context=True,
            num_history_runs=5,
            enable_session_summaries=True,
            telemetry=False,
        )
        print(f"user       {message}")
        print(f"assistant  {agent.run(message).content}")


def show(url: str) -> None:
    """Print a session as it is stored. agno is not needed for this."""
    from agno_store import open_db

    with open_db(url) as db:
        session = db.get_session(SESSION)
        print(f"session {session.session_id} of {session.user_id}, {len(session.runs)} runs")
        for run in session.runs:
            print(f"  run {run.run_index}  {run.status}")
            for message in run.messages:
                # Each run holds the history that its prompt was given, too.
                if message["role"] in ("user", "assistant") and not message.get("from_history"):
                    print(f"    {message['role']:<10} {message['content']}")
        print(f"summary: {session.summary.summary} {session.summary.topics}")


if __name__ == "__main__":
    steps = {"talk": talk, "show": show}
    if len(sys.argv) > 1:
        steps[sys.argv[1]](*sys.argv[2:])
    else:
        main()
