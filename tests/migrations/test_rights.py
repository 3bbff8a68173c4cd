"""Owner, app and reader have the rights that the guide gives them, and need no more; who lacks one is told which."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import AccessDenied, DatabaseError, SchemaConflict, open_db
from agno_store.operations import Operations
from agno_store.tables import HEAD, REVISIONS
from tests.cli.program import run
from tests.contract.database import statements
from tests.contract.sealing import rekeyed
from tests.migrations.conftest import contents, fill, snapshot
from tests.migrations.roles import PASSWORD, Roles, roles

servers = pytest.mark.backends("postgresql", "mysql")

DDL = re.compile(r"\s*(CREATE|ALTER|DROP|TRUNCATE|RENAME|GRANT|REVOKE)\b", re.IGNORECASE)


def exported() -> io.BytesIO:
    """What a store with one session exports."""
    file = io.BytesIO()
    with open_db("sqlite://") as db:
        db.upsert_session({"session_id": "brought"})
        db.export(file)
    file.seek(0)
    return file


READS: dict[str, Callable[[Any], Any]] = {
    "get_session": lambda db: db.get_session("s0"),
    "get_sessions": lambda db: db.get_sessions(deserialize=False),
    "get_run": lambda db: db.get_run("r0", session_id="s0"),
    "get_runs": lambda db: db.get_runs(session_id="s0"),
    "get_summary": lambda db: db.get_summary("s0"),
    "iter_sessions": lambda db: list(db.iter_sessions(deserialize=False)),
    "iter_runs": lambda db: list(db.iter_runs(session_id="s0")),
    "stats": lambda db: db.stats(),
    "search": lambda db: db.search("0/1"),
    "export": lambda db: db.export(io.BytesIO()),
    "get_latest_schema_version": lambda db: db.get_latest_schema_version(),
    "schema_status": lambda db: db.schema_status(),
    "table_exists": lambda db: db.table_exists("agent_sessions"),
}

WRITES: dict[str, Callable[[Any], Any]] = {
    "upsert_session": lambda db: db.upsert_session({"session_id": "s0", "user_id": "ada", "metadata": {"n": 1}}),
    "upsert_sessions": lambda db: db.upsert_sessions([{"session_id": "s0", "user_id": "ada"}, {"session_id": "new"}]),
    "insert_session_if_absent": lambda db: db.insert_session_if_absent({"session_id": "newer"}),
    "rename_session": lambda db: db.rename_session("s0", "agent", "named"),
    "update_session_state": lambda db: db.update_session_state("s0", lambda state: {**state, "n": 1}),
    "reassign_session_owner": lambda db: db.reassign_session_owner("s1", previous_user_id="ada", user_id="bob"),
    "upsert_run": lambda db: db.upsert_run({"run_id": "new", "status": "PENDING"}, session_id="s0"),
    "append_run_to_session_if_absent": lambda db: db.append_run_to_session_if_absent("s0", {"run_id": "newer"}),
    "cancel_pending_run": lambda db: db.cancel_pending_run("waiting", session_id="s0", reason="late"),
    "update_run_in_session": lambda db: db.update_run_in_session("s0", "r0", {"status": "COMPLETED"}),
    "upsert_summary": lambda db: db.upsert_summary("s0", {"summary": "short"}),
    "delete_run": lambda db: db.delete_run("r0", session_id="s0"),
    "delete_runs": lambda db: db.delete_runs(["r1"], session_id="s0"),
    "delete_session": lambda db: db.delete_session("s1"),
    "delete_sessions": lambda db: db.delete_sessions(["s2"]),
    "import_from": lambda db: db.import_from(exported()),
    "delete_user": lambda db: db.delete_user("ada").rows > 0,
    "prune": lambda db: db.prune("0s").rows > 0,
    "rekey": rekeyed,
}

OF_AGNO = {"update_approval_run_status", "upsert_schema_version"}
"""What agno calls and a store answers without its tables."""


def test_every_method_for_data_is_tried_here() -> None:
    public = {name for name, _ in inspect.getmembers(Operations, inspect.isfunction) if not name.startswith("_")}
    assert public - OF_AGNO == (READS.keys() | WRITES.keys()) - {"table_exists"}


@pytest.fixture
def granted(backend: str, fresh_url: str) -> Iterator[Roles]:
    """The guide's roles."""
    with roles(backend, fresh_url) as found:
        yield found


@pytest.fixture
def owned(granted: Roles) -> Roles:
    """The guide's roles, and a store made and filled by the owner, whose books are closed to the app."""
    with granted.open("owner") as db:
        fill(db)
        db.upsert_run({"run_id": "waiting", "status": "PENDING"}, session_id="s0")
    granted.close()
    return granted


