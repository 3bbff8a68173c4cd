"""The private Galera cluster does what the other tests rely on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.servers import Galera, mariadb
from tests.servers import galera as module
from tests.servers.guardian import is_running
from tests.servers.sql import run, wait_for

WAIT = "SET SESSION wsrep_sync_wait = 1"  # until what is committed elsewhere is here
TABLE = "CREATE TABLE numbers (id integer PRIMARY KEY, number integer)"


def test_what_is_written_at_one_server_is_read_at_the_other(fresh_urls: list[str]) -> None:
    one, other = fresh_urls
    run(one, TABLE)
    for number in range(20):
        run(one, f"INSERT INTO numbers VALUES ({number}, 1)")
        assert run(other, WAIT, "SELECT count(*) FROM numbers") == number + 1
    run(other, "DELETE FROM numbers")
    assert run(one, WAIT, "SELECT count(*) FROM numbers") == 0


def test_a_lock_by_name_is_granted_at_both_servers(galera: Galera) -> None:
    one, other = (create_engine(url).connect() for url in galera.urls)
    with one, other:
        assert one.exec_driver_sql("SELECT GET_LOCK('upgrade', 0)").scalar() == 1
        assert other.exec_driver_sql("SELECT GET_LOCK('upgrade', 0)").scalar() == 1


def test_of_two_writers_of_a_row_the_second_to_commit_fails(fresh_urls: list[str]) -> None:
    run(fresh_urls[0], TABLE)
    run(fresh_urls[0], "INSERT INTO numbers VALUES (1, 1)")
    run(fresh_urls[1], WAIT, "SELECT count(*) FROM numbers")
    one, other = (create_engine(url, poolclass=NullPool).connect() for url in fresh_urls)
    with one, other:
        for connection in (one, other):
            connection.exec_driver_sql("UPDATE numbers SET number = number + 1")
        one.commit()
        with pytest.raises(OperationalError, match="1213"):
            other.commit()


def test_a_fresh_database_goes_under_open_transactions(fresh_urls: list[str]) -> None:
    run(fresh_urls[0], TABLE)
    for number, url in enumerate(fresh_urls):
        left_open = create_engine(url, poolclass=NullPool).connect()
        left_open.exec_driver_sql(f"INSERT INTO numbers VALUES ({number}, 1)")
        left_open.detach()  # what comes after the test is the test


def test_clusters_do_not_meet_and_leave_nothing_behind(galera: Galera) -> None:
    with Galera(settings={"max_connections": "77"}) as own:
        processes = [int((node.directory / "pid").read_text()) for node in own.nodes]
        directories = [path for node in own.nodes for path in (node.directory, node.data)]
        assert [node.members() for node in (*own.nodes, *galera.nodes)] == [2] * 4
        assert [run(url, "SELECT @@max_connections") for url in own.urls] == [77, 77]
        assert "[ERROR]" not in own.log_text()
        with pytest.raises(RuntimeError, match="running already"):
            own.start()
    assert not [process for process in processes if is_running(process)]
    assert not [directory for directory in directories if directory.exists()]
    assert own.urls == []
    own.stop()


def test_a_server_that_has_left_does_not_come_back(galera: Galera) -> None:
    with Galera() as own:
        with pytest.raises(RuntimeError, match="Failed to prepare for 'rsync' SST"):
            own.nodes[1].restart()
        assert own.nodes[0].members() == 1
    assert galera.nodes[0].members() == 2


def test_a_server_joins_others_that_have_lost_one() -> None:
    with Galera(size=3) as own:
        own.nodes.pop().stop()
        wait_for(lambda: own.nodes[0].members() == 2)
        own.grow()
        assert [node.members() for node in own.nodes] == [3] * 3


def test_one_that_does_not_start_says_why_and_leaves_nothing_behind(
    galera: Galera, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Galera(settings={"no_such_setting": "1"})
    with pytest.raises(RuntimeError, match="no_such_setting"):
        own.start()
    assert own.urls == []
    monkeypatch.setattr(mariadb, "is_mariadb", lambda *_, **__: False)
    with pytest.raises(RuntimeError, match="is MySQL, and only MariaDB makes a Galera cluster"):
        own.start()


def test_a_missing_library_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TEST_GALERA_LIB", raising=False)
    monkeypatch.setenv("TEST_MYSQLD", sys.executable)
    monkeypatch.setattr(module, "PLACES", (tmp_path,))
    monkeypatch.setattr(mariadb, "is_mariadb", lambda *_, **__: True)
    with pytest.raises(RuntimeError, match="apt-get install --no-install-recommends galera-4"):
        Galera().start()
