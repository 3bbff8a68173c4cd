"""A store that a newer release has upgraded: used where that release says it may be, and never touched."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import (
    ConfigurationError,
    SchemaBehind,
    SchemaMissing,
    SchemaTooNew,
    UpgradeLocked,
    __version__,
    open_db,
)
from agno_store.dialects import Scope
from agno_store.migrations import Migrator
from agno_store.settings import AUTO_UPGRADE
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.cli.stores import NAMES, contents, execute
from tests.frozen import load
from tests.history import NEXT
from tests.migrations.conftest import fill
from tests.migrations.test_journal import changing, statements

NEWER = "0.3.0"
OLD_ENOUGH = ("0.1.0", "0.2.0", "0.2")
TOO_NEW = (NEWER, "0.2.1", "1.0")


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of whoever runs the tests decide."""
    monkeypatch.delenv(AUTO_UPGRADE, raising=False)


def ahead(url: str, works_with: str | None, at: str = HEAD) -> None:
    """Let a newer release have upgraded the store; None: and say nothing of who may use it."""
    execute(url, f"UPDATE {NAMES.version} SET version_num = '{NEXT}' WHERE version_num = '{at}'")
    if works_with is not None:
        values = f"(select_from, '{NEXT}', 'up', 1, 1, '{NEWER}', '{works_with}')"
        count = f"(SELECT n FROM (SELECT count(*) + 1 AS n FROM {NAMES.upgrades}) AS counted)"
        columns = "entry, revision, what, done_at, microseconds, applied_by, works_with"
        execute(url, f"INSERT INTO {NAMES.upgrades} ({columns}) VALUES {values.replace('select_from', count)}")


def rows(url: str) -> Any:
    """Return what is in the version table and in the journal."""
    found = contents(url)
    return found[NAMES.version], found.get(NAMES.upgrades)


@pytest.mark.parametrize("works_with", OLD_ENOUGH)
def test_a_store_that_this_release_works_with_is_used_with_a_warning(
    fresh_url: str, works_with: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_db(fresh_url) as db:
        fill(db)
    ahead(fresh_url, works_with)
    before = rows(fresh_url)
    with open_db(fresh_url) as db, caplog.at_level(logging.WARNING, "agno_store"):
        status = db.schema_status()
        assert (status.state, status.usable, status.works_with) == ("ahead", True, works_with)
        assert len(db.get_sessions(deserialize=False)[0]) == 3
        db.upsert_run({"run_id": "new", "agent_id": "a"}, session_id="s0")
        assert db.delete_session("s1")
        assert db.get_session("s0", deserialize=False)["runs"][-1]["run_id"] == "new"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"agent_sessions is at revision {NEXT}, ahead of this release, which works with it"]
    assert rows(fresh_url) == before


