"""The doctor at PostgreSQL, MySQL and MariaDB: rights, encodings, settings, broken indexes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from agno_store import open_db
from agno_store.doctor import ERROR, OK, WARNING, Finding, diagnose
from tests.cli.diagnoses import doctor, engine_of, finding, troubles, with_engine
from tests.cli.program import run
from tests.cli.stores import NAMES, at, execute, filled
from tests.migrations.roles import Roles, roles
from tests.servers import MariaDB

# -- rights ------------------------------------------------------------------------------------------


@pytest.fixture
def granted(backend: str, fresh_url: str) -> Iterator[Roles]:
    with roles(backend, fresh_url) as found:
        yield found


@pytest.mark.backends("postgresql", "mysql")
def test_the_guides_roles_may_what_they_may(granted: Roles) -> None:
    def seen(role: str) -> tuple[int, list[tuple[str, str]], str]:
        url = granted.url(role)
        document = doctor(url, *granted.words).document
        said = next(found["message"] for found in document["findings"] if found["subject"] == "rights")
        return document["exit_code"], troubles(url, *granted.words), said.partition(" may ")[2]

    assert seen("owner")[:2] == (3, [("tables", ERROR)])
    assert run("upgrade", "--db-url", granted.url("owner"), *granted.words).code == 0
    for strictly in (False, True):
        if strictly:
            granted.close()
        assert seen("owner") == (0, [], "read, write, upgrade")
        code, found, said = seen("app")
        assert (code, found) == (0, [])
        assert said.startswith("read, write; upgrades are for ")
        assert seen("reader") == (0, [("rights", WARNING)], "read")
    granted.follow(finding(doctor(granted.url("reader"), *granted.words), "rights").cure)
    code, found, said = seen("reader")
    assert (code, found, said[:12]) == (0, [], "read, write;")


@pytest.mark.backends("postgresql", "mysql")
def test_a_role_without_rights_is_given_the_grant(granted: Roles) -> None:
    assert run("upgrade", "--db-url", granted.url("owner"), *granted.words).code == 0
    url = granted.url(granted.stranger())
    answer = doctor(url, *granted.words)
    assert (answer.code, answer.document["error"]["type"]) == (1, "AccessDenied")
    one = finding(answer, "rights")
    assert (one.level, one.message.partition(" may ")[2]) == (ERROR, "not even read")
    assert finding(answer, "tables").cure.startswith("Let an administrator give it: GRANT ")
    granted.follow(one.cure)
    assert troubles(url, *granted.words) == [("rights", WARNING)]


@pytest.mark.backends("postgresql")
def test_a_first_user_who_may_make_no_tables_is_found(granted: Roles) -> None:
    answer = doctor(granted.url("app"), *granted.words)
    one = finding(answer, "rights")
    assert "may not make them" in one.message
    granted.follow(one.cure)
    assert troubles(granted.url("app"), *granted.words) == [("tables", ERROR)]


# -- PostgreSQL --------------------------------------------------------------------------------------

postgresql = pytest.mark.backends("postgresql")


@contextmanager
def another_database(url: str, how: str) -> Iterator[str]:
    """A database made in a way of its own beside the fresh one."""
    name = f"{make_url(url).database}_other"
    engine = engine_of(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} {how}")
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()


@postgresql
def test_a_database_in_another_encoding_is_found(fresh_url: str) -> None:
    with another_database(fresh_url, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'") as url:
        at(url, "head")
        answer = doctor(url)
    assert answer.code == 1
    found = [entry for entry in answer.document["findings"] if entry["subject"] == "encoding"]
    assert [entry["level"] for entry in found] == [ERROR, OK]  # the connection is in UTF-8 all the same
    assert "LATIN1" in found[0]["message"]
    assert "TEMPLATE template0 ENCODING 'UTF8'" in found[0]["cure"]


@postgresql
def test_a_connection_in_another_encoding_is_found(fresh_url: str) -> None:
    at(fresh_url, "head")
    answer = doctor(f"{fresh_url}?client_encoding=latin1")
    assert answer.code == 1
    assert "client_encoding=utf8" in finding(answer, "encoding").cure


@postgresql
@pytest.mark.parametrize("schema", [None, "Own schema"])
def test_an_index_whose_build_failed_is_found_and_mended(fresh_url: str, schema: str | None) -> None:
    words = [] if schema is None else ["--schema", schema]
    assert run("upgrade", "--db-url", fresh_url, *words).code == 0
    table = NAMES.sessions if schema is None else f'"{schema}".{NAMES.sessions}'
    with open_db(fresh_url, db_schema=schema) as db:
        for n in range(2):
            db.upsert_session({"session_id": f"s{n}", "user_id": "ada"})
    engine = engine_of(fresh_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql(f"CREATE UNIQUE INDEX CONCURRENTLY stray ON {table} (user_id)")
        own = f"ix_{NAMES.sessions}_created_at"
        of_index = f"indexrelid = (SELECT oid FROM pg_class WHERE relname = '{own}')"
        connection.exec_driver_sql(f"UPDATE pg_index SET indisvalid = false WHERE {of_index}")
        answer = doctor(fresh_url, *words)
        assert answer.code in (1, 5)  # by SQLAlchemy's release: the stray one may be drift, too
        broken = [Finding(**found) for found in answer.document["findings"] if found["subject"] == "indexes"]
        assert sorted(found.cure.split()[0] for found in broken) == ["DROP", "REINDEX"]
        for found in broken:
            assert found.level == ERROR
            connection.exec_driver_sql(found.cure)
    engine.dispose()
    assert troubles(fresh_url, *words) == []


@postgresql
def test_a_store_in_another_schema_is_pointed_at(granted: Roles) -> None:
    assert run("upgrade", "--db-url", granted.url("owner"), *granted.words).code == 0
    answer = doctor(granted.url("app"))
    assert answer.code == 3
    one = finding(answer, "schema")
    assert one.level == WARNING
    assert f"--schema {granted.schema}" in one.cure
    assert doctor(granted.url("app"), "--schema", granted.schema).code == 0


@postgresql
def test_a_search_path_that_would_split_the_store_is_found(fresh_url: str) -> None:
    at(fresh_url, "head")
    execute(fresh_url, "CREATE SCHEMA first")
    url = f"{fresh_url}?options=-csearch_path%3Dfirst,public"
    answer = doctor(url)
    assert answer.code == 0
    assert "--schema public" in finding(answer, "schema").cure
    assert troubles(url, "--schema", "public") == []


@postgresql
def test_a_role_that_only_reads_is_told_apart_from_a_server_that_does(granted: Roles) -> None:
    assert run("upgrade", "--db-url", granted.url("owner"), *granted.words).code == 0
    granted.administer(f"ALTER ROLE {granted.name('app')} SET default_transaction_read_only = on")
    one = finding(doctor(granted.url("app"), *granted.words), "writable")
    granted.administer(one.cure.removeprefix("For writing: "))
    assert troubles(granted.url("app"), *granted.words) == []


# -- MySQL and MariaDB -------------------------------------------------------------------------------

mysql = pytest.mark.backends("mysql")


@pytest.fixture(scope="module")
def odd_server() -> Iterator[MariaDB]:
    """A server with settings that nobody should have."""
    settings = {
        "max-allowed-packet": "1M",
        "character-set-server": "latin1",
        "default-storage-engine": "MyISAM",
        "sql-mode": "",
    }
    with MariaDB(settings=settings) as server:
        yield server


@mysql
def test_settings_that_lose_data_are_found(backend: str, odd_server: MariaDB) -> None:
    execute(odd_server.url, "CREATE DATABASE IF NOT EXISTS odd")
    url = make_url(odd_server.url).set(database="odd").render_as_string()
    assert run("upgrade", "--db-url", url).code == 0
    found = doctor(url)
    assert found.code == 1
    assert finding(found, "max_allowed_packet").level == WARNING
    assert "1.0 MiB" in finding(found, "max_allowed_packet").message
    assert "latin1" in finding(found, "encoding").message
    engines = [entry for entry in found.document["findings"] if entry["subject"] == "engine"]
    assert [entry["level"] for entry in engines] == [ERROR, WARNING]
    engine = engine_of(url)
    assert finding(diagnose(with_engine(backend, engine)), "sql_mode").level == ERROR
    for entry in found.document["findings"]:
        if entry["level"] != OK:
            cure, *_ = entry["cure"].split("  ")
            execute(url, cure)
    execute(url, "SET GLOBAL sql_mode = 'STRICT_ALL_TABLES'")
    assert doctor(url).code == 0
    assert troubles(url) == []
    strict = diagnose(with_engine(backend, engine_of(url, isolation_level="READ COMMITTED")))
    assert [entry for entry in strict if entry.level != OK] == []


@mysql
def test_a_server_that_takes_no_writes_is_found(odd_server: MariaDB, backend: str) -> None:
    url = odd_server.url
    assert run("upgrade", "--db-url", url, "--table", "other").code == 0
    execute(url, "SET GLOBAL read_only = ON")
    try:
        assert finding(doctor(url, "--table", "other"), "writable").level == WARNING
    finally:
        execute(url, "SET GLOBAL read_only = OFF")


@mysql
def test_a_connection_in_another_charset_is_found(fresh_url: str) -> None:
    at(fresh_url, "head")
    answer = doctor(fresh_url.replace("charset=utf8mb4", "charset=latin1"))
    assert answer.code == 1
    assert "latin1" in finding(answer, "encoding").message


@mysql
def test_columns_that_compare_otherwise_are_found_and_mended(fresh_url: str) -> None:
    filled(fresh_url)
    drop = "SET foreign_key_checks = 0"
    change = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
    execute(
        fresh_url,
        drop,
        f"ALTER TABLE {NAMES.runs} MODIFY status VARCHAR(255) {change} NULL",
        f"ALTER TABLE {NAMES.sessions} MODIFY user_id VARCHAR(255) {change} NULL",
        f"ALTER TABLE {NAMES.summaries} MODIFY summary LONGTEXT {change} NOT NULL",
    )
    answer = doctor(fresh_url)
    assert answer.code in (1, 5)  # what drift makes of them is another matter
    found = [entry for entry in answer.document["findings"] if entry["subject"] == "collation"]
    assert len(found) == 3
    for entry in found:
        execute(fresh_url, *filter(str.strip, entry["cure"].split(";")))
    assert troubles(fresh_url) == []
