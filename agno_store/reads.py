"""What can be read of a store, as functions of a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agno_store import apart, dialects, owners
from agno_store.errors import InvalidArgument
from agno_store.names import Names
from agno_store.paging import Page, SessionFilter
from agno_store.sending import Row, Sending
from agno_store.shortcuts import Shortcuts
from agno_store.statements import Statements

if TYPE_CHECKING:
    from agno_store.objects import Objects
    from agno_store.parts import Parts

SESSIONS_AT_ONCE = 1000
"""How many sessions' runs one statement of a listing asks for."""


class Reads:
    """The half of a store that writes nothing. Rows come out as they are stored."""

    objects: Objects | None = None
    """Where long texts are, if not in the database."""

    def __init__(self, names: Names, tenant_id: str | None = None, sending: Sending | None = None) -> None:
        self.names = names
        self.tenant_id = tenant_id
        self.sql = Statements(names, tenant_id)
        self.sending = sending = sending or Sending()
        self.ask, self._named = sending.send, sending.named
        self.quick = Shortcuts(self.sql, sending)

    # -- sessions -----------------------------------------------------------------------------

    def session(self, c: Connection, session_id: str, user_id: str | None) -> tuple[Row, list[Row]] | None:
        """Return a session and its runs in order, or None. Writes nothing."""
        row = self.ask(c, self.sql.session, {"session_id": session_id}).first
        if row is None or not owners.may_read(row["user_id"], user_id):
            return None
        self.quick.saw(session_id)
        # The runs of this very session: since, it may have been handed over, or deleted and made anew by another user.
        this = {"session_id": session_id, "session_created_at": row["created_at"], "reader": user_id}
        return row, self.whole(c, lambda: self.ask(c, self.sql.session_runs, this).rows)

    def sessions(
        self, c: Connection, which: SessionFilter, page: Page, *, with_runs: bool, with_total: bool
    ) -> tuple[list[Row], dict[str, list[Row]], int | None]:
        """Return a page of sessions, their runs by session, and, if asked, how many there are on all pages."""
        if which.user_id == "":
            return [], {}, 0 if with_total else None
        hint = dialects.of(c.engine).read_along
        statement = self.sql.list_sessions(which.shape, page.shape, hint)
        found = self.ask(c, statement, {**which.values, **page.values}).rows
        total = c.execute(self.sql.count_sessions(which.shape), which.values).scalar_one() if with_total else None
        return found, self._runs_of(c, found, which.user_id) if with_runs else {}, total

    def _runs_of(self, c: Connection, sessions: Sequence[Row], reader: str | None) -> dict[str, list[Row]]:
        made = {row["session_id"]: row["created_at"] for row in sessions}
        runs: dict[str, list[Row]] = {session_id: [] for session_id in made}
        session_ids = list(made)
        for start in range(0, len(session_ids), SESSIONS_AT_ONCE):
            asked = {"session_ids": session_ids[start : start + SESSIONS_AT_ONCE], "reader": reader}
            for row in self.whole(c, partial(self._runs_in, c, asked)):
                # As in session(): not those of a session of that id made since.
                if row["session_created_at"] == made[row["session_id"]]:
                    runs[row["session_id"]].append(row)
        return runs

    def _runs_in(self, c: Connection, asked: Mapping[str, Any]) -> list[Row]:
        return list(self._named(c, self.sql.runs_of_sessions, asked))

    def summary(self, c: Connection, session_id: str, user_id: str | None) -> Row | None:
        """Return a session's summary, or None. Writes nothing."""
        row = self.ask(c, self.sql.summary, {"session_id": session_id}).first
        return row if row is not None and owners.may_read(row["user_id"], user_id) else None

    # -- runs ---------------------------------------------------------------------------------

    def run(self, c: Connection, run_id: str, session_id: str | None, user_id: str | None) -> Row | None:
        """Return one run, or None. Writes nothing.

        Raises InvalidArgument where several sessions have a run of that id and none is named.
        """
        found = self.whole(c, lambda: self.called(c, run_id, session_id, user_id))
        return found[0] if found else None

    def called(self, c: Connection, run_id: str, session_id: str | None, user_id: str | None) -> list[Row]:
        """The same, or none, without what is kept beside it."""
        asked = _given({"run_id": run_id, "session_id": session_id, "user_id": user_id})
        found = self.ask(c, self.sql.runs_called(tuple(asked)), asked).rows if user_id != "" else []
        if len(found) > 1:
            raise InvalidArgument(f"Several sessions have a run {run_id!r}: say which with session_id=.")
        return found

    def runs(
        self, c: Connection, filters: Mapping[str, str], page: Page, *, with_total: bool
    ) -> tuple[list[Row], int | None]:
        """Return a page of runs, and, if asked, how many there are on all pages. Writes nothing."""
        if filters.get("user_id") == "":
            return [], 0 if with_total else None
        asked = tuple(filters)
        listed = self.sql.list_runs(asked, page.shape)
        found = self.whole(c, lambda: self.ask(c, listed, {**filters, **page.values}).rows)
        total = c.execute(self.sql.count_runs(asked), filters).scalar_one() if with_total else None
        return found, total

    # -- what is kept beside them -------------------------------------------------------------

    @cached_property
    def parts(self) -> Parts:
        """The statements about that, of which a store without it needs none."""
        from agno_store.parts import Parts

        return Parts(self.sql)

    def know_objects(self, c: Connection) -> None:
        """Find out, once, how the keys of this store's objects begin. Writes nothing."""
        if self.objects is None or self.objects.is_known:
            return
        noted = sa.inspect(c).has_table(self.names.upgrades, schema=self.names.schema)
        self.objects.know(c.execute(self.parts.begun).first() if noted else None)

    def named_places(self, c: Connection, places: list[str]) -> set[str]:
        """Return which of these places of objects a row names. Writes nothing."""
        return set(c.execute(self.parts.named, {"places": places}).scalars())

    def whole(self, c: Connection, read: Callable[[], list[Row]]) -> list[Row]:
        """Return runs as ``read`` finds them, with what is kept beside them: one statement, where anything is.

        What was not there may have gone with its run since that was read: then they are read again. A text that is
        not there all the same is left out, and its run cannot be decoded.
        """
        found, missing = read(), frozenset[tuple[str, str]]()
        while still := self._bring(c, found) - missing:
            missing |= still
            found = read()
        return found

    def _bring(self, c: Connection, runs: list[Row]) -> frozenset[tuple[str, str]]:
        """Put what is kept beside runs to them, and return what is not there."""
        marked = {n: digests for n, run in enumerate(runs) if (digests := apart.digests(run["run_data"]))}
        if not marked:
            return frozenset()
        wanted = {(runs[n]["session_id"], digest) for n, digests in marked.items() for digest in digests}
        asked = {"session_ids": list({key[0] for key in wanted}), "digests": list({key[1] for key in wanted})}
        rows = list(self._named(c, self.parts.of_runs, asked))
        there = {(row["session_id"], row["digest"]): row["data"] for row in rows if row["data"] is not None}
        if self.objects is not None:
            placed = {(row["session_id"], row["digest"]): row["place"] for row in rows if row["place"] is not None}
            there |= self.objects.of(placed)
        for n, digests in marked.items():
            run = runs[n]
            keys = ((run["session_id"], digest) for digest in digests)
            run["run_data"] = apart.Apart.of(run["run_data"], {key[1]: there[key] for key in keys if key in there})
        return frozenset(wanted - there.keys())


def _given(filters: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value is not None}
