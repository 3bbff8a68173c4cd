"""``agno-store backfill``, and what ``upgrade`` says of it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from pathlib import Path

import pytest

from agno_store.migrations.backfill import run as fill
from tests.cli.program import environment, installed, run
from tests.migrations.backfilling import IDS, counts, filled, written

ROWS = len(IDS)


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A folder with a revision that has a backfill."""
    return written(tmp_path)


def test_upgrade_says_that_rows_are_to_be_filled(fresh_url: str, versions: Path) -> None:
    words = ("upgrade", "--versions", str(versions), "--db-url", fresh_url)
    answer = run(*words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("  app1 has rows to fill beside your writers: agno-store backfill\n")
    assert run(*words, "--json").document["backfills"] == ["app1"]
    assert run("backfill", *words[1:]).code == 0
    answer = run(*words)
    assert "rows to fill" not in answer.out
    assert run(*words, "--json").document["backfills"] == []


def test_it_fills_and_says_how_many(fresh_url: str, versions: Path) -> None:
    migrator = filled(fresh_url, versions)
    words = ("backfill", "--versions", str(versions), "--db-url", fresh_url)
    answer = run(*words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"  app1  what app1_first brings: {ROWS} rows of agent_sessions filled\n"
    assert counts(migrator) == [1] * ROWS
    answer = run(*words)
    assert (answer.code, answer.out, answer.err) == (0, "No backfill is pending.\n", "")
    assert run(*words, "--json").document == {"backfills": []}


def test_as_json_it_is_one_document(fresh_url: str, versions: Path) -> None:
    filled(fresh_url, versions)
    answer = run("backfill", "--versions", str(versions), "--db-url", fresh_url, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document == {"backfills": [{"revision": "app1", "message": "what app1_first brings", "rows": ROWS}]}


@pytest.mark.backends("sqlite")
def test_batch_and_pause_are_obeyed(fresh_url: str, versions: Path) -> None:
    migrator = filled(fresh_url, versions)
    words = ("backfill", "--versions", str(versions), "--db-url", fresh_url)
    begun = time.monotonic()
    assert run(*words, "--batch", "4", "--pause", "0.3").code == 0
    assert 3 * 0.3 < time.monotonic() - begun < 8
    assert counts(migrator) == [1] * ROWS


@pytest.mark.backends("sqlite")
def test_one_that_was_interrupted_goes_on(fresh_url: str, versions: Path) -> None:
    migrator = filled(fresh_url, versions)

    def interrupt(done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(migrator, "app1", batch=5, on_progress=interrupt)
    answer = run("backfill", "--versions", str(versions), "--db-url", fresh_url, "--json")
    assert answer.document["backfills"][0]["rows"] == ROWS - 5
    assert counts(migrator) == [1] * ROWS


@pytest.mark.parametrize("words", [("--batch", "0"), ("--batch", "x"), ("--pause", "-1"), ("--pause", "nan")])
def test_what_makes_no_sense_is_a_usage_error(words: tuple[str, str]) -> None:
    answer = run("backfill", "--db-url", "sqlite://", *words)
    assert (answer.code, answer.out) == (2, "")
    assert words[0] in answer.complaint


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_progress_is_shown_on_a_terminal_and_nowhere_else(
    fresh_url: str, versions: Path, folder: Path, terminal: bool
) -> None:
    filled(fresh_url, versions)
    words = ("backfill", "--versions", str(versions), "--db-url", fresh_url, "--batch", "3", "--pause", "0.2")
    master, slave = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [installed(), *words], cwd=folder, env={**environment(), "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        shown = everything(master)
        assert process.stdout is not None
        out = process.stdout.read().decode()
    assert process.returncode == 0
    assert out == f"  app1  what app1_first brings: {ROWS} rows of agent_sessions filled\n"
    if terminal:
        assert "app1 what app1_first brings" in shown
        assert len(set(re.findall(rf"\d+/{ROWS}", shown))) > 2
    else:
        assert shown == ""


def everything(descriptor: int) -> str:
    """Return what is written there until the other end is closed."""
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:  # a terminal's way to say that it was closed
        pass
    finally:
        os.close(descriptor)
    return b"".join(parts).decode()
