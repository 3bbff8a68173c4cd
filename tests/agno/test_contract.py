"""How a store is accepted as agno's ``db``: every question agno asks of one has its true answer."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle

import pytest
import sqlalchemy as sa
from agno.agent import Agent
from agno.compaction.archive import stores_compaction_records
from agno.db.base import AsyncBaseDb, BaseDb, SessionType
from agno.db.migrations.manager import MigrationManager
from agno.db.utils import resolve_db_from_config
from agno.registry import Registry
from agno.run import RunStatus
from agno.run.agent import RunOutput
from agno.session import AgentSession, TeamSession, WorkflowSession

from agno_store import MySQLDb, PostgresDb, SqliteDb, open_db
from tests.agno.scripted import Call, scripted

CLASSES = (SqliteDb, PostgresDb, MySQLDb)

SECRET = "s3cr3t-pa55"
UNREACHABLE = {
    PostgresDb: f"postgresql+psycopg://ai:{SECRET}@127.0.0.1:1/ai",
    MySQLDb: f"mysql+pymysql://ai:{SECRET}@127.0.0.1:1/ai",
}

OURS = {
    *("table_exists", "get_latest_schema_version", "upsert_schema_version"),
    *("get_session", "get_sessions", "upsert_session", "upsert_sessions", "rename_session"),
    *("delete_session", "delete_sessions", "reassign_session_owner"),
    *("get_run", "get_runs", "upsert_run", "delete_run", "delete_runs", "cancel_pending_run"),
    *("update_approval_run_status", "to_dict", "close"),
}
METHODS = {name: member for name, member in vars(BaseDb).items() if inspect.isfunction(member) and name[0] != "_"}
ABSTRACT = {name for name, member in METHODS.items() if getattr(member, "__isabstractmethod__", False)}


def unreachable(cls, **options):
    """A store whose server is not there: building one sends nothing."""
    return cls(db_url=UNREACHABLE[cls], **options)


@pytest.fixture
def file_db(tmp_path):
    with SqliteDb(db_file=tmp_path / "agents.db") as db:
        yield db


# -- isinstance and the methods of the class -----------------------------------------------------------

ORDERS = {
    "agno first": "import agno.db.base\nfrom agno_store import SqliteDb, PostgresDb, MySQLDb",
    "agno_store first": "from agno_store import SqliteDb, PostgresDb, MySQLDb\nassert 'agno' not in sys.modules",
    "agno after the object": (
        "from agno_store import SqliteDb, PostgresDb, MySQLDb\ndb = SqliteDb(db_url='sqlite://')\n"
        "db.upsert_session({'session_id': 's'})\nassert 'agno' not in sys.modules\nimport agno.agent"
    ),
}
IS_A_DB = """
from agno.db.base import AsyncBaseDb, BaseDb
class Own(SqliteDb): pass
for cls in (SqliteDb, PostgresDb, MySQLDb, Own):
    assert issubclass(cls, BaseDb) and not issubclass(cls, AsyncBaseDb), cls
    assert cls.upsert_compaction is BaseDb.upsert_compaction, cls
    assert cls.upsert_run is not BaseDb.upsert_run, cls
for db in (SqliteDb(db_url='sqlite://'), Own(db_url='sqlite://'), globals().get('db', SqliteDb(db_url='sqlite://'))):
    assert isinstance(db, BaseDb) and not isinstance(db, AsyncBaseDb), db
    try:
        db.get_user_memories(user_id='u')
    except NotImplementedError:
        print('ok')
