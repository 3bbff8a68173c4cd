"""Databases of every released revision, as released code left them: upgraded, compared, and used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import tests.frozen
from agno_store import OwnerMismatch, SchemaBehind, __version__, open_db
from agno_store.migrations import Migrator
from agno_store.migrations.scripts import script_directory
from agno_store.tables import HEAD, REVISIONS
from tests.frozen import BETWEEN, FOLDER, TABLES, Frozen, contents_file, exact, freeze, frozen, load, read
from tests.frozen.population import NOBODYS, ODD_ID, ODD_USER, OWNED
from tests.servers import BACKENDS

FIRST = "0.1.0"
"""The first release, whose revisions were numbered before they said which release they came with."""

each = pytest.mark.parametrize("old", frozen(), ids="-".join)
with_runs = pytest.mark.parametrize("old", [old for old in frozen() if old.contents()["rows"]["runs"]], ids="-".join)


@pytest.fixture
def url(backend: str, fresh_url: str, old: Frozen) -> str:
    """The URL of a database that is as it was frozen."""
    engine = sa.create_engine(fresh_url)
    load(engine, backend, *old)
    engine.dispose()
    return fresh_url


def same(db: Any, old: Frozen, *, without: str | None = None) -> None:
    """Assert that a store holds what was frozen, each thing once; what later releases add to it may be there."""
    now, then = read(db), old.contents()
    for kind in ("sessions", "runs", "summaries"):
        expected = [entry for entry in then[kind] if entry["session_id"] != without]
        found = [entry for entry in now[kind] if entry["session_id"] != without]
        assert [_key(entry) for entry in found] == [_key(entry) for entry in expected]
        for entry, wanted in zip(found, expected, strict=True):
            # As text: values that are equal and of another type, or in another order, are not the same.
            assert json.dumps({name: entry[name] for name in wanted}) == json.dumps(wanted)
    if without is None:
        assert now["rows"] == then["rows"]


def _key(entry: dict[str, Any]) -> tuple[Any, Any]:
    return entry["session_id"], entry.get("run_id")


def sound(db: Any) -> None:
    """Assert that the tables are those of this release, and that every row has the one it refers to."""
    assert db.schema_status().in_step
    assert Migrator.of(db).drift() == []
    if db.db_engine.dialect.name == "sqlite":
        with db.db_engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def runs_of(old: Frozen, session_id: str) -> list[Any]:
    """The runs that a session had when it was frozen."""
    return next(entry["runs"] for entry in old.contents()["sessions"] if entry["session_id"] == session_id)


# -- upgraded ----------------------------------------------------------------------------------------


@each
def test_an_upgrade_loses_nothing_and_doubles_nothing(url: str, old: Frozen) -> None:
    with open_db(url, table_name=old.table_name) as db:
        assert db.schema_status().current == old.revision
        assert tuple(db.upgrade_schema()) == REVISIONS[REVISIONS.index(old.revision) + 1 :]
        same(db, old)
        sound(db)
        assert db.upgrade_schema() == []
        same(db, old)


@each
def test_the_first_use_upgrades_only_if_asked_to(url: str, old: Frozen) -> None:
    if old.revision != HEAD:
        with open_db(url, table_name=old.table_name) as db:
            with pytest.raises(SchemaBehind):
                db.get_sessions()
            assert db.schema_status().current == old.revision
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        same(db, old)
        sound(db)


@each
@pytest.mark.parametrize("upgraded", [False, True], ids=["as it is", "after an upgrade"])
def test_it_goes_down_to_nothing_and_up_again(url: str, old: Frozen, upgraded: bool) -> None:
    with open_db(url, table_name=old.table_name) as db:
        if upgraded:
            db.upgrade_schema()
        Migrator.of(db).downgrade("base")
        assert db.schema_status().current is None
        assert [table for table in db.names.tables if db.table_exists(table)] == []
        assert tuple(db.upgrade_schema()) == REVISIONS
        sound(db)
        assert read(db)["rows"] == {"sessions": 0, "runs": 0, "summaries": 0}
        db.upsert_run({"run_id": "r", "agent_id": "a"}, OWNED[0], OWNED[1])
        assert db.get_session(OWNED[0], deserialize=False)["runs"] == [{"run_id": "r", "agent_id": "a"}]


# -- used --------------------------------------------------------------------------------------------


@each
def test_an_old_session_takes_new_runs_and_a_summary(url: str, old: Frozen) -> None:
    session_id, user = OWNED
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        before = db.get_session(session_id, deserialize=False)
        places = {run["run_id"]: run["run_index"] for run in db.get_runs(session_id=session_id, deserialize=False)[0]}
        run = {"run_id": "new % \x00", "agent_id": "a", "content": "\ud83d % :x", "status": "COMPLETED"}
        db.upsert_run(run, session_id, user)
        db.upsert_summary(session_id, {"summary": "new"}, user)
        after = db.get_session(session_id, user_id=user, deserialize=False)
        assert exact(after["runs"]) == [*runs_of(old, session_id), exact(run)]
        assert after["summary"] == {"summary": "new"}
        assert after["updated_at"] > before["updated_at"]
        assert after["created_at"] == before["created_at"]
        found = db.get_run(run["run_id"], session_id=session_id, deserialize=False)
        assert found["run_index"] > max(places.values(), default=-1)
        same(db, old, without=session_id)
        sound(db)


@with_runs
def test_an_old_run_is_changed_where_it_stands(url: str, old: Frozen) -> None:
    session_id, user = OWNED
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        for run in runs_of(old, session_id):
            db.upsert_run({**run, "content": "changed"}, session_id, user)
        runs = db.get_session(session_id, deserialize=False)["runs"]
        assert [run["run_id"] for run in runs] == [run["run_id"] for run in runs_of(old, session_id)]
        assert {run["content"] for run in runs} == {"changed"}
        same(db, old, without=session_id)


@each
def test_old_sessions_are_listed_and_found_by_name(url: str, old: Frozen) -> None:
    sessions = old.contents()["sessions"]
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        for user in (OWNED[1], NOBODYS[1], ODD_USER):
            owned = [entry["session_id"] for entry in sessions if entry["user_id"] == exact(user)]
            found, total = db.get_sessions(user_id=user, sort_by="session_id", sort_order="asc", deserialize=False)
            assert [exact(session["session_id"]) for session in found] == owned
            assert total == len(owned) > 0
        names = {id: name for id, name in _names(db) if name is not None}
        assert names[OWNED[0]] == "Straße 50%_"
        for session_id, name in names.items():
            found, _ = db.get_sessions(session_name=name.upper(), deserialize=False)
            assert [session["session_id"] for session in found] == [session_id]
        page, total = db.get_sessions(limit=1, page=2, deserialize=False)
        assert (len(page), total) == (1, len(sessions))
        assert exact(db.get_session(ODD_ID, user_id=ODD_USER, deserialize=False)["session_id"]) == exact(ODD_ID)


def _names(db: Any) -> list[tuple[str, str | None]]:
    """The names of all sessions, by their ids."""
    sessions, _ = db.get_sessions(include_runs=False, deserialize=False)
    return [(session["session_id"], (session["session_data"] or {}).get("session_name")) for session in sessions]


@each
def test_an_old_session_is_renamed(url: str, old: Frozen) -> None:
    session_id, user = OWNED
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        before = db.get_session(session_id, deserialize=False)
        after = db.rename_session(session_id, "agent", "Neuer Name", user, deserialize=False)
        assert after["session_data"] == {**before["session_data"], "session_name": "Neuer Name"}
        assert after["version"] == before["version"] + 1
        assert exact(after["runs"]) == runs_of(old, session_id)
        listed = {name: db.get_sessions(session_name=name, deserialize=False)[1] for name in ("neuer name", "Straße")}
        assert listed == {"neuer name": 1, "Straße": 0}
        same(db, old, without=session_id)


@each
@pytest.mark.parametrize("session_id", [OWNED[0], ODD_ID], ids=["plain", "odd"])
def test_an_old_session_is_deleted_with_all_that_is_in_it(url: str, old: Frozen, session_id: str) -> None:
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        assert db.delete_session(session_id)
        assert db.get_session(session_id) is None
        then, now = old.contents(), read(db)
        for kind in ("sessions", "runs", "summaries"):
            kept = [entry for entry in then[kind] if entry["session_id"] != exact(session_id)]
            assert now["rows"][kind] == len(now[kind]) == len(kept)
        sound(db)


@each
def test_what_is_old_keeps_its_owner(url: str, old: Frozen) -> None:
    session_id, _ = OWNED
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        for stranger in ("mallory", "", "Ada", "ada "):
            assert db.get_session(session_id, user_id=stranger) is None
            assert db.get_summary(session_id, user_id=stranger) is None
            assert db.get_runs(session_id=session_id, user_id=stranger, deserialize=False) == ([], 0)
            assert db.rename_session(session_id, "agent", "mine", stranger) is None
            assert not db.delete_session(session_id, user_id=stranger)
        run = {"run_id": "mallory's", "agent_id": "a"}
        for refused in (
            lambda: db.upsert_run(run, session_id, "mallory"),
            lambda: db.upsert_summary(session_id, {"summary": "mine"}, "mallory"),
            lambda: db.upsert_session({"session_id": session_id, "user_id": "mallory", "metadata": {}}),
        ):
            with pytest.raises(OwnerMismatch):
                refused()
        same(db, old)


@each
def test_what_is_old_and_nobodys_goes_only_to_who_has_runs_in_it(url: str, old: Frozen) -> None:
    session_id, user = NOBODYS
    with open_db(url, table_name=old.table_name, auto_upgrade_schema=True) as db:
        if runs_of(old, session_id):
            with pytest.raises(OwnerMismatch):
                db.upsert_session({"session_id": session_id, "user_id": "mallory"})
        same(db, old)
        db.upsert_session({"session_id": session_id, "user_id": user})
        claimed = db.get_session(session_id, user_id=user, deserialize=False)
        assert exact(claimed["runs"]) == runs_of(old, session_id)
        assert db.get_session(session_id, user_id="mallory") is None


# -- the files themselves ----------------------------------------------------------------------------


def test_every_frozen_database_is_there_for_every_backend_and_nothing_else() -> None:
    wanted = {old.file(backend) for old in frozen() for backend in BACKENDS}
    assert wanted == set(FOLDER.glob("*.sql"))
    assert {old.revision for old in frozen()} <= set(REVISIONS)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.sql")), ids=lambda file: file.name)
def test_a_frozen_file_holds_only_what_can_be_seen(file: Path) -> None:
    text = file.read_bytes().decode()
    assert text.endswith(BETWEEN)
    assert all(character.isprintable() or character in "\n\t" for character in text)


def test_every_released_revision_is_frozen() -> None:
    released = {
        (getattr(script.module, "release", FIRST), script.revision) for script in script_directory().walk_revisions()
    }
    missing = {pair for pair in released if is_out(pair[0])} - {(old.release, old.revision) for old in frozen()}
    assert missing == set(), "run `python -m tests.frozen.freeze` with the code of that release"


def is_out(release: str) -> bool:
    """Whether a release is this one or an earlier one; this one only once it is no longer being worked on."""
    this, suffix = re.match(r"([\d.]*\d)(.*)", __version__).groups()  # type: ignore[union-attr]
    number, here = ([int(n) for n in text.split(".")] for text in (release, this))
    return number < here or (number == here and not suffix)


# -- freezing ----------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Freeze into an empty folder, as a release that there will never be."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    monkeypatch.setattr(tests.frozen, "FOLDER", folder)
    monkeypatch.setattr(freeze, "__version__", "0.0.1")
    return folder


def test_this_release_can_be_frozen(elsewhere: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "BACKENDS", (backend,))
    freeze.main([REVISIONS[0], HEAD])
    made = {Frozen(REVISIONS[0], "default", "0.0.1"), *(Frozen(HEAD, variant, "0.0.1") for variant in TABLES)}
    assert set(frozen()) == made
    assert set(elsewhere.iterdir()) == {old.file(backend) for old in made} | {contents_file("0.0.1")}
    assert all(old.contents()["rows"]["sessions"] for old in made)


def test_what_is_frozen_is_not_overwritten(elsewhere: Path) -> None:
    kept = elsewhere / f"0.0.1-{HEAD}-mysql.sql"
    kept.write_text("kept")
    with pytest.raises(SystemExit, match="nothing was written"):
        freeze.main()
    assert list(elsewhere.iterdir()) == [kept]
    assert kept.read_text() == "kept"


def test_what_failed_leaves_nothing(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "BACKENDS", ("sqlite",))
    monkeypatch.setattr(freeze, "_loaded", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        freeze.main()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("version", ["0.2.0.dev0", "1.0rc1"])
def test_what_is_no_release_is_not_frozen(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(freeze, "__version__", version)
    with pytest.raises(SystemExit, match="is no release"):
        freeze.main()
    assert list(elsewhere.iterdir()) == []
