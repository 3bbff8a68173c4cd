"""``make demo`` shows what it says."""

from __future__ import annotations

import subprocess
import sys

from agno_store.tables import HEAD
from tests.package.source import ROOT


def test_the_demonstration_remembers_the_name_after_a_restart() -> None:
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    for part in (
        f"agent_sessions: no tables -> {HEAD}",
        "Your name is Ada.",
        "run 1  COMPLETED",
        "summary: The user is called Ada.",
        f"agent_sessions is at {HEAD}, in step",
        "It remembered.",
    ):
        assert part in shown
