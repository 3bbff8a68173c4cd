"""Long texts of a run are kept beside it: they come back with it, go with it, and nobody else reads them."""

from __future__ import annotations

import base64
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from agno_store import ConfigurationError, CorruptRow, SqliteDb
from agno_store.apart import MARK
from agno_store.encoding import decode
from tests.contract import stores
from tests.contract.database import dump, empty, overwrite, statements, stored
from tests.contract.old import aged, set_back
from tests.contract.processes import together
from tests.contract.samples import append, run

OVER = 1_000
PICTURE, OTHER = (base64.b64encode(random.Random(n).randbytes(3_000)).decode() for n in range(2))
CANARY = "canary-in-a-coal-mine " * 100
ODD = 'a "quoted" \\ line\n\x00\ud83d \x1a \U0001f600 ' * 100
FORGED = {"$agno_store": "bytes", "value": {"media": "0" * 64, "size": 1}}

HELD: dict[str, Any] = {
    "a picture": PICTURE,
    "an odd text": ODD,
    "bytes": b"\x00\xff" * 1_000,
    "an integer": 7**2_000,
    "in a list": [[PICTURE], {"again": PICTURE}],
    "a long name": {"n" * 2_000: 1},
    "a key that is no text": {1: PICTURE, "n" * 2_000: PICTURE},
    "what looks like a mark": [FORGED, {**FORGED, "value": PICTURE}],
    "a mark as text": json.dumps(FORGED) + MARK + "x" * 2_000,
}
KEPT = {"a long name": 0, "a key that is no text": 2}
"""How many texts are kept of it, where it is not one: what stands in two places is kept once."""


@pytest.fixture
def media(db: Any) -> Iterator[Any]:
    """The store, told to keep long texts beside their runs."""
    with again(db, media_over=OVER) as store:
        yield store


def again(db: Any, **options: Any) -> Any:
    """Open a store once more."""
    return type(db)(db_engine=db.db_engine, table_name=db.names.sessions, **options)


def beside(db: Any) -> list[tuple[str, str]]:
    """What is kept beside the runs of which session."""
    return [(row["session_id"], row["data"]) for row in dump(db)["media"]]


# -- what is kept ------------------------------------------------------------------------------------------


def test_what_is_long_is_kept_beside_its_run_and_comes_back(media: Any) -> None:
    runs = {what: run("r", content=held, note="short", more=held) for what, held in HELD.items()}
    for what, given in runs.items():
        media.upsert_run(given, what)
    held = Counter(session_id for session_id, _ in beside(media))
    assert held == +Counter({what: KEPT.get(what, 1) for what in HELD})
    plain = again(media)  # which was told nothing, and reads the same
    for db in (media, plain):
        assert {each.session_id: each.runs[0].run_data for each in db.get_sessions()} == runs
        for what, given in runs.items():
            assert db.get_session(what, deserialize=False)["runs"] == [given]
            assert db.get_run("r", session_id=what).run_data == given
            assert db.get_runs(session_id=what, deserialize=False)[0][0]["run_data"] == given


@pytest.mark.variant
def test_the_same_picture_in_many_runs_is_kept_once_and_read_once(media: Any) -> None:
    append(media, "s", *(f"r{n}" for n in range(50)), content=PICTURE)
    append(media, "t", "r", content=PICTURE)
    assert beside(media) == [("s", PICTURE), ("t", PICTURE)]
    with statements(media.db_engine) as sent:
        runs = media.get_session("s").runs
    assert len(sent) == 3
    assert len({id(each.content) for each in runs}) == 1
    assert {each.content for each in runs} == {PICTURE}