@contextmanager
def a_newer_release_that_comes_first(works_with: str | None, *, after: str) -> Iterator[None]:
    """Have a newer release upgrade a store before this one has the lock, or after it has given it back."""
    upgrading, verify = Migrator.patiently, Migrator.verify

    def overtaken(self: Any, *args: Any) -> Any:
        with open_db(self.engine.url) as db:
            upgrading(Migrator.of(db), lambda running: running.run(self.chain.resolve("head", up=True), up=True))
        ahead(str(self.engine.url.render_as_string(hide_password=False)), works_with)
        return upgrading(self, *args)

    def overtaken_later(self: Any, *args: Any, **options: Any) -> None:
        ahead(str(self.engine.url.render_as_string(hide_password=False)), works_with)
        verify(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        if after == "the look":
            patch.setattr(Migrator, "patiently", overtaken)
        else:
            patch.setattr(Migrator, "verify", overtaken_later)
        yield


@pytest.mark.parametrize("after", ["the look", "the upgrade"])
@pytest.mark.parametrize("at", ["missing", "0003"])
def test_a_first_use_that_a_newer_release_overtakes_goes_on_with_a_warning(
    fresh_url: str, at: str, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_db(fresh_url, auto_upgrade_schema=True) as db, caplog.at_level(logging.WARNING, "agno_store"):
        if at != "missing":
            Migrator.of(db).upgrade(at)
        with a_newer_release_that_comes_first("0.1.0", after=after):
            db.upsert_session({"session_id": "s"})
        assert db.get_session("s") is not None
        assert db.schema_status().current == NEXT
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"agent_sessions is at revision {NEXT}, ahead of this release, which works with it"]


@pytest.mark.parametrize("works_with", [NEWER, None])
def test_one_that_an_incompatible_release_overtakes_is_refused(fresh_url: str, works_with: str | None) -> None:
    with open_db(fresh_url) as db:
        with a_newer_release_that_comes_first(works_with, after="the look"), pytest.raises(SchemaTooNew) as raised:
            db.upsert_session({"session_id": "s"})
        assert (f"It works with agno_store {NEWER} or later." in str(raised.value)) == (works_with is not None)


@pytest.mark.parametrize("words", [("upgrade",), ("history",), ("backfill",)])
def test_whoever_asks_for_more_is_told_which_release_it_works_with(fresh_url: str, words: tuple[str, ...]) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema()
    ahead(fresh_url, NEWER)
    answer = run(*words, "--db-url", fresh_url)
    assert (answer.code, f"It works with agno_store {NEWER} or later." in answer.complaint) == (4, True)


@pytest.mark.parametrize("works_with", [*TOO_NEW, None, "soon"])
def test_one_that_it_does_not_work_with_is_refused(fresh_url: str, works_with: str | None) -> None:
    with open_db(fresh_url) as db:
        fill(db)
    ahead(fresh_url, works_with)
    before = contents(fresh_url)
    with open_db(fresh_url, auto_upgrade_schema=True) as db:
        assert not db.schema_status().usable
        calls: list[Callable[[], Any]] = [
            db.get_sessions,
            lambda: db.upsert_session({"session_id": "x"}),
            lambda: db.delete_session("s0"),
            db.upgrade_schema,
        ]
        for call in calls:
            with pytest.raises(SchemaTooNew, match="Nothing was changed") as raised:
                call()
        assert (raised.value.current, raised.value.head) == (NEXT, HEAD)
        with pytest.raises(SchemaTooNew) as raised:
            db.get_sessions()
        if works_with in TOO_NEW:
            assert f"It works with agno_store {works_with} or later." in str(raised.value)
    assert contents(fresh_url) == before


def test_the_last_line_of_the_journal_about_its_revision_counts(fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema()
        for works_with, usable in (("0.1.0", True), (NEWER, False), ("0.2.0", True)):
            if works_with != "0.1.0":
                execute(fresh_url, f"UPDATE {NAMES.version} SET version_num = '{HEAD}'")
            ahead(fresh_url, works_with)
            assert db.schema_status().usable is usable
        execute(fresh_url, f"UPDATE {NAMES.version} SET version_num = '9999'")
        assert not db.schema_status().usable


@pytest.mark.parametrize("works_with", ["0.1.0", NEWER, None])
def test_nothing_changes_its_revision(fresh_url: str, works_with: str | None) -> None:
    with open_db(fresh_url) as db:
        fill(db)
    ahead(fresh_url, works_with)
    before = contents(fresh_url)
    for words in (
        ("upgrade",),
        ("upgrade", "--to", "0001"),
        ("upgrade", "--all"),
        ("upgrade", "--rehearse"),
        ("downgrade", "--to", "base", "--yes"),
        ("downgrade", "--to", HEAD, "--yes"),
        ("stamp", "head"),
        ("stamp", "base"),
        ("backfill",),
        ("history",),
    ):
        answer = run(*words, "--db-url", fresh_url)
        unable = words[-1] == "--rehearse" and fresh_url.startswith("mysql")
        assert answer.code == (2 if unable else 4), words
        assert contents(fresh_url) == before, words


@pytest.mark.parametrize(("works_with", "code"), [("0.1.0", 0), (NEWER, 4), (None, 4)])
def test_check_tells_which_it_is(fresh_url: str, works_with: str | None, code: int) -> None:
    with open_db(fresh_url) as db:
        db.upgrade_schema()
    ahead(fresh_url, works_with)
    answer = run("check", "--db-url", fresh_url, "--json")
    assert (answer.code, answer.document["exit_code"]) == (code, code)
    assert (answer.document["state"], answer.document["usable"]) == ("ahead", code == 0)
    assert answer.document["works_with"] == works_with
    answer = run("check", "--db-url", fresh_url)
    assert ("of this release, which works with it" in answer.out) == (code == 0)
    assert bool(answer.err) == bool(code)
    assert (NEWER in answer.err) == (works_with == NEWER)
    assert run("current", "--db-url", fresh_url).code == 0


FOR = {
    # the store: what each release would find
    "missing": {"0.1.0": ("missing", 3), __version__: ("missing", 3)},
    "0001": {"0.1.0": ("behind", 3), "0.1": ("behind", 3)},
    "0003": {"0.1.0": ("in step", 0), "0.2": ("behind", 3), "0.1.99": ("in step", 0)},
    "0004": {"0.1.0": ("ahead", 0), "0.1.99": ("ahead", 0)},
    HEAD: {__version__: ("in step", 0)},
    f"{NEXT} 0.2.0": {"0.1.0": ("ahead", 4), "0.2.0": ("ahead", 0), "0.2": ("ahead", 0), "0.1.99": ("ahead", 4)},
    f"{NEXT} 0.1.0": {"0.1.0": ("ahead", 0), "0.1": ("ahead", 0)},
    f"{NEXT} 0.3.0": {"0.1.0": ("ahead", 4), "0.2.0": ("ahead", 4)},
    NEXT: {"0.1.0": ("ahead", 4), "0.2.0": ("ahead", 4)},
}


@pytest.mark.parametrize("store", FOR)
def test_check_for_another_release(fresh_url: str, store: str) -> None:
    at, _, works_with = store.partition(" ")
    if at != "missing":
        with open_db(fresh_url) as db:
            Migrator.of(db).upgrade(at if at in REVISIONS else HEAD)
        if at not in REVISIONS:
            ahead(fresh_url, works_with or None)
    before = contents(fresh_url)
    for release, (state, code) in FOR[store].items():
        answer = run("check", "--for", release, "--db-url", fresh_url, "--json")
        assert (answer.code, answer.document["state"], answer.document["usable"]) == (code, state, code == 0), release
        assert (answer.document["for_release"], answer.document["exit_code"]) == (release, code)
        people = run("check", "--for", release, "--db-url", fresh_url)
        assert (people.code, release in people.out, "can work with it" in people.out) == (code, True, code == 0)
    assert contents(fresh_url) == before


@pytest.mark.parametrize("release", ["0.0.9", "9.9", "soon", "", "head", "0001"])
@pytest.mark.backends("sqlite")
def test_check_for_what_is_no_release_is_a_usage_error(fresh_url: str, release: str) -> None:
    answer = run("check", "--for", release, "--db-url", fresh_url)
    assert (answer.code, answer.out) == (2, "")
    assert "0.1.0" in answer.complaint


def test_check_for_a_release_without_a_journal(backend: str, fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        load(db.db_engine, backend, "0003")
        assert run("check", "--for", "0.1.0", "--db-url", fresh_url).code == 0
        ahead(fresh_url, None, at="0003")
        for words in (("--for", "0.1.0"), ("--for", "0.2.0"), ()):
            answer = run("check", *words, "--db-url", fresh_url, "--json")
            assert (answer.code, answer.document["state"], answer.document["works_with"]) == (4, "ahead", None)


def test_without_a_journal_a_store_ahead_is_refused(backend: str, fresh_url: str) -> None:
    with open_db(fresh_url) as db:
        load(db.db_engine, backend, "0003")
        ahead(fresh_url, None, at="0003")
        with pytest.raises(SchemaTooNew):
            db.get_sessions()


# -- what an operator says ---------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["0", " No "])
@pytest.mark.parametrize("at", ["missing", "0001"])
def test_an_operators_no_lets_nothing_be_made(
    fresh_url: str, at: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTO_UPGRADE, said)
    with open_db(fresh_url, auto_upgrade_schema=True, lock_timeout=1) as db:
        if at != "missing":
            Migrator.of(db).upgrade(at)
        with statements(db) as sent:
            for call in (db.get_sessions, lambda: db.upsert_session({"session_id": "x"}), db._create_all_tables):
                with pytest.raises(SchemaMissing if at == "missing" else SchemaBehind, match="Run: agno-store upgrade"):
                    call()
        assert changing(sent) == []
    if at == "missing":
        assert contents(fresh_url) == {}


def test_an_operators_no_makes_nothing_on_a_cluster_either(
    fresh_urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_db(fresh_urls[0]) as db:
        load(db.db_engine, "mysql", "0001")
    monkeypatch.setenv(AUTO_UPGRADE, "0")
    with open_db(fresh_urls[1], auto_upgrade_schema=True, lock_timeout=1) as db:
        with statements(db) as sent, pytest.raises(SchemaBehind, match="Run: agno-store upgrade"):
            db.get_sessions()
        assert changing(sent) == []
        with (
            db.dialect.connected(db.db_engine) as connection,
            db.dialect.upgrading(connection, db.names, timeout=5, scope=Scope.REVISION),
            open_db(fresh_urls[0], lock_timeout=0.5) as other,
            pytest.raises(UpgradeLocked, match=f"process {os.getpid()}"),
        ):
            other.get_sessions()


def test_an_operators_no_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTO_UPGRADE, "0")
    with open_db(f"sqlite:///{tmp_path}/new/a.db", auto_upgrade_schema=True) as db, pytest.raises(SchemaMissing):
        db.get_sessions()
    assert list(tmp_path.iterdir()) == []


def test_an_operators_no_does_not_keep_anybody_from_upgrading(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTO_UPGRADE, "0")
    assert run("upgrade", "--db-url", fresh_url).code == 0
    with open_db(fresh_url) as db:
        fill(db)


@pytest.mark.parametrize("said", ["1", "YES"])
@pytest.mark.parametrize("at", ["missing", "0001"])
def test_an_operators_yes_counts_more_than_the_programs_no(
    fresh_url: str, at: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTO_UPGRADE, said)
    with open_db(fresh_url, auto_upgrade_schema=False) as db:
        if at != "missing":
            Migrator.of(db).upgrade(at)
        fill(db)
        assert db.schema_status().current == HEAD


@pytest.mark.parametrize("said", ["", "  "])
def test_an_operator_who_says_nothing_leaves_it_to_the_program(
    fresh_url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTO_UPGRADE, said)
    with open_db(fresh_url) as db:
        Migrator.of(db).upgrade("0001")
        with pytest.raises(SchemaBehind):
            db.get_sessions()
    with open_db(fresh_url, auto_upgrade_schema=True) as db:
        fill(db)


@pytest.mark.parametrize("said", ["2", "On"])
@pytest.mark.parametrize("at", ["missing", HEAD])
def test_what_an_operator_cannot_mean_is_an_error_at_once(
    fresh_url: str, at: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_db(fresh_url) as db:
        if at != "missing":
            Migrator.of(db).upgrade(at)
        monkeypatch.setenv(AUTO_UPGRADE, said)
        before = contents(fresh_url)
        with pytest.raises(ConfigurationError, match=rf"{AUTO_UPGRADE}='{said.lower()}'"):
            db.get_sessions()
    assert contents(fresh_url) == before


def test_it_is_read_by_a_process_that_was_started_with_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    code = "import sys; from agno_store import open_db; open_db(sys.argv[1]).get_sessions()"
    for said, works in (("0", False), ("1", True), ("0", True)):
        environment = {**os.environ, AUTO_UPGRADE: said}
        ended = subprocess.run([sys.executable, "-c", code, url], env=environment, capture_output=True, text=True)
        assert (ended.returncode == 0) is works, ended.stderr
    engine = sa.create_engine(url)
    assert sa.inspect(engine).has_table("agent_sessions")
    engine.dispose()
