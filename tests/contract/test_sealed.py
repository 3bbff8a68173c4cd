"""Payloads under a codec: what stands in the database, who reads it, and that none is written over unread."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import ConfigurationError, CorruptRow, InvalidArgument, SealedRow, Session
from agno_store.codecs import AesGcm, Place
from tests.contract import stores
from tests.contract.database import dump, overwrite, stored
from tests.contract.processes import together
from tests.contract.samples import append, listed, run, session
from tests.contract.sealing import KEYS, codec, files, keys_of, places

CANARY = "Canary-7f3a"
SUMMARY = {"summary": f"{CANARY} in short", "topics": [CANARY], "more": CANARY}

Open = Callable[..., Any]


def furnish(db: Any, session_id: str = "s", **more: Any) -> None:
    """Store a session with the canary in each of its payloads, two runs and a summary."""
    data = {"session_name": CANARY, "session_state": {"note": CANARY}}
    payloads = {name: {"note": CANARY} for name in ("agent_data", "team_data", "workflow_data", "metadata")}
    db.upsert_session(session(session_id, session_data=data, summary=SUMMARY, **{**payloads, **more}))
    append(db, session_id, f"{session_id}-1", f"{session_id}-2", content=CANARY)


# -- what stands there ---------------------------------------------------------------------------------


def test_the_database_holds_nothing_of_what_was_said(db: Any, beside: Open) -> None:
    sealed = beside(codec=codec("2026"))
    furnish(sealed)
    sealed.update_session_state("s", lambda state: {**state, "more": CANARY})
    sealed.rename_session("s", "agent", f"{CANARY} renamed")
    sealed.update_run_in_session("s", "s-1", {"content": f"{CANARY} again"}, session_data={"note": CANARY})
    sealed.upsert_session(session("t", session_data={"note": CANARY}), run=run("t-1", content=CANARY))

    found = sealed.get_session("s")
    assert (found.metadata, found.summary.topics) == ({"note": CANARY}, [CANARY])
    assert [one.content for one in found.runs] == [f"{CANARY} again", CANARY]
    assert places(db, CANARY) == []
    assert set(keys_of(db)) == {"2026"}
    if db.dialect.title == "SQLite":
        assert list(files(db, CANARY)) == []
    furnish(db, "clear")  # it is looked for where it would be
    assert {table for table, _ in places(db, CANARY)} == {"sessions", "runs", "summaries"}
    assert ("sessions", "name_folded") in places(db, CANARY)
    if db.dialect.title == "SQLite":
        assert list(files(db, CANARY)) != []


@pytest.mark.variant
def test_any_text_comes_back_as_it_was(beside: Open) -> None:
    text = "NUL \x00, spelled \\u0000, lone \ud83d, emoji 🦉, \x1a, 'quote\" % :name \\"
    sealed, value = beside(codec=codec("2026")), {"a": text, "b": 2**80, "c": [1.5, None, {text: text}]}
    sealed.upsert_session(session("s", metadata=value, summary={"summary": text, "topics": [text]}))
    sealed.upsert_run(run("r", content=value), "s")
    found = sealed.get_session("s")
    assert (found.metadata, found.summary.summary, found.summary.topics) == (value, text, [text])
    assert found.runs[0].content == value


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_what_was_not_changed_is_not_sealed_anew(db: Any, beside: Open) -> None:
    sealed = beside(codec=codec("2026"))
    furnish(sealed)
    before = stored(db, "sessions", "session_data", session_id="s")
    sealed.upsert_session(replace(sealed.get_session("s"), metadata={"changed": True}))
    assert stored(db, "sessions", "session_data", session_id="s") == before
    assert sealed.get_session("s").metadata == {"changed": True}


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_what_two_have_changed_is_merged(beside: Open) -> None:
    sealed = beside(codec=codec("2026"))
    furnish(sealed)
    mine, theirs = sealed.get_session("s"), sealed.get_session("s")
    sealed.upsert_session(replace(theirs, metadata={**theirs.metadata, "theirs": 1}))
    sealed.upsert_session(replace(mine, metadata={**mine.metadata, "mine": 1}))
    assert sealed.get_session("s").metadata == {"note": CANARY, "theirs": 1, "mine": 1}


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_a_summary_that_looks_sealed_is_read_as_it_stands(db: Any, beside: Open) -> None:
    text = '"agno_store:sealed:2026:AAAA"'
    db.upsert_session(session("s", summary={"summary": text, "topics": [text[1:-1]]}))
    for store in (db, beside(codec=codec("2026"))):
        assert (store.get_summary("s").summary, store.get_summary("s").topics) == (text, [text[1:-1]])


# -- who reads it --------------------------------------------------------------------------------------


def test_rows_of_every_key_and_of_none_are_read(db: Any, beside: Open) -> None:
    furnish(db, "clear")
    furnish(beside(codec=codec("2025")), "old")
    both = beside(codec=codec("2026", "2025"))
    furnish(both, "new")
    for session_id in ("clear", "old", "new"):
        append(both, session_id, f"{session_id}-3", content=CANARY)
        assert [one.content for one in both.get_session(session_id).runs] == [CANARY] * 3
        assert both.get_summary(session_id).summary == SUMMARY["summary"]
    assert [found.session_data["session_name"] for found in both.get_sessions()] == [CANARY] * 3
    assert len(both.get_runs(limit=20)) == 9
    assert (keys_of(db).count("clear"), keys_of(db).count("2025")) == (10, 10)


CANNOT = {
    "no codec": ((), "this store has no codec="),
    "another key": (("other",), "does not know that key"),
}


@pytest.mark.variant
@pytest.mark.backends("sqlite")
@pytest.mark.parametrize(("key_ids", "why"), CANNOT.values(), ids=CANNOT.keys())
def test_who_has_not_the_key_is_told_which_and_changes_nothing(
    db: Any, beside: Open, caplog: pytest.LogCaptureFixture, key_ids: tuple[str, ...], why: str
) -> None:
    furnish(beside(codec=codec("2026")))
    other, before = beside(codec=codec(*key_ids)) if key_ids else db, dump(db)
    asked: dict[tuple[str, str], Callable[[], object]] = {
        ("session 's'", "session_data"): lambda: other.get_session("s"),
        ("run 's-1' of session 's'", "run_data"): lambda: other.get_run("s-1"),
        ("summary of session 's'", "topics"): lambda: other.get_summary("s"),
    }
    for (row, column), ask in asked.items():
        with pytest.raises(SealedRow, match="sealed with the key '2026', and") as refused:
            ask()
        assert (refused.value.row, refused.value.column, refused.value.key_id) == (row, column, "2026")
        assert why in str(refused.value)
    with pytest.raises(CorruptRow, match="'2026'"):
        other.upsert_session(Session("s", session_data={"new": 1}))  # one that was never read
    with pytest.raises(SealedRow):
        other.update_session_state("s", dict)
    with pytest.raises(SealedRow):
        other.update_run_in_session("s", "s-1", {"content": "new"})
    assert dump(db) == before
    with caplog.at_level(logging.WARNING, "agno_store"):
        (found,) = other.get_sessions()
    assert found.session_data["$agno_store"] == "corrupt"
    other.upsert_session(found)
    assert {table: [_payloads(row) for row in rows] for table, rows in dump(db).items()} == {
        table: [_payloads(row) for row in rows] for table, rows in before.items()
    }
    assert listed(other) == ["s"]


def _payloads(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("version", "updated_at", "runs_changed")}


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_a_payload_is_refused_in_any_place_but_its_own(db: Any, beside: Open) -> None:
    sealed = beside(codec=codec("2026"))
    for session_id in ("a", "b"):
        furnish(sealed, session_id)
    moves = [
        ("runs", "run_data", {"run_id": "a-1"}, {"run_id": "b-1"}),
        ("runs", "run_data", {"run_id": "a-1"}, {"run_id": "a-2"}),
        ("sessions", "metadata", {"session_id": "a"}, {"session_id": "b"}),
        ("summaries", "topics", {"session_id": "a"}, {"session_id": "b"}),
    ]
    for table, column, origin, target in moves:
        kept = stored(db, table, column, **target)
        overwrite(db, table, column, stored(db, table, column, **origin), **target)
        session_id = target.get("session_id", target.get("run_id", "")[:1])
        with pytest.raises(SealedRow, match="moved from another place") as refused:
            sealed.get_session(session_id)
        assert refused.value.column == column
        overwrite(db, table, column, kept, **target)
        assert sealed.get_session(session_id).metadata == {"note": CANARY}
    overwrite(db, "sessions", "metadata", stored(db, "sessions", "metadata", session_id="a")[:-9] + '"', session_id="a")
    with pytest.raises(SealedRow, match="cannot open it"):
        sealed.get_session("a")


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_a_tenants_payload_is_refused_at_another_tenants(db: Any, beside: Open) -> None:
    for tenant in ("one", "two"):
        furnish(beside(codec=codec("2026"), tenant_id=tenant), metadata={"of": tenant})
    other = beside(codec=codec("2026"), tenant_id="two")
    overwrite(db, "sessions", "metadata", stored(db, "sessions", "metadata", tenant_id="one"), tenant_id="two")
    with pytest.raises(SealedRow, match="moved"):
        other.get_session("s")


@pytest.mark.variant
def test_a_text_is_found_in_what_is_sealed_and_in_what_is_not(db: Any, beside: Open) -> None:
    furnish(db, "clear")
    sealed = beside(codec=codec("2026"))
    furnish(sealed, "sealed")
    append(sealed, "sealed", "r", content="only here")
    assert [found.session_id for found in sealed.search(CANARY)] == ["sealed", "clear"]
    assert [place.run_id for found in sealed.search("only here") for place in found.places] == ["r"]
    assert sealed.search("sealed:2026") == sealed.search("nowhere") == []
    assert [found.session_id for found in db.search(CANARY)] == ["clear"]
    assert db.search("sealed") == []
    with pytest.raises(InvalidArgument, match="seals the names"):
        sealed.get_sessions(session_name=CANARY)
    assert listed(db, session_name=CANARY) == ["clear"]


# -- travelling ----------------------------------------------------------------------------------------


def exported(db: Any) -> bytes:
    file = io.BytesIO()
    assert db.export(file).problems == []
    return file.getvalue()


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_an_export_is_clear_with_the_key_and_sealed_without(db: Any, beside: Open) -> None:
    sealed = beside(codec=codec("2026"))
    furnish(sealed)
    clear, as_stored, rows = exported(sealed), exported(db), dump(db)
    assert CANARY.encode() in clear
    assert CANARY.encode() not in as_stored
    said = sealed.get_session("s")
    for file, reader in (
        (clear, beside(codec=codec("other"))),
        (as_stored, beside(codec=codec("2025", "2026"))),  # sealed anew
        (as_stored, db),
    ):
        stores.run(_emptied, db)
        done = reader.import_from(io.BytesIO(file), verify=True)
        assert (done.problems, done.verified) == ([], 1)
        if reader is not db:
            found = reader.get_session("s")
            assert (found.session_data, found.summary, [one.content for one in found.runs]) == (
                said.session_data,
                said.summary,
                [CANARY] * 2,
            )
            assert set(keys_of(db)) == {reader._store.sending.key_id if hasattr(reader, "_store") else "other"}
    assert {**dump(db), "sessions": []} == {**rows, "sessions": []}
    assert sealed.get_session("s").session_data == said.session_data


def _emptied(db: Any) -> None:
    db.delete_session("s")


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_what_another_key_has_sealed_is_left_out_of_an_import(db: Any, beside: Open) -> None:
    furnish(beside(codec=codec("2026")))
    file = exported(db)
    stores.run(_emptied, db)
    done = beside(codec=codec("other")).import_from(io.BytesIO(file))
    assert [problem.place for problem in done.problems] == ["line 2, session 's'"]
    assert "sealed with the key '2026'" in done.problems[0].reason
    assert listed(db) == []


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_what_is_sealed_does_not_leave_its_tenant_without_its_codec(db: Any, beside: Open) -> None:
    sealed = beside(codec=codec("2026"))
    furnish(sealed)
    db.upsert_session(session("clear", metadata={"note": CANARY}))
    db.upsert_session(session("mixed"))
    append(sealed, "mixed", "r", content=CANARY)
    for name, source, options in (("acme", db, {}), ("keyed", db, {"codec": codec("2026")})):
        target = beside(tenant_id=name, table_name=name, **options)
        for planned, verified in ((True, None), (False, 1)):
            done = target.import_from(source, plan=planned, verify=not planned)
            assert [problem.place for problem in done.problems] == ["session 'mixed'", "session 's'"]
            assert "sealed with the key '2026'" in done.problems[0].reason
            assert (done.verified, done.sessions.inserted) == (verified, 1)
        assert listed(target) == ["clear"]
    assert "and only its own tenant can open it" in str(beside(tenant_id="other").import_from(db).problems[0])
    done = target.import_from(sealed, verify=True)
    assert (done.problems, done.verified, target.get_run("r").content) == ([], 3, CANARY)
    same = beside(table_name="same")
    assert same.import_from(db, verify=True).problems == []
    assert beside(table_name="same", codec=codec("2026")).get_run("r").content == CANARY


# -- keys that follow each other -----------------------------------------------------------------------


def test_everything_is_sealed_with_the_new_key(db: Any, beside: Open) -> None:
    furnish(db, "clear")
    furnish(beside(codec=codec("2025")), "old")
    both = beside(codec=codec("2026", "2025"))
    furnish(both, "new")
    db.upsert_session(session("empty"))
    before, said, told = dump(db), [both.get_session(one) for one in ("clear", "old", "new")], list[int]()

    done = both.rekey(on_progress=lambda so_far: told.append(so_far.rows))
    assert done == (2, 4, 2, 0)
    assert told == sorted(told)
    assert told[-1] == 8
    assert set(keys_of(db)) == {"2026"}
    assert both.rekey() == (0, 0, 0, 0)
    assert [both.get_session(one) for one in ("clear", "old", "new")] == said
    assert places(db, CANARY) == []
    for table, rows in dump(db).items():  # and nothing else was touched
        for row, was in zip(rows, before[table], strict=True):
            changed = {name for name, value in row.items() if value != was[name]}
            assert not changed & {"version", "updated_at", "created_at", "runs_changed", "run_index", "user_id"}
    assert beside(codec=codec("2026")).get_session("old").metadata == {"note": CANARY}


@pytest.mark.variant
def test_a_key_is_another_than_those_whose_ids_begin_with_it(db: Any, beside: Open) -> None:
    keys = {"prod": KEYS["2026"], "prod:1": KEYS["2025"]}
    furnish(beside(codec=AesGcm(keys, current="prod:1")))
    new = beside(codec=AesGcm(keys, current="prod"))
    assert new.rekey() == (1, 2, 1, 0)
    assert new.rekey() == (0, 0, 0, 0)
    assert beside(codec=AesGcm({"prod": KEYS["2026"]})).get_session("s").metadata == {"note": CANARY}


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_a_long_session_is_sealed_in_pieces(db: Any, beside: Open) -> None:
    db.upsert_sessions([session(f"s{n:03}", metadata={"n": n}) for n in range(120)])
    append(db, "s007", *(f"r{n}" for n in range(130)))
    steps: list[int] = []
    sealed = beside(codec=codec("2026"))
    assert sealed.rekey(on_progress=lambda so_far: steps.append(so_far.rows)) == (120, 130, 0, 0)
    assert len(steps) > 3
    assert set(keys_of(db)) == {"2026"}
    assert [one.run_id for one in sealed.get_session("s007").runs] == [f"r{n}" for n in range(130)]


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_what_cannot_be_opened_stays_and_is_counted(db: Any, beside: Open) -> None:
    furnish(beside(codec=codec("2025")))
    before = dump(db)
    done = beside(codec=codec("2026")).rekey()
    assert (done.rows, done.left) == (0, 10)
    assert dump(db) == before
    with pytest.raises(ConfigurationError, match="codec="):
        db.rekey()


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_bytes_in_the_place_of_a_payload_stay_and_the_rest_is_sealed(db: Any, beside: Open) -> None:
    furnish(db, "a")
    furnish(db, "b")
    damaged: list[tuple[str, str, dict[str, str]]] = [
        ("sessions", "agent_data", {"session_id": "a"}),
        ("summaries", "summary", {"session_id": "a"}),
        ("runs", "run_data", {"run_id": "a-1"}),
    ]
    for table, column, key in damaged:
        overwrite(db, table, column, sa.text("x'7b7d'"), **key)
    sealed = beside(codec=codec("2026"))
    assert sealed.rekey() == (2, 3, 2, 3)
    assert sealed.rekey() == (0, 0, 0, 3)
    assert [stored(db, table, column, **key) for table, column, key in damaged] == [b"{}"] * 3
    assert sealed.get_session("b").metadata == {"note": CANARY}


@pytest.mark.variant
def test_no_write_is_lost_that_comes_while_keys_are_changed(db: Any, beside: Open) -> None:
    for n in range(10):
        furnish(db, f"s{n}")
    both, over = beside(codec=codec("2026")), threading.Event()

    def write() -> None:
        try:
            for n in range(30):
                session_id = f"s{n % 10}"
                both.update_session_state(session_id, lambda state, n=n: {**state, f"k{n}": n})
                both.upsert_run(run(f"new-{n}"), session_id)
        finally:
            over.set()

    def change_keys() -> None:
        while not over.is_set():
            both.rekey()

    together(write, change_keys)
    both.rekey()
    assert set(keys_of(db)) == {"2026"}
    for n in range(10):
        found = both.get_session(f"s{n}")
        assert {f"k{m}" for m in range(n, 30, 10)} <= found.session_data["session_state"].keys()
        assert {one.run_id for one in found.runs} >= {f"new-{m}" for m in range(n, 30, 10)}


@pytest.mark.variant
@pytest.mark.backends("mysql", "postgresql")
def test_no_write_is_lost_on_an_engine_that_repeats_what_it_has_read(db: Any, beside: Open) -> None:
    for session_id in ("s1", "s2"):
        furnish(db, session_id)
    own, wrote = codec("2026"), list[str]()

    class Meddling:
        """A codec in whose work somebody else writes to another session."""

        key_id, decode = own.key_id, staticmethod(own.decode)

        def encode(self, data: bytes, place: Place) -> bytes:
            if place.session_id == "s1" and not wrote:
                wrote.append(place.column)
                db.update_session_state("s2", lambda state: {**state, "late": 1})
                db.update_run_in_session("s2", "s2-1", {"content": "late"})
                db.upsert_summary("s2", {"summary": "late"})
            return own.encode(data, place)

    engine = db.db_engine.execution_options(isolation_level="REPEATABLE READ")
    assert type(db)(db_engine=engine, codec=Meddling()).rekey().left == 0
    sealed = beside(codec=own)
    found = sealed.get_session("s2")
    assert wrote
    assert found.session_data["session_state"]["late"] == 1
    assert (found.runs[0].content, found.summary.summary) == ("late", "late")


# -- a codec of one's own ------------------------------------------------------------------------------


class Upside:
    """A codec that turns bytes around, and notes for which places."""

    def __init__(self, key_id: str = "around") -> None:
        self.key_id = key_id
        self.places: list[Place] = []

    def encode(self, data: bytes, place: Place) -> bytes:
        self.places.append(place)
        return data[::-1]

    def decode(self, data: bytes, key_id: str, place: Place) -> bytes:
        assert place in self.places
        if key_id != self.key_id:
            raise KeyError(key_id)
        return data[::-1]


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_a_codec_is_told_the_place_of_what_it_seals(beside: Open) -> None:
    own = Upside("arn:aws:kms/key@1")
    store = beside(codec=own, tenant_id="acme")
    store.upsert_session(session("s", metadata={"a": 1}, summary={"summary": "short"}), run=run("r"))
    append(store, "s", "q")
    assert set(own.places) == {
        Place("metadata", "s", None, "acme"),
        Place("summary", "s", None, "acme"),
        *(Place("run_data", "s", run_id, "acme") for run_id in ("r", "q")),
    }
    assert store.get_session("s").metadata == {"a": 1}
    assert len(store.get_session("s").runs) == 2


@pytest.mark.variant
@pytest.mark.backends("sqlite")
def test_a_key_that_changes_meanwhile_is_not_taken_for_the_one_before(beside: Open) -> None:
    class Changing(Upside):
        """A codec whose key is another one from some moment on, and which seals otherwise with that."""

        def encode(self, data: bytes, place: Place) -> bytes:
            if len(self.places) == 1:
                self.key_id = "later"
            self.places.append(place)
            return self.key_id.encode() + data

        def decode(self, data: bytes, key_id: str, place: Place) -> bytes:
            if not data.startswith(key_id.encode()):
                raise ValueError("another key")
            return data.removeprefix(key_id.encode())

    store = beside(codec=Changing("first"))
    for run_id in ("a", "b", "c"):
        store.upsert_run(run(run_id, "said"), "s")
    assert [one.content for one in store.get_session("s").runs] == ["said"] * 3


NONE = {
    "no methods": ("key", "must have key_id"),
    "the keys alone": ({"2026": "secret"}, "given a dict: it must have key_id"),
    "an empty key": (Upside(""), "key_id=''"),
    "a quote in the key": (Upside('a"b'), "key_id"),
}


@pytest.mark.variant
@pytest.mark.backends("sqlite")
@pytest.mark.parametrize(("wrong", "said"), NONE.values(), ids=NONE.keys())
def test_what_is_no_codec_is_refused(beside: Open, wrong: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        beside(codec=wrong)
    assert "secret" not in str(refused.value)