@pytest.mark.variant
def test_lists_read_nothing_of_it_and_who_keeps_nothing_sends_no_more(db: Any, media: Any) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda db: db.get_sessions(include_runs=False, deserialize=False),
        lambda db: list(db.iter_sessions()),
        lambda db: db.upsert_run(run("small"), "s"),
        lambda db: db.get_session("s"),
        lambda db: db.upsert_run(run("small", "other"), "s"),
        lambda db: db.delete_run("small", session_id="s"),
        lambda db: db.delete_session("s"),
    ]
    sent: dict[Any, list[str]] = {}
    plain = again(db)  # which knows as little of the session as the other one
    for store in (plain, media):
        append(store, "s", "first")
        with statements(store.db_engine) as sent[store]:
            for call in calls:
                call(store)
    assert sent[plain] == sent[media]
    assert not [each for each in sent[plain] if each.startswith(("INSERT", "DELETE", "UPDATE")) and "_media" in each]
    append(media, "s", "r", content=PICTURE)
    with statements(media.db_engine) as listed:
        for call in calls[:2]:
            call(media)
    assert not [each for each in listed if "_media" in each]


# -- what goes ---------------------------------------------------------------------------------------------

GONE: dict[str, Callable[[Any], Any]] = {
    "delete_session": lambda db: db.delete_session("s"),
    "delete_sessions": lambda db: db.delete_sessions(["s"]),
    "delete_run": lambda db: db.delete_run("r", session_id="s"),
    "delete_runs": lambda db: db.delete_runs(["r", "r2"]),
    "prune": lambda db: db.prune("1d"),
    "delete_user, who owns it": lambda db: db.delete_user("u"),
    "delete_user, of a session handed over": lambda db: (
        db.reassign_session_owner("s", previous_user_id="u", user_id="v") and db.delete_user("u")
    ),
    "upsert_run": lambda db: db.upsert_run(run("r", "short"), "s"),
    "update_run_in_session": lambda db: db.update_run_in_session("s", "r", {"content": "short"}),
    "by a store that keeps nothing": lambda db: again(db).upsert_run(run("r", "short"), "s"),
}


@pytest.mark.variant
def test_nothing_of_it_is_left_where_its_run_is_gone(media: Any) -> None:
    for how, act in GONE.items():
        stores.run(empty, media)
        aged(media, "s", 2, user_id="u")
        media.upsert_run(run("r", CANARY, user_id="u"), "s")
        append(media, "other", "r2", content=OTHER, user_id="w")
        stores.run(set_back, media, "s", 2)
        assert len(beside(media)) == 2
        act(media)
        assert CANARY not in str(dump(media)), how
        assert beside(media) == ([] if how == "delete_runs" else [("other", OTHER)]), how


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_nothing_of_it_is_left_where_the_engine_enforces_no_foreign_keys(media: Any) -> None:
    engine = sa.create_engine(media.db_engine.url, poolclass=NullPool)
    with SqliteDb(db_engine=engine, media_over=OVER) as db:
        for n, act in enumerate((GONE["delete_session"], GONE["delete_sessions"])):
            append(db, "s", "r", content=PICTURE)
            act(db)
            assert beside(db) == [], n


@pytest.mark.variant
def test_what_another_run_needs_stays(media: Any) -> None:
    append(media, "s", "a", "b", "c", "d", content=[PICTURE, OTHER])
    media.delete_run("a", session_id="s")
    media.upsert_run(run("b", PICTURE), "s")
    media.update_run_in_session("s", "c", {"content": OTHER})
    media.upsert_run(run("d", PICTURE), "s")
    assert [each.content for each in media.get_session("s").runs] == [PICTURE, OTHER, PICTURE]
    assert sorted(data for _, data in beside(media)) == sorted([PICTURE, OTHER])
    media.delete_run("c", session_id="s")
    assert beside(media) == [("s", PICTURE)]


@pytest.mark.variant
def test_readers_beside_a_writer_never_miss_what_a_run_needs(media: Any, record_property: Callable[..., None]) -> None:
    append(media, "s", "r", "steady", content=PICTURE)
    rounds, seen = 15 if os.environ.get("TEST_ALL") else 5, list[Any]()

    def write(run_id: str, contents: list[str]) -> None:
        for n in range(rounds):
            media.upsert_run(run(run_id, contents[n % 2]), "s")
            if n % 5 == 4:
                media.delete_run(run_id, session_id="s")

    def read() -> None:
        for _ in range(rounds * 3):
            seen.extend(each.content for each in media.get_session("s").runs)
            found = media.get_run("r", session_id="s")
            seen.extend([] if found is None else [found.content])

    together(partial(write, "r", [OTHER, "short"]), partial(write, "another", [PICTURE, OTHER]), *([read] * 3))
    record_property("told", f"{len(seen)} runs read beside 2 writers of what is kept beside them: none without it")
    assert set(seen) <= {PICTURE, OTHER, "short"}
    assert media.get_run("steady").content == PICTURE


