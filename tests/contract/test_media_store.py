"""Long texts in a store of objects: none is named that is not there, and none is left that nothing names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import ConfigurationError, CorruptRow, MediaUnavailable, OwnerMismatch
from agno_store.tables import journal
from tests.contract import stores
from tests.contract.database import dump, empty, statements
from tests.contract.old import aged, set_back
from tests.contract.processes import together
from tests.contract.samples import append, run, session
from tests.contract.test_media import OTHER, OVER, PICTURE, again

ENDS = "AGNO_STORE_TEST_ENDS"
"""Where a process finds before the end of which call it is killed."""


class Folder:
    """A store of objects in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fails: set[str] = set()

    def put(self, key: str, data: bytes) -> None:
        self._refuse("put")
        file = self.path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self._end("put")

    def get(self, key: str) -> bytes:
        self._refuse("get")
        try:
            return (self.path / key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def delete(self, keys: Sequence[str]) -> None:
        self._refuse("delete")
        self._end("delete")
        for key in keys:
            (self.path / key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterable[str]:
        return [key for key in self.there if key.startswith(prefix)]

    @property
    def there(self) -> list[str]:
        """The keys of all objects."""
        return sorted(str(file.relative_to(self.path)) for file in self.path.rglob("*") if file.is_file())

    def age(self, keys: Iterable[str]) -> None:
        """Let objects be two days old."""
        for key in keys:
            head, _, tail = key.rpartition("-")
            name, _, moment = head.rpartition("-")
            (self.path / key).rename(self.path / f"{name}-{int(moment, 16) - 2 * 86_400:x}-{tail}")

    def _refuse(self, what: str) -> None:
        if what in self.fails:
            raise OSError(f"no {what} today")

    def _end(self, what: str) -> None:
        if os.environ.get(ENDS) == what:
            os._exit(9)


class Awaited(Folder):
    """The same with coroutine functions."""

    async def put(self, key: str, data: bytes) -> None:  # type: ignore[override]
        super().put(key, data)

    async def get(self, key: str) -> bytes:  # type: ignore[override]
        return super().get(key)

    async def delete(self, keys: Sequence[str]) -> None:  # type: ignore[override]
        super().delete(keys)

    async def keys(self, prefix: str) -> Iterable[str]:  # type: ignore[override]
        return super().keys(prefix)


def decorated(method: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes a coroutine and is no coroutine function, as decorators leave them."""
    return lambda *args: method(*args)


class Decorated(Awaited):
    """The same with such functions."""

    put, get = decorated(Awaited.put), decorated(Awaited.get)
    delete, keys = decorated(Awaited.delete), decorated(Awaited.keys)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return (Awaited if stores.is_async() else Folder)(tmp_path / "objects")


@pytest.fixture
def media(db: Any, folder: Folder) -> Iterator[Any]:
    """The store, told to keep long texts in the folder."""
    with again(db, media_over=OVER, media_store=folder) as store:
        yield store


def named(db: Any) -> list[str]:
    """The keys of the objects that the rows name."""
    return sorted(row["place"] for row in dump(db)["media"] if row["place"] is not None)


def changed(db: Any, statement: sa.Executable) -> None:
    """Change something behind the store's back."""
    with db.db_engine.begin() as connection:
        connection.execute(statement)


def test_what_is_long_is_put_there_once_and_comes_back(media: Any, folder: Folder) -> None:
    append(media, "s", "a", "b", "c", content=[PICTURE, "short", {"again": PICTURE}, OTHER])
    media.update_run_in_session("s", "c", {"more": OTHER + PICTURE})
    assert [row["data"] for row in dump(media)["media"]] == [None] * 3
    assert folder.there == named(media)
    assert [each.content[0] for each in media.get_session("s").runs] == [PICTURE] * 3
    with again(media) as without, pytest.raises(CorruptRow, match="read with media_store="):
        without.get_run("a")
    with again(media, media_store=Folder(folder.path)) as only_reads:
        assert only_reads.get_run("c").run_data["more"] == OTHER + PICTURE
        append(only_reads, "s", "d", content=PICTURE + OTHER)
    assert len(folder.there) == 3


@pytest.mark.variant
def test_what_is_in_the_database_already_is_read_and_deleted_there(db: Any, media: Any, folder: Folder) -> None:
    with again(db, media_over=OVER) as before:
        append(before, "\ud800", "r", content=PICTURE)
    assert media.get_session("\ud800").runs[0].content == PICTURE
    append(media, "\ud800", "new", content=[PICTURE, OTHER])
    assert len(folder.there) == 1
    assert media.get_run("new").content == [PICTURE, OTHER]
    media.delete_run("r", session_id="\ud800")
    assert media.get_run("new").content == [PICTURE, OTHER]
    media.delete_session("\ud800")
    assert (folder.there, dump(media)["media"]) == ([], [])


GONE: dict[str, Callable[[Any], Any]] = {
    "delete_session": lambda db: db.delete_session("s"),
    "delete_run": lambda db: db.delete_run("r", session_id="s"),
    "prune": lambda db: db.prune("1d"),
    "delete_user": lambda db: db.reassign_session_owner("s", previous_user_id="u", user_id="v") and db.delete_user("u"),
    "upsert_run": lambda db: db.upsert_run(run("r", "short"), "s"),
}


@pytest.mark.variant
def test_no_object_is_left_where_its_run_is_gone(media: Any, folder: Folder) -> None:
    for how, act in GONE.items():
        aged(media, "s", 2, user_id="u")
        media.upsert_run(run("r", PICTURE, user_id="u"), "s")
        append(media, "other", "r2", content=PICTURE, user_id="w")
        stores.run(set_back, media, "s", 2)
        act(media)
        assert folder.there == named(media), how
        assert len(folder.there) == 1, how
        assert media.get_run("r2").content == PICTURE
        media.delete_sessions(["s", "other"])


@pytest.mark.variant
def test_who_adds_again_what_another_deletes_does_not_lose_it(media: Any, folder: Folder) -> None:
    append(media, "s", "steady", content=OTHER)

    def write(run_id: str) -> None:
        for n in range(10):
            media.upsert_run(run(run_id, [PICTURE, "short"][n % 2]), "s")

    def read() -> None:
        for _ in range(20):
            assert {each.content for each in media.get_session("s").runs} <= {PICTURE, OTHER, "short"}

    together(partial(write, "a"), partial(write, "b"), read, read)
    append(media, "s", "last", content=PICTURE)
    assert media.get_run("last").content == PICTURE
    assert set(named(media)) <= set(folder.there)


# -- a store of objects that is none, or for others ------------------------------------------------------


def test_what_lacks_a_method_is_refused(db: Any) -> None:
    class Lacking:
        put = get = delete = print
        keys = ("a key to the bucket",)

    for store in ("no store", Lacking(), 3):
        with pytest.raises(ConfigurationError, match="must have put") as raised:
            again(db, media_store=store)
        assert "bucket" not in str(raised.value)


def test_coroutine_functions_are_for_asynchronous_stores(db: Any, tmp_path: Path) -> None:
    if stores.is_async():
        again(db, media_store=Awaited(tmp_path))
    else:
        with pytest.raises(ConfigurationError, match="coroutine function"):
            again(db, media_store=Awaited(tmp_path))


def test_what_is_to_be_awaited_is_or_nothing_is_stored(db: Any, tmp_path: Path) -> None:
    folder = Decorated(tmp_path / "objects")
    with again(db, media_over=OVER, media_store=folder) as media:
        if stores.is_async():
            append(media, "s", "r", content=PICTURE)
            assert media.get_run("r").content == PICTURE
            media.delete_session("s")
            media.prune("365d")
        else:
            with pytest.raises(MediaUnavailable, match=r"could not write .*: TypeError") as raised:
                append(media, "s", "r", content=PICTURE)
            assert "to be awaited" in str(raised.value.__cause__)
        assert (folder.there, dump(media)["runs"]) == ([], [])


# -- a store of objects that fails -----------------------------------------------------------------------


def test_a_failure_is_said_and_leaves_nothing_unnamed_for_good(media: Any, folder: Folder) -> None:
    append(media, "s", "r", content=PICTURE)
    before, (key,) = dump(media), folder.there
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("put", lambda: media.upsert_run(run("new", OTHER), "s")),
        ("get", lambda: media.get_session("s")),
        ("get", lambda: media.get_runs("s")),
    ]
    for what, call in calls:
        folder.fails = {what}
        with pytest.raises(MediaUnavailable, match=r"^agent_sessions: media_store= could not") as raised:
            call()
        assert f"no {what} today" in str(raised.value.__cause__)
        assert "today" not in str(raised.value)
        assert dump(media) == before
        assert len(raised.value.keys) == 1
    folder.fails = {"delete"}
    with pytest.raises(
        MediaUnavailable, match=f"could not delete {key}: OSError, .*; prune\\(\\) tries again"
    ) as raised:
        media.delete_session("s")
    assert (media.get_session("s"), folder.there, raised.value.keys) == (None, [key], (key,))
    folder.fails = set()
    media.prune("365d")
    assert folder.there == [key]  # it might be one that is about to be named
    folder.age([key])
    media.prune("365d", dry_run=True)
    assert len(folder.there) == 1
    media.prune("365d")
    assert folder.there == []


@pytest.mark.variant
def test_pruning_deletes_what_nothing_names_and_nothing_else(
    media: Any, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(media, "s", "r", content=PICTURE)
    (kept,) = folder.there
    at, old = kept.rpartition("/")[0], f"{int(time.time()) - 2 * 86_400:x}"
    orphans = [f"{at}/{'0' * 64}-{old}-{n}" for n in range(5)]
    bare = orphans[0].partition("/")[2]
    anothers = [bare, f"another/{bare}", f"{at}/notes", f"{at}/some-notes-1", f"{at}/0-0-0"]
    for key in (*orphans, *anothers):
        stores.run(Folder.put, folder, key, b"")
    monkeypatch.setattr("agno_store.objects.AT_ONCE", 2)
    monkeypatch.setattr(Folder, "keys", lambda folder, _prefix: folder.there)  # and tells of others' besides
    media.prune("365d")
    assert folder.there == sorted([kept, *anothers])
    append(media, "s", "many", content=[OTHER + str(n) for n in range(5)])
    media.delete_session("s")
    assert folder.there == sorted(anothers)


def test_pruning_leaves_what_is_another_stores_whose_url_reads_the_same(opened: Any, folder: Folder) -> None:
    options = {"media_over": OVER, "media_store": folder}
    first = opened(**options)
    append(first, "s", "r", content=PICTURE)
    folder.age(folder.there)
    there, noted = folder.there, journal(first.names)
    stores.run(empty, first)  # as the database of another one: at the same URL in a network, or on a volume, of its own
    for change in (noted.update().values(done_at=noted.c.done_at + 1), noted.delete(), sa.schema.DropTable(noted)):
        stores.run(changed, first, change)
        other = opened(**options)
        append(other, "s", "r", content=OTHER)
        other.prune("365d")
        assert folder.there == sorted([*there, *named(other)])
        other.delete_session("s")
    first.prune("365d")
    assert folder.there == []


def test_the_journal_is_read_once_and_only_for_what_is_put_there(db: Any, media: Any) -> None:
    def asked(write: Callable[[], Any]) -> int:
        with statements(db.db_engine) as sent:
            write()
        return sum(db.names.upgrades in each and "done_at" in each for each in sent)

    append(media, "s", "first", content="short")
    assert asked(lambda: append(media, "s", "r", content="short")) == 0
    assert asked(lambda: append(media, "s", "new", content=PICTURE)) == 1
    assert asked(lambda: append(media, "s", "newer", content=OTHER)) == 0


def test_what_was_put_for_a_run_that_is_not_stored_is_deleted(media: Any, folder: Folder) -> None:
    media.upsert_run(run("r", PICTURE, user_id="ada"), "s", "ada")
    both = [PICTURE, OTHER]
    refused: list[Callable[[], Any]] = [
        lambda: media.upsert_run(run("q", both), "s", "eve"),
        lambda: media.append_run_to_session_if_absent("s", run("q", both), "eve"),
        lambda: media.upsert_session(session("s", user_id="eve"), run=run("q", both)),
    ]
    for write in refused:
        with pytest.raises(OwnerMismatch):
            write()
        assert len(folder.there) == 1
    assert media.append_run_to_session_if_absent("s", run("r", both)) is False
    assert media.append_run_to_session_if_absent("none", run("r", both)) is None
    assert folder.there == named(media)
    assert media.get_run("r").content == PICTURE
    folder.fails = {"delete"}
    with pytest.raises(OwnerMismatch):
        refused[0]()
    assert len(folder.there) == 2  # for prune


@pytest.mark.variant
def test_an_object_that_is_lost_makes_its_run_unreadable_and_no_other(media: Any, folder: Folder) -> None:
    append(media, "s", "lost", content=PICTURE)
    (folder.path / folder.there[0]).unlink()
    append(media, "s", "whole", content=OTHER)
    with pytest.raises(CorruptRow, match="run 'lost' of session 's'"):
        media.get_session("s")
    assert [each.content for each in media.get_runs("s")][1] == OTHER


@pytest.mark.variant
@pytest.mark.parametrize(
    "damaged", [PICTURE[:10].encode(), b"somebody else's words", b"\xff"], ids=["cut", "another", "no text"]
)
def test_what_is_not_what_was_put_there_is_never_given(media: Any, folder: Folder, damaged: bytes) -> None:
    append(media, "s", "damaged", content=PICTURE)
    stores.run((folder.path / folder.there[0]).write_bytes, damaged)
    append(media, "s", "whole", content=OTHER)
    with pytest.raises(CorruptRow, match="run 'damaged' of session 's'"):
        media.get_run("damaged")
    assert [each.content for each in media.get_runs("s")][1] == OTHER
    media.delete_run("damaged", session_id="s")
    assert folder.there == named(media)


KILLED = """
import sys
from pathlib import Path
from agno_store import open_db
from tests.contract.test_media_store import Folder
with open_db(sys.argv[1], media_over=1000, media_store=Folder(Path(sys.argv[2]))) as db:
    exec(sys.argv[3])
"""


@pytest.mark.backends("sqlite")
@pytest.mark.variant
@pytest.mark.parametrize("at", ["put", "delete"] if os.environ.get("TEST_ALL") else ["put"])
def test_a_process_that_is_killed_leaves_no_row_without_its_object(
    db: Any, media: Any, folder: Folder, at: str
) -> None:
    append(media, "s", "r", content=PICTURE)
    act = {"put": "db.upsert_run({'run_id': 'new', 'content': 'x' * 5000}, 's')", "delete": "db.delete_session('s')"}
    url = db.db_engine.url.render_as_string(hide_password=False)
    words = [sys.executable, "-c", KILLED, url, str(folder.path), act[at]]
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(words, env={**os.environ, ENDS: at}, cwd=root, check=False)
    assert ended.returncode == 9
    assert [row["run_id"] for row in dump(media)["runs"]] == (["r"] if at == "put" else [])
    assert set(named(media)) < set(folder.there)
    if at == "put":
        assert media.get_run("r").content == PICTURE
    folder.age(set(folder.there) - set(named(media)))
    media.prune("365d")
    assert folder.there == named(media)
