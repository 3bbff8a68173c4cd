"""The floor: what somebody writes by hand with the driver alone, with two plain tables and no checks.

``Raw`` sends two statements to read, and BEGIN, UPDATE, INSERT, COMMIT to write. ``RawAtOnce`` is the same in as
few round trips as the database allows: one to read, and to write one on PostgreSQL and MariaDB.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from bench.gauges import Sent, keep_log
from bench.payloads import USER, run, session_data
from bench.places import Place

TYPES = {
    "sqlite": {"id": "TEXT", "json": "TEXT", "number": "INTEGER", "end": ""},
    "postgresql": {"id": 'VARCHAR(255) COLLATE "C"', "json": "JSON", "number": "BIGINT", "end": ""},
    "mysql": {
        "id": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "json": "LONGTEXT",
        "number": "BIGINT",
        "end": " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
    },
}
SCHEMA = (
    "CREATE TABLE raw_sessions (session_id {id} NOT NULL PRIMARY KEY, user_id {id}, agent_id {id}, "
    "session_data {json}, runs {number} NOT NULL, created_at {number} NOT NULL, updated_at {number} NOT NULL){end}",
    "CREATE TABLE raw_runs (session_id {id} NOT NULL, run_index {number} NOT NULL, run_id {id} NOT NULL, "
    "status {id}, run_data {json} NOT NULL, created_at {number} NOT NULL, PRIMARY KEY (session_id, run_index)){end}",
    "CREATE INDEX ix_raw_runs_run_id ON raw_runs (run_id)",
    "CREATE INDEX ix_raw_sessions_user ON raw_sessions (user_id, created_at, session_id)",
)
SESSION = "SELECT {session_data}, runs FROM raw_sessions WHERE session_id = ?"
LATEST = "SELECT {run_data} FROM raw_runs WHERE session_id = ? ORDER BY run_index DESC LIMIT 5"
UPDATE = "UPDATE raw_sessions SET session_data = ?, runs = runs + 1, updated_at = ? WHERE session_id = ?"
INSERT = (
    "INSERT INTO raw_runs SELECT session_id, runs - 1, {id}, {id}, {json}, {number} FROM raw_sessions "
    "WHERE session_id = ?"
)
NEWEST = (
    "SELECT session_id, user_id, agent_id, {session_data}, created_at, updated_at FROM raw_sessions "
    "WHERE user_id = ? ORDER BY created_at DESC, session_id DESC LIMIT ?"
)
SAME = (
    "SELECT s.session_id, s.session_type, s.agent_id, s.team_id, s.workflow_id, s.user_id, s.workflow_name, "
    "s.session_data{text}, s.agent_data{text}, s.team_data{text}, s.workflow_data{text}, s.metadata{text}, s.version, "
    "s.created_at, s.updated_at, u.summary, u.topics{text}, u.summary_data{text} FROM agent_sessions s "
    "LEFT JOIN agent_sessions_summaries u ON u.session_id = s.session_id WHERE s.user_id = ? AND s.tenant_id IS NULL "
    "ORDER BY s.created_at DESC, s.session_id DESC LIMIT ?"
)
PAYLOADS = (7, 8, 9, 10, 11, 16, 17)
"""Which of its columns are JSON."""
BEFORE = NEWEST.replace(" ORDER", " AND (created_at, session_id) < (?, ?) ORDER")


def connected(place: Place) -> Any:
    """Return a connection of the driver's own that commits by itself unless told to begin."""
    parts = place.parts
    if place.backend == "sqlite":
        connection = sqlite3.connect(place.file, isolation_level=None, timeout=30, check_same_thread=False)
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {setting}")
        return connection
    if place.backend == "postgresql":
        import psycopg

        found = psycopg.connect(
            host=parts.host, port=parts.port, user=parts.username, dbname=parts.database, autocommit=True
        )
        found.prepare_threshold = 0
        return found
    import pymysql

    return pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, database=parts.database, charset="utf8mb4",
        autocommit=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
    )  # fmt: skip


