"""The SQL of an upgrade that was killed, or of which a part was made by hand: it does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_store import tables
from agno_store.errors import SchemaConflict
from agno_store.tables import HEAD
from tests.killing import until_killed
from tests.migrations import applications
from tests.migrations.applications import BATCH, FIRST
from tests.migrations.conftest import snapshot
from tests.migrations.test_killed import counted
from tests.migrations.test_scripts import Place, opened


@pytest.mark.backends("mysql")
@pytest.mark.parametrize("start", ["base", "head of ours"])
def test_a_script_finishes_what_a_killed_upgrade_has_begun(
    backend: str, fresh_url: str, tmp_path: Path, start: str
) -> None:
    versions = applications.written(tmp_path, FIRST, BATCH)
    with opened(backend, fresh_url, tmp_path, versions) as place:
        place.migrator.upgrade(HEAD)
        if start == "base":
            place.migrator.downgrade("base")
        total = until_killed(counted, fresh_url, 0, "upgrade", "head", versions)
        assert total is not None
        whole, left_out = snapshot(place.db.db_engine, place.db.names), set()
        for n in range(1, total + 1, max(1, total // 8)):
            place.migrator.downgrade("base" if start == "base" else "application@base")
            assert until_killed(counted, fresh_url, n, "upgrade", "head", versions) is None
            text = place.text("head")
            left_out.add(text.count("-- Left out, for it is done already"))
            ended = place.run(text)
            assert ended.returncode == 0, f"killed at place {n}: {ended.stderr}"
            assert snapshot(place.db.db_engine, place.db.names) == whole
        assert len(left_out) > 1, left_out


def an_index(place: Place, column: str) -> str:
    """Make an index by hand, of a name that a revision is going to make, and return the name."""
    table = tables.table(place.db.names, place.table)
    name = f"ix_{place.table}_agent_id_created_at"
    assert name in {index.name for index in table.indexes}
    columns = (column, "created_at", "session_id")
    with place.db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE INDEX {name} ON {place.table} ({', '.join(columns)})")
    return name


@pytest.mark.backends("postgresql", "mysql")
def test_a_script_passes_over_what_was_made_by_hand_as_the_upgrade_does(
    backend: str, fresh_url: str, tmp_path: Path
) -> None:
    with opened(backend, fresh_url, tmp_path) as place:
        place.migrator.upgrade("0005")
        name = an_index(place, "agent_id")
        believed, text = place.text("head", "0005"), place.text("head")
        assert "Left out" not in believed
        assert name in believed
        left_out = [line for line in text.splitlines() if line.startswith("-- Left out")]
        assert len(left_out) == 1
        assert f"done already in this database: build the index {name} on {place.table}" in left_out[0]
        ended = place.run(text)
        assert ended.returncode == 0, ended.stderr
        assert place.migrator.current() == HEAD
        assert place.migrator.drift() == []


@pytest.mark.backends("postgresql", "mysql")
def test_a_script_is_refused_where_something_else_is_in_the_way(backend: str, fresh_url: str, tmp_path: Path) -> None:
    with opened(backend, fresh_url, tmp_path) as place:
        place.migrator.upgrade("0005")
        name = an_index(place, "team_id")
        with pytest.raises(SchemaConflict, match=f"The index {name} on {place.table} is there already"):
            place.text("head")
