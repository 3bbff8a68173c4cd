"""A codec on the command line: what is sealed is read with it, and a new key replaces an old one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agno_store import open_db
from agno_store.codecs import AesGcm
from tests.cli.program import run, run_installed
from tests.contract.samples import run as run_of
from tests.contract.samples import session
from tests.contract.sealing import codec, keys_of
from tests.package.documents import blocks, typed
from tests.package.source import ROOT

CANARY = "Canary-9d2e"

SHOP = """
from agno_store.codecs import AesGcm
KEYS = {"2025": bytes(range(32)), "2026": bytes(range(32, 64))}
codec = AesGcm(KEYS, current="2026")
old = AesGcm({"2025": KEYS["2025"]})
none = 5
unset = None

def made():
    return codec

def keyless():
    return None

def fails():
    raise RuntimeError("no key at hand")
"""


@pytest.fixture
def sealed(fresh_url: str, folder: Path) -> str:
    """A store with one session under an old key and one in the clear, and a module with codecs in the folder."""
    (folder / "shop_codecs.py").write_text(SHOP)
    for session_id, options in (("old", {"codec": codec("2025")}), ("clear", {})):
        with open_db(fresh_url, **options) as db:
            db.upsert_session(session(session_id, metadata={"note": CANARY}), run=run_of(f"r {session_id}", CANARY))
    return fresh_url


def test_what_is_sealed_is_shown_with_the_codec_alone(sealed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("sessions", "show", "old", "--db-url", sealed)
    assert (shown.code, CANARY in shown.out) == (0, False)
    assert "is sealed with the key '2025', and this store has no codec=" in " ".join(shown.out.split())
    for words in (("--codec", "shop_codecs:codec"), ("--codec", "shop_codecs:made")):
        shown = run("sessions", "show", "old", "--db-url", sealed, *words)
        assert (shown.code, CANARY in shown.out, shown.err) == (0, True, "")
    monkeypatch.setenv("AGNO_STORE_CODEC", "shop_codecs:old")
    found = run("search", CANARY, "--db-url", sealed, "--json").document
    assert {one["session_id"] for one in found["sessions"]} == {"old", "clear"}


def test_rekey_says_what_it_has_sealed(sealed: str, folder: Path) -> None:
    words = ("rekey", "--db-url", sealed)
    refused = run(*words)
    assert (refused.code, "--codec" in refused.complaint, "stopped" in refused.err) == (2, True, False)
    (folder / "pyproject.toml").write_text("[tool.agno-store]\ncodec = 'shop_codecs:codec'\n")
    answer = run(*words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "agent_sessions: 2 sessions, 2 runs and 0 summaries sealed\n"
    assert run(*words, "--json").document == {
        "store": "agent_sessions", "sessions": 0, "runs": 0, "summaries": 0, "left": 0, "exit_code": 0
    }  # fmt: skip
    with open_db(sealed) as db:
        assert set(keys_of(db)) == {"2026"}
    left = run(*words, "--codec", "shop_codecs:old")
    assert (left.code, "4 payloads cannot be opened" in left.complaint) == (1, True)


def test_a_copy_is_sealed_with_the_codec_of_its_target(sealed: str, folder: Path) -> None:
    for name, words in (
        ("clear", ("--from-codec", "shop_codecs:codec")),
        ("2026", ("--from-codec", "shop_codecs:codec", "--to-codec", "shop_codecs:codec")),
    ):
        target = f"sqlite:///{folder}/{name}.db"
        answer = run("copy", "--from-url", sealed, "--to-url", target, *words, "--verify")
        assert answer.code == 0, answer.err
        with open_db(target) as db:
            assert set(keys_of(db)) == {name}
    assert run("export", "all.jsonl", "--db-url", sealed, "--codec", "shop_codecs:codec").code == 0
    assert (folder / "all.jsonl").read_text().count(CANARY) == 4
    target = f"sqlite:///{folder}/imported.db"
    assert run("import", "all.jsonl", "--db-url", target, "--codec", "shop_codecs:codec").code == 0
    with open_db(target) as db:
        assert set(keys_of(db)) == {"2026"}


WRONG = {
    "shop_codecs": "write module:object",
    "shop_codecs:nothing": "--codec shop_codecs:nothing cannot be imported",
    "shop_codecs:none": "it must have key_id, encode() and decode()",
    "shop_codecs:fails": "--codec shop_codecs:fails fails: RuntimeError",
    "shop_codecs:unset": "--codec shop_codecs:unset is None where a codec has to be",
    "shop_codecs:keyless": "--codec shop_codecs:keyless is None where a codec has to be",
}


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize(("named", "said"), WRONG.items(), ids=WRONG.keys())
def test_a_codec_that_cannot_be_had_is_said(sealed: str, folder: Path, named: str, said: str) -> None:
    answer = run_installed("runs", "list", "--db-url", sealed, "--codec", named, directory=folder)
    assert (answer.code, said in answer.complaint) == (2, True), answer.err


@pytest.mark.backends("sqlite")
@pytest.mark.parametrize("option", ["--from-codec", "--to-codec"])
def test_of_two_codecs_the_one_that_cannot_be_had_is_named(sealed: str, folder: Path, option: str) -> None:
    answer = run("copy", "--from-url", sealed, "--to-url", f"sqlite:///{folder}/to.db", option, "shop_codecs:fails")
    assert (answer.code, f": {option} shop_codecs:fails fails: RuntimeError" in answer.complaint) == (2, True)


@pytest.mark.backends("sqlite")
def test_nothing_is_copied_in_the_clear_where_the_codec_has_no_key(sealed: str, folder: Path) -> None:
    words = ("--to-url", f"sqlite:///{folder}/to.db", "--to-codec", "shop_codecs:keyless")
    answer = run("copy", "--from-url", sealed, "--from-codec", "shop_codecs:codec", *words)
    assert (answer.code, "--to-codec shop_codecs:keyless is None" in answer.complaint) == (2, True)
    assert not (folder / "to.db").exists()


@pytest.mark.backends("sqlite")
def test_the_commands_of_the_guide_work_with_the_codec_of_the_guide(folder: Path) -> None:
    found = blocks(ROOT / "docs/howto/encryption.md")
    module = next(block.text for block in found if block.language == "python").partition("\n\ndb = ")[0]
    (folder / "shop").mkdir()
    (folder / "shop" / "storage.py").write_text(re.sub(r"(?m)^os\.environ\[.*\n", "", module))
    with open_db(f"sqlite:///{folder}/agents.db") as db:
        db.upsert_run(run_of("r", CANARY), "s")
    answers, key = [], AesGcm.new_key()
    for line in (line for block in found if block.language == "console" for _, line in typed(block)):
        program, *words = shlex.split(re.sub(r"postgresql://\S+", "sqlite:///copy.db", line))
        if program == "agno-store":
            answers.append(run_installed(*words, directory=folder, AGENTS_KEY=key))
            assert answers[-1].code == 0, answers[-1].err
    assert [answer.out.splitlines()[0] for answer in answers] == [
        "agent_sessions: 0 sessions, 1 run and 0 summaries sealed",
        "  sessions: 1 new, 0 replaced by a newer one, 0 there already",
    ]
