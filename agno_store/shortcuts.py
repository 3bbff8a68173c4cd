"""Writing without the lock where all is as the caller has read it, in the fewest statements a database allows.

Each way is the work of the function in ``store`` that does the same with a look. It is None where it would lead
nowhere, and answers None, with nothing written, where that has turned out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from agno_store import dialects, rows
from agno_store.clock import now
from agno_store.dialects.limits import are_small
from agno_store.quick import RUN, Quick
from agno_store.records import Receipt
from agno_store.saving import SessionSave
from agno_store.sending import Answer, Row, Sending, takes_together
from agno_store.statements import Statements

T = TypeVar("T")
Way = Callable[[Connection], T | None] | None

MOST = 10_000
"""Sessions and runs that are remembered to be there."""


class Shortcuts:
    """The short ways of one store."""

    def __init__(self, sql: Statements, sending: Sending) -> None:
        self._insert_run = sql.insert_run
        self._quick = Quick(sql)
        self._ask, self._together = sending.send, sending.together
        self._seen: dict[tuple[str, str | None], None] = {}
        self.note: Callable[..., None] | None = None
        """What is to be told of a run that was inserted, here or with a look, or was there."""

    def saw(self, session_id: str, run_id: str | None = None) -> None:
        """Remember that a session is there, or a run: by that is chosen which way is tried first, and nothing else."""
        if len(self._seen) >= MOST:
            self._seen.clear()
        self._seen[session_id, None] = self._seen[session_id, run_id] = None

    def missed(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._seen.pop((session_id, None), None)

    def _may_be_new(self, run: Mapping[str, Any]) -> bool:
        if type(run["run_data"]) is not str:  # what is kept beside it is written with it
            return False
        session_id = run["session_id"]
        return (session_id, None) in self._seen and (session_id, run["run_id"]) not in self._seen

    def for_session(self, save: SessionSave) -> Way[Row]:
        """Change a session that nobody has written to since it was read, and return its row."""
        read = save.read
        return None if read is None else partial(self._save_session, save=save, read=read)

    def for_run(self, run: Mapping[str, Any]) -> Way[Receipt]:
        """Insert a run that its session has not yet, behind all others."""
        return partial(self._add_run, run=run) if self._may_be_new(run) else None

    def for_turn(self, save: SessionSave, run: Mapping[str, Any]) -> Way[tuple[Row, Receipt]]:
        """Do both for one session, and return its row and where the run is."""
        read = save.read
        if read is None or not self._may_be_new(run):
            return None
        return partial(self._save_turn, save=save, read=read, run=run)

    def _save_session(self, c: Connection, save: SessionSave, read: Mapping[str, Any]) -> Row | None:
        changes = _changes(save, read)
        dialects.of(c.engine).refuse_too_large(c, {"key": save.session_id, **changes})
        statement = self._quick.saving(tuple(changes), owned=read["user_id"] is not None)
        return _changed(read, changes) if self._ask(c, statement, _values(read, changes)).matched else None

    def _add_run(self, c: Connection, run: Mapping[str, Any]) -> Receipt | None:
        values = {"key": run["session_id"], "s_updated_at": run["updated_at"]}
        if run["user_id"] is not None:
            values["owner"] = run["user_id"]
        place = self._placed(c, run, ("updated_at",), values, as_read=False)
        return None if place is None else rows.run_receipt(run, place)

    def _save_turn(
        self, c: Connection, save: SessionSave, read: Mapping[str, Any], run: Mapping[str, Any]
    ) -> tuple[Row, Receipt] | None:
        changes = _changes(save, read)
        place = self._placed(c, run, tuple(changes), _values(read, changes), as_read=True)
        return None if place is None else (_changed(read, changes), rows.run_receipt(run, place))

    def _placed(
        self, c: Connection, run: Mapping[str, Any], columns: tuple[str, ...], values: dict[str, Any], *, as_read: bool
    ) -> int | None:
        """Give a run its place and insert it; return that, or None where the session is not as it has to be."""
        dialect, quick = dialects.of(c.engine), self._quick
        if not (small := are_small(values, run)):
            dialect.refuse_too_large(c, {name.removeprefix("s_"): value for name, value in values.items()})
            dialect.refuse_too_large(c, run)
        values["run_key"] = run["run_id"]
        if dialect.writes_two_tables:
            adding, way = quick.adding_whole, self._at_once
        elif takes_together(c):
            if not (small or dialect.takes(c, values, run)):
                return None
            adding, way = quick.adding, self._both
        elif c.dialect.update_returning:
            adding, way = quick.adding_returned, self._by_row
        elif dialect.tells_count(c):
            adding, way = quick.adding, self._by_count
        else:
            return None
        place = way(c, adding(columns, owned="owner" in values, as_read=as_read), values, run)
        if place is None:
            return None
        self.saw(run["session_id"], run["run_id"])
        if self.note is not None:
            self.note(run, int(place))
        return int(place)

    def _at_once(self, c: Connection, adding: Any, values: dict[str, Any], run: Mapping[str, Any]) -> Any:
        row = self._ask(c, adding, values | _run(run)).first
        return None if row is None else row["run_index"]

    def _both(self, c: Connection, adding: Any, values: dict[str, Any], run: Mapping[str, Any]) -> Any:
        inserted = {"key": values["key"], **_run(run)}
        answers = self._together(c, (adding, values), (self._quick.inserting, inserted))
        return self._count(c, answers[0]) if answers and answers[1].matched else None

    def _by_row(self, c: Connection, adding: Any, values: dict[str, Any], run: Mapping[str, Any]) -> Any:
        row = self._ask(c, adding, values).first
        if row is None:
            return None
        self._ask(c, self._insert_run, {**run, "run_index": row["run_index"]})
        return row["run_index"]

    def _by_count(self, c: Connection, adding: Any, values: dict[str, Any], run: Mapping[str, Any]) -> Any:
        place = self._count(c, self._ask(c, adding, values))
        if place is not None:
            self._ask(c, self._insert_run, {**run, "run_index": place})
        return place

    def _count(self, c: Connection, counted: Answer) -> Any:
        if not counted.matched:
            return None
        if counted.last_id:
            return counted.last_id - 1
        # A trigger that writes to a table with AUTO_INCREMENT takes it out of the answer.
        return self._ask(c, self._quick.counted, {}).rows[0]["run_index"]


def _changes(save: SessionSave, read: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a save changes, and what a session that is written to is marked with."""
    return {**save.changed(read), "version": read["version"] + 1, "updated_at": now()}


def _changed(read: Mapping[str, Any], changes: Mapping[str, Any]) -> Row:
    return {**read, **{name: value for name, value in changes.items() if name in read}}


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {f"r_{name}": run[name] for name in RUN}


def _values(read: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set, and what has to be as it was read."""
    values = {f"s_{name}": value for name, value in changes.items()}
    values |= {"key": read["session_id"], "was": read["version"], "made": read["created_at"]}
    values["touched"] = read["updated_at"]
    if read["user_id"] is not None:
        values["owner"] = read["user_id"]
    return values
