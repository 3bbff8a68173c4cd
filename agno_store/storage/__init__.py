"""SqliteStorage, PostgresStorage, MySQLStorage: the same tables for programs on agno 1, as its ``storage=``.

    from agno.agent import Agent
    from agno_store.storage import SqliteStorage

    agent = Agent(storage=SqliteStorage("agent_sessions", db_file="tmp/agents.db"), add_history_to_messages=True)

Arguments and methods are those of agno 1.8. Each stands on a store of this package, ``storage.db``: a session's runs
are rows, the tables have the same revisions, and a program on a later agno finds the conversations there.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.engine import URL, Connection, Engine

from agno_store import bridge, shapes
from agno_store.clock import SECOND, now
from agno_store.database import Database
from agno_store.db import MySQLDb, PostgresDb, SqliteDb
from agno_store.errors import ConfigurationError, InvalidArgument
from agno_store.saving import LAST_WRITE_WINS, SessionSave
from agno_store.sending import Row
from agno_store.storage import sessions
from agno_store.storage.sessions import MODES, Mode

__all__ = ["MySQLStorage", "PostgresStorage", "SqliteStorage"]

S = TypeVar("S", bound="_Storage")


class _Storage:
    """A storage of agno 1 over a store. Sessions come as agno's own objects, or as dictionaries without agno 1.

    Every failure raises an ``AgnoStoreError``; agno's own storages log it and answer None.
    """

    db: Database
    """The store; what agno 1 has no call for, ``delete_run`` for one, is to be had there."""

    def _over(self, db: Database, schema_version: int, mode: str | None) -> None:
        if schema_version != 1:
            raise ConfigurationError(f"schema_version={schema_version!r}: agno knew version 1 alone. Leave it out.")
        self.db, self.mode = db, mode

    @property
    def mode(self) -> str:
        """Whose sessions are read and stored: "agent", "team", "workflow" or "workflow_v2"; agno sets it."""
        return self._mode

    @mode.setter
    def mode(self, value: str | None) -> None:
        if value is not None and value not in MODES:
            raise InvalidArgument(f"mode={value!r} is not one of {', '.join(MODES)}.")
        self._mode = value or "agent"

    # -- what agno and people look at ---------------------------------------------------------

    @property
    def table_name(self) -> str:
        """The name of the store's first table."""
        return self.db.names.sessions

    @property
    def schema(self) -> str | None:
        """The schema that its tables are in; None is the connection's own."""
        return self.db.names.schema

    @property
    def db_engine(self) -> Engine:
        """The SQLAlchemy engine."""
        return self.db.db_engine

    @property
    def auto_upgrade_schema(self) -> bool:
        """Whether the first use upgrades tables that are behind."""
        return self.db.auto_upgrade_schema

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mode={self.mode!r}, db={self.db!r})"

    def __deepcopy__(self: S, memo: dict[int, Any]) -> S:
        """Return a storage with a mode of its own over the same store: agno copies agents with all they have."""
        memo[id(self)] = copied = copy.copy(self)
        return copied

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections, unless the engine is the caller's."""
        self.db.close()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self) -> None:
        """Build the tables, unless they are there."""
        self.db._create_all_tables()

    def drop(self) -> None:
        """Drop the tables, with everything in them; the next use builds them anew."""
        self.db._drop_all_tables()

    def upgrade_schema(self) -> list[str]:
        """Run the pending revisions and return them, whatever ``auto_upgrade_schema`` says: to call it is to ask.

        Raises as the store's ``upgrade_schema``, UpgradeLocked for one.
        """
        return self.db.upgrade_schema()

    # -- sessions -----------------------------------------------------------------------------

    def read(self, session_id: str, user_id: str | None = None) -> Any:
        """Return a session, or None where there is none of that user. Writes nothing."""
        stored = self.db.get_session(session_id, user_id=user_id, deserialize=False)
        return None if stored is None else self._session(stored)

    def upsert(self, session: Any) -> Any:
        """Store a session, an object of agno 1 or a dictionary with its fields, and return it as stored.

        Only those of its runs are written that are not stored as they are. Runs that it does not name stay, since
        another process may have stored them; ``storage.db.delete_run`` deletes one. A session without a user keeps
        the one that it has. Raises OwnerMismatch where it is another user's.
        """
        record, runs = sessions.packed(self._kind, sessions.entries_of(self._kind, session))
        moment, unstorable, ask = now(), self.db.unstorable or shapes.MARK, self.db._before_write
        save = shapes.prepared(record, self.db._origin, moment, unstorable, LAST_WRITE_WINS, before_write=ask)
        created_at = _within_its_second(save.created_at, moment)
        brought = shapes.prepared_runs(runs, record, moment, unstorable, ask, self.db.media_over)
        save = save._replace(created_at=created_at, runs=brought)
        row, stored = self.db._put(self._save, save)
        return self._session(shapes.written(row, stored, self.db._origin, None, False))

    def _save(self, c: Connection, save: SessionSave) -> tuple[Row, list[Row]]:
        if save.columns["user_id"] is None:
            owner = self.db._store.owner(c, save.session_id)
            save = save._replace(columns={**save.columns, "user_id": owner})
        self.db._store.save_session(c, save)
        # Read in the same transaction: a call that fails has changed nothing.
        found = self.db._store.session(c, save.session_id, None)
        assert found is not None
        return found

    def get_all_session_ids(self, user_id: str | None = None, entity_id: str | None = None) -> list[str]:
        """Return the ids of the sessions of this mode, newest first. Writes nothing."""
        found = self._found(user_id, entity_id, include_runs=False)
        return [str(stored["session_id"]) for stored in found]

    def get_all_sessions(self, user_id: str | None = None, entity_id: str | None = None) -> list[Any]:
        """Return the sessions of this mode with their runs, newest first. Writes nothing."""
        return [self._session(stored) for stored in self._found(user_id, entity_id)]

    def get_recent_sessions(
        self, user_id: str | None = None, entity_id: str | None = None, limit: int | None = 2
    ) -> list[Any]:
        """Return the newest sessions of this mode with their runs. Writes nothing."""
        if limit == 0:
            return []
        return [self._session(stored) for stored in self._found(user_id, entity_id, limit=limit)]

    def delete_session(self, session_id: str | None = None) -> None:
        """Delete a session with its runs and summary, if it is there."""
        if session_id is None:
            raise InvalidArgument("delete_session() needs the session_id of the session to delete.")
        self.db.delete_session(session_id)

    @property
    def _kind(self) -> Mode:
        return MODES[self._mode]

    def _found(self, user_id: str | None, entity_id: str | None, **more: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]]
        found, _ = self.db.get_sessions(
            self._kind.kind, user_id=user_id, component_id=entity_id, deserialize=False, **more
        )
        return found

    def _session(self, stored: dict[str, Any]) -> Any:
        entries = sessions.unpacked(self._kind, stored)
        return bridge.storage_session(self._kind.module, self._kind.cls, entries)