def everything(granted: Roles) -> list[Any]:
    """All that is in the store, as the owner sees it."""
    with granted.open("owner") as db:
        return [*contents(db), snapshot(db.db_engine, db.names)]


# -- the owner ---------------------------------------------------------------------------------------


@servers
def test_the_owner_upgrades_from_nothing_in_a_schema_that_is_there(granted: Roles) -> None:
    words = ["--db-url", granted.url("owner"), *granted.words]
    for command, code in (("check", 3), ("upgrade", 0), ("check", 0), ("history", 0), ("upgrade", 0)):
        answer = run(command, *words)
        assert (answer.code, answer.err if code == 0 else "") == (code, ""), answer
    assert run("downgrade", "--to", "base", "--yes", *words).code == 0
    assert run("upgrade", *words, "--to", REVISIONS[0]).code == 0
    assert run("upgrade", *words).code == 0
    assert run("check", "--drift", *words).code == 0


@servers
def test_the_owner_makes_a_schema_once_it_is_let(granted: Roles) -> None:
    new = f"{granted.schema}_new"
    words = ["--db-url", granted.url("owner"), "--schema", new]
    try:
        answer = run("upgrade", *words)
        if granted.backend == "mysql":  # where also looking into a database is a right
            assert answer.code == 1
            granted.administer(f"GRANT SELECT ON {new}.* TO {granted.name('owner')}")
            answer = run("upgrade", *words)
        assert answer.code == 1
        assert answer.err.startswith("AccessDenied: ")
        assert "lacks the right to CREATE a schema" in answer.complaint
        granted.follow(answer.complaint)
        assert run("upgrade", *words).code == 0
        assert run("check", *words).code == 0
    finally:
        if granted.backend == "mysql":
            granted.administer(f"DROP DATABASE IF EXISTS {new}")


# -- the app -----------------------------------------------------------------------------------------


@servers
@pytest.mark.parametrize("auto", [False, True])
def test_the_app_calls_every_method_and_sends_no_ddl(owned: Roles, auto: bool) -> None:
    with owned.open("app", auto_upgrade_schema=auto) as db, statements(db.db_engine) as sent:
        for name, call in {**READS, **WRITES}.items():
            assert call(db) is not False, name
    assert len(sent) > len(READS) + len(WRITES)
    assert [statement for statement in sent if DDL.match(statement)] == []


@servers
def test_the_app_may_ask_for_an_upgrade_that_is_not_needed(owned: Roles) -> None:
    with owned.open("app") as db, statements(db.db_engine) as sent:
        assert db.upgrade_schema() == []
    assert [statement for statement in sent if DDL.match(statement)] == []
    assert run("upgrade", "--db-url", owned.url("app"), *owned.words).code == 0


@servers
def test_the_app_cannot_upgrade_and_is_told_who_can(granted: Roles) -> None:
    with granted.open("owner") as db:
        db.upgrade_schema(REVISIONS[0])
        before = snapshot(db.db_engine, db.names)
        with granted.open("app", auto_upgrade_schema=True) as app:
            for call in (app.upgrade_schema, lambda: app.get_session("s")):
                with pytest.raises(AccessDenied, match=r"lacks the right to CREATE tables") as caught:
                    call()
        assert snapshot(db.db_engine, db.names) == before
    message = str(caught.value)
    assert granted.name("app") in message
    assert "agno-store upgrade --db-url " in message
    assert isinstance(caught.value.__cause__, sa.exc.DBAPIError)
    assert PASSWORD not in message
    answer = run("upgrade", "--db-url", granted.url("app"), *granted.words, "--json")
    assert (answer.code, answer.document["error"]["type"]) == (1, "AccessDenied")
    granted.follow(message)
    with granted.open("app", auto_upgrade_schema=True) as app:
        assert app.get_session("s") is None
        assert app.schema_status().current == HEAD


@servers
def test_an_app_that_comes_first_is_told_that_there_are_no_tables(granted: Roles) -> None:
    with granted.open("app") as db:
        assert db.schema_status().state == "missing"
        with pytest.raises(
            AccessDenied, match="has no tables yet, and whoever is connected may not make them"
        ) as caught:
            db.upsert_session({"session_id": "s"})
        assert db.schema_status().state == "missing"
        assert "Let the owner of the tables run: agno-store upgrade --db-url " in str(caught.value)
    granted.follow(str(caught.value))
    with granted.open("app") as db:
        db.upsert_session({"session_id": "s"})


# -- the reader --------------------------------------------------------------------------------------