class Raw:
    """Two round trips to read, four to write."""

    name: ClassVar[str] = "raw driver"

    def __init__(self, place: Place) -> None:
        self.place, self.sent = place, Sent()
        self.connection = connected(place)
        self.sent.connections.add(self.connection)
        self._cursor = self.connection.cursor()
        self._marker = "?" if place.backend == "sqlite" else "%s"
        self._begin = "BEGIN IMMEDIATE" if place.backend == "sqlite" else "BEGIN"

    def make(self) -> None:
        """Make the tables."""
        for statement in SCHEMA:
            self._cursor.execute(statement.format(**TYPES[self.place.backend]))

    def close(self) -> None:
        self.connection.close()

    def watch(self) -> None:
        """Count from now on."""
        if self.place.backend == "sqlite":
            keep_log(self.connection)

    def fill(self, session_ids: Iterable[str], runs: int, user_id: str = USER) -> None:
        """Store sessions with so many runs each."""
        self._execute("BEGIN")
        insert = f"INSERT INTO raw_sessions VALUES ({', '.join('?' * 7)})"
        for number, session_id in enumerate(session_ids):
            data = json.dumps(session_data(session_id, runs), ensure_ascii=False)
            self._execute(insert, (session_id, user_id, "helper", data, runs, number, number))
            for index in range(runs):
                self._insert_run(session_id, run(session_id, index), index)
        self._execute("COMMIT")

    # -- one turn -----------------------------------------------------------------------------

    run = staticmethod(run)

    def turn(self, session_id: str, number: int, done: dict[str, Any]) -> None:
        """Read the session and its last 5 runs, then store the session and one run."""
        data, runs = self.read(session_id)
        assert len(runs) == min(5, number), (len(runs), number)
        data["session_state"]["turns"] = number + 1
        self.write(session_id, data, done)

    def read(self, session_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        (data, _), *_ = self._execute(self._json(SESSION), (session_id,))
        runs = self._execute(self._json(LATEST), (session_id,))
        return json.loads(data), [json.loads(text) for (text,) in runs[::-1]]

    def write(self, session_id: str, data: dict[str, Any], run: dict[str, Any]) -> None:
        text, moment = json.dumps(data, ensure_ascii=False), time.time_ns() // 1000
        self._execute(self._begin)
        self._execute(UPDATE, (text, moment, session_id))
        self._insert_run(session_id, run, None)
        self._execute("COMMIT")

    def _insert_run(self, session_id: str, run: dict[str, Any], index: int | None) -> None:
        text = json.dumps(run, ensure_ascii=False)
        columns = (run["run_id"], run["status"], text, run["created_at"])
        if index is not None:
            self._execute(f"INSERT INTO raw_runs VALUES ({', '.join('?' * 6)})", (session_id, index, *columns))
            return
        self._execute(self._typed(INSERT), (*columns, session_id))

    # -- a page of a listing ------------------------------------------------------------------

    def newest(self, user_id: str, count: int, before: tuple[Any, ...] = ()) -> list[Any]:
        """Return the newest sessions of a user, those before a place in the order if one is given."""
        select = self._json(BEFORE if before else NEWEST)
        rows = self._execute(select, (user_id, *before, count))
        return [(session_id, *rest[:2], json.loads(rest[2]), *rest[3:]) for session_id, *rest in rows]

    def newest_as_ours(self, user_id: str, count: int) -> list[Any]:
        """Return of this package's tables what its own listing returns, as tuples."""
        rows = self._execute(SAME.format(text="::text" if self.place.backend == "postgresql" else ""), (user_id, count))
        found = [list(row) for row in rows]
        for row in found:
            for n in PAYLOADS:
                if row[n] is not None:
                    row[n] = json.loads(row[n])
        return found

    # -- the driver ---------------------------------------------------------------------------

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        self.sent.note(statement)
        self._cursor.execute(statement.replace("?", self._marker), values)
        return self._cursor.fetchall() if self._cursor.description else ()

    def _json(self, statement: str) -> str:
        """Name JSON columns as text: psycopg would decode them itself, more slowly."""
        cast = "::text" if self.place.backend == "postgresql" else ""
        return statement.format(session_data=f"session_data{cast}", run_data=f"run_data{cast}")

    def _typed(self, statement: str) -> str:
        """Write parameters with their types where the database does not work them out by itself."""
        types = TYPES[self.place.backend]
        typed = self.place.backend == "postgresql"
        casts = {name: f"CAST(? AS {types[name].split(' COLLATE')[0]})" for name in ("id", "json", "number")}
        return statement.format(**(casts if typed else dict.fromkeys(casts, "?")))


class RawAtOnce(Raw):
    """One round trip to read, and to write one on the servers."""

    name: ClassVar[str] = "raw driver, at once"

    def read(self, session_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        select = self._json(
            "SELECT {session_data}, {run_data} FROM raw_sessions s LEFT JOIN raw_runs r "
            "ON r.session_id = s.session_id WHERE s.session_id = ? ORDER BY r.run_index DESC LIMIT 5"
        )
        rows = self._execute(select, (session_id,))
        return json.loads(rows[0][0]), [json.loads(text) for _, text in rows[::-1] if text is not None]

    def write(self, session_id: str, data: dict[str, Any], run: dict[str, Any]) -> None:
        if self.place.backend == "sqlite":
            super().write(session_id, data, run)
            return
        text, moment = json.dumps(data, ensure_ascii=False), time.time_ns() // 1000
        columns = (run["run_id"], run["status"], json.dumps(run, ensure_ascii=False), run["created_at"])
        if self.place.backend == "postgresql":
            insert = self._typed("SELECT session_id, runs - 1, {id}, {id}, {json}, {number} FROM written")
            statement = f"WITH written AS ({UPDATE} RETURNING session_id, runs) INSERT INTO raw_runs {insert}"
            self._execute(statement, (text, moment, session_id, *columns))
            return
        insert = "SELECT session_id, runs - 1, ?, ?, ?, ? FROM raw_sessions WHERE session_id = ?"
        block = f"BEGIN NOT ATOMIC START TRANSACTION; {UPDATE}; INSERT INTO raw_runs {insert}; COMMIT; END"
        self._execute(block, (text, moment, session_id, *columns, session_id))