def _within_its_second(created_at: int | None, moment: int) -> int | None:
    """Return when a session was made, of which agno knows the second: of two made just now, the later is the newer."""
    if created_at is None or not 0 <= moment - created_at < 2 * SECOND:
        return created_at
    return min(moment, created_at // SECOND * SECOND + SECOND - 1)


@bridge.connect_storage
class SqliteStorage(_Storage):
    """A storage in a SQLite file; of ``db_engine``, ``db_url`` and ``db_file`` the first that is given counts.

    With none of them it is in memory, and gone when the object is closed.
    """

    def __init__(
        self,
        table_name: str,
        db_url: str | URL | None = None,
        db_file: str | Path | None = None,
        db_engine: Engine | None = None,
        schema_version: int = 1,
        auto_upgrade_schema: bool = False,
        mode: str | None = "agent",
    ) -> None:
        where: dict[str, Any] = {"db_url": "sqlite://"}
        if db_engine is not None:
            where = {"db_engine": db_engine}
        elif db_url is not None:
            where = {"db_url": db_url}
        elif db_file is not None:
            where = {"db_file": db_file}
        db = SqliteDb(**where, table_name=table_name, auto_upgrade_schema=auto_upgrade_schema)
        self._over(db, schema_version, mode)


class _ServerStorage(_Storage):
    _store: type[PostgresDb] | type[MySQLDb]

    def __init__(
        self,
        table_name: str,
        schema: str | None = "ai",
        db_url: str | URL | None = None,
        db_engine: Engine | None = None,
        schema_version: int = 1,
        auto_upgrade_schema: bool = False,
        mode: str | None = "agent",
    ) -> None:
        db = self._store(
            db_url=db_url if db_engine is None else None,
            db_engine=db_engine,
            db_schema=schema,
            table_name=table_name,
            auto_upgrade_schema=auto_upgrade_schema,
        )
        self._over(db, schema_version, mode)


@bridge.connect_storage
class PostgresStorage(_ServerStorage):
    """A storage in a PostgreSQL database, in the schema "ai" unless another is named.

    None is the connection's own.
    """

    _store = PostgresDb


@bridge.connect_storage
class MySQLStorage(_ServerStorage):
    """A storage in a MySQL or MariaDB server, in the database "ai" unless another is named.

    None is the connection's own.
    """

    _store = MySQLDb
