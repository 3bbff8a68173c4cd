"""The asynchronous classes have what the others have, and say the same about it."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from agno_store import (
    AsyncMySQLDb,
    AsyncPostgresDb,
    AsyncSqliteDb,
    ConfigurationError,
    MySQLDb,
    PostgresDb,
    SqliteDb,
    open_async_db,
    open_db,
)
from agno_store.aio import Options, ServerOptions

TWINS: dict[Any, Any] = {SqliteDb: AsyncSqliteDb, PostgresDb: AsyncPostgresDb, MySQLDb: AsyncMySQLDb}
TWIN = pytest.mark.parametrize(("sync", "twin"), TWINS.items(), ids=lambda cls: cls.__name__)
METHODS = {name for name, member in inspect.getmembers(SqliteDb, inspect.isfunction) if not name.startswith("_")}
PLAIN = {"to_dict"}
STREAMS = {"iter_sessions", "iter_runs"}


def public(cls: Any) -> set[str]:
    """What a class has of its own, and not because agno was imported."""
    members = ((name, member) for base in cls.__mro__ for name, member in vars(base).items())
    return {name for name, member in members if name[0] != "_" and is_ours(member)}


def is_ours(member: Any) -> bool:
    module = getattr(getattr(member, "fget", member), "__module__", "")
    return module.startswith("agno_store.") and not module.startswith("agno_store.bridge")


@TWIN
def test_a_class_has_what_its_twin_has(sync: Any, twin: Any) -> None:
    where = {} if sync is SqliteDb else {"db_url": f"{sync.dialect.title.split('/')[0].lower()}://host/db"}
    assert {name for name in public(sync) if not hasattr(twin, name)} == set()
    with sync(**where) as opened:
        own = {name for name in vars(opened) if name[0] != "_"}
    assert {"names", "lock_timeout", "on_conflict"} < own
    assert {name for name in own if not hasattr(twin(**where), name)} == set()


@pytest.mark.parametrize("name", sorted(METHODS & public(SqliteDb)))
@TWIN
def test_a_method_takes_the_same_and_says_the_same(sync: Any, twin: Any, name: str) -> None:
    one, other = getattr(sync, name), getattr(twin, name)
    shapes = [
        [
            (parameter.name, parameter.kind, parameter.default)
            for parameter in inspect.signature(method).parameters.values()
        ]
        for method in (one, other)
    ]
    assert shapes[0] == shapes[1]
    assert one.__doc__ == other.__doc__
    assert inspect.iscoroutinefunction(other) is (name not in PLAIN | STREAMS)
    assert inspect.isasyncgenfunction(other) is (name in STREAMS)


@TWIN
def test_a_class_is_opened_with_the_same_options(sync: Any, twin: Any) -> None:
    assert inspect.signature(sync) == inspect.signature(twin)
    keywords = {name for name, each in inspect.signature(sync).parameters.items() if each.kind is each.KEYWORD_ONLY}
    assert keywords == (Options if sync is SqliteDb else ServerOptions).__annotations__.keys()
    assert "return" in get_type_hints(sync.__init__)
    with pytest.raises(TypeError, match="nonsense"):
        twin(db_url=f"{sync.dialect.title.split('/')[0].lower()}://", nonsense=1)


URLS = {
    "sqlite:///x/a.db": "sqlite+aiosqlite",
    "sqlite+aiosqlite:///x/a.db": "sqlite+aiosqlite",
    "postgresql://u:p@host/db": "postgresql+psycopg_async",
    "postgres://u:p@host/db": "postgresql+psycopg_async",
    "postgresql+psycopg://u:p@host/db": "postgresql+psycopg_async",
    "postgresql+psycopg_async://u:p@host/db": "postgresql+psycopg_async",
    "mysql://u:p@host/db": "mysql+asyncmy",
    "mariadb://u:p@host/db": "mariadb+asyncmy",
    "mysql+asyncmy://u:p@host/db": "mysql+asyncmy",
    "mysql+aiomysql://u:p@host/db": "mysql+aiomysql",
}


@pytest.mark.parametrize(("url", "driver"), URLS.items())
def test_a_url_may_name_the_driver_or_leave_it_to_the_class(url: str, driver: str) -> None:
    db, again = open_async_db(url), open_async_db(url)
    assert db.db_url.startswith(f"{driver}://")
    sync = open_db(
        url.replace("+aiosqlite", "").replace("+psycopg_async", "").replace("+asyncmy", "").replace("+aiomysql", "")
    )
    assert db.id == again.id == sync.id
    assert TWINS[type(sync)] is type(db)
    assert (db.table_name, db.runs_table_name, db.db_schema) == (sync.table_name, sync.runs_table_name, None)


@pytest.mark.parametrize(
    ("url", "better"),
    [
        ("sqlite+pysqlite:///a.db", "sqlite+aiosqlite"),
        ("postgresql+psycopg2://u:s3cret@host/db", "postgresql+psycopg"),
        ("postgresql+nothing://u:s3cret@host/db", "postgresql+psycopg"),
        ("mysql+pymysql://u:s3cret@host/db", "mysql+asyncmy or mysql+aiomysql"),
    ],
)
def test_a_driver_that_is_not_asynchronous_is_refused_with_one_to_use(url: str, better: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_async_db(url)
    assert better in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_class_refuses_what_belongs_to_another() -> None:
    with pytest.raises(ConfigurationError, match=r"AsyncMySQLDb.*open_async_db"):
        AsyncPostgresDb("mysql://host/db")
    with pytest.raises(ConfigurationError, match="create_async_engine"):
        AsyncSqliteDb(db_engine=create_engine("sqlite://"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"as create_async_engine\(\) makes it; .* AsyncConnection"):
        AsyncSqliteDb(db_engine=create_async_engine("sqlite+aiosqlite://").connect())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not an AsyncEngine"):
        SqliteDb(db_engine=create_async_engine("sqlite+aiosqlite://"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="AsyncPostgresDb needs either"):
        AsyncPostgresDb()
    with pytest.raises(ConfigurationError, match="AsyncSqliteDb needs one of"):
        AsyncSqliteDb("a.db", "sqlite://")
    with pytest.raises(ConfigurationError, match="no schemas"):
        open_async_db("sqlite://", db_schema="ai")
    with pytest.raises(ConfigurationError, match="lock_timeout"):
        open_async_db("sqlite://", lock_timeout=-1)


@pytest.mark.parametrize("opens", [open_db, open_async_db])
def test_options_of_servers_that_say_nothing_are_taken_for_every_url(opens: Any) -> None:
    options = {"db_schema": None, "pooler": None, "read_url": None, "read_your_writes": False}
    for url in ("sqlite://", "postgresql://host/db", "mysql://host/db"):
        assert opens(url, **options).db_schema is None


def test_a_store_is_described_without_its_password(tmp_path: Path) -> None:
    db = AsyncPostgresDb("postgresql://ai:s3cret@host/db", table_name="talks", db_schema="ai")
    assert db.to_dict() == {
        "id": db.id,
        "type": "agno_store.asyncpostgres",
        "table_name": "talks",
        "db_schema": "ai",
        "tenant_id": None,
    }
    assert "s3cret" not in f"{db!r} {db.db_url} {db.to_dict()}"
    assert repr(db).startswith("AsyncPostgresDb('postgresql+psycopg_async://ai:***@host/db'")


class Dropped:
    """A store of objects that forgets them."""

    async def put(self, key: str, data: bytes) -> None: ...

    async def get(self, key: str) -> bytes:
        raise KeyError(key)

    async def delete(self, keys: Sequence[str]) -> None: ...

    async def keys(self, _prefix: str) -> list[str]:
        return []


def test_a_copy_awaits_the_store_of_objects_as_it_did(tmp_path: Path) -> None:
    db = AsyncSqliteDb(tmp_path / "a.db", media_store=Dropped())
    once = pickle.loads(pickle.dumps(db))
    assert pickle.loads(pickle.dumps(once)).id == db.id


def test_copies_are_the_same_store(tmp_path: Path) -> None:
    db = AsyncSqliteDb(tmp_path / "a.db", table_name="talks", lock_timeout=5)
    again = pickle.loads(pickle.dumps(db))
    assert (type(again), again.id, again.db_url, again.lock_timeout) == (AsyncSqliteDb, db.id, db.db_url, 5)
    assert copy.copy(db) is copy.deepcopy(db) is db
    with pytest.raises(TypeError, match="memory"):
        pickle.dumps(AsyncSqliteDb(db_url="sqlite://"))
    with pytest.raises(RuntimeError, match="loop"):
        db.db_engine  # noqa: B018
