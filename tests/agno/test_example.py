"""examples/agentos.py, as docs/howto/agentos.md starts it: what it was told outlives it."""

from __future__ import annotations

import importlib
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
from fastapi.testclient import TestClient

from agno_store import SchemaMissing, open_db
from tests.agno.conftest import ROOT
from tests.cli.program import environment, run
from tests.contract.stores import plain

PATIENCE = 120  # seconds
EXAMPLES = ROOT / "examples"


@pytest.fixture
def make(monkeypatch):
    """Make the application on the database of a URL."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def with_url(url):
        monkeypatch.setenv("AGNO_STORE_DB_URL", plain(url).render_as_string(hide_password=False))
        return importlib.import_module("agentos").make()

    return with_url


@contextmanager
def served(url):
    """Run the example under uvicorn, and give a client of it; it has to end in order."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "uvicorn", "--app-dir", EXAMPLES, "--factory", "agentos:make", "--port", str(port)]
    variables = {**environment(), "AGNO_STORE_DB_URL": url, "OPENAI_API_KEY": ""}
    with subprocess.Popen([sys.executable, *command], env=variables) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
                answers(client, server)
                yield client
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 0


def answers(client, server):
    """Wait until the server answers."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.get("/ready")
            return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError(f"the server does not answer; its exit code: {server.poll()}")


def test_what_the_example_was_told_outlives_it(tmp_path):
    url = f"sqlite:///{tmp_path}/agentos.db"
    with open_db(url) as db:
        db.upgrade_schema()

    def ask(client, message):
        data = {"message": message, "session_id": "ada-1", "user_id": "ada", "stream": "false"}
        return client.post("/agents/assistant/runs", data=data).json()["content"]

    with served(url) as client:
        assert ask(client, "My name is Ada.") == "Nice to meet you, Ada."
    with served(url) as client:
        assert client.get("/ready").json()["ready"] is True
        [session] = client.get("/sessions", params={"user_id": "ada"}).json()["data"]
        assert (session["session_id"], session["session_summary"]["topics"]) == ("ada-1", ["introductions"])
        assert ask(client, "What is my name?") == "Your name is Ada."
        assert len(client.get("/sessions/ada-1/runs").json()) == 2


def test_the_example_starts_on_tables_that_it_can_use_and_says_when_they_are_gone(fresh_url, make):
    app = make(fresh_url)
    with pytest.raises(SchemaMissing, match="agno-store upgrade"), TestClient(app):
        pass
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        with TestClient(make(fresh_url)) as client:
            assert client.get("/ready").json()["ready"] is True
            assert run("downgrade", "--to", "base", "--yes", "--db-url", fresh_url).code == 0
            gone = client.get("/ready")
    assert (gone.status_code, gone.json()) == (503, {"ready": False, "why": "SchemaMissing"})


def test_a_probe_of_the_example_learns_that_the_database_does_not_answer_and_nothing_of_where_it_is(make):
    client = TestClient(make("postgresql://ai:canary@127.0.0.1:1/ai"))  # its lifespan is not begun
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": "DatabaseUnreachable"})
