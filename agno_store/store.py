"""What can be done with a store, as functions of a connection: the only logic between calls and SQL.

A writer first locks the session's row, then decides, then writes; so two writers of one session follow
each other, writers of different sessions never meet, and positions in a session have neither gap nor
double. Every function is one transaction's work, and may be run again from its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from agno_store import apart, dialects, encoding, owners, rows, tenants
from agno_store.clock import SECOND, now, unlike_any
from agno_store.errors import NotFound
from agno_store.reads import Reads
from agno_store.records import Receipt, RunUpdate, name_of
from agno_store.run_changes import FOUND_BY, written
from agno_store.saving import SessionSave
from agno_store.sending import Answer, Row, Statement


class Store(Reads):
    """The operations of one store. Rows go in encoded and come out as they are stored."""

    media_over: int | None = None
    """From how many bytes on a text of a run is kept beside it."""

    # -- writing sessions ---------------------------------------------------------------------

    def _send(self, c: Connection, statement: Statement, values: Mapping[str, Any]) -> Answer:
        """Write a row. Raises PayloadTooLarge, and sends nothing, where the database does not take as much."""
        dialects.of(c.engine).refuse_too_large(c, values)
        return self.ask(c, statement, values)

    def save_session(self, c: Connection, save: SessionSave, *, only_new: bool = False) -> Row | None:
        """Insert a session or change it, and return its row; None if ``only_new`` and it is there.

        Raises OwnerMismatch where it belongs to another user, and StaleSession where ``save`` asks for that.
        """
        locked = self._locked(c, save.session_id)
        return None if locked is not None and only_new else self._save_onto(c, save, locked)

    def save_sessions(self, c: Connection, saves: Sequence[SessionSave]) -> list[Row]:
        """Do the same for several, and return their rows in the order given.

        All are locked before anything is read: under REPEATABLE READ MySQL tells of whatever is read what it was when
        the first of it was read, and of a session that is locked later that may be the past.
        """
        # In the order of their ids, so that two such calls cannot wait for each other.
        order = sorted(range(len(saves)), key=lambda n: saves[n].session_id)
        held = {saves[n].session_id: self._locked(c, saves[n].session_id) for n in order}
        saved = {}
        for n in order:
            session_id = saves[n].session_id
            # The second of two saves of one session is onto what the first has made of it.
            locked = held.pop(session_id) if session_id in held else self._locked(c, session_id)
            saved[n] = self._save_onto(c, saves[n], locked)
        return [saved[n] for n in range(len(saves))]

    def _save_onto(self, c: Connection, save: SessionSave, locked: Row | None) -> Row:
        session_id, moment = save.session_id, now()
        stamp = {"updated_at": moment if save.updated_at is None else save.updated_at}
        counted, save = save.first_version, save.onto(locked)
        if locked is None:
            stamp["created_at"] = moment if save.created_at is None else save.created_at
            self._insert_session(c, {**save.columns, **counted, **stamp})
        else:
            user_id = save.columns["user_id"]
            owners.own(session_id, locked["user_id"], user_id)
            if locked["user_id"] is None and user_id is not None:
                self._refuse_claim(c, session_id, user_id)
            changes = self._changes(c, save, locked["version"])
            self._update_session(c, session_id, locked["version"], changes | stamp)
        if save.summary is not None and not save.has_old_summary:
            self._write_summary(c, session_id, save.summary, moment)
        self.quick.saw(session_id)
        row = self._stored(c, session_id)
        if save.runs:
            self._save_runs(c, save, row)
        return row

    def _save_runs(self, c: Connection, save: SessionSave, row: Mapping[Any, Any]) -> None:
        """Store the runs that a session comes with. The others that it has stay, and so do those stored as they are."""
        stored: Mapping[str, bytes] = {}
        if save.known_runs is None:
            this = {"session_id": save.session_id, "session_created_at": row["created_at"], "reader": None}
            stored = rows.run_digests(self.ask(c, self.sql.session_runs, this).rows)
        given = rows.run_digests(save.runs)
        for run in save.runs:
            if stored.get(run["run_id"]) != given[run["run_id"]]:
                self.save_run(c, {**run, "updated_at": row["updated_at"]}, None)

    def _stored(self, c: Connection, session_id: str) -> Row:
        (row,) = self.ask(c, self.sql.session, {"session_id": session_id}).rows
        return row

    def _changes(self, c: Connection, save: SessionSave, version: int) -> dict[str, Any]:
        if not save.has_to_be_merged(version):
            return save.changes
        return save.merged_into(self._stored(c, save.session_id))

    def change_session_data(
        self,
        c: Connection,
        session_id: str,
        user_id: str | None,
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> dict[str, Any] | None:
        """Replace a session's data by ``change(data)`` and return it; None where there is no such session."""
        locked = self._locked(c, session_id)
        if locked is None or not owners.may_read(locked["user_id"], user_id):
            return None
        data = change(rows.session_data(self._stored(c, session_id)))
        self._write_session_data(c, session_id, locked["version"], data)
        return data

    def reassign_owner(self, c: Connection, session_id: str, previous: str, owner: str | None) -> bool:
        """Give an idle session of ``previous`` to ``owner``; False where it is not theirs, or not idle."""
        locked = self._locked(c, session_id)
        if locked is None or locked["user_id"] != previous:
            return False
        if self.ask(c, self.sql.active_run, {"session_id": session_id}).rows:
            return False
        self.ask(c, self.sql.own_runs, {"key": session_id, "owner": previous})
        changes = {"version": locked["version"] + 1, "user_id": owner, "updated_at": now()}
        # Whoever has read the row before this and its runs after it was shown none, and must not know that for true.
        self.set_columns(c, session_id, changes, changes_runs=True)
        return True

    def delete_sessions(self, c: Connection, session_ids: Iterable[str], user_id: str | None) -> int:
        """Delete sessions with all that is in them; another user's are left alone. Return how many."""
        deleted = 0
        for session_id in sorted(set(session_ids)):
            locked = self._locked(c, session_id)
            if locked is None or not owners.may_read(locked["user_id"], user_id):
                continue
            self._delete_session(c, session_id)
            deleted += 1
            self.quick.missed(session_id)
        return deleted

    def _delete_session(self, c: Connection, session_id: str) -> None:
        self.let_go(c, [session_id])
        # Children first and by name: a caller's SQLite engine may not enforce foreign keys.
        beside = () if dialects.cascades(c) else (self.sql.delete_media,)
        for statement in (*beside, self.sql.delete_session_runs, self.sql.delete_summary, self.sql.delete_session):
            self.ask(c, statement, {"key": session_id})

    def _refuse_claim(self, c: Connection, session_id: str, user_id: str) -> None:
        """Raise OwnerMismatch where a session that nobody owns holds another user's run."""
        other = self.ask(c, self.sql.run_of_another, {"key": session_id, "user_id": user_id}).first
        if other is not None:
            owners.own(session_id, other["user_id"], user_id)

    def owner(self, c: Connection, session_id: str) -> str | None:
        """Return whose a session is, and let nobody else write to it meanwhile."""
        locked = self._locked(c, session_id)
        return None if locked is None else locked["user_id"]

    def _locked(self, c: Connection, session_id: str) -> Row | None:
        row = self.ask(c, self.sql.lock_session, {"session_id": session_id}).first
        return self.unless_gone(c, session_id, row)

    def unless_gone(self, c: Connection, session_id: str, locked: Row | None) -> Row | None:
        """Return what is known of a session; of one that somebody has begun to delete nothing is left, and None is."""
        if locked is None or locked["user_id"] != owners.GONE:
            return locked
        self._delete_session(c, session_id)
        return None

    def _insert_session(self, c: Connection, columns: Mapping[str, Any]) -> None:
        tenants.refuse_too_long(columns["session_id"], self.tenant_id)
        more = {"tenant_id": self.tenant_id, "runs_changed": unlike_any()}
        self._send(c, self.sql.insert_session, {**columns, **more})

    def set_columns(
        self, c: Connection, session_id: str, columns: Mapping[str, Any], *, changes_runs: bool = False
    ) -> None:
        """Set columns of a session, ``updated_at`` among them: it is when one was last written to, in any table.

        A change or deletion of a stored run is to be told, so that nobody takes the run that he knows for the one
        that is there.
        """
        noted = columns["updated_at"] + changes_runs
        self._send(c, self.sql.update_session, {"key": session_id, "noted": noted, **columns})

    def _update_session(self, c: Connection, session_id: str, version: int, columns: Mapping[str, Any]) -> None:
        self.set_columns(c, session_id, {"version": version + 1, **columns})

    def _write_session_data(
        self, c: Connection, session_id: str, version: int, data: Mapping[str, Any], *, changes_runs: bool = False
    ) -> None:
        columns = {
            "session_data": encoding.encode(data, "session_data"),
            "updated_at": now(),
            **rows.name_columns(name_of(data)),
        }
        self.set_columns(c, session_id, {"version": version + 1, **columns}, changes_runs=changes_runs)

    # -- writing runs -------------------------------------------------------------------------

    def save_run(
        self,
        c: Connection,
        run: Mapping[str, Any],
        session: Mapping[str, Any] | None,
        *,
        only_new: bool = False,
    ) -> Receipt | None:
        """Insert a run behind all others of its session, or change it where it stands.

        A session that is not there is made from ``session``, or nothing is written and None returned
        where that is None. With ``only_new`` a run that is there is left as it is.
        Raises OwnerMismatch where the session or the run belongs to another user.
        """
        self.quick.saw(run["session_id"], run["run_id"])
        locked = self._locked_for(c, run)
        if locked is None:
            if session is None:
                return None
            self._insert_session(c, {**session, "next_run_index": 1, "updated_at": run["updated_at"]})
            return self._insert_run(c, run, 0)
        owners.own_run(run, locked)
        if locked["run_index"] is not None:
            found = (locked["run_index"], locked["run_version"])
            if self.quick.note is not None:
                self.quick.note(run, found[0], was_there=True)
            if only_new:
                return rows.run_receipt(run, *found, is_new=False)
            # It may be gone all the same, where somebody deletes past the store, and without the lock.
            updated = self._update_run(c, run, found, has_media=bool(locked["has_media"]))
            if updated is not None:
                return rows.run_receipt(run, *updated, is_new=False)
        position = locked["next_run_index"]
        receipt = self._insert_run(c, run, position)
        counted = {"next_run_index": position + 1, "updated_at": run["updated_at"]}
        self.set_columns(c, run["session_id"], counted)
        return receipt

    def _locked_for(self, c: Connection, run: Mapping[str, Any]) -> Row | None:
        key = {"key": run["session_id"], "run_key": run["run_id"]}
        locked = self.ask(c, self.sql.lock_session_for_run, key).first
        if locked is not None and locked["run_index"] is not None and not locked["as_told"]:
            # Told as it was before the lock was waited for: by now it may be another's, have texts beside it, or be
            # gone. Of a new run nothing is told but the session's row, which is as it is.
            locked = self.ask(c, self.sql.lock_session_for_run, key).first
        return self.unless_gone(c, run["session_id"], locked)

    def _insert_run(self, c: Connection, run: Mapping[str, Any], position: int) -> Receipt:
        self._send(c, self.sql.insert_run, {**run, "run_data": apart.row(run["run_data"]), "run_index": position})
        self.keep(c, run["session_id"], run["run_data"], run["updated_at"])
        if self.quick.note is not None:
            self.quick.note(run, position)
        return rows.run_receipt(run, position)

    def _update_run(
        self, c: Connection, run: Mapping[str, Any], found: tuple[int, int], *, has_media: bool
    ) -> tuple[int, int] | None:
        """Change a run where it stands, and return its place and version; None where it is gone."""
        key = {"key": run["session_id"], "run_key": run["run_id"]}
        before = self.ask(c, self.sql.one_run, key).first if has_media else None
        sent = {**key, **{name: run[name] for name in written(run)}, "run_data": apart.row(run["run_data"])}
        if c.dialect.update_returning:
            row = self._send(c, self.sql.update_run_returning, sent).first
            updated = None if row is None else (row["run_index"], row["version"])
        else:
            updated = (found[0], found[1] + 1) if self._send(c, self.sql.update_run, sent).matched else None
        if updated is not None:
            self.set_columns(c, run["session_id"], {"updated_at": run["updated_at"]}, changes_runs=True)
            self.keep(c, run["session_id"], run["run_data"], run["updated_at"], before)
        return updated

    def change_run(
        self,
        c: Connection,
        session_id: str,
        run_id: str,
        user_id: str | None,
        change: Callable[[dict[str, Any]], RunUpdate],
        session_data: Mapping[str, Any] | None = None,
    ) -> RunUpdate:
        """Let ``change`` edit a run's row, decoded, and store it if it answers UPDATED.

        Raises OwnerMismatch where that would make it another user's.
        """
        session = self._locked(c, session_id)
        key = {"key": session_id, "run_key": run_id}
        found = self.whole(c, lambda: self.ask(c, self.sql.one_run, key).rows)
        row = found[0] if found else None
        if session is None or row is None:
            return RunUpdate.MISSING
        owner = owners.of_run(session["user_id"], row["user_id"])
        if not owners.may_write(owner, user_id):
            return RunUpdate.MISSING
        run = rows.run_dict(row)
        outcome = change(run)
        if outcome is not RunUpdate.UPDATED:
            return outcome
        changed = [name for name in (*FOUND_BY, "user_id", "status") if run[name] != row[name]]
        columns = {name: rows.optional_id(run[name], name) for name in changed}
        if "user_id" in columns:
            owners.own(session_id, owner, columns["user_id"])
        moment, text = now(), apart.parted(encoding.encode(run["run_data"], "run_data"), self.media_over)
        changes = {**columns, "run_data": apart.row(text), "updated_at": moment}
        self._send(c, self.sql.update_run, key | changes)
        self.keep(c, session_id, text, moment, row)
        if session_data is not None:
            self._write_session_data(c, session_id, session["version"], session_data, changes_runs=True)
        else:
            self.set_columns(c, session_id, {"updated_at": moment}, changes_runs=True)
        return outcome

    def delete_runs(self, c: Connection, run_ids: Iterable[str], session_id: str | None, user_id: str | None) -> int:
        """Delete runs; return how many there were. Positions of others stay.

        Raises InvalidArgument where several sessions have a run of that id and none is named.
        """
        ids = sorted(set(run_ids))
        if session_id is not None:
            keys = [(session_id, run_id) for run_id in ids]
        else:
            found = [row for run_id in ids for row in self.called(c, run_id, None, user_id)]
            keys = sorted((row["session_id"], row["run_id"]) for row in found)
        deleted = 0
        for session, run_id in keys:
            # Looked at under the lock, and as it is now: the session may have been handed over meanwhile.
            key = {"key": session, "run_key": run_id}
            locked = self._locked(c, session)
            there = None if locked is None else self.ask(c, self.sql.one_run, key).first
            if locked and there and owners.may_read(owners.of_run(locked["user_id"], there["user_id"]), user_id):
                deleted += self.ask(c, self.sql.delete_run, key).matched
                self.collect(c, session, apart.digests(there["run_data"]))
                # On a cluster the lock is not seen by other nodes: writers meet in the row that both have written.
                self.set_columns(c, session, {"updated_at": now()}, changes_runs=True)
        return deleted

    # -- what is kept beside runs -------------------------------------------------------------

    def keep(
        self, c: Connection, session_id: str, text: str, moment: int, before: Mapping[Any, Any] | None = None
    ) -> None:
        """Store what stands beside a run that was written, and delete what it alone needed as it was ``before``."""
        parts = apart.parts_of(text)
        if isinstance(text, apart.Apart):
            new = {digest: parts[digest] for digest in parts.keys() - self.kept(c, session_id, text)}
            places = {} if self.objects is None else dict(text.places)
            if self.objects is not None:  # what was there when that was looked at, or is known only now
                places |= self.objects.put(session_id, {each: new[each] for each in new.keys() - places.keys()})
            for digest, letters in new.items():
                data = {"data": None if digest in places else letters, "place": places.get(digest)}
                key = {"session_id": session_id, "digest": digest, "created_at": moment}
                self._send(c, self.parts.insert, {**key, **data, "size": len(letters.encode())})
        if before is not None:
            self.collect(c, session_id, [each for each in apart.digests(before["run_data"]) if each not in parts])

    def kept(self, c: Connection, session_id: str, text: str) -> set[str]:
        """Return which of what stands beside a run its session has already. Writes nothing."""
        self.know_objects(c)
        asked = {"key": session_id, "digests": list(apart.parts_of(text))}
        return set(c.execute(self.parts.there, asked).scalars())

    def let_go(self, c: Connection, session_ids: Iterable[str]) -> None:
        """Note which objects go with sessions that are about to be deleted."""
        if self.objects is not None:
            self.objects.leave(c, c.execute(self.parts.places, {"session_ids": list(session_ids)}).scalars())

    def collect(self, c: Connection, session_id: str, digests: Iterable[str]) -> None:
        """Delete those texts of a session that no run of it needs any more; whoever calls holds the session."""
        asked = {"key": session_id, "digests": list(digests)}
        if asked["digests"]:
            gone = {row.digest: row.place for row in c.execute(self.parts.unneeded, asked)}
            if gone:
                c.execute(self.parts.delete, {"key": session_id, "digests": list(gone)})
            if self.objects is not None:
                self.objects.leave(c, [place for place in gone.values() if place is not None])

    # -- summaries ----------------------------------------------------------------------------

    def save_summary(self, c: Connection, session_id: str, user_id: str | None, columns: Mapping[str, Any]) -> Receipt:
        """Store a session's summary.

        Raises NotFound where there is no such session and OwnerMismatch where it is another user's.
        """
        locked = self._locked(c, session_id)
        if locked is None:
            raise NotFound(f"There is no session {session_id!r} to store a summary of. Store the session first.")
        if user_id is not None:
            owners.own(session_id, locked["user_id"], user_id)
        moment = now()
        self._write_summary(c, session_id, columns, moment)
        self.set_columns(c, session_id, {"updated_at": moment})
        return Receipt(session_id, locked["version"], moment // SECOND)

    def _write_summary(self, c: Connection, session_id: str, columns: Mapping[str, Any], moment: int) -> None:
        values = {**columns, "updated_at": moment}
        if not self._send(c, self.sql.update_summary, {"key": session_id, **values}).matched:
            self._send(c, self.sql.insert_summary, {"session_id": session_id, "created_at": moment, **values})
