"""A store takes the place, and the name, of an old table, which stays under another name."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from agno_store import AccessDenied, AgnoTables, DatabaseError, InvalidArgument, SchemaConflict, open_db
from agno_store.errors import NotFound
from agno_store.transfer.legacy.in_place import found_in_place, take_over
from tests.legacy import imported
from tests.legacy.tables import Tables, run

ROW = {"session_id": "s", "session_type": "agent", "agent_id": "a", "session_data": {"n": 1}}
BESIDE = {"run_id": "r", "session_id": "s", "run_type": "agent", "run_data": run("r", "hi")}


def taken_over(url: str, name: str | None = None) -> tuple[str, bool]:
    """Take the place of a table; return its other name, and whether it had that already."""
    with AgnoTables(url) as tables:
        table, done = found_in_place(tables.source, name)
        with open_db(url, table_name=table.name.removesuffix("_legacy")) as db:
            if not done:
                take_over(db, table)
    return table.name.removesuffix("_legacy") + "_legacy", done


def tables(old: Tables) -> set[str]:
    return set(sa.inspect(old.engine).get_table_names())


@pytest.mark.parametrize("name", ["agno_sessions", "my_sessions"])
def test_the_old_tables_stay_under_another_name(old: Tables, fresh_url: str, name: str) -> None:
    runs = "agno_runs" if name == "agno_sessions" else f"{name}_runs"
    old.sessions("3.x", [ROW], name)
    old.runs([BESIDE], runs)
    before = old.contents()
    legacy, done = taken_over(fresh_url)
    assert not done
    assert {legacy, f"{runs}_legacy", name, f"{name}_runs"} <= tables(old)
    with open_db(fresh_url, table_name=name) as db:
        assert db.schema_status().in_step
        assert imported(db, fresh_url, legacy, verify=True).problems == []
        session = db.get_session("s", deserialize=False)
        assert (session["session_data"], [found["content"] for found in session["runs"]]) == ({"n": 1}, ["hi"])
    after = old.contents()
    assert (after[legacy], after[f"{runs}_legacy"]) == (before[name], before[runs])
    assert taken_over(fresh_url, name) == (legacy, True)


def test_a_table_of_that_other_name_is_not_touched(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    old.sessions("2.x", [], "agno_sessions_legacy")
    before = old.contents()
    with pytest.raises(SchemaConflict, match="agno_sessions_legacy is there already"):
        taken_over(fresh_url, "agno_sessions")
    assert old.contents() == before


def test_of_several_tables_one_has_to_be_named(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", name="one")
    old.sessions("1.x-agent", name="two")
    before = tables(old)
    with pytest.raises(InvalidArgument, match="one table, and there are one, two: say which with --from-table"):
        taken_over(fresh_url)
    with pytest.raises(NotFound, match="There is no table three"):
        taken_over(fresh_url, "three")
    assert tables(old) == before
    assert taken_over(fresh_url, "two") == ("two_legacy", False)


def test_where_the_tables_cannot_be_made_the_old_one_keeps_its_name(old: Tables, fresh_url: str) -> None:
    old.sessions("2.x", [ROW])
    old.sessions("2.x", name="agno_sessions_summaries")
    before = old.contents()
    with pytest.raises(SchemaConflict, match="agno_sessions_summaries is there already"):
        taken_over(fresh_url, "agno_sessions")
    assert old.contents() == before


@pytest.mark.backends("postgresql")
def test_who_does_not_own_the_table_or_has_to_wait_for_it_is_told(old: Tables, fresh_url: str) -> None:
    table = old.sessions("2.x", [ROW])
    before = tables(old)
    with old.engine.begin() as busy:
        busy.execute(sa.select(table)).all()
        with pytest.raises(DatabaseError, match="lock timeout"):
            taken_over(fresh_url)
    role = f"guest_{old.engine.url.database}"
    with old.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE USER {role} PASSWORD 'secret'")
        connection.exec_driver_sql(f"GRANT SELECT ON agno_sessions TO {role}")
    try:
        guest = old.engine.url.set(username=role, password="secret").render_as_string(hide_password=False)
        with pytest.raises(AccessDenied):
            taken_over(guest)
    finally:
        with old.engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP USER {role}")
    assert tables(old) == before