@servers
@pytest.mark.parametrize("name", READS)
def test_the_reader_reads(owned: Roles, name: str) -> None:
    with owned.open("owner") as db:
        # A run made without a time is given that of its reading by agno.
        for run in list(db.iter_runs(session_id="s0", deserialize=False)):
            db.update_run_in_session("s0", run["run_id"], {"created_at": 1_700_000_000})
        before = READS[name](db)
    with owned.open("reader") as db, statements(db.db_engine) as sent:
        assert repr(READS[name](db)).replace("reader", "owner") == repr(before)
    assert [statement for statement in sent if DDL.match(statement)] == []


@servers
@pytest.mark.parametrize("name", WRITES)
def test_the_reader_cannot_write_and_is_told_which_right_it_lacks(owned: Roles, name: str) -> None:
    before = everything(owned)
    with owned.open("reader") as db:
        with pytest.raises(AccessDenied, match=r"lacks the right to (INSERT|UPDATE|DELETE): ") as caught:
            WRITES[name](db)
        assert db.get_session("s0") is not None
    assert everything(owned) == before
    owned.follow(str(caught.value))
    with owned.open("reader") as db:
        assert WRITES[name](db) is not False
    assert everything(owned) != before


@servers
@pytest.mark.parametrize("state", ["in step", "behind", "missing"])
def test_the_reader_looks_with_the_program(granted: Roles, state: str) -> None:
    if state != "missing":
        with granted.open("owner") as db:
            db.upgrade_schema("head" if state == "in step" else REVISIONS[0])
    words = ["--db-url", granted.url("reader"), *granted.words, "--json"]
    answer = run("check", "--drift", *words)
    assert (answer.code, answer.document["state"]) == (0 if state == "in step" else 3, state)
    answer = run("current", *words)
    assert (answer.code, answer.document["state"], answer.err) == (0, state, "")
    answer = run("history", *words)
    assert (answer.code, len(answer.document), answer.err) == (0, len(REVISIONS), "")


@pytest.mark.backends("postgresql")
def test_a_session_that_may_only_read_reads(owned: Roles) -> None:
    owned.administer(f"ALTER ROLE {owned.name('reader')} SET default_transaction_read_only = on")
    with owned.open("reader") as db:
        for call in READS.values():
            call(db)
        with pytest.raises(DatabaseError, match="read-only transaction"):
            db.upsert_session({"session_id": "s"})
    words = ["--db-url", owned.url("reader"), *owned.words]
    assert [run(command, *words).code for command in ("check", "current", "history")] == [0, 0, 0]


# -- nobody ------------------------------------------------------------------------------------------


@servers
def test_a_store_that_may_not_be_looked_at_is_not_taken_for_a_missing_one(owned: Roles) -> None:
    before = everything(owned)
    stranger = owned.stranger()
    for _ in range(2):
        with owned.open(stranger, auto_upgrade_schema=True) as db:
            for call in (db.schema_status, db.upgrade_schema, lambda: db.upsert_session({"session_id": "s"})):
                with pytest.raises(AccessDenied, match="lacks the right to SELECT") as caught:
                    call()
        words = ["--db-url", owned.url(stranger), *owned.words]
        assert [run(command, *words).code for command in ("check", "current", "history", "upgrade")] == [1] * 4
        # Now with everything but the right to look into the books.
        owned.administer(
            *(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {owned.schema}.{table} TO {owned.name(stranger)}"
              for table in db.names.tables)
        )  # fmt: skip
        if owned.backend == "postgresql":
            owned.administer(f"GRANT USAGE, CREATE ON SCHEMA {owned.schema} TO {owned.name(stranger)}")
    assert everything(owned) == before
    owned.follow(str(caught.value))
    with owned.open(stranger) as db:
        assert db.get_session("s0") is not None


@servers
def test_a_right_that_is_taken_away_meanwhile_is_named(owned: Roles) -> None:
    with owned.open("app") as db:
        db.upsert_session({"session_id": "s"})
        owned.administer(f"REVOKE INSERT, UPDATE ON {owned.schema}.agent_sessions FROM {owned.name('app')}")
        with pytest.raises(AccessDenied, match=r"lacks the right to (INSERT|UPDATE)"):
            db.upsert_session({"session_id": "other"})
        owned.administer(f"GRANT INSERT, UPDATE ON {owned.schema}.agent_sessions TO {owned.name('app')}")
        db.upsert_session({"session_id": "other"})


