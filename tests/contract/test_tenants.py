"""Tenants of one store: whatever ids they share, none of them reads or changes what is another's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from agno_store import ConfigurationError, InvalidArgument
from agno_store.escapes import SEPARATOR, escape, is_separated
from agno_store.tenants import LONGEST, prefix
from tests.contract.database import ask, dump, overwrite, statements
from tests.contract.processes import together
from tests.contract.samples import append, listed, positions, run, run_ids, session
from tests.contract.stores import open_db
from tests.contract.test_owners import CASES, OWNER, furnish, outcome
from tests.package.documents import blocks
from tests.package.source import ROOT

ODD = ("acme", "ACME", "acme ", "a\x1a", "a\x1a:", "ä\x00🙂", "\udc80", "'; --", "%")
ALICE = (OWNER, None)
GUIDE = ROOT / "docs/howto/several-tenants.md"

Open = Callable[..., Any]


def of(db: Any, tenant: str | None) -> dict[str, list[dict[str, Any]]]:
    """Every row of a tenant's, as it is stored."""
    own = prefix(tenant)

    def is_own(key: str) -> bool:
        return key.startswith(own) if own else not is_separated(key)

    return {name: [row for row in rows if is_own(row["session_id"])] for name, rows in dump(db).items()}


@pytest.fixture
def tenants(shared: Any, db: Any) -> Any:
    """Open the store for a tenant, or for none; nothing has been stored by anybody."""
    opened: list[Any] = []

    def open_for(tenant_id: str | None, **options: Any) -> Any:
        opened.append(type(shared)(db_engine=shared.db_engine, tenant_id=tenant_id, **options))
        return opened[-1]

    yield open_for
    for store in opened:
        store.close()


