"""Earlier releases of agno: programs that run on the real packages, in processes of their own.

`make agno` installs each release into `.cache/agno-<release>/`, without what it depends on: that is what the agno
in this environment depends on, too. A program finds it before the other one on its path, and this checkout beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

V1 = "1.8.4"
V2 = ("2.5.0", "2.9.0")
RELEASES = (V1, *V2)


def where(release: str) -> Path:
    """Return the folder that a release of agno is installed in.

    Raises RuntimeError where it is not.
    """
    folder = ROOT / ".cache" / f"agno-{release}"
    if not (folder / "agno").is_dir():
        raise RuntimeError(f"agno {release} is not in {folder}. Run: make agno")
    return folder


def run(
    release: str | None,
    module: str,
    *arguments: str,
    said: str | None = None,
    directory: Path = ROOT,
    timeout: float = 120,
) -> Any:
    """Run a module of tests/ on a release of agno and return what its last line says, which is JSON.

    Without a release it runs on the agno of this environment. ``said`` is what the program is told on its standard
    input. What it and agno log is in the failure.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=directory,
        env=_environment(release),
        input=said,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _environment(release: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGNO_")}
    paths = [*([] if release is None else [str(where(release))]), str(ROOT)]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "AGNO_TELEMETRY": "false", "AGNO_MONITOR": "false"}
