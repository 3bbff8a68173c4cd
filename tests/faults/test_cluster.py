"""A node of a cluster that has lost the others answers, and does nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest

from agno_store import DatabaseError, OutcomeUnknown
from tests.contract.samples import append, positions, session
from tests.servers import Galera

pytestmark = [pytest.mark.backends("mysql"), pytest.mark.galera]


@pytest.fixture
def cluster(backend: str) -> Iterator[Galera]:
    """A cluster of this test's own, which it may ruin."""
    with Galera() as nodes:
        yield nodes


def alone(url: str) -> None:
    """Let a node that has lost the others be the cluster."""
    parts = urlsplit(url)  # and not through SQLAlchemy, which sends what such a node refuses
    connection = pymysql.connect(host=parts.hostname, port=parts.port or 0, user="root", autocommit=None)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'")


def test_a_node_without_its_cluster_is_an_error_in_time_and_serves_when_it_is_one_again(
    cluster: Galera,
    opened: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    told: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agno_store.attempts.PATIENCE", 1.0)
    db = opened(cluster.urls[0])
    db.upsert_session(session("s"))
    acknowledged = [f"before-{n}" for n in range(20)]
    append(db, "s", *acknowledged)
    cluster.nodes[1].kill()
    deadline = time.monotonic() + 30
    refused: dict[str, DatabaseError] = {}
    with caplog.at_level(logging.INFO):
        while len(refused) < 3 and time.monotonic() < deadline:
            run_id = f"during-{len(acknowledged) + len(refused)}"
            try:
                append(db, "s", run_id)
                acknowledged.append(run_id)
            except DatabaseError as error:
                refused[run_id] = error
    assert len(refused) == 3
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert "1047" in str(list(refused.values())[-1])
    never = {run_id for run_id, error in refused.items() if not isinstance(error, OutcomeUnknown)}
    alone(cluster.urls[0])
    append(db, "s", "after")
    stored = positions(db, "s")
    assert {*acknowledged, "after"} <= set(stored) <= {*acknowledged, *refused, "after"} - never
    assert sorted(stored.values()) == list(range(len(stored)))
    told(f"a cluster lost its majority under a writer: {len(acknowledged)} runs acknowledged, 0 lost, 3 calls refused")
