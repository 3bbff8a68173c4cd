"""Columns that are generated out of a payload: the same text on every database, and no surprise for drift."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from agno_store import ConfigurationError, open_db, types
from agno_store.dialects import SQLITE
from agno_store.dialects.generated import column_definitions
from agno_store.migrations import Migrator
from agno_store.tables import Extend, Tables, metadata
from tests.migrations.conftest import contents, fill

VALUES: dict[str, tuple[Any, str | None]] = {
    "a text": ("Gespräche 会话 'quoted' \"twice\" \\ % {} \n", "Gespräche 会话 'quoted' \"twice\" \\ % {} \n"),
    "an empty text": ("", ""),
    "the word null": ("null", "null"),
    "null": (None, None),
    "a number": (12, "12"),
    "a fraction": (0.5, "0.5"),
    "true": (True, "true"),
    "false": (False, "false"),
    "a long text": ("é" * 300, "é" * 255),
    "NUL, which is stored behind an escape": ("a\x00b", "a\x1a0b"),
}


def declare(*path: str, column: str = "own", of: Any = types.ID, payload: str = "metadata") -> Extend:
    """Declare a generated column with an index."""

    def extend(tables: Tables) -> None:
        tables.sessions.append_column(sa.Column(column, of, types.from_json(payload, *path)))
        sa.Index(f"ix_{tables.sessions.name}_{column}", tables.sessions.c[column])

    return extend


def apply(db: Any) -> None:
    """Make what is declared, as a revision would."""
    declared = declared_in(db)
    with db.db_engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        for column in declared.columns:
            if column.computed is not None:
                op.add_column(declared.name, column._copy(), schema=declared.schema)
        for index in declared.indexes:
            if any(column.computed is not None for column in index.columns):
                op.create_index(index.name, declared.name, [column.name for column in index.columns])


def declared_in(db: Any) -> sa.Table:
    return metadata(db.names, db.extend).tables[db.names.sessions]


def own(db: Any, column: str = "own") -> list[Any]:
    found = sa.table(db.names.sessions, sa.column("session_id"), sa.column(column))
    with db.db_engine.connect() as connection:
        return list(connection.execute(sa.select(found.c[column]).order_by(found.c.session_id)).scalars())


def test_values_are_the_same_text_on_every_database(fresh_url: str) -> None:
    with open_db(fresh_url, extend=declare("it's", "100% %(sure)s", "[0].x y")) as db:
        for when in ("before", "after"):
            for n, (value, _) in enumerate(VALUES.values()):
                payload = {"it's": {"100% %(sure)s": {"[0].x y": value}, "other": [1]}}
                db.upsert_session({"session_id": f"{when} {n:02}", "metadata": payload})
            db.upsert_session({"session_id": f"{when} nothing"})
            db.upsert_session({"session_id": f"{when} other", "metadata": {"it's": "no object"}})
            if when == "before":
                apply(db)
        wanted = [text for _, text in VALUES.values()] + [None, None]
        assert own(db) == wanted * 2


@pytest.mark.backends("sqlite", "mysql")
def test_a_payload_that_somebody_spoiled_is_no_reason_to_fail(fresh_url: str) -> None:
    with open_db(fresh_url, extend=declare("key")) as db:
        db.upsert_session({"session_id": "a", "metadata": {"key": "value"}})
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql("UPDATE agent_sessions SET metadata = 'no json'")
        apply(db)
        assert own(db) == [None]
        with db.db_engine.begin() as connection:
            connection.exec_driver_sql("UPDATE agent_sessions SET metadata = '{}'")
            connection.exec_driver_sql("UPDATE agent_sessions SET metadata = '[1'")
        assert own(db) == [None]


@pytest.mark.parametrize(("levels", "on"), [(25, "all"), (240, "all but MySQL")])
def test_a_payload_that_is_nested_deeply_can_still_be_stored(fresh_url: str, levels: int, on: str) -> None:
    deep: Any = "bottom"
    for _ in range(levels):
        deep = [deep]
    with open_db(fresh_url, extend=declare("key")) as db:
        db.upgrade_schema()
        apply(db)
        with db.db_engine.connect() as connection:
            is_mysql = not getattr(connection.dialect, "is_mariadb", True)
        if is_mysql and on != "all":  # its JSON functions take no more than 100 levels
            return
        db.upsert_session({"session_id": "s", "metadata": {"key": "value", "deep": deep}})
        assert contents(db)[0]["metadata"]["deep"] == deep
        assert own(db)[0] in ("value", None)  # MariaDB's JSON functions see no more than 32 levels


def test_what_is_there_is_no_drift_and_no_warning(fresh_url: str) -> None:
    with open_db(fresh_url, extend=declare("customer", "id")) as db, warnings.catch_warnings():
        warnings.simplefilter("error")
        fill(db)
        assert sorted(Migrator.of(db).drift()) == [
            "column agent_sessions.own is missing",
            "index ix_agent_sessions_own on agent_sessions is missing",
        ]
        apply(db)
        assert Migrator.of(db).drift() == []
    with open_db(fresh_url) as db, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Migrator.of(db).drift()) == 2, "nothing of it is declared"


def test_drift_finds_a_column_that_is_generated_from_something_else(fresh_url: str) -> None:
    with open_db(fresh_url, extend=declare("customer", "id")) as db:
        db.upgrade_schema()
        apply(db)
    for other, missing in ((("customer", "name"), "name"), (("client", "id"), "client")):
        with open_db(fresh_url, extend=declare(*other)) as db:
            [difference] = Migrator.of(db).drift()
            assert difference.startswith("column agent_sessions.own is generated from ")
            assert difference.endswith(f"which does not read {missing}")
    with open_db(fresh_url, extend=declare("customer", "id", payload="session_data")) as db:
        assert "which does not read session_data" in Migrator.of(db).drift()[0]


def test_drift_finds_a_plain_column_where_a_generated_one_is_declared_and_the_reverse(fresh_url: str) -> None:
    def plain(tables: Tables) -> None:
        tables.sessions.append_column(sa.Column("own", types.ID))
        sa.Index(f"ix_{tables.sessions.name}_own", tables.sessions.c.own)

    with open_db(fresh_url, extend=declare("key")) as db:
        db.upgrade_schema()
        apply(db)
    with open_db(fresh_url, extend=plain) as db:
        assert Migrator.of(db).drift() == ["column agent_sessions.own is generated"]
        with db.db_engine.begin() as connection:
            on = " ON agent_sessions" if db.dialect.title.startswith("MySQL") else ""
            connection.exec_driver_sql(f"DROP INDEX ix_agent_sessions_own{on}")
            connection.exec_driver_sql("ALTER TABLE agent_sessions DROP COLUMN own")
            name = connection.dialect.identifier_preparer.quote("own")
            type_ = types.ID.compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE agent_sessions ADD COLUMN {name} {type_}")
            connection.exec_driver_sql("CREATE INDEX ix_agent_sessions_own ON agent_sessions (own)")
        assert Migrator.of(db).drift() == []
    with open_db(fresh_url, extend=declare("key")) as db:
        assert Migrator.of(db).drift() == ["column agent_sessions.own is not generated"]


@pytest.mark.parametrize("path", [(), ("",), ('quo"te',), ("back\\slash",), ("new\nline",), ("\ud800",), (5,)])
def test_a_key_that_not_every_database_can_look_up_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot look up"):
        types.from_json("metadata", *path)


@pytest.mark.parametrize("of", [sa.Integer(), sa.Boolean(), types.COUNT, sa.LargeBinary()])
def test_it_is_for_text_only(of: Any) -> None:
    with pytest.raises(ConfigurationError, match="has to be one for text"):
        sa.Column("own", of, types.from_json("metadata", "key"))


def test_definitions_are_read_out_of_any_create_table() -> None:
    statement = """CREATE TABLE "a(b,c)" ( a TEXT DEFAULT 'x,(y''', "b""x" INT AS (f(a, ')', '$."x"')) VIRTUAL,
        -- a comment, with a comma
        [c d] NUMERIC(10, 2), `e``f` INT DEFAULT (1 - 2), "check" INT, /* , */
        CONSTRAINT pk PRIMARY KEY (a, "check"), CHECK (a > 1), d INT GENERATED ALWAYS AS ((1)) STORED) STRICT"""
    assert column_definitions(statement) == {
        "a": "a TEXT DEFAULT 'x,(y'''",
        'b"x': """"b""x" INT AS (f(a, ')', '$."x"')) VIRTUAL""",
        "c d": "[c d] NUMERIC(10, 2)",
        "e`f": "`e``f` INT DEFAULT (1 - 2)",
        "check": '"check" INT',
        "d": "d INT GENERATED ALWAYS AS ((1)) STORED",
    }


def test_generated_columns_survive_a_rebuild_with_their_indexes() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        run = connection.exec_driver_sql
        run('CREATE TABLE "100% odd" (a TEXT, "b c" TEXT AS (upper(a)) VIRTUAL)')
        run("""ALTER TABLE "100% odd" ADD COLUMN "d" TEXT AS ("b c" || ',)') VIRTUAL""")
        run('CREATE UNIQUE INDEX "ix %s" ON "100% odd" ("d", a)')
        run('CREATE INDEX plain ON "100% odd" (a)')
        run("""INSERT INTO "100% odd" (a) VALUES ('x')""")
        everything = "SELECT name, sql FROM sqlite_master ORDER BY name"
        before = run(everything).all()
        with SQLITE.rebuilding(connection, "100% odd", None, ()):
            assert [row.name for row in run('PRAGMA table_xinfo("100% odd")')] == ["a"]
        assert run('SELECT * FROM "100% odd"').one() == ("x", "X", "X,)")
        assert [name for name, _ in run(everything)] == [name for name, _ in before]
        assert set(SQLITE.generated(connection, "100% odd", None)) == {"b c", "d"}