@pytest.mark.backends("postgresql")
def test_a_policy_is_not_taken_for_a_missing_right(owned: Roles) -> None:
    table = f"{owned.schema}.agent_sessions"
    owned.administer(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", f"CREATE POLICY adas ON {table} USING (user_id = 'ada')"
    )
    with owned.open("app") as db:
        db.upsert_session({"session_id": "new", "user_id": "ada"})
        with pytest.raises(AccessDenied, match=r"a policy of row-level security does not let .* INSERT") as caught:
            db.upsert_session({"session_id": "newer", "user_id": "bob"})
    assert "GRANT" not in str(caught.value)


# -- where PostgreSQL looks --------------------------------------------------------------------------


@pytest.mark.backends("postgresql")
def test_a_schema_in_the_search_path_that_is_closed_hides_no_store(owned: Roles) -> None:
    """PostgreSQL passes over it without a word, and would build a second store in the next schema."""
    stranger = owned.stranger()
    owned.administer("GRANT CREATE ON SCHEMA public TO PUBLIC")
    url = owned.url(stranger, options=f'-csearch_path=nowhere,"{owned.schema}",public')
    with open_db(url, auto_upgrade_schema=True) as db:
        for call in (db.schema_status, db.upgrade_schema, lambda: db.upsert_session({"session_id": "s"})):
            with pytest.raises(
                AccessDenied, match=f"in the schema {owned.schema}, which the search path names"
            ) as caught:
                call()
    assert run("check", "--db-url", url).code == 1
    with open_db(owned.root) as db:
        assert not db.table_exists("agent_sessions_alembic_version")
    owned.follow(str(caught.value))
    with open_db(url) as db:
        assert db.get_session("s0") is not None


@pytest.mark.backends("postgresql")
def test_a_schema_called_like_the_role_does_not_split_a_store(granted: Roles) -> None:
    granted.administer("GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC")
    with open_db(granted.url("owner")) as db:
        db.upgrade_schema(REVISIONS[0])
        db.close()
    own = granted.name("owner")
    granted.administer(f"CREATE SCHEMA {own} AUTHORIZATION {own}")
    with open_db(granted.url("owner"), auto_upgrade_schema=True) as db:
        for call in (db.upgrade_schema, lambda: db.get_session("s")):
            with pytest.raises(SchemaConflict, match=f"is in the schema public, .* made in {own}") as caught:
                call()
        assert "db_schema='public'" in str(caught.value)
        with db.db_engine.connect() as connection:
            assert sa.inspect(connection).get_table_names(schema=own) == []
    with open_db(granted.url("owner"), db_schema="public") as db:
        assert db.upgrade_schema() == list(REVISIONS[1:])
    with open_db(granted.url("owner")) as db:
        assert db.upgrade_schema() == []
        assert db.get_session("s") is None


@pytest.mark.backends("postgresql")
def test_a_store_in_another_schema_is_pointed_at(owned: Roles) -> None:
    with (
        open_db(owned.url("app")) as db,
        pytest.raises(AccessDenied, match=f"a store of that name is in the schema {owned.schema}"),
    ):
        db.get_session("s0")


# -- how it is told ----------------------------------------------------------------------------------


class Refusal(Exception):
    """An error as a driver raises it."""

    sqlstate: str | None = None
    sqlite_errorcode: int = 1


@pytest.mark.parametrize(
    ("scheme", "arguments", "attributes", "denied"),
    [
        ("postgresql", ("Zugriff verweigert",), {"sqlstate": "42501"}, True),
        ("postgresql", ("permission denied for table",), {"sqlstate": "42P01"}, False),
        ("postgresql", ("permission denied for table",), {}, False),
        *(("mysql", (code, "abgelehnt"), {}, True) for code in (1044, 1142, 1143, 1227, 1370)),
        ("mysql", (1146, "command denied to user"), {}, False),
        ("mysql", ("command denied to user",), {}, False),
        ("sqlite", ("nein",), {"sqlite_errorcode": 8}, True),
        ("sqlite", ("nein",), {"sqlite_errorcode": 8 | 6 << 8}, True),
        ("sqlite", ("nein",), {"sqlite_errorcode": 3}, True),
        ("sqlite", ("nein",), {"sqlite_errorcode": 23}, True),
        ("sqlite", ("attempt to write a readonly database",), {"sqlite_errorcode": 5}, False),
    ],
)
def test_a_denial_is_told_by_its_code_and_not_by_its_text(
    scheme: str, arguments: tuple[Any, ...], attributes: dict[str, Any], denied: bool
) -> None:
    from agno_store.dialects import by_name

    refusal = Refusal(*arguments)
    vars(refusal).update(attributes)
    assert by_name(scheme).is_denied(sa.exc.DBAPIError("SELECT 1", {}, refusal)) is denied
