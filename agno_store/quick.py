"""Statements that write what is as its caller has read it, without looking first.

Each holds in its conditions all that a writer under the session's lock would have looked at. Where they find no row,
something is not as simple, and nothing was written: then a writer takes the lock, and looks.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from agno_store import owners
from agno_store.statements import Statements

RUN = (
    "run_id", "run_type", "parent_run_id", "agent_id", "team_id", "workflow_id", "user_id", "status", "run_data",
    "created_at", "updated_at",
)  # fmt: skip
"""The columns of a run besides its session and its place, which the database knows."""


class Counted(FunctionElement[int]):
    """A counter and one; a dialect may say it so that the answer tells what the counter was."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(Counted)
def _counted(element: Counted, compiler: Any, **kw: Any) -> str:
    return f"{compiler.process(element.clauses, **kw)} + 1"


class Quick:
    """The statements of one store that do without the lock, each built once.

    Values are called ``s_...`` for the session's columns that are set, and ``r_...`` for the run's. The others say what
    has to be true: the session's ``key``, and that it is ``owner``'s; where it was read, that it was ``made`` and
    ``touched`` last at these moments and is at the version that it ``was``; and that it has no run ``run_key`` yet.
    """

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        self._built: dict[tuple[Any, ...], Any] = {}

    @cached_property
    def _place(self) -> sa.Label[Any]:
        """That of a run which was counted."""
        return (self._sql.sessions.c.next_run_index - 1).label("run_index")

    @cached_property
    def counted(self) -> sa.Select[Any]:
        """The same, where the answer to ``adding`` does not tell it."""
        return sa.select((sa.func.last_insert_id(type_=sa.BigInteger) - 1).label("run_index"))

    def saving(self, columns: tuple[str, ...], *, owned: bool) -> Any:
        """Change a session that is as it was read."""
        return self._once(("saving", columns, owned), lambda: self._update(columns).where(*self._as_read(owned)))

    def adding(self, columns: tuple[str, ...], *, owned: bool, as_read: bool) -> Any:
        """Count a run that a session has not yet, and change the session with it."""
        return self._once(("adding", columns, owned, as_read), lambda: self._adding(columns, owned, as_read))

    def adding_returned(self, columns: tuple[str, ...], *, owned: bool, as_read: bool) -> Any:
        """The same, answered with the run's place, where a database can do that."""
        return self._once(
            ("returned", columns, owned, as_read), lambda: self._adding(columns, owned, as_read).returning(self._place)
        )

    def adding_whole(self, columns: tuple[str, ...], *, owned: bool, as_read: bool) -> Any:
        """The same, and the run with it, where one statement can write two tables."""
        return self._once(("whole", columns, owned, as_read), lambda: self._whole(columns, owned, as_read))

    @property
    def inserting(self) -> Any:
        """Insert the run that ``adding`` has counted before it in the same transaction, if it has.

        LAST_INSERT_ID() tells that, once it was 0. ROW_COUNT() would not do: MariaDB forgets it where a client is gone,
        and carries on. And to select from the session would forbid triggers on runs to write to it.
        """
        return self._once(("inserting",), self._inserting)

    def _run(self) -> dict[str, Any]:
        return {name: sa.bindparam(f"r_{name}", type_=self._sql.runs.c[name].type) for name in RUN}

    def _once(self, key: tuple[Any, ...], build: Any) -> Any:
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]

    def _update(self, columns: tuple[str, ...]) -> sa.Update:
        s = self._sql.sessions
        values: dict[str, Any] = {name: sa.bindparam(f"s_{name}", type_=s.c[name].type) for name in columns}
        # As in ``Statements.update_session``: what is changed here is no stored run.
        values["runs_changed"] = s.c.runs_changed - s.c.updated_at + values["updated_at"]
        return sa.update(s).where(s.c.session_id == sa.bindparam("key")).values(values)

    def _as_read(self, owned: bool) -> list[ColumnElement[bool]]:
        s = self._sql.sessions.c
        read = [s.version == sa.bindparam("was"), s.created_at == sa.bindparam("made")]
        owner = s.user_id == sa.bindparam("owner") if owned else s.user_id.is_(None)
        return [*read, s.updated_at == sa.bindparam("touched"), owner]

    def _adding(self, columns: tuple[str, ...], owned: bool, as_read: bool) -> sa.Update:
        s, r = self._sql.sessions.c, self._sql.runs.c
        conditions = self._as_read(owned) if as_read else []
        if not as_read:
            fits = s.user_id == sa.bindparam("owner") if owned else s.user_id != owners.GONE
            conditions.append(sa.or_(s.user_id.is_(None), fits))
        # Its session twice, as in ``Statements.lock_session_for_run``.
        of_session = sa.and_(r.session_id == s.session_id, r.session_id == sa.bindparam("key"))
        this = sa.select(r.run_id).where(of_session, r.run_id == sa.bindparam("run_key")).correlate(self._sql.sessions)
        counted = self._update(columns).values(next_run_index=Counted(s.next_run_index))
        return counted.where(*conditions, ~this.exists())

    def _inserting(self) -> Any:
        last = sa.func.last_insert_id(type_=sa.BigInteger)
        key = sa.bindparam("key", type_=self._sql.runs.c.session_id.type)
        counted = sa.select(key, last - sa.literal_column("1"), *self._run().values())
        rows = counted.select_from(sa.text("DUAL")).where(last > sa.literal_column("0"))
        return sa.insert(self._sql.runs).from_select(["session_id", "run_index", *RUN], rows)

    def _whole(self, columns: tuple[str, ...], owned: bool, as_read: bool) -> Any:
        s, r = self._sql.sessions.c, self._sql.runs
        found = self._adding(columns, owned, as_read).returning(s.session_id, self._place).cte("found")
        run = self._run()
        run["run_data"] = sa.cast(run["run_data"], r.c.run_data.type)  # a text that is selected is none of JSON
        rows = sa.select(found.c.session_id, found.c.run_index, *run.values())
        return sa.insert(r).from_select(["session_id", "run_index", *RUN], rows).returning(r.c.run_index)
