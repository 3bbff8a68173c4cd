"""Long texts beside runs, and a codec: nothing stays there in the clear, and nothing is deleted that is needed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_store import ConfigurationError, CorruptRow
from agno_store.dialects.limits import Limit
from tests.contract.database import dump, overwrite
from tests.contract.samples import append, run
from tests.contract.sealing import codec, keys_of, places
from tests.contract.test_media import CANARY, OTHER, OVER, again, beside
from tests.contract.test_media_store import Folder


@pytest.fixture
def media(db: Any) -> Iterator[Any]:
    """The store, told to keep long texts beside their runs."""
    with again(db, media_over=OVER) as store:
        yield store


@pytest.fixture
def sealed(db: Any) -> Iterator[Any]:
    """The store, told to seal what it stores."""
    with again(db, codec=codec("2026")) as store:
        yield store


@pytest.mark.backends("sqlite")
def test_a_store_that_seals_keeps_nothing_beside_its_runs(db: Any, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = [{"media_over": OVER}, {"media_store": Folder(tmp_path)}]
    for options in asked:
        with pytest.raises(ConfigurationError, match="go with no codec="):
            again(db, codec=codec("2026"), **options)


@pytest.mark.variant
def test_what_was_beside_a_run_is_needed_until_it_is_sealed_in_it(db: Any, media: Any, sealed: Any) -> None:
    append(media, "s", "a", "b", "c", "d", content=[CANARY])
    append(media, "s", "e", content=[CANARY, OTHER])
    assert [each.content[0] for each in sealed.get_session("s").runs] == [CANARY] * 5
    sealed.upsert_run(run("a", [CANARY]), "s")
    sealed.delete_run("b", session_id="s")
    media.delete_run("c", session_id="s")
    assert sorted(beside(db)) == sorted([("s", CANARY), ("s", OTHER)])
    assert [each.content[0] for each in sealed.get_session("s").runs] == [CANARY] * 3

    assert sealed.rekey() == (0, 2, 0, 0)
    assert sealed.rekey().rows == 0
    assert (beside(db), places(db, CANARY), places(db, OTHER), set(keys_of(db))) == ([], [], [], {"2026"})
    append(media, "s", "f", content=[CANARY])
    for store, run_id in ((media, "a"), (db, "d"), (sealed, "f")):
        store.upsert_run(run(run_id, "short"), "s")
        assert sealed.get_run("e", session_id="s").content == [CANARY, OTHER]
        store.delete_run(run_id, session_id="s")
    assert [each.content for each in sealed.get_session("s").runs] == [[CANARY, OTHER]]
    assert beside(db) == []


@pytest.mark.variant
def test_what_is_not_there_stays_unsealed_and_is_counted(media: Any, sealed: Any) -> None:
    append(media, "s", "whole", "lost", content=OTHER)
    media.upsert_run(run("lost", CANARY), "s")
    overwrite(media, "media", "digest", "gone", data=CANARY)
    before = dump(media)["runs"][1]
    assert sealed.rekey() == (0, 1, 0, 1)
    assert dump(media)["runs"][1] == before
    assert sealed.get_run("whole").content == OTHER
    with pytest.raises(CorruptRow, match="is kept beside it and is not there"):
        sealed.get_run("lost")


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_what_is_too_large_as_a_whole_keeps_what_is_beside_it(
    media: Any, sealed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = ["x" * 2_000_000, "y" * 2_000_000]
    append(media, "s", "large", content=large)
    append(media, "s", "small", content=CANARY)
    monkeypatch.setattr(type(media.dialect), "largest", lambda *_: Limit(4_000_000))
    assert sealed.rekey() == (0, 1, 0, 1)
    assert sealed.get_run("large").content == large
    assert sealed.get_run("small").content == CANARY
    assert len(beside(media)) == 2


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_what_is_in_a_store_of_objects_is_brought_back_by_a_copy(db: Any, tmp_path: Path, opened: Any) -> None:
    target = opened(codec=codec("2026"))
    with again(db, media_over=OVER, media_store=Folder(tmp_path)) as old:
        append(old, "s", "r", content=CANARY)
        with again(db, codec=codec("2026")) as sealed:
            assert sealed.rekey().left == 1
        assert target.import_from(old, verify=True).problems == []
    assert target.get_run("r").content == CANARY
    assert (beside(target), places(target, CANARY)) == ([], [])


@pytest.mark.backends("sqlite")
@pytest.mark.variant
def test_what_arrives_sealed_stays_in_its_row(db: Any, sealed: Any, opened: Any) -> None:
    append(sealed, "s", "r", content=CANARY)
    file, target = io.BytesIO(), opened(media_over=OVER)
    db.export(file)
    for given in (file.getvalue(), file.getvalue().replace(b'"version": 1', b'"version": 9')):
        assert target.import_from(io.BytesIO(given)).problems == []
        assert beside(target) == []
        with again(target, codec=codec("2026")) as reader:
            assert reader.get_run("r").content == CANARY
