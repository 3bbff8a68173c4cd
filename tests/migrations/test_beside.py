"""Our tables beside a host's own, which its own Alembic looks after: neither touches the other's."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from agno_store import Names, SqliteDb, include_name, open_db
from agno_store.migrations import Migrator
from tests.cli.program import Answer, run_process
from tests.cli.stores import contents, dropped_at_the_end
from tests.history import above
from tests.migrations.conftest import fill
from tests.package.documents import blocks
from tests.package.source import ROOT

GUIDE = ROOT / "docs/howto/beside-your-own-alembic.md"

ENV = """
import functools, logging.config
import sqlalchemy as sa
from alembic import context
import agno_store

logging.config.fileConfig(context.config.config_file_name)
x = context.get_x_argument(as_dictionary=True)
metadata = sa.MetaData()
sa.Table("customers", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50)))
stores = [x["stores"]]

def combined(name, type_, parent_names):
    if type_ == "schema":
        return name in (None, x["stores"].rpartition(".")[0])
    return agno_store.include_name(name, type_, parent_names, stores=stores)

include = {
    "partial": functools.partial(agno_store.include_name, stores=stores),
    "combined": combined,
    "none": None,
}
engine = sa.create_engine(x["url"])
with engine.connect() as connection:
    if x["filter"] == "guide":
        target_metadata = metadata
        GUIDE
    else:
        context.configure(connection=connection, target_metadata=metadata, compare_type=True,
            include_schemas=x["filter"] == "combined", include_name=include[x["filter"]])
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
"""

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""

TEMPLATE = '''"""${message}"""
from alembic import op
import sqlalchemy as sa
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
def upgrade():
    ${upgrades if upgrades else "pass"}
def downgrade():
    ${downgrades if downgrades else "pass"}
'''


class Host:
    """An application with Alembic revisions of its own, in a process of its own."""

    def __init__(self, folder: Path, url: str, stores: str) -> None:
        self.folder, self.url, self.stores = folder, url, stores
        versions = folder / "migrations" / "versions"
        versions.mkdir(parents=True)
        (folder / "alembic.ini").write_text(INI)
        (shown, *_) = (block.text for block in blocks(GUIDE) if block.language == "python")
        env = ENV.replace("GUIDE", indent(shown, " " * 8).strip())
        (folder / "migrations" / "env.py").write_text(env)
        (folder / "migrations" / "script.py.mako").write_text(TEMPLATE)

    def alembic(self, *words: str, filter: str = "partial") -> Answer:
        x = {"url": self.url, "stores": self.stores, "filter": filter}
        options = [word for name, value in x.items() for word in ("-x", f"{name}={value}")]
        return run_process(sys.executable, "-m", "alembic", *options, *words, directory=self.folder)

    def is_clean(self, filter: str = "partial") -> bool:
        """Whether its autogenerate proposes nothing."""
        answer = self.alembic("check", filter=filter)
        assert (answer.code == 0) == ("No new upgrade operations detected" in answer.out), answer.err
        return answer.code == 0

    def migrate(self) -> None:
        """Write its first revision by autogenerate, and apply it."""
        for words in (("revision", "--autogenerate", "-m", "customers"), ("upgrade", "head")):
            answer = self.alembic(*words)
            assert answer.code == 0, answer.err
        [file] = (self.folder / "migrations" / "versions").glob("*.py")
        text = file.read_text()
        assert "customers" in text
        assert "agent" not in text
        assert "drop_table('customers')" in text.partition("def downgrade")[2]
        assert "drop_" not in text.partition("def downgrade")[0]


@pytest.fixture
def names(request: pytest.FixtureRequest, backend: str, fresh_url: str) -> Iterator[Names]:
    """A store in the host's own schema, or in one of its own."""
    if request.param == "default":
        yield Names()
    elif backend == "sqlite":
        yield Names("odd agents%s")
    else:
        schema = f"ai x {uuid.uuid4().hex[:8]}"
        with dropped_at_the_end(fresh_url, schema):
            yield Names("odd agents%s", schema)


