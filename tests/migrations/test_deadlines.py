"""An upgrade takes as long as it does, whatever a role's statements and transactions may take otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agno_store import PostgresDb
from agno_store.migrations import Migrator
from tests.migrations.sessions import application

pytestmark = pytest.mark.backends("postgresql")

LIMIT = 900
"""Milliseconds: less than the revision takes, and more than anything else on a busy machine."""

SLOW = 'op.execute("SELECT pg_sleep(1.3)")'

TIMEOUTS = sa.text("SELECT current_setting('statement_timeout'), current_setting('transaction_timeout', true)")


def limited(url: str) -> sa.Engine:
    """An engine whose sessions have limits, as a role's would have."""
    engine = sa.create_engine(url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        names = ["statement_timeout"]
        names += ["transaction_timeout"] if (connection.dialect.server_version_info or ()) >= (17,) else []
    engine.dispose()
    options = " ".join(f"-c {name}={LIMIT}" for name in names)
    return sa.create_engine(sa.make_url(url).update_query_dict({"options": options}), pool_size=1, max_overflow=0)


@pytest.mark.parametrize("pooler", [None, "transaction"])
def test_an_upgrade_outlasts_the_limits_of_a_role(fresh_url: str, tmp_path: Path, pooler: Any) -> None:
    engine = limited(fresh_url)
    versions = application(tmp_path / "versions", SLOW)
    with engine.connect() as connection:
        before = connection.execute(TIMEOUTS).one()
    with PostgresDb(db_engine=engine, versions=versions, pooler=pooler) as db:
        assert "a1" in db.upgrade_schema()
        assert Migrator.of(db).drift() == []
    with engine.connect() as connection:
        assert connection.execute(TIMEOUTS).one() == before
    engine.dispose()


def test_a_callers_transaction_has_its_limits_back(fresh_url: str, tmp_path: Path) -> None:
    engine = limited(fresh_url)
    with PostgresDb(db_engine=engine, versions=application(tmp_path / "versions", SLOW)) as db:
        with engine.begin() as connection:
            before = connection.scalar(sa.text("SELECT current_setting('statement_timeout')"))
            assert "a1" in db.upgrade_schema(connection=connection)
            assert connection.scalar(sa.text("SELECT current_setting('statement_timeout')")) == before == f"{LIMIT}ms"
        assert db.schema_status().usable
    engine.dispose()