# -- the matrix --------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["another tenant", pytest.param("no tenant", marks=pytest.mark.variant)])
@pytest.mark.parametrize("user", ALICE)
@pytest.mark.parametrize("name", CASES)
def test_a_stranger_with_the_owners_very_ids_meets_an_empty_store(
    tenants: Open, name: str, user: str | None, who: str
) -> None:
    """Each call answers and does what it would if the other tenant were not there."""
    alone, acme = tenants("alone"), tenants("acme")
    furnish(acme, OWNER)
    stranger = tenants("globex" if who == "another tenant" else None)
    before = of(acme, "acme")

    answer, expected = (outcome(CASES[name], db, user) for db in (stranger, alone))
    assert (type(answer), getattr(answer, "version", None)) == (type(expected), getattr(expected, "version", None))
    assert of(acme, "acme") == before
    assert "secret" not in repr(answer)
    counts = [{table: len(rows) for table, rows in of(acme, db.tenant_id).items()} for db in (stranger, alone)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("user", ALICE)
@pytest.mark.parametrize("name", CASES)
def test_a_tenant_among_others_answers_as_a_store_of_its_own(tenants: Open, name: str, user: str | None) -> None:
    for tenant in (None, "acme", "globex"):
        furnish(tenants(tenant), OWNER)
    acme = tenants("acme")
    others = of(acme, None), of(acme, "globex")
    in_company = outcome(CASES[name], acme, user)
    assert (of(acme, None), of(acme, "globex")) == others

    alone = tenants("alone")
    furnish(alone, OWNER)
    assert without_times(outcome(CASES[name], alone, user)) == without_times(in_company)


def without_times(answer: Any) -> Any:
    """An answer in which two stores of the same content agree."""
    if isinstance(answer, (list, tuple)):
        return [without_times(item) for item in answer]
    if isinstance(answer, dict):
        return {name: without_times(item) for name, item in answer.items() if not name.endswith("_at")}
    if hasattr(answer, "__dataclass_fields__"):
        return without_times({name: value for name, value in vars(answer).items() if name != "snapshot"})
    return answer


def test_no_statement_of_a_tenants_leaves_the_tenant_out(tenants: Open) -> None:
    """Either it names sessions by their key, which is the tenant's, or it asks for the tenant."""
    furnish(acme := tenants("acme"), OWNER)
    with statements(acme.db_engine) as sent:
        for case in CASES.values():
            outcome(case, acme, None)

    assert len(sent) > 50
    for statement in sent:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and "alembic_version" not in statement:
            where = statement.split("WHERE", 1)[1]
            assert "session_id = " in where or "session_id IN " in where or "tenant_id = " in where, statement


# -- ids ---------------------------------------------------------------------------------------------


def test_tenants_whatever_they_are_called_keep_the_same_ids_apart(tenants: Open) -> None:
    stores = {name: tenants(name) for name in (*ODD, None)}
    for name, db in stores.items():
        db.upsert_session(session("s", user_id="contact-42", metadata={"of": name}))
        append(db, "s", "r", content=name)

    for name, db in stores.items():
        assert db.get_session("s").metadata == {"of": name}
        assert [found.content for found in db.get_runs()] == [name]
        assert db.get_run("r").content == name
        assert (listed(db), listed(db, user_id="contact-42")) == (["s"], ["s"])
        assert db.get_sessions(deserialize=False)[1] == 1

    stores["acme"].delete_session("s")
    assert [name for name, db in stores.items() if db.get_session("s") is None] == ["acme"]


@pytest.mark.parametrize("tenant", ["acme", "\x1a", None])
def test_ids_that_look_like_keys_are_ids(tenants: Open, tenant: str | None) -> None:
    db, other = tenants(tenant), tenants("other")
    names = [*ODD, SEPARATOR, "acme\x1a:s", "\x1a\x1a:", "\x1a:\x1a", "other\x1a:s", "\x1a0:"]
    for name in names:
        append(db, name, "r", content=name)
    append(other, "s", "r")

    assert {found.session_id: found.runs[0].content for found in db.get_sessions()} == dict(
        zip(names, names, strict=True)
    )
    assert all(db.get_session(name).session_id == name for name in names)
    assert listed(other) == ["s"]


@given(st.text("\x1a:0da8", max_size=8), st.text("\x1a:0da8", max_size=8))
def test_a_key_is_told_from_an_id(tenant: str, key: str) -> None:
    assert not is_separated(escape(key))
    assert is_separated(prefix(tenant) + escape(key))


@given(st.text(min_size=1), st.text(), st.text(min_size=1), st.text())
def test_no_two_tenants_have_a_key_in_common(tenant: str, key: str, other: str, others_key: str) -> None:
    keys = {prefix(tenant) + escape(key), prefix(other) + escape(others_key), escape(key), escape(others_key)}

    assert len(keys) == len({(tenant, key), (other, others_key), (None, key), (None, others_key)})


def test_an_id_has_to_leave_room_for_its_tenant(tenants: Open) -> None:
    db = tenants("t" * LONGEST)
    room = 255 - LONGEST - len(SEPARATOR)
    append(db, "s" * room, "r")
    for write in (db.upsert_session, lambda value: append(db, value["session_id"], "r")):
        with pytest.raises(InvalidArgument, match=f"the limit of this tenant's is {room}. Nothing was written"):
            write(session("s" * (room + 1)))

    assert listed(db) == ["s" * room]
    assert db.get_session("s" * 255) is None


@pytest.mark.parametrize("wrong", ["", 1, True, b"acme", "t" * (LONGEST + 1), "\x00" * LONGEST])
def test_what_is_no_tenant_is_refused(tenants: Open, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="tenant_id"):
        tenants(wrong)


def test_a_store_says_whose_it_is(tenants: Open) -> None:
    stores = [tenants("acme"), tenants("globex"), tenants(None)]

    assert [db.tenant_id for db in stores] == [db.to_dict()["tenant_id"] for db in stores] == ["acme", "globex", None]
    assert len({db.id for db in stores}) == 3


# -- at once -----------------------------------------------------------------------------------------


def test_threads_of_several_tenants_never_mix(tenants: Open) -> None:
    stores = {name: tenants(name) for name in ("acme", "globex", "initech", None)}

    def work(name: str | None, thread: int) -> None:
        for n in range(5):
            append(stores[name], "s", f"{thread}-{n}", content=name)

    together(*(partial(work, name, thread) for name in stores for thread in range(3)))
    for name, db in stores.items():
        assert sorted(positions(db, "s").values()) == list(range(15))
        assert {found.content for found in db.get_runs()} == {name}


def test_a_row_of_another_tenant_is_never_given_out(tenants: Open) -> None:
    """Should a statement ever read one, it fails."""
    acme = tenants("acme")
    append(tenants("globex"), "s", "r")
    overwrite(acme, "sessions", "tenant_id", "acme")
    with pytest.raises(RuntimeError, match="another tenant"):
        acme.get_sessions()


# -- listing -----------------------------------------------------------------------------------------


def test_a_page_is_of_one_tenant(tenants: Open) -> None:
    acme, globex = tenants("acme"), tenants("globex")
    acme.upsert_sessions([session(f"s{n}") for n in range(50)])
    globex.upsert_sessions([session(f"s{n}") for n in range(50)])

    assert listed(acme, limit=2, sort_order="asc", sort_by="session_id") == ["s0", "s1"]
    assert len(acme.get_sessions()) == 50
    assert run_ids(acme, "s0") == []


OTHERWISE = {
    "sqlite": ("chr(26)", "char(26)"),
    "mysql": ("'acme' || chr(26) || ':contact-42'", "CONCAT('acme', CHAR(26), ':contact-42')"),
}
"""What databases call otherwise than the statement in the guide."""


def test_a_tenants_session_is_found_in_sql_as_the_guide_says(opened: Open) -> None:
    for tenant in ("acme", "globex", None):
        opened(tenant_id=tenant).upsert_session(session("contact-42", user_id=tenant))
    db = opened(tenant_id="acme")
    (select,) = (block.text for block in blocks(GUIDE) if block.language == "text")
    for kind, (said, other) in OTHERWISE.items():
        if kind in db.dialect.names:
            assert f"`{other}` on" in GUIDE.read_text(encoding="utf-8")
            select = select.replace(said, other)
    found = ask(db, select.replace("*", "user_id").replace("agent_sessions", db.table_name).replace(":", r"\:"))

    assert found == ["acme"]


# -- the database's own guard ------------------------------------------------------------------------


@pytest.mark.own_pool
@pytest.mark.backends("postgresql")
def test_row_level_security_keeps_roles_to_their_tenant(fresh_url: str) -> None:
    """With the very statements of the guide."""
    roles = {name: f"{name}_{fresh_url.rpartition('_')[2]}" for name in ("acme", "globex")}
    (policy,) = (block.text for block in blocks(GUIDE) if block.language == "sql")
    with open_db(fresh_url) as owner:
        owner.upgrade_schema()
        with owner.db_engine.begin() as connection:
            connection.execution_options(no_parameters=True)
            for name, role in roles.items():
                policy = policy.replace(name, role)
                connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
            connection.exec_driver_sql(policy)
        try:
            _look(fresh_url, roles)
        finally:
            with owner.db_engine.begin() as connection:
                for role in roles.values():
                    connection.exec_driver_sql(f"DROP OWNED BY {role}")
                    connection.exec_driver_sql(f"DROP ROLE {role}")


def _look(url: str, roles: dict[str, str]) -> None:
    """As each role, through the store and past it."""
    urls = {name: sa.make_url(url).set(username=role, password="secret") for name, role in roles.items()}
    for name, role in roles.items():
        with open_db(urls[name], tenant_id=role, media_over=1_000) as db:
            db.upsert_session(session("s", summary={"summary": role}))
            db.upsert_run(run("r", content=role * 200), "s")
    for name, role in roles.items():
        with open_db(urls[name], tenant_id=role) as db:
            assert db.get_session("s").runs[0].content == role * 200
            assert {table: len(found) for table, found in dump(db).items()} == dict.fromkeys(dump(db), 1)
        (other,) = set(roles.values()) - {role}
        with open_db(urls[name], tenant_id=other) as db:
            assert db.get_session("s") is None
            with pytest.raises(Exception, match="row-level security"):
                db.upsert_session(session("new"))
