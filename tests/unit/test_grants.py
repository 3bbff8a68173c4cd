"""Which rights SHOW GRANTS gives, which schemas a search path names, and which release a server is."""

from __future__ import annotations

import pytest

from agno_store.dialects.health_mysql import granted
from agno_store.dialects.health_postgresql import major
from agno_store.dialects.rights import Need, needed
from agno_store.dialects.rights_mysql import UPGRADING, account, pattern
from agno_store.dialects.rights_postgresql import searched

ALL = set(UPGRADING)


@pytest.mark.parametrize(
    ("line", "rights"),
    [
        ("GRANT USAGE ON *.* TO `app`@`%`", {"USAGE"}),
        ("GRANT SELECT, INSERT ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*AB ON `d`.* TO'", {"SELECT", "INSERT"}),
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", ALL),
        ("GRANT ALL PRIVILEGES ON `my_db`.* TO `app`@`%`", ALL),
        ("GRANT SELECT ON `my\\_db`.* TO `app`@`%`", {"SELECT"}),
        ("GRANT SELECT ON `my%`.* TO `app`@`%`", {"SELECT"}),
        ("GRANT SELECT ON `my__b`.* TO `app`@`%`", {"SELECT"}),
        ("GRANT SELECT ON `my\\%`.* TO `app`@`%`", set()),
        ("GRANT SELECT ON `other`.* TO `app`@`%`", set()),
        ("GRANT SELECT, UPDATE ON `my_db`.`talks` TO `app`@`%`", {"SELECT", "UPDATE"}),
        ("GRANT SELECT ON `my_db`.`other` TO `app`@`%`", set()),
        ("GRANT SELECT (`id`, `name`), INSERT ON `my_db`.`talks` TO `app`@`%`", {"INSERT"}),
        ("GRANT `role` TO `app`@`%`", set()),
        ("GRANT EXECUTE ON PROCEDURE `my_db`.`talks` TO `app`@`%`", set()),
        ("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", set()),
    ],
)
def test_a_line_of_grants_is_read(line: str, rights: set[str]) -> None:
    assert granted([line], "my_db", "talks") == rights


def test_lines_of_grants_add_up_and_odd_names_are_read() -> None:
    lines = ["GRANT SELECT ON `o``dd`.* TO `a`@`%`", "GRANT INSERT ON `o``dd`.`t``t` TO `a`@`%`"]
    assert granted(lines, "o`dd", "t`t") == {"SELECT", "INSERT"}
    assert granted(lines, "o`dd", "t") == {"SELECT"}


def test_names_are_quoted_for_a_grant() -> None:
    assert pattern("my_d%`b") == "`my\\_d\\%``b`"
    assert account("o'neil@x@10.0.0.%") == "`o'neil@x`@`10.0.0.%`"


@pytest.mark.parametrize(
    ("path", "schemas"),
    [
        ('"$user", public', ("$user", "public")),
        ("$user,Public", ("$user", "public")),
        ('"Own, schema", "quo""ted",ai', ("Own, schema", 'quo"ted', "ai")),
        ("", ()),
    ],
)
def test_a_search_path_is_read_as_the_server_reads_it(path: str, schemas: tuple[str, ...]) -> None:
    assert searched(path) == schemas


@pytest.mark.parametrize(
    ("statement", "right", "need"),
    [
        (None, "connect to this database", Need.CONNECT),
        ("SELECT 1", "SELECT", Need.READ),
        ("\nselect x\nfrom t\nfor update", "UPDATE", Need.WRITE),
        ("SELECT x FROM t FOR NO KEY UPDATE", "UPDATE", Need.WRITE),
        ("SELECT x FROM t LOCK IN SHARE MODE", "UPDATE", Need.WRITE),
        ("DESCRIBE `t`", "SELECT", Need.READ),
        ("SHOW CREATE TABLE `t`", "SELECT", Need.READ),
        ("INSERT INTO t SELECT 1 FROM u FOR UPDATE", "INSERT", Need.WRITE),
        ("DELETE FROM t", "DELETE", Need.WRITE),
        ("\nCREATE TABLE t (a INT)", "CREATE tables", Need.BUILD),
        ("CREATE TABLE t (a INT REFERENCES u (a))", "CREATE tables with REFERENCES", Need.BUILD),
        ("CREATE SCHEMA IF NOT EXISTS ai", "CREATE a schema", Need.MAKE_SCHEMA),
        ("CREATE DATABASE ai", "CREATE a database", Need.MAKE_SCHEMA),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE an INDEX", Need.CHANGE),
        ("DROP INDEX i", "DROP an INDEX", Need.CHANGE),
        ("ALTER TABLE t ADD COLUMN b INT", "ALTER tables", Need.CHANGE),
        ("VACUUM", "VACUUM", Need.CHANGE),
        ("", "do this", Need.CHANGE),
    ],
)
def test_the_right_that_a_statement_needs_is_named(statement: str | None, right: str, need: Need) -> None:
    assert needed(statement) == (right, need)


@pytest.mark.parametrize(
    ("version", "release"), [("17.6", 17), ("9.6.24", 9), ("18beta1", 18), ("19devel", 19), ("18rc1.1", 18), ("EDB", 0)]
)
def test_a_server_of_a_release_that_is_not_out_yet_is_of_that_release(version: str, release: int) -> None:
    assert major(version) == release