# -- whose it is -------------------------------------------------------------------------------------------


@pytest.mark.variant
def test_who_names_a_text_of_another_session_or_tenant_does_not_get_it(db: Any, media: Any) -> None:
    append(media, "theirs", "r", content=PICTURE)
    forged = stored(media, "runs", "run_data", run_id="r")
    append(media, "mine", "r")
    overwrite(media, "runs", "run_data", forged, session_id="mine")
    with pytest.raises(CorruptRow, match="is kept beside it and is not there"):
        media.get_session("mine")
    with again(db, tenant_id="t", media_over=OVER) as tenant:
        append(tenant, "theirs", "r", content=OTHER)
        assert tenant.get_run("r", session_id="theirs").content == OTHER
    assert media.get_run("r", session_id="theirs").content == PICTURE
    assert sorted(data for _, data in beside(media)) == sorted([PICTURE, OTHER])
    assert media.get_run("r", session_id="theirs", user_id="mallory") is None


@pytest.mark.variant
def test_a_run_whose_text_is_lost_is_named_and_takes_no_listing_down(media: Any) -> None:
    append(media, "s", "lost", content=PICTURE)
    append(media, "s", "whole", content=OTHER)
    digest = next(row["digest"] for row in dump(media)["media"] if row["data"] == PICTURE)
    overwrite(media, "media", "digest", "gone", digest=digest)
    reads: list[Callable[[], Any]] = [lambda: media.get_session("s"), lambda: media.get_run("lost")]
    for read in reads:
        with pytest.raises(CorruptRow, match=f"run 'lost' of session 's'.*{digest}") as raised:
            read()
        assert raised.value.column == "run_data"
    listed = {each["run_id"]: each["run_data"]["content"] for each in media.get_runs("s", deserialize=False)[0]}
    assert listed["whole"] == OTHER
    assert listed["lost"]["$agno_store"] == "corrupt"
    assert PICTURE not in str(listed["lost"])


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_releases_that_know_no_marks_find_that_they_cannot_read_them(media: Any) -> None:
    append(media, "s", "r", content=PICTURE)
    text = stored(media, "runs", "run_data", run_id="r")
    assert json.loads(text)["content"]["$agno_store"] == "bytes"  # to them the base64 of bytes, which must be a text
    with pytest.raises(TypeError):
        base64.b64decode(json.loads(text)["content"]["value"])
    with pytest.raises(ValueError, match="not there"):
        decode(text)


# -- looking -----------------------------------------------------------------------------------------------


@pytest.mark.variant
def test_it_is_searched_and_measured(db: Any, media: Any) -> None:
    append(media, "s", "before")
    append(media, "s", "r", content=ODD + "a needle", user_id="u")
    (found,) = media.search("A NEEDLE")
    assert [(place.run_id, place.path) for place in found.places] == [("r", "run_data.content")]
    assert media.search("a needle in it") == []
    payloads = sum(len(row["run_data"]) for row in dump(media)["runs"])
    size = sum(row["size"] for row in dump(media)["media"])
    stats = media.stats()
    assert size == sum(len(row["data"].encode()) for row in dump(media)["media"]) > len(ODD)
    assert (stats.bytes, stats.largest[0].bytes, stats.days[-1].bytes) == (payloads + size,) * 3


@pytest.mark.parametrize("size", [0, 999, True, "100kB", 1e6])
@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_a_size_that_is_none_is_refused(db: Any, size: Any) -> None:
    with pytest.raises(ConfigurationError, match="media_over="):
        again(db, media_over=size)
