"""The calls that users and agno make: check, do, give back. One implementation for every database."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from agno_store import bridge, rows, shapes
from agno_store.errors import InvalidArgument
from agno_store.records import Receipt, Summary, checked_type
from agno_store.records import RunUpdate as _RunUpdate
from agno_store.run_changes import cancelled, fenced
from agno_store.saving import SessionSave, checked_policy
from agno_store.statements import RUN_SORTS, SESSION_SORTS, Page, SessionFilter, is_count
from agno_store.store import Store, now

T = TypeVar("T")


class Operations(abc.ABC):
    """What can be asked of a store. Names, arguments and meanings are those of agno's ``BaseDb``.

    Where ``deserialize`` is true, sessions and runs come as agno's own objects if the program uses agno,
    as ``agno_store.Session`` and ``agno_store.Run`` otherwise; where it is false, as dictionaries. Each
    call returns objects of its own. ``user_id`` limits a call to what belongs to that user; None does not.

    Readers return None only for what is not there. Every failure raises an ``AgnoStoreError``; a writer
    that raises has written nothing, except with OutcomeUnknown, where the connection was lost in COMMIT.
    """

    on_conflict: str
    """What saving a session does where somebody else has saved it since it was read."""

    unstorable: str | None
    """What becomes of a value that cannot be stored: see ``docs/encoding.md``."""

    _store: Store

    @abc.abstractmethod
    def _read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    @abc.abstractmethod
    def _list(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Read what nobody decides upon, from where it may be a moment old."""

    @abc.abstractmethod
    def _write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    @abc.abstractmethod
    def _put(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    # -- sessions -----------------------------------------------------------------------------

    def get_session(
        self,
        session_id: str,
        session_type: Any = None,
        user_id: str | None = None,
        deserialize: bool | None = True,
        runs_limit: int | None = None,
    ) -> Any:
        """Return a session with its runs in order, or None. Writes nothing.

        ``session_type`` only chooses agno's class; the session is found whatever its type. ``runs_limit``
        gives the last runs alone, without members' runs and those that were paused, cancelled or failed.
        """
        if runs_limit is not None and not is_count(runs_limit, 0):
            raise InvalidArgument(f"runs_limit={runs_limit!r}: it must be a whole number from 0 on.")
        key = rows.id_text(session_id, "session_id")
        found = self._read(self._store.session, key, rows.owner_filter(user_id), runs_limit)
        return None if found is None else shapes.session(found[0], found[1], session_type, deserialize)

    def get_sessions(
        self,
        session_type: Any = None,
        user_id: str | None = None,
        component_id: str | None = None,
        session_name: str | None = None,
        start_timestamp: int | None = None,
        end_timestamp: int | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: Any = None,
        deserialize: bool | None = True,
        include_runs: bool = True,
    ) -> Any:
        """Return the sessions that fit, newest first: a list, or ``(list of dicts, total)``. Writes nothing.

        ``component_id`` is an agent's, team's or workflow's id; ``session_name`` is looked for inside the
        name, letter by letter but without case; the timestamps (seconds, both inclusive) bound
        ``created_at``. Pages count from 1. Without ``include_runs`` the runs table is not read.
        Raises InvalidArgument (a ValueError) for a page without a limit, or an unknown ``sort_by``.
        """
        paging = Page.of(limit, page, sort_by, sort_order, SESSION_SORTS)
        which = SessionFilter(
            session_type=None if session_type is None else checked_type(session_type),
            user_id=rows.owner_filter(user_id),
            component_id=None if component_id is None else rows.id_text(component_id, "component_id"),
            name_folded=None if session_name is None else rows.name_columns(session_name)["name_folded"],
            created_from=rows.second(start_timestamp, "start_timestamp"),
            created_before=rows.second(end_timestamp, "end_timestamp", after=True),
        )
        found, runs, total = self._list(
            self._store.sessions, which, paging, with_runs=include_runs, with_total=not deserialize
        )
        sessions = shapes.sessions(found, runs, session_type, deserialize)
        return sessions if deserialize else (sessions, total)

    def upsert_session(self, session: Any, deserialize: bool | None = True, *, on_conflict: str | None = None) -> Any:
        """Store a session and return it as stored. Its runs are not touched: ``upsert_run`` stores those.

        Of an object that was read from a store only what was changed since is written, and where somebody else
        has saved the session meanwhile, the payloads are merged key by key. ``on_conflict="error"`` raises
        StaleSession instead, ``"last_write_wins"`` writes all of it; without, the store's own setting counts.
        Of a dict the keys it has are written as they stand. ``created_at`` and the type stay as first stored.
        A session without an owner can be claimed; one of another user raises OwnerMismatch.
        """
        save = shapes.prepared(session, self.unstorable, self._policy(on_conflict))
        run = self._put if save.may_be_repeated else self._write
        return self._saved(run(self._store.save_session, save), save, session, deserialize)

    def upsert_sessions(
        self,
        sessions: Sequence[Any],
        deserialize: bool | None = True,
        preserve_updated_at: bool = False,
        *,
        on_conflict: str | None = None,
    ) -> list[Any]:
        """Store several sessions, all or none, and return them in the order given.

        Each is stored as ``upsert_session`` does. ``preserve_updated_at`` keeps the times the sessions come with.
        """
        saves = shapes.prepared_all(
            sessions, self.unstorable, self._policy(on_conflict), keeps_updated_at=preserve_updated_at
        )

        def work(connection: Any) -> list[Any]:
            # In the order of their ids, so that two such calls cannot wait for each other.
            order = sorted(range(len(saves)), key=lambda n: saves[n].session_id)
            saved = {n: self._store.save_session(connection, saves[n]) for n in order}
            return [saved[n] for n in range(len(saves))]

        run = self._put if all(save.may_be_repeated for save in saves) else self._write
        stored = zip(run(work), saves, sessions, strict=True)
        return [self._saved(row, save, session, deserialize) for row, save, session in stored]

    def insert_session_if_absent(self, session: Any) -> bool:
        """Store a session unless there is one of its id; return whether it was stored."""
        save = shapes.prepared(session, self.unstorable)
        row = self._write(self._store.save_session, save, only_new=True)
        if row is not None:
            bridge.remember(session, save.snapshot(row))
        return row is not None

    def _policy(self, on_conflict: str | None) -> str:
        return self.on_conflict if on_conflict is None else checked_policy(on_conflict)

    @staticmethod
    def _saved(row: Any, save: SessionSave, session: Any, deserialize: bool | None) -> Any:
        bridge.remember(session, save.snapshot(row))
        return shapes.saved(row, session, deserialize)

    def rename_session(
        self,
        session_id: str,
        session_type: Any,
        session_name: str,
        user_id: str | None = None,
        deserialize: bool | None = True,
    ) -> Any:
        """Name a session and return it with its runs; None where there is none of that user."""
        key = rows.id_text(session_id, "session_id")
        if session_type is not None:
            checked_type(session_type)
        owner = rows.owner_filter(user_id)
        name = shapes.storable(session_name, "session_data.session_name", self.unstorable)
        data = self._put(self._store.change_session_data, key, owner, lambda data: {**data, "session_name": name})
        found = None if data is None else self._read(self._store.session, key, owner)
        return None if found is None else shapes.written(found[0], found[1], session_type, deserialize)

    def update_session_state(
        self,
        session_id: str,
        fn: Callable[[dict[str, Any]], dict[str, Any] | None],
        user_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Change ``session_data["session_state"]`` with ``fn`` while nobody else can, and return it.

        ``fn`` gets the state and returns the new one, or changes it in place and returns None. It may be
        called again if the database asks for a second try, should be quick, and must not call the store.
        None where there is no such session of that user.
        """

        def change(data: dict[str, Any]) -> dict[str, Any]:
            state = data.get("session_state") or {}
            changed = fn(state)
            if changed is not None and not isinstance(changed, Mapping):
                raise InvalidArgument(f"fn must return the state, a dict, or None; not {type(changed).__name__}.")
            new = shapes.storable(state if changed is None else changed, "session_data.session_state", self.unstorable)
            return {**data, "session_state": new}

        key = rows.id_text(session_id, "session_id")
        data = self._write(self._store.change_session_data, key, rows.owner_filter(user_id), change)
        return None if data is None else data["session_state"]

    def reassign_session_owner(self, session_id: str, *, previous_user_id: str, user_id: str | None) -> bool:
        """Hand an idle session over; False where it is not ``previous_user_id``'s, or a run is not over."""
        return self._write(
            self._store.reassign_owner,
            rows.id_text(session_id, "session_id"),
            rows.id_text(previous_user_id, "previous_user_id"),
            rows.optional_id(user_id, "user_id"),
        )

    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """Delete a session with its runs and summary; False where there is none of that user."""
        ids = [rows.id_text(session_id, "session_id")]
        return self._write(self._store.delete_sessions, ids, rows.owner_filter(user_id)) == 1

    def delete_sessions(self, session_ids: Iterable[str], user_id: str | None = None) -> None:
        """Delete several sessions, all or none; those of other users are left as they are."""
        ids = rows.id_texts(session_ids, "session_id")
        if ids:
            self._write(self._store.delete_sessions, ids, rows.owner_filter(user_id))

    # -- runs ---------------------------------------------------------------------------------

    def get_run(
        self,
        run_id: str,
        deserialize: bool | None = True,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
    ) -> Any:
        """Return a run, or None. Writes nothing.

        Raises InvalidArgument where several sessions have a run of that id and none is named.
        """
        row = self._read(
            self._store.run,
            rows.id_text(run_id, "run_id"),
            None if session_id is None else rows.id_text(session_id, "session_id"),
            rows.owner_filter(user_id),
        )
        return None if row is None else shapes.run(row, deserialize)

    def get_runs(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        workflow_id: str | None = None,
        status: Any = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: Any = None,
        deserialize: bool | None = True,
    ) -> Any:
        """Return the runs that fit, in their order: a list, or ``(list of dicts, total)``. Writes nothing.

        Raises InvalidArgument as ``get_sessions`` does.
        """
        if sort_by is None and sort_order is not None:
            sort_by = "created_at" if session_id is None else "run_index"
        paging = Page.of(limit, page, sort_by, sort_order, RUN_SORTS)
        asked = {
            "session_id": session_id,
            "user_id": user_id,
            "agent_id": agent_id,
            "team_id": team_id,
            "workflow_id": workflow_id,
            "status": getattr(status, "value", status),
        }
        filters = {name: rows.id_text(value, name) for name, value in asked.items() if value is not None}
        found, total = self._list(self._store.runs, filters, paging, with_total=not deserialize)
        runs = shapes.runs(found, deserialize)
        return runs if deserialize else (runs, total)

    def upsert_run(
        self, run: Any, session_id: str, user_id: str | None = None, run_index: int | None = None
    ) -> Receipt:
        """Store a run, behind all others of its session if it is new, else where it stands; say where that is.

        The position is the database's to give; ``run_index`` is accepted for agno's sake and not used, since
        two runs at once come with the same one. A session that is not there yet is made.
        Raises OwnerMismatch where the session belongs to another user.
        """
        columns = self._prepared_run(run, session_id, user_id)
        receipt = self._put(self._store.save_run, columns, shapes.parent(columns))
        assert receipt is not None
        return receipt

    def append_run_to_session_if_absent(
        self, session_id: str, run_dict: Mapping[str, Any], user_id: str | None = None
    ) -> bool | None:
        """Store a run unless its session has it; return whether it was stored, or None without the session."""
        columns = self._prepared_run(run_dict, session_id, user_id)
        receipt = self._write(self._store.save_run, columns, None, only_new=True)
        return None if receipt is None else receipt.is_new

    def _prepared_run(self, run: Any, session_id: str, user_id: str | None) -> dict[str, Any]:
        return shapes.prepared_run(run, session_id, user_id, now(), self.unstorable)

    def cancel_pending_run(
        self,
        run_id: str,
        *,
        session_id: str,
        reason: str,
        user_id: str | None = None,
        expected_status: str = "PENDING",
    ) -> bool:
        """Cancel a run whose status is still the one expected; return whether it was.

        ``reason`` becomes the content of a run that has none.
        """
        outcome = self._write(
            self._store.change_run,
            rows.id_text(session_id, "session_id"),
            rows.id_text(run_id, "run_id"),
            rows.owner_filter(user_id),
            cancelled(expected_status, reason),
        )
        return outcome is _RunUpdate.UPDATED

    def update_run_in_session(
        self,
        session_id: str,
        run_id: str,
        fields: Mapping[str, Any],
        expected_attempt: int | None = None,
        user_id: str | None = None,
        content_if_absent: str | None = None,
        session_data: Mapping[str, Any] | None = None,
    ) -> Any:
        """Change ``fields`` of a run, and ``session_data`` with it, while nobody else can.

        Answers UPDATED, MISSING, STALE_ATTEMPT (a later attempt owns the run) or TERMINAL_REFUSED (it is
        completed or cancelled already): agno's ``RunPersistOutcome``, or ``agno_store.RunUpdate``.
        """
        fields, session_data = shapes.run_fields(fields, run_id, session_data, self.unstorable)
        outcome = self._write(
            self._store.change_run,
            rows.id_text(session_id, "session_id"),
            rows.id_text(run_id, "run_id"),
            rows.owner_filter(user_id),
            fenced(fields, expected_attempt, content_if_absent),
            session_data,
        )
        return bridge.run_update(outcome)

    def delete_run(self, run_id: str, *, session_id: str | None = None, user_id: str | None = None) -> bool:
        """Delete a run; False where there is none. The positions of the others stay."""
        return self._delete_runs([run_id], session_id, user_id) == 1

    def delete_runs(self, run_ids: Iterable[str], *, session_id: str | None = None, user_id: str | None = None) -> None:
        """Delete several runs, all or none of those that are there."""
        self._delete_runs(run_ids, session_id, user_id)

    def _delete_runs(self, run_ids: Iterable[str], session_id: str | None, user_id: str | None) -> int:
        ids = rows.id_texts(run_ids, "run_id")
        where = None if session_id is None else rows.id_text(session_id, "session_id")
        return self._write(self._store.delete_runs, ids, where, rows.owner_filter(user_id)) if ids else 0

    # -- summaries ----------------------------------------------------------------------------

    def get_summary(self, session_id: str, user_id: str | None = None) -> Summary | None:
        """Return the summary of a session, or None. Writes nothing."""
        key = rows.id_text(session_id, "session_id")
        row = self._read(self._store.summary, key, rows.owner_filter(user_id))
        return None if row is None else rows.summary_record(row)

    def upsert_summary(self, session_id: str, summary: Any, user_id: str | None = None) -> Receipt:
        """Store the summary of a session: a Summary, a dict with 'summary', or agno's object.

        Raises NotFound where there is no such session, OwnerMismatch where it is another user's.
        """
        columns = shapes.prepared_summary(session_id, summary, self.unstorable)
        key = rows.id_text(session_id, "session_id")
        return self._put(self._store.save_summary, key, rows.owner_filter(user_id), columns)

    # -- what agno asks besides ---------------------------------------------------------------

    def update_approval_run_status(self, run_id: str, run_status: Any) -> int:
        """Return how many approvals were changed: none, since none are kept here."""
        return 0

    def get_latest_schema_version(self, table_name: str | None = None) -> None:
        """Return None, which keeps agno's own migrations away from these tables."""
        return None

    def upsert_schema_version(self, table_name: str, version: str) -> None:
        """Do nothing: the version of these tables is kept by their own revisions."""
        return None
