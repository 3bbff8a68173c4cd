"""The floors of ``bench.least`` under agno: the same three calls that agno makes, with agno's objects.

The least gives each session the same objects of its runs, each decoded once: what one caller changes, all others see,
which no store may do. The straight line gives every caller objects of its own, made as they are looked at.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import sqlalchemy as sa

from agno_store import bridge, rows, shapes
from agno_store.clock import now
from agno_store.history import Known, Marks
from agno_store.plain import fastest
from agno_store.quick import RUN, Quick
from agno_store.records import Run, Session, payloads_of
from agno_store.unread import Kept
from bench.least import CHANGED, Hand, Least
from bench.stores import Contract, agnos, contract_turn


class ContractHand(Hand):
    """agno's calls in a store's tables, on an engine that the store does not use: the least."""

    adds = (("updated_at",), False)

    def __init__(self, like: sa.Engine, store: Any) -> None:
        super().__init__(like, store)
        self._save = Quick(store.sql).saving(CHANGED, owned=True)
        self._class = importlib.import_module("agno.session.agent").AgentSession
        self._rows: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, list[Any]] = {}

    def turn(self, session_id: str, number: int, done: Any) -> None:
        contract_turn(self, session_id, number, done)

    def get_session(self, session_id: str, **_: Any) -> Any:
        row = self._rows[session_id] = self._read(session_id)
        known = self._runs.setdefault(session_id, [])
        known += self._missing(row, len(known))
        known[:] = [agnos(json.loads(run)) if isinstance(run, str) else run for run in known]
        entries = {name: value for name, value in row.items() if value is not None}
        session = self._class.from_dict({**entries, "session_data": json.loads(row["session_data"])})
        session.runs = list(known)
        return session

    def _missing(self, row: Mapping[str, Any], have: int) -> list[str]:
        missing = row["next_run_index"] - have
        return [run["run_data"] for run in self._latest(row, missing)] if missing else []

    def upsert_session(self, session: Any) -> Any:
        found = session.to_dict(include_runs=False)
        session_id: str = session.session_id
        self._update(session_id, {"name_folded": session_id, "session_data": fastest()(found["session_data"])})
        return self._class.from_dict(found)

    def _update(self, session_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a session that is as it was read, and return its row."""
        read = self._rows[session_id]
        marked = {**changes, "version": read["version"] + 1, "updated_at": now()}
        values = {f"s_{name}": value for name, value in marked.items()}
        values |= {"key": session_id, "was": read["version"], "made": read["created_at"]}
        values |= {"touched": read["updated_at"], "owner": read["user_id"]}
        with self._connect() as c:
            assert self._ask(c, self._save, values).matched
        return {**read, **{name: value for name, value in marked.items() if name in read}}

    def upsert_run(self, run: Any, session_id: str, user_id: str, **_: Any) -> None:
        found, moment = run.to_dict(), now()
        columns = {**dict.fromkeys(RUN), **{name: found[name] for name in RUN if name in found}}
        columns |= {"run_type": "agent", "run_data": fastest()(found), "user_id": user_id, "updated_at": moment}
        self._add_run(session_id, columns)
        self._runs[session_id].append(columns["run_data"])

    def _add_run(self, session_id: str, run: Mapping[str, Any]) -> int:
        values = {"key": session_id, "owner": run["user_id"], "run_key": run["run_id"]}
        return self._add_row({**values, "s_updated_at": run["updated_at"]}, run)


class StraightContractHand(ContractHand):
    """The same with records, checks, objects of each caller's own, and the session given back as stored."""

    def __init__(self, like: sa.Engine, store: Any) -> None:
        super().__init__(like, store)
        self._known: dict[str, Known] = {}

    def get_session(self, session_id: str, **_: Any) -> Any:
        row = self._rows[session_id] = self._read(session_id)
        marks, known = Marks.taken(row), self._known.get(session_id)
        if known is None or known.marks != marks:
            known = Known(marks).grown(marks, [Kept(run) for run in self._latest(row, marks.next_run_index)], None)
        session = shapes.session_with_history(row, known, "", "agent")
        self._known[session_id] = known
        return session

    def upsert_session(self, session: Any) -> Any:
        record = Session.of(session, "agent")
        read, columns = self._rows[session.session_id], rows.session_columns(record, payloads_of(session))
        changes = {name: value for name, value in columns.items() if value is not None and value != read.get(name)}
        row = self._update(session.session_id, changes)
        bridge.remember(session, lambda: rows.snapshot(row, ""))
        stored = bridge.session_object({**rows.session_dict(row), "runs": None}, "agent", rows.snapshot(row, ""))
        stored.runs = session.runs
        return stored

    def upsert_run(self, run: Any, session_id: str, user_id: str, **_: Any) -> None:
        columns = rows.run_columns(Run.of(run.to_dict(), "agent"), session_id, user_id, now())
        place = self._add_run(session_id, columns)
        self._known[session_id] = self._known[session_id].with_run({**columns, "run_index": place, "version": 1}, None)


class LeastContract(Least, Contract):
    """The least of a store under agno."""

    name: ClassVar[str] = "the least of a store under agno"
    hand: ClassVar[type[Hand]] = ContractHand


class StraightContract(LeastContract):
    """A store in a straight line under agno."""

    name: ClassVar[str] = "a store in a straight line under agno"
    hand: ClassVar[type[Hand]] = StraightContractHand