@pytest.mark.parametrize(
    ("names", "order"),
    [("default", "ours first"), ("default", "the host's first"), ("odd", "the host's first")],
    indirect=["names"],
)
def test_a_host_and_a_store_share_a_database(fresh_url: str, tmp_path: Path, names: Names, order: str) -> None:
    host = Host(tmp_path, fresh_url, str(names))
    with open_db(fresh_url, table_name=names.sessions, db_schema=names.schema) as db:
        if order == "ours first":
            fill(db)
            host.migrate()
        else:
            host.migrate()
            fill(db)
        assert "customers" in contents(fresh_url)
        assert host.is_clean("combined" if names.schema else "partial")
        assert Migrator.of(db).drift() == []
        assert Migrator.of(db).downgrade("0001") == above("0001")[::-1]
        assert db.upgrade_schema() == above("0001")
        assert host.alembic("downgrade", "base").code == 0
        assert "customers" not in contents(fresh_url)
        assert len(db.get_sessions()) == 3
        assert Migrator.of(db).drift() == []


def test_without_it_the_host_would_drop_our_tables(fresh_url: str, tmp_path: Path) -> None:
    host = Host(tmp_path, fresh_url, "agent_sessions")
    with open_db(fresh_url) as db:
        fill(db)
    host.migrate()
    answer = host.alembic("check", filter="none")
    assert answer.code != 0
    for table in ("agent_sessions", "agent_sessions_runs", "agent_sessions_alembic_version", "agent_sessions_upgrades"):
        assert f"Table({table!r}" in answer.out
    assert host.is_clean("guide")


def test_a_store_that_names_the_connections_own_schema_is_left_alone(
    backend: str, fresh_url: str, tmp_path: Path
) -> None:
    schema = {"postgresql": "public", "mysql": fresh_url.rpartition("/")[2].partition("?")[0]}.get(backend)
    stores = f"{schema}.agent_sessions" if schema else "agent_sessions"
    host = Host(tmp_path, fresh_url, stores)
    with open_db(fresh_url, db_schema=schema) as db:
        fill(db)
    host.migrate()
    assert host.is_clean()


@pytest.mark.parametrize(
    ("stores", "schema", "hidden"),
    [
        ("agent_sessions", None, True),
        ("agent_sessions", "ai", False),
        ("ai.agent_sessions", "ai", True),
        ("ai.agent_sessions", None, True),
        ("ai.agent_sessions", "other", False),
        ("others", None, False),
        (["others", "agent_sessions"], None, True),
        ([], None, False),
        (Names(), None, True),
        ([Names("agent_sessions", "ai")], "ai", True),
        (Names("agent_sessions", "ai"), "other", False),
        ([SqliteDb(db_url="sqlite://")], None, True),
        ([SqliteDb(db_url="sqlite://", table_name="others")], None, False),
    ],
)
def test_the_tables_of_a_store_and_no_others_are_hidden(stores: Any, schema: str | None, hidden: bool) -> None:
    parents = {"schema_name": schema, "schema_qualified_table_name": "whatever"}
    for table in Names().own:
        assert include_name(table, "table", parents, stores=stores) is not hidden
    for table in ("agent_session", "agent_sessions_", "agent_sessions_of_mine", "customers", "alembic_version"):
        assert include_name(table, "table", parents, stores=stores)
    assert include_name(None, "schema", {}, stores=stores)
    assert include_name("ai", "schema", {}, stores=stores)
    for kind in ("column", "index", "unique_constraint", "foreign_key_constraint"):
        assert include_name("agent_sessions", kind, {**parents, "table_name": "customers"}, stores=stores)


def test_without_stores_it_is_the_default_one() -> None:
    assert not include_name("agent_sessions_runs", "table", {"schema_name": None})
    assert include_name("customers", "table", {"schema_name": None})


def test_the_hosts_loggers_are_left_as_they_are(db: Any, caplog: pytest.LogCaptureFixture) -> None:
    host = logging.getLogger("host.of.ours")
    host.addHandler(logging.NullHandler())
    host.setLevel(logging.ERROR)
    before = loggers()
    db.upgrade_schema("0002")
    db.upgrade_schema()
    Migrator.of(db).drift()
    Migrator.of(db).downgrade("base")
    after = loggers()
    assert {name: after[name] for name in before} == before
    assert [name for name in after.keys() - before.keys() if after[name] != (0, False, True, ())] == []


def loggers() -> dict[str, tuple[int, bool, bool, tuple[Any, ...]]]:
    """Return the level of every logger, whether it is switched off, hands on, and to which handlers."""
    named: dict[str, Any] = {"": logging.getLogger(), **logging.root.manager.loggerDict}
    known = {name: logger for name, logger in named.items() if isinstance(logger, logging.Logger)}
    return {
        name: (logger.level, logger.disabled, logger.propagate, tuple(map(id, logger.handlers)))
        for name, logger in known.items()
    }
