"""Export, import and copy on the command line."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agno_store import open_db
from agno_store.transfer import Reading, digest
from tests.cli.program import environment, installed, run, run_installed, run_process
from tests.contract.database import content, overwrite
from tests.contract.samples import append, session
from tests.servers import databases
from tests.servers.plugin import fresh_database

Fresh = Callable[[str], str]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    """Return the URL of a new database."""
    with ExitStack() as stack:
        yield lambda backend: stack.enter_context(fresh_database(backend, tmp_path))


def filled(url: str) -> None:
    """Store three sessions."""
    with open_db(url) as db:
        for key, user in (("a", "ada"), ("b", "bob"), ("c", None)):
            db.upsert_session(session(key, user_id=user, summary={"summary": key}))
            append(db, key, "r1", "r2")
        overwrite(db, "sessions", "updated_at", 1_000_000, session_id="a")


def rows(url: str, **options: Any) -> Any:
    with open_db(url, **options) as db:
        return content(db)


def digests(url: str) -> list[str]:
    with open_db(url) as db:
        return [digest(found) for key in "abc" if (found := Reading(db).content(key))]


def keys(url: str, **options: Any) -> list[str]:
    return [row["session_id"] for row in rows(url, **options)["sessions"]]


COUNTED = {"planned": False, "verified": 3, "problems": [], "exit_code": 0}
NEW = {"inserted": 3, "updated": 0, "kept": 0}


def test_a_copy_is_the_same_all_the_way_round(backend: str, fresh: Fresh) -> None:
    first = before = fresh(backend)
    filled(first)
    for other in [*(name for name in databases() if name != backend), backend]:
        there = fresh(other)
        answer = run("copy", "--from-url", before, "--to-url", there, "--verify", "--json")
        assert (answer.code, answer.err) == (0, "")
        assert answer.document == {"sessions": NEW, "runs": {**NEW, "inserted": 6}, "summaries": NEW, **COUNTED}
        before = there
    assert rows(before) == rows(first)
    assert digests(before) == digests(first) != []


def test_what_is_exported_is_imported(backend: str, fresh: Fresh, folder: Path) -> None:
    source, target = fresh(backend), fresh(backend)
    filled(source)
    answer = run("export", "x.jsonl.gz", "--db-url", source)
    assert (answer.code, answer.out) == (0, "x.jsonl.gz: 3 sessions, 6 runs and 3 summaries written\n")
    planned = run("import", "x.jsonl.gz", "--db-url", target, "--plan")
    assert (planned.code, "sessions: 3 new, 0 replaced by a newer one, 0 there already (a plan" in planned.out) == (
        0,
        True,
    )
    assert run("check", "--db-url", target).code == 3
    for said in ("3 new, 0 replaced by a newer one, 0 there", "0 new, 0 replaced by a newer one, 3 there already\n"):
        answer = run("import", "x.jsonl.gz", "--db-url", target, "--verify")
        assert (answer.code, f"  sessions: {said}" in answer.out) == (0, True)
        assert "3 sessions compared" in answer.out
    assert rows(target) == rows(source)
    assert [file.name for file in folder.iterdir()] == ["x.jsonl.gz"]


FILTERS = {
    "--user ada": "a",
    "--type team": "",
    "--component helper": "",
    "--session a --session c": "ac",
    "--newer-than 30d": "bc",
    "--older-than 30d": "a",
    "--older-than 1970-01-03": "a",
    "--newer-than 2020-01-01T00:00:00Z": "bc",
    "--newer-than 90m --user bob": "b",
}


@pytest.mark.backends("sqlite")
def test_only_the_sessions_that_are_meant_are_brought(fresh: Fresh, folder: Path) -> None:
    source = fresh("sqlite")
    filled(source)
    assert run("export", "all.jsonl", "--db-url", source).code == 0
    for words, expected in FILTERS.items():
        exported, imported, copied = fresh("sqlite"), fresh("sqlite"), fresh("sqlite")
        assert run("export", "some.jsonl", "--db-url", source, *words.split()).code == 0
        assert run("import", "some.jsonl", "--db-url", exported).code == 0
        assert run("import", "all.jsonl", "--db-url", imported, *words.split()).code == 0
        assert run("copy", "--db-url", source, "--to-url", copied, *words.split()).code == 0
        for url in (exported, imported, copied):
            assert keys(url) == list(expected), words


@pytest.mark.backends("sqlite")
def test_tables_and_tenants_are_named_on_both_sides(fresh: Fresh, folder: Path) -> None:
    url = fresh("sqlite")
    with open_db(url, table_name="talks", tenant_id="one") as db:
        append(db, "s", "r")
    copied = ("--to-table", "copies", "--to-tenant", "two")
    assert (
        run("copy", "--from-url", url, "--from-table", "talks", "--from-tenant", "one", "--to-url", url, *copied).code
        == 0
    )
    there = ("--db-url", url, "--table", "copies", "--tenant")
    assert "1 session," in run("export", "x.jsonl", *there, "two").out
    assert "0 sessions" in run("export", "y.jsonl", *there, "one").out
    assert run("import", "x.jsonl", *there, "three").code == 0
    assert "1 session," in run("export", "y.jsonl", *there, "three").out


@pytest.mark.backends("sqlite")
def test_what_is_left_out_is_said_and_the_exit_code_says_so(fresh: Fresh, folder: Path) -> None:
    source, target = fresh("sqlite"), fresh("sqlite")
    filled(source)
    assert run("export", "x.jsonl", "--db-url", source).code == 0
    lines = (folder / "x.jsonl").read_text().splitlines()
    (folder / "x.jsonl").write_text("\n".join([*lines[:2], lines[2][:40], *["{}"] * 30, lines[3]]))
    answer = run("import", "x.jsonl", "--db-url", target)
    assert (answer.code, keys(target)) == (1, ["a", "c"])
    assert "left out: line 3: it is no JSON" in answer.err
    assert "and 12 more, which --json lists" in answer.err
    answer = run("import", "x.jsonl", "--db-url", target, "--json")
    assert (answer.code, answer.document["exit_code"], len(answer.document["problems"])) == (1, 1, 32)
    assert answer.document["problems"][-1]["place"] == "the end"


REFUSED = {
    ("import", "x.jsonl", "--db-url", "sqlite:///a.db", "--plan", "--verify"): "--verify: nothing is stored by --plan",
    ("import", "-", "--db-url", "sqlite:///a.db", "--verify"): "--verify: what came from stdin cannot be read again",
    ("copy", "--from-url", "sqlite:///a.db", "--to-url", "sqlite:///b.db", "--plan", "--verify"): "--verify: nothing",
    ("export", "-", "--db-url", "sqlite:///a.db", "--json"): "the sessions are the answer already",
    (
        "export",
        "x.jsonl",
        "--db-url",
        "sqlite:///a.db",
        "--newer-than",
        "soon",
    ): "--newer-than: 'soon' is neither an age",
    ("export", "x.jsonl", "--db-url", "sqlite:///a.db", "--type", "robot"): "session_type='robot' is not one of",
    ("export", "postgresql://ada:secret99@host/db", "--db-url", "sqlite:///a.db"): "A URL is no file",
    ("import", "postgresql://ada:secret99@host/db", "--db-url", "sqlite:///a.db"): "A URL is no file",
    ("copy", "--from-url", "sqlite:///a.db"): "--to-url",
    ("copy", "--to-url", "sqlite:///a.db"): "--db-url",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_a_mistake_changes_nothing(folder: Path, words: tuple[str, ...]) -> None:
    answer = run(*words)
    assert answer.code == 2
    assert REFUSED[words] in answer.complaint
    assert "secret99" not in answer.err
    assert list(folder.iterdir()) == []


@pytest.mark.backends("sqlite")
def test_a_store_that_is_not_there_is_not_made_to_be_read(fresh: Fresh, folder: Path) -> None:
    to = fresh("sqlite")
    for words in (("export", "x.jsonl"), ("copy", "--to-url", to)):
        answer = run(*words, "--db-url", "sqlite:///nothing.db")
        assert (answer.code, "has no tables yet" in answer.complaint) == (3, True)
    assert list(folder.iterdir()) == []
    answer = run("import", "nothing.jsonl", "--db-url", to)
    assert (answer.code, "nothing.jsonl cannot be read: No such file" in answer.complaint) == (2, True)
    answer = run("copy", "--from-url", to, "--to-url", to)
    assert answer.code in (2, 3)


@pytest.mark.backends("sqlite")
def test_sessions_go_through_a_pipe(fresh: Fresh, folder: Path) -> None:
    source, target = fresh("sqlite"), fresh("sqlite")
    filled(source)
    answer = run_installed("export", "-", "--db-url", source, directory=folder)
    assert (answer.code, answer.err) == (0, "3 sessions, 6 runs and 3 summaries written\n")
    first = [next(iter(json.loads(line))) for line in answer.out.splitlines()]
    assert first == ["agno_store_export", *["session"] * 3, "end"]
    done = subprocess.run(
        [installed(), "import", "-", "--db-url", target, "--json"],
        input=answer.out.encode(),
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, json.loads(done.stdout)["sessions"]) == (0, NEW)
    assert rows(target) == rows(source)


@pytest.mark.backends("sqlite")
def test_a_stream_that_is_closed_is_named(fresh: Fresh, folder: Path) -> None:
    url = fresh("sqlite")
    filled(url)
    for words, closed, reason in (
        (("import", "-"), "<&-", "stdin is closed: there is nothing to read."),
        (("export", "-"), ">&-", "stdout is closed: there is nothing to write to."),
        (("prune", "--older-than", "0s"), "<&-", "Nothing was changed. Add --yes to do it without being asked."),
    ):
        command = f"{shlex.join([installed(), *words, '--db-url', url])} {closed}"
        answer = run_process("sh", "-c", command, directory=folder)
        assert (answer.code, answer.err) == (1, f"{reason}\n")


@pytest.mark.backends("sqlite")
def test_what_a_shell_has_opened_is_written_behind_what_is_there(fresh: Fresh, folder: Path) -> None:
    url, program = fresh("sqlite"), shlex.quote(installed())
    filled(url)
    assert run("export", "x.jsonl", "--db-url", url).code == 0
    whole, where = (folder / "x.jsonl").read_text(), f"--db-url {url}"
    (folder / "all.jsonl").write_text("before\n")
    (folder / "page.html").write_text("before\n")
    for command, said in (
        (f"{program} export /dev/stdout {where} >> all.jsonl", "3 sessions, 6 runs and 3 summaries written\n"),
        (f"{program} export /dev/stdout {where} | cat > piped.jsonl", "3 sessions, 6 runs and 3 summaries written\n"),
        (f"{program} export >(gzip > packed.gz) {where} > told; wait $!", ""),
        (f"{program} stats --html /dev/stdout {where} >> page.html", "/dev/stdout: 3 sessions, 6 runs and "),
    ):
        answer = run_process("bash", "-c", command, directory=folder)
        assert (answer.code, answer.out, answer.err[: len(said) or None]) == (0, "", said), command
    assert (folder / "all.jsonl").read_text() == f"before\n{whole}"
    assert (folder / "piped.jsonl").read_text() == whole
    assert gzip.decompress((folder / "packed.gz").read_bytes()).decode() == whole
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert (page[:7], page.rstrip()[-7:]) == ("before\n", "</html>")
    assert run("export", "/dev/stdout", "--json", "--db-url", url).code == 2
