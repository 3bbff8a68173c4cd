"""Sessions: read, listed, saved, renamed, handed over, deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from agno_store import bridge, recall, rows, shapes
from agno_store.clock import now
from agno_store.errors import InvalidArgument
from agno_store.history import LAST
from agno_store.operations.base import Base, counted, one_by_one, session_filter
from agno_store.paging import SESSION_SORTS, Listing, Page, SessionFilter, is_count
from agno_store.records import TYPES, Receipt, Session, checked_type
from agno_store.saving import MERGE, SessionSave, checked_policy
from agno_store.sending import Row

AT_ONCE = 500
"""Sessions of one page of a stream."""


class SessionOperations(Base):
    """What can be asked of sessions."""

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
        gives the last runs alone, without members' runs and those that were paused, cancelled or failed; without,
        the store's ``history_runs`` counts, of all runs.
        Raises InvalidArgument for a ``runs_limit`` below 0, CorruptRow where what is stored cannot be read.
        """
        if runs_limit is not None and not is_count(runs_limit, 0):
            raise InvalidArgument(f"runs_limit={runs_limit!r}: it must be a whole number from 0 on.")
        key, owner = rows.id_text(session_id, "session_id"), rows.owner_filter(user_id)
        kind = getattr(session_type, "value", session_type)
        if runs_limit is None and deserialize and kind in TYPES and bridge.loaded() and not bridge.runs_are_brought():
            return self._session_of_agno(key, owner, kind)
        if runs_limit is not None:
            return self._session_of_latest(key, owner, runs_limit, session_type, deserialize)
        if self.history_runs is not None:
            read = self._read(recall.session, self._store, key, owner, None, self.history_runs)
            found: Any = None if read is None else (read[0], [run.row for run in read[1].runs])
        else:
            found = self._read(self._store.session, key, owner)
        return None if found is None else shapes.session(found[0], found[1], self._origin, session_type, deserialize)

    def _session_of_agno(self, session_id: str, user_id: str | None, kind: str) -> Any:
        """Return a session as agno reads one for each of its runs: what is known of its runs is not read again."""
        key = session_id, kind
        known = self._history.known(key)
        found = self._read(recall.session, self._store, session_id, user_id, known, self.history_runs)
        if found is None:
            return None
        row, known = found
        session = shapes.session_with_history(row, known, self._origin, kind)
        self._history.keep(key, known)
        return session

    def _session_of_latest(
        self, session_id: str, user_id: str | None, count: int, session_type: Any, deserialize: bool | None
    ) -> Any:
        """Return a session with its last runs, of which those that are known are not read again."""
        known = self._history.latest(session_id)
        found = self._read(recall.latest, self._store, session_id, user_id, known, count)
        if found is None:
            return None
        row, latest = found
        session = shapes.session_with_latest(row, latest.last(count), self._origin, session_type, deserialize)
        if latest is not known and latest.is_as_told:
            self._history.keep((session_id, LAST), latest)
        return session

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
        *,
        after: str | None = None,
    ) -> Any:
        """Return the sessions that fit, newest first: a list, or ``(list of dicts, total)``. Writes nothing.

        ``component_id`` is an agent's, team's or workflow's id; ``session_name`` is looked for inside the
        name, letter by letter but without case; the timestamps (seconds, both inclusive) bound
        ``created_at``. Without ``include_runs`` the runs table is not read. Pages count from 1; the list's ``next``,
        given as ``after``, is a page that costs what the first does and that no write moves, its total None.
        Raises InvalidArgument (a ValueError) for a page without a limit, or an unknown ``sort_by``; that is warned of
        instead in a program that uses agno, as if it was not given.
        """
        sort_by = bridge.known_sort(sort_by, SESSION_SORTS)
        paging = self._session_paging(sort_by, sort_order, limit=limit, page=page, after=after)
        which = session_filter(session_type, user_id, component_id, session_name, start_timestamp, end_timestamp)
        as_is = (session_type, deserialize, include_runs)
        sessions, total = self._session_page(which, paging, *as_is, with_total=not deserialize and after is None)
        return sessions if deserialize else (sessions, total)

    def iter_sessions(
        self,
        session_type: Any = None,
        user_id: str | None = None,
        component_id: str | None = None,
        session_name: str | None = None,
        start_timestamp: int | None = None,
        end_timestamp: int | None = None,
        sort_by: str | None = None,
        sort_order: Any = None,
        deserialize: bool | None = True,
        include_runs: bool = False,
        *,
        after: str | None = None,
        at_once: int = AT_ONCE,
    ) -> Iterator[Any]:
        """Give one session after the other, of those that ``get_sessions`` would return. Writes nothing.

        They are read ``at_once``, a page behind the other, and no more than that is in memory; between two pages
        no connection is held, so the caller may take his time. Raises InvalidArgument as ``get_sessions`` does, and
        for an unknown ``sort_by`` always.
        """
        paging = self._session_paging(sort_by, sort_order, limit=counted(at_once), page=None, after=after)
        which = session_filter(session_type, user_id, component_id, session_name, start_timestamp, end_timestamp)
        as_is = (session_type, deserialize, include_runs)
        return one_by_one(paging, lambda page: self._session_page(which, page, *as_is, with_total=False)[0])

    @staticmethod
    def _session_paging(sort_by: str | None, sort_order: Any, **page: Any) -> Page:
        by = ("created_at" if sort_by is None else sort_by, "session_id")
        return Page.of(by, sort_order, SESSION_SORTS, **page)

    def _session_page(
        self,
        which: SessionFilter,
        paging: Page,
        session_type: Any,
        deserialize: bool | None,
        include_runs: bool,
        *,
        with_total: bool,
    ) -> tuple[Listing[Any], int | None]:
        """Return a page of sessions, and how many there are on all pages if that is asked for."""
        if which.name_folded is not None and self._store.sending.key_id is not None:
            raise InvalidArgument("This store's codec seals the names of sessions, so session_name= finds none.")
        found, runs, total = self._list(
            self._store.sessions, which, paging, with_runs=include_runs, with_total=with_total
        )
        sessions = shapes.sessions(found, runs, self._origin, session_type, deserialize)
        return Listing(sessions, paging.next(found)), total

    def upsert_session(
        self, session: Any, deserialize: bool | None = True, *, on_conflict: str | None = None, run: Any = None
    ) -> Any:
        """Store a session and return it as stored. Its runs are not touched: ``upsert_run`` stores those.

        With ``run`` that run of the session is stored as well, as ``upsert_run`` does for the session's user: both or
        neither, in one transaction, which costs little more than one of the two.

        Only agno 2 has no other way to store them: of a session of its own, the runs that were changed since it was
        read are stored with it, and those it does not name stay.

        Of an object that was read from a store only what was changed since is written, and where somebody else
        has saved the session meanwhile, the payloads are merged key by key. ``on_conflict="error"`` raises
        StaleSession instead, ``"last_write_wins"`` writes all of it; without, the store's own setting counts.
        Of a dict the keys it has are written as they stand. ``created_at`` and the type stay as first stored.
        A session without an owner can be claimed; one of another user raises OwnerMismatch.
        Raises InvalidArgument for what is no session, EncodingError for a value that cannot be stored, and
        PayloadTooLarge for what the database does not take.
        """
        save = self._prepared(session, self._policy(on_conflict))
        store: Any = self._put if save.may_be_repeated else self._write
        columns = None
        if run is not None:
            columns = self._prepared_run(run, save.columns["session_id"], save.columns["user_id"])
        if columns is None:
            row = store(self._store.save_session, save, quick=self._store.quick.for_session(save))
        else:
            with self._taking_back(columns):
                row, receipt = store(self._save_turn, save, columns, quick=self._store.quick.for_turn(save, columns))
            self._know(columns, receipt)
        return self._saved(row, save, session, deserialize)

    def _save_turn(self, c: Connection, save: SessionSave, run: Mapping[str, Any]) -> tuple[Row, Receipt]:
        quick = self._store.quick
        way = quick.for_session(save) if quick.for_turn(save, run) is None else None
        row = (way and way(c)) or self._store.save_session(c, save)
        assert row is not None
        add = quick.for_run(run)
        receipt = (add and add(c)) or self._store.save_run(c, run, None)
        assert receipt is not None
        return {**row, "updated_at": run["updated_at"]}, receipt

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
        Raises as ``upsert_session`` does, for the first that cannot be stored.
        """
        saves = shapes.prepared_all(
            sessions,
            self._origin,
            now(),
            self.unstorable,
            self._policy(on_conflict),
            before_write=self._before_write,
            keeps_updated_at=preserve_updated_at,
            media_over=self.media_over,
        )
        run = self._put if all(save.may_be_repeated for save in saves) else self._write
        stored = zip(run(self._store.save_sessions, saves), saves, sessions, strict=True)
        return [self._saved(row, save, session, deserialize) for row, save, session in stored]

    def insert_session_if_absent(self, session: Any) -> bool:
        """Store a session unless there is one of its id, whoever's that is; return whether it was stored.

        Raises as ``upsert_session`` does for what cannot be stored.
        """
        save = self._prepared(session, MERGE)
        row = self._write(self._store.save_session, save, only_new=True)
        if row is not None:
            bridge.remember(session, lambda: save.snapshot(row))
        return row is not None

    def _prepared(self, session: Any, on_conflict: str) -> SessionSave:
        return shapes.prepared(
            session,
            self._origin,
            now(),
            self.unstorable,
            on_conflict,
            before_write=self._before_write,
            media_over=self.media_over,
        )

    def _policy(self, on_conflict: str | None) -> str:
        return self.on_conflict if on_conflict is None else checked_policy(on_conflict)

    @staticmethod
    def _saved(row: Any, save: SessionSave, session: Any, deserialize: bool | None) -> Any:
        if type(session) is not Session:  # one of ours does not change
            bridge.remember(session, lambda: save.snapshot(row))
        return shapes.saved(row, session, save.store, deserialize)

    def rename_session(
        self,
        session_id: str,
        session_type: Any,
        session_name: str,
        user_id: str | None = None,
        deserialize: bool | None = True,
    ) -> Any:
        """Name a session and return it with its runs; None where there is none of that user.

        ``session_type`` only chooses agno's class. Raises InvalidArgument for a type that is none.
        """
        key = rows.id_text(session_id, "session_id")
        if session_type is not None:
            checked_type(session_type)
        owner = rows.owner_filter(user_id)
        name = shapes.storable(session_name, "session_data.session_name", self.unstorable)
        named = self._part_of_session(key, owner, {"session_name": name})

        def work(connection: Any) -> Any:
            # Read in the same transaction: a call that fails has changed nothing.
            self._store.change_session_data(connection, key, owner, lambda data: {**data, **named})
            return self._store.session(connection, key, owner)

        found = self._put(work)
        return None if found is None else shapes.written(found[0], found[1], self._origin, session_type, deserialize)

    def update_session_state(
        self,
        session_id: str,
        fn: Callable[[dict[str, Any]], dict[str, Any] | None],
        user_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Change ``session_data["session_state"]`` with ``fn`` while nobody else can, and return it.

        ``fn`` gets the state and returns the new one, or changes it in place and returns None. It may be
        called again if the database asks for a second try, should be quick, and must not call the store.
        None where there is no such session of that user. Raises what ``fn`` raises, with nothing written;
        InvalidArgument where it returns anything else, or calls the store.
        """

        def change(data: dict[str, Any]) -> dict[str, Any]:
            state = data.get("session_state") or {}
            with self._calling_out():
                changed = fn(state)
            if changed is not None and not isinstance(changed, Mapping):
                raise InvalidArgument(f"fn must return the state, a dict, or None; not {type(changed).__name__}.")
            new = shapes.storable(state if changed is None else changed, "session_data.session_state", self.unstorable)
            with self._calling_out():
                return {**data, **self._part_of_session(key, owner, {"session_state": new})}

        key, owner = rows.id_text(session_id, "session_id"), rows.owner_filter(user_id)
        data = self._write(self._store.change_session_data, key, owner, change)
        return None if data is None else data.get("session_state")

    def reassign_session_owner(self, session_id: str, *, previous_user_id: str, user_id: str | None) -> bool:
        """Hand an idle session over; False where it is not ``previous_user_id``'s, or a run is not over.

        Without a ``user_id`` it is nobody's afterwards. Its runs stay those of the user they were stored for.
        """
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