"""


@pytest.mark.parametrize("order", ORDERS)
def test_a_store_is_a_basedb_whichever_is_imported_first(python, order):
    assert python("-c", f"import sys\n{ORDERS[order]}\n{IS_A_DB}") == "ok\nok\nok"


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_not_kept_is_agnos_own_function(cls):
    optional = METHODS.keys() - ABSTRACT
    assert {name for name in optional if getattr(cls, name) is not METHODS[name]} == OURS - ABSTRACT


def test_agno_finds_runs_kept_and_compactions_not(file_db):
    assert type(file_db).upsert_run not in (BaseDb.upsert_run, AsyncBaseDb.upsert_run)
    assert not stores_compaction_records(file_db)


@pytest.mark.parametrize("name", sorted(ABSTRACT - OURS))
def test_what_is_abstract_and_not_kept_says_so(file_db, name):
    with pytest.raises(NotImplementedError, match=rf"agno_store keeps sessions.*SqliteDb\.{name}\(\).*agno's own"):
        getattr(file_db, name)("anything", limit=1)


@pytest.mark.parametrize("name", sorted(OURS & METHODS.keys()))
def test_what_is_kept_takes_every_argument_that_agno_gives(name):
    ours, agnos = (inspect.signature(getattr(cls, name)).parameters for cls in (SqliteDb, BaseDb))
    for position, parameter in enumerate(agnos.values()):
        assert parameter.name in ours
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert list(ours)[position] == parameter.name
        if parameter.default is not parameter.empty:
            assert ours[parameter.name].default is not parameter.empty


def test_every_table_name_that_agno_reads_is_there(file_db):
    class Minimal(BaseDb):
        pass

    Minimal.__abstractmethods__ = frozenset()
    names = [name for name in vars(Minimal()) if name.endswith("_table_name")]
    assert "session_table_name" in names
    assert [name for name in names if not hasattr(file_db, name)] == []
    assert file_db.session_table_name == "agent_sessions"
    assert file_db.memory_table_name is None


def test_update_approval_run_status_counts_none(file_db):
    assert file_db.update_approval_run_status("run", RunStatus.completed) == 0


def test_a_feature_that_needs_what_is_not_kept_says_why(file_db, complaints):
    agent = Agent(model=scripted(), db=file_db, update_memory_on_run=True)
    agent.run("remember me", session_id="s", user_id="u")
    assert "agno_store keeps sessions" in complaints.take("get_user_memories()")[0]
    complaints.messages.clear()


def test_features_whose_tables_are_not_kept_are_off_and_the_agent_works(file_db, complaints):
    agent = Agent(model=scripted("fine"), db=file_db, compaction=True, offload_tool_results=True)
    assert agent.run("hi", session_id="s").content == "fine"
    complaints.take("Compaction is only supported with")
    complaints.take("Result offloading is not available on SqliteDb")


@pytest.mark.backends("sqlite", "postgresql")
def test_an_agents_files_may_live_beside_the_store(assistant, db):
    agent = assistant(
        Call("write_file", path="a.txt", content="kept"),
        "written",
        Call("read_file", path="a.txt"),
        lambda turn: turn.text,
        filesystem=True,
    )
    agent.run("write", session_id="s")
    assert "kept" in agent.run("read", session_id="s").content
    with open_db(db.db_engine.url) as again:
        assert again.schema_status().state == "in step"


# -- agno's own migrations -----------------------------------------------------------------------------


def test_there_is_nothing_that_agnos_migrations_could_work_with(file_db):
    assert file_db.get_latest_schema_version() is None
    assert file_db.get_latest_schema_version("agent_sessions") is None
    assert file_db.upsert_schema_version("agent_sessions", "3.0.0") is None
    assert [name for name in ("Session", "_get_table", "metadata") if hasattr(file_db, name)] == []


def ddl(db):
    """Everything that a migration could change, as the database tells it."""
    with db.db_engine.connect() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        return {
            table.name: (
                [(column.name, str(column.type), column.nullable) for column in table.columns],
                sorted(str(index.name) for index in table.indexes),
                connection.execute(sa.select(table)).mappings().all(),
            )
            for table in metadata.sorted_tables
        }


@pytest.mark.parametrize("target", [None, "2.5.6"])
def test_agnos_migrations_leave_the_tables_as_they_are(assistant, db, complaints, target):
    assistant().run("hi", session_id="s")
    before = ddl(db)
    manager = MigrationManager(db)
    asyncio.run(manager.up(target_version=target, force=True))
    asyncio.run(manager.down(target or "2.0.0", force=True))
    complaints.take("Skipping migration for table agent_sessions")
    complaints.take("the adapter returned no schema version")
    assert ddl(db) == before


# -- what is told about a store ------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "kind"), [(PostgresDb, "agno_store.postgres"), (MySQLDb, "agno_store.mysql")])
def test_a_description_holds_its_type_and_no_password(cls, kind):
    db = unreachable(cls, db_schema="ai")
    described = db.to_dict()
    assert described["type"] == kind
    assert described["id"] == db.id
    with_query = cls(db_url=UNREACHABLE[cls].replace(f":{SECRET}@", "@") + f"?password={SECRET}&ssl_key={SECRET}")
    agent = Agent(id="a", model=scripted(), db=db)
    for text in (described, repr(db), str(db), db.db_url, with_query.db_url, repr(with_query), agent.to_dict()):
        assert SECRET not in str(text)


def test_a_sqlite_description_is_not_agnos_sqlite(file_db):
    assert file_db.to_dict()["type"] == "agno_store.sqlite"


def test_a_saved_agent_finds_its_store_in_the_registry(file_db):
    config = Agent(id="a", model=scripted(), db=file_db).to_dict()
    assert Agent.from_dict({**config, "model": None}, registry=Registry(dbs=[file_db])).db is file_db


def test_a_saved_agent_without_a_registry_opens_no_store_of_agnos(file_db, complaints):
    assert resolve_db_from_config(file_db.to_dict()) is None
    complaints.take("Unknown database type: agno_store.sqlite")


# -- the object ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_a_store_is_true_without_saying_how_many(cls, tmp_path):
    db = SqliteDb(db_file=tmp_path / "a.db") if cls is SqliteDb else unreachable(cls)
    assert bool(db) is True
    assert not {"__len__", "__bool__"} & set(dir(cls))


def test_agno_can_hang_things_on_a_store(file_db):
    file_db.tool_result_filesystems = ["one"]
    assert file_db.tool_result_filesystems == ["one"]


def test_an_id_is_the_same_in_every_process(file_db, python):
    urls = [f"sqlite:///{file_db.db_engine.url.database}", *UNREACHABLE.values()]
    program = "import sys; from agno_store import open_db; print(*(open_db(url).id for url in sys.argv[1:]))"
    assert python("-c", program, *urls).split() == [open_db(url).id for url in urls]
    assert file_db.id == open_db(urls[0]).id


def test_an_id_differs_by_database_table_and_schema_and_not_by_who_connects_and_how(tmp_path):
    def ids(cls):
        url = UNREACHABLE[cls]
        yield unreachable(cls).id
        yield unreachable(cls, table_name="other").id
        yield unreachable(cls, db_schema="other").id
        yield cls(db_url=url[:-2] + "other").id

    files = [SqliteDb(db_file=tmp_path / name, table_name=table).id for name in "ab" for table in (None, "other")]
    everything = [*files, *ids(PostgresDb), *ids(MySQLDb)]
    assert len(set(everything)) == len(everything) == 12
    for cls, url in UNREACHABLE.items():
        without = url.replace(f"ai:{SECRET}@", "").replace("+psycopg", "").replace("+pymysql", "")
        for other in (
            url.replace(SECRET, "changed"),
            url.replace("ai:", "root:"),
            url.replace(f":{SECRET}", ""),
            without,
        ):
            assert cls(db_url=other).id == unreachable(cls).id
    assert SqliteDb(db_file=tmp_path / "a").id == SqliteDb(db_url=f"sqlite:///{tmp_path}/a").id == files[0]


def test_two_memories_are_two_stores():
    assert SqliteDb(db_url="sqlite://").id != SqliteDb(db_url="sqlite://").id


def test_an_id_can_be_chosen(tmp_path):
    assert SqliteDb(db_file=tmp_path / "a.db", id="mine").id == "mine"


def test_a_deep_copy_is_the_same_store(db):
    assert copy.deepcopy({"db": [db]})["db"][0] is db


def test_a_pickled_store_comes_back_on_the_same_tables(fresh_url):
    with open_db(fresh_url, table_name="other table") as db:
        Agent(id="a", model=scripted("hello"), db=db).run("hi", session_id="s")
        with pickle.loads(pickle.dumps(db)) as again:
            assert type(again) is type(db)
            assert (again.id, again.table_name) == (db.id, "other table")
            assert [run.content for run in again.get_session("s").runs] == ["hello"]


# -- what comes back -----------------------------------------------------------------------------------


def test_sessions_and_runs_come_as_agnos_objects_and_fresh_ones(assistant, db):
    run = assistant("hello").run("hi", session_id="s")
    session = db.get_session("s")
    assert isinstance(session, AgentSession)
    assert isinstance(db.get_run(run.run_id), RunOutput)
    assert [type(one) for one in db.get_sessions()] == [AgentSession]
    session.runs[0].content = "changed"
    session.session_data["session_state"]["changed"] = True
    again = db.get_session("s")
    assert again.runs[0].content == "hello"
    assert again.session_data["session_state"] == {}


def test_the_type_asked_for_chooses_the_class_and_hides_nothing(assistant, db):
    assistant("hello").run("hi", session_id="s")
    for kind, cls in (
        (SessionType.AGENT, AgentSession),
        (SessionType.TEAM, TeamSession),
        (SessionType.WORKFLOW, WorkflowSession),
    ):
        assert type(db.get_session("s", session_type=kind)) is cls
    assert db.get_session("s", deserialize=False)["session_type"] == "agent"


def test_a_saved_session_is_returned_with_the_runs_it_came_with_and_stores_none(assistant, db):
    assistant("hello").run("hi", session_id="s")
    session = db.get_session("s")
    session.runs = [*session.runs, RunOutput(run_id="unsaved", agent_id="assistant")]
    assert [run.run_id for run in db.upsert_session(session).runs][-1] == "unsaved"
    assert len(db.get_runs("s")) == len(db.get_session("s").runs) == 1
    session.runs = []
    db.upsert_session(session)
    assert len(db.get_session("s").runs) == 1


def test_a_position_is_the_databases_to_give(assistant, db):
    assistant("hello").run("hi", session_id="s")
    for run_id in ("a", "b"):
        db.upsert_run(RunOutput(run_id=run_id, agent_id="assistant"), session_id="s", run_index=0)
    assert [(row["run_id"], row["run_index"]) for row in db.get_runs("s", deserialize=False)[0]][1:] == [
        ("a", 1),
        ("b", 2),
    ]


# -- what is imported ----------------------------------------------------------------------------------

ROUND_TRIP = """
import sys
from agno_store import open_db
assert not LOADED(sys.modules), LOADED(sys.modules)
with open_db(sys.argv[1]) as db:
    db.upsert_session({"session_id": "s", "user_id": "u", "session_data": {"session_state": {"n": 1}}})
    db.upsert_run({"run_id": "r", "agent_id": "a", "content": "hello"}, session_id="s")
    db.upsert_summary("s", {"summary": "short"})
    session = db.get_session("s")
    assert (session.runs[0].content, session.summary.summary) == ("hello", "short")
    assert db.get_sessions(deserialize=False)[1] == 1
    db.rename_session("s", "agent", "named")
    print(*sorted(LOADED(sys.modules)))
"""
READ = """
import sys
from agno_store import open_db
with open_db(sys.argv[1]) as db:
    assert db.get_session("s").session_name == "named"
    db.upsert_run({"run_id": "r2", "agent_id": "a"}, session_id="s", user_id="u")
print(*sorted(LOADED(sys.modules)))
"""
HEAVY = "LOADED = lambda modules: {'agno', 'alembic', 'typer', 'rich', 'sqlalchemy.ext.asyncio'} & set(modules)\n"


def test_a_round_trip_imports_alembic_to_make_the_tables_and_a_later_process_nothing(fresh_url, python):
    assert python("-c", HEAVY + ROUND_TRIP, fresh_url) == "alembic"
    assert python("-c", HEAVY + READ, fresh_url) == ""
