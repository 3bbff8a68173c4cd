"""One session into a store, in one transaction: what is not there is added, and what is newer is replaced.

A row is newer by when it was last written, at the same moment by its version. What is there and as new stays, so a
second time changes nothing. Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Insert, Update
from sqlalchemy.engine import Connection, RowMapping

from agno_store import apart, dialects, encoding, envelope, owners, rows, tenants
from agno_store.clock import unlike_any
from agno_store.history import EVERYTHING
from agno_store.transfer.columns import KEPT, RUN, SESSION, SUMMARY, complete
from agno_store.transfer.conversation import Content, Row
from agno_store.transfer.counts import Done
from agno_store.transfer.statements import Statements


def put(c: Connection, sql: Statements, content: Content, *, dry: bool = False) -> Done:
    """Write a conversation and return what was done, or with ``dry`` what would be; then nothing is locked either.

    Raises Malformed for what is no conversation, OwnerMismatch where the session belongs to another user,
    InvalidArgument for a session_id that has no room behind the tenant, PayloadTooLarge.
    """
    arrival = _Arrival(c, sql, complete(SESSION, content.session), dry)
    arrival.write_session()
    if content.summary is not None:
        arrival.write_summary(complete(SUMMARY, content.summary))
    for piece in content.runs:
        arrival.write_runs([complete(RUN, run) for run in piece])
    arrival.close()
    return arrival.done


def is_newer(row: Row, than: Mapping[Any, Any]) -> bool:
    """Whether a row was written later than another one."""
    return (row["updated_at"], row["version"]) > (than["updated_at"], than["version"])


class _Arrival:
    """A session that is being written."""

    def __init__(self, c: Connection, sql: Statements, session: dict[str, Any], dry: bool) -> None:
        self._c, self._sql, self._store, self._dry = c, sql, sql.store, dry
        self._session, self._key = session, {"session_id": session["session_id"]}
        self._there = self._found(self._sql.there) if dry else self._locked()
        self._owner = session["user_id"]
        self._next = session["next_run_index"] if self._there is None else self._there["next_run_index"]
        self._touched: int | None = None
        self._known = self._known_runs()
        self._has_media = not dry and any(row["has_media"] for row in self._known.values())
        self._taken = {row["run_index"] for row in self._known.values()}
        self.done = Done()

    def _locked(self) -> Mapping[Any, Any] | None:
        locked = self._found(self._sql.locked)
        found = None if locked is None else dict(locked)
        return self._store.unless_gone(self._c, self._session["session_id"], found)

    def write_session(self) -> None:
        """Insert the session, or change it where it is older."""
        session, there, counts = self._session, self._there, self.done.sessions
        if there is None:
            tenants.refuse_too_long(session["session_id"], self._store.tenant_id)
            more = {"tenant_id": self._store.tenant_id, "runs_changed": unlike_any()}
            self._send(self._store.sql.insert_session, {**session, **_folded_name(session), **more})
            counts.inserted += 1
            return
        owners.own(session["session_id"], there["user_id"], session["user_id"])
        if not is_newer(session, there):
            counts.kept += 1
            self._touched, self._owner = there["updated_at"], there["user_id"]
            return
        if there["user_id"] is None and session["user_id"] is not None:
            self._refuse_claim()
        changes = {name: value for name, value in session.items() if name not in ("session_id", *KEPT[SESSION])}
        version = max(session["version"], there["version"] + 1)  # one that nobody has read yet
        self._update_session({**changes, **_folded_name(session), "version": version})
        counts.updated += 1

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Insert the summary, or replace an older one."""
        known = None if self._there is None else self._found(self._sql.known_summary)
        counts = self.done.summaries
        if known is None:
            self._send(self._store.sql.insert_summary, {**self._key, **summary})
            counts.inserted += 1
        elif summary["updated_at"] > known["updated_at"]:
            self._send(self._store.sql.update_summary, {"key": self._session["session_id"], **summary})
            counts.updated += 1
        else:
            counts.kept += 1

    def write_runs(self, runs: Sequence[dict[str, Any]]) -> None:
        """Insert the runs that are not there, at their places where these are free, and replace older ones."""
        new, counts = [], self.done.runs
        for run in runs:
            known = self._known.get(run["run_id"])
            if known is None or is_newer(run, known):
                owners.bring_run(run, self._session["user_id"], known, self._owner)
            if known is None:
                new.append({**self._key, **self._parted(run), "run_index": self._placed(run)})
                self._known[run["run_id"]] = _known(run)
            elif is_newer(run, known):
                self._insert_runs(new)  # the older one may be among them
                self._replace_run(run, known)
                counts.updated += 1
            else:
                counts.kept += 1
        self._insert_runs(new)

    def _insert_runs(self, new: list[dict[str, Any]]) -> None:
        if new:
            self._send(self._store.sql.insert_run, [{**run, "run_data": apart.row(run["run_data"])} for run in new])
            for run in new:
                self._keep(run)
            self.done.runs.inserted += len(new)
            new.clear()

    def close(self) -> None:
        """Record in the session's row how far its runs go, and, where that row was kept, when they were written."""
        before = self._session if self._there is None else self._there
        changes = {"next_run_index": self._next, "updated_at": self._touched}
        changed = {name: value for name, value in changes.items() if value is not None and before[name] != value}
        if changed or (self._there is not None and self.done.runs.changed):
            time = self._session["updated_at"] if self._touched is None else self._touched
            self._update_session({**changed, "updated_at": time})
        counts = self.done.sessions
        if counts.kept and (self.done.runs.changed or self.done.summaries.changed):
            counts.kept, counts.updated = 0, 1

    def _known_runs(self) -> dict[str, Mapping[Any, Any]]:
        """Return the runs that are there, by their ids."""
        if self._there is None:
            return {}
        return {row["run_id"]: row for row in self._c.execute(self._sql.known_runs, self._key).mappings()}

    def _placed(self, run: Row) -> int:
        place = run["run_index"]
        if place is None or place in self._taken:
            place = self._next
        self._taken.add(place)
        self._next = max(self._next, place + 1)
        self._touch(run)
        return int(place)

    def _touch(self, run: Row) -> None:
        if self._touched is not None:
            self._touched = max(self._touched, run["updated_at"])

    def _replace_run(self, run: dict[str, Any], known: Mapping[Any, Any]) -> None:
        changes = {name: value for name, value in run.items() if name not in ("run_id", *KEPT[RUN])}
        run = self._parted(run)
        changes |= {"run_data": apart.row(run["run_data"])}
        changes["version"] = max(run["version"], known["version"] + 1)
        key = {"key": self._session["session_id"], "run_key": run["run_id"]}
        before = self._before(key)
        self._send(self._sql.update_run, {**key, **changes})
        self._keep(run, before)
        self._known[run["run_id"]] = _known({**run, "version": changes["version"]})
        self._touch(run)

    def _parted(self, run: dict[str, Any]) -> dict[str, Any]:
        if envelope.is_closed(run["run_data"]):  # one long text, which a codec looks for in the row
            return run
        return {**run, "run_data": apart.parted(run["run_data"], self._store.media_over)}

    def _keep(self, run: Row, before: Mapping[Any, Any] | None = None) -> None:
        if not self._dry:
            self._store.keep(self._c, self._session["session_id"], run["run_data"], run["updated_at"], before)
            self._has_media = self._has_media or bool(apart.parts_of(run["run_data"]))

    def _before(self, key: Mapping[str, str]) -> Mapping[Any, Any] | None:
        """Return a run as it is, where something may be kept beside it."""
        return self._store.ask(self._c, self._store.sql.one_run, key).first if self._has_media else None

    def _refuse_claim(self) -> None:
        session_id, user_id = self._session["session_id"], self._session["user_id"]
        other = self._c.execute(self._store.sql.run_of_another, {"key": session_id, "user_id": user_id}).first()
        if other is not None:
            owners.own(session_id, other.user_id, user_id)

    def _found(self, statement: Any) -> RowMapping | None:
        return self._c.execute(statement, self._key).mappings().first()

    def _update_session(self, changes: Mapping[str, Any]) -> None:
        # Nothing that anybody knows of its runs is believed after this: one may be another at the same version.
        noted = changes["updated_at"] + EVERYTHING
        self._send(self._store.sql.update_session, {"key": self._session["session_id"], "noted": noted, **changes})

    def _send(self, statement: Insert | Update, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        dialect, sealed = dialects.of(self._c.engine), self._store.sending.sealed
        sent = [sealed(row) for row in ([values] if isinstance(values, Mapping) else values)]
        for row in sent:
            dialect.refuse_too_large(self._c, row)
        if not self._dry:
            self._c.execute(statement, sent[0] if isinstance(values, Mapping) else sent)


def _known(row: Row) -> dict[str, Any]:
    """Return what tells how new a run is and whose, without what is in it."""
    return {name: row[name] for name in ("updated_at", "version", "user_id")}


def _folded_name(session: Row) -> dict[str, str | None]:
    try:
        return rows.stored_name(session["session_data"])
    except encoding.UNREADABLE:  # it travels as it is, and has no name
        return rows.name_columns(None)
