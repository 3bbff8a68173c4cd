"""Runs: read, listed, stored, changed, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agno_store import bridge, rows, shapes
from agno_store.clock import SECOND, now
from agno_store.operations.base import Base, counted, one_by_one
from agno_store.paging import RUN_SORTS, Listing, Page
from agno_store.records import Receipt
from agno_store.records import RunUpdate as _RunUpdate
from agno_store.run_changes import cancelled, fenced

AT_ONCE = 100
"""Runs of one page of a stream."""


class RunOperations(Base):
    """What can be asked of runs."""

    def get_run(
        self,
        run_id: str,
        deserialize: bool | None = True,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
    ) -> Any:
        """Return a run, or None. Writes nothing.

        Raises InvalidArgument where several sessions have a run of that id and none is named, CorruptRow where what
        is stored cannot be read.
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
        *,
        after: str | None = None,
    ) -> Any:
        """Return the runs that fit, in their order: a list, or ``(list of dicts, total)``. Writes nothing.

        Those of a session come by their place in it, those of all sessions by when they were made, oldest first.
        ``status`` is agno's ``RunStatus`` or its text. ``after`` is the ``next`` of the page before, as with
        ``get_sessions``. Raises InvalidArgument as ``get_sessions`` does.
        """
        sort_by = bridge.known_sort(sort_by, RUN_SORTS)
        paging = _paging(session_id, sort_by, sort_order, limit=limit, page=page, after=after)
        filters = _filters(session_id, user_id, agent_id, team_id, workflow_id, status)
        runs, total = self._run_page(filters, paging, deserialize, with_total=not deserialize and after is None)
        return runs if deserialize else (runs, total)

    def iter_runs(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        workflow_id: str | None = None,
        status: Any = None,
        sort_by: str | None = None,
        sort_order: Any = None,
        deserialize: bool | None = True,
        *,
        after: str | None = None,
        at_once: int = AT_ONCE,
    ) -> Iterator[Any]:
        """Give one run after the other, of those that ``get_runs`` would return, as ``iter_sessions`` does.

        Raises InvalidArgument as ``get_runs`` does, and for an unknown ``sort_by`` always. Writes nothing.
        """
        paging = _paging(session_id, sort_by, sort_order, limit=counted(at_once), page=None, after=after)
        filters = _filters(session_id, user_id, agent_id, team_id, workflow_id, status)
        return one_by_one(paging, lambda page: self._run_page(filters, page, deserialize, with_total=False)[0])

    def _run_page(
        self, filters: Mapping[str, str], paging: Page, deserialize: bool | None, *, with_total: bool
    ) -> tuple[Listing[Any], int | None]:
        """Return a page of runs, and how many there are on all pages if that is asked for."""
        found, total = self._list(self._store.runs, filters, paging, with_total=with_total)
        return Listing(shapes.runs(found, deserialize), paging.next(found)), total

    def upsert_run(
        self, run: Any, session_id: str, user_id: str | None = None, run_index: int | None = None
    ) -> Receipt:
        """Store a run, behind all others of its session if it is new, else where it stands; say where that is.

        The position is the database's to give; ``run_index`` is accepted for agno's sake and not used, since
        two runs at once come with the same one. A session that is not there yet is made. Of a run that
        ``before_write`` does not let be stored the receipt has neither place nor version.
        Raises OwnerMismatch where the session belongs to another user, InvalidArgument for a run without a ``run_id``,
        EncodingError for a value that cannot be stored, and PayloadTooLarge for what the database does not take.
        """
        columns = self._prepared_run(run, session_id, user_id)
        if columns is None:
            return Receipt(session_id, 0, now() // SECOND, rows.id_text(bridge.run_record(run).run_id, "run_id"))
        with self._taking_back(columns):
            receipt = self._put(
                self._store.save_run,
                columns,
                shapes.parent(columns),
                quick=self._store.quick.for_run(columns),
            )
        assert receipt is not None
        self._know(columns, receipt)
        return receipt

    def append_run_to_session_if_absent(
        self, session_id: str, run_dict: Mapping[str, Any], user_id: str | None = None
    ) -> bool | None:
        """Store a run unless its session has it; return whether it was stored, or None without the session.

        Raises as ``upsert_run`` does.
        """
        columns = self._prepared_run(run_dict, session_id, user_id, shapes.unstorable_of_agnos(self.unstorable))
        if columns is None:
            return False
        with self._taking_back(columns):
            receipt = self._write(
                self._store.save_run,
                columns,
                None,
                only_new=True,
                quick=self._store.quick.for_run(columns),
            )
        if receipt is None or not receipt.is_new:
            self._take_back(columns)
        return None if receipt is None else receipt.is_new

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

        ``reason`` becomes the content of a run that has none. Raises InvalidArgument where ``expected_status`` is
        neither PENDING nor RUNNING.
        """
        run = (rows.id_text(session_id, "session_id"), rows.id_text(run_id, "run_id"), rows.owner_filter(user_id))
        reason = self._part_of_run(*run, {"content": reason}).get("content")
        outcome = self._write(self._store.change_run, *run, cancelled(expected_status, reason))
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
        Raises InvalidArgument for fields that are no dict, name another run or hold an id that cannot be stored,
        OwnerMismatch where they name another user than the run's, EncodingError as ``upsert_run`` does.
        """
        fields, session_data = shapes.run_fields(fields, run_id, session_data, self.unstorable)
        run = (rows.id_text(session_id, "session_id"), rows.id_text(run_id, "run_id"), rows.owner_filter(user_id))
        fields = self._part_of_run(*run, fields)
        if self._before_write is not None:
            if content_if_absent is not None:
                content_if_absent = self._part_of_run(*run, {"content": content_if_absent}).get("content")
            if session_data is not None:
                session_data = self._part_of_session(run[0], run[2], session_data)
        change = fenced(fields, expected_attempt, content_if_absent)
        outcome = self._write(self._store.change_run, *run, change, session_data)
        return bridge.run_update(outcome)

    def delete_run(self, run_id: str, *, session_id: str | None = None, user_id: str | None = None) -> bool:
        """Delete a run; False where there is none of that user. The positions of the others stay.

        Raises InvalidArgument where several sessions have a run of that id and none is named.
        """
        return self._delete_runs([run_id], session_id, user_id) == 1

    def delete_runs(self, run_ids: Iterable[str], *, session_id: str | None = None, user_id: str | None = None) -> None:
        """Delete several runs, all or none of those that are there and that user's. Raises as ``delete_run`` does."""
        self._delete_runs(run_ids, session_id, user_id)

    def _delete_runs(self, run_ids: Iterable[str], session_id: str | None, user_id: str | None) -> int:
        ids = rows.id_texts(run_ids, "run_id")
        where = None if session_id is None else rows.id_text(session_id, "session_id")
        return self._write(self._store.delete_runs, ids, where, rows.owner_filter(user_id)) if ids else 0


def _paging(session_id: str | None, sort_by: str | None, sort_order: Any, **page: Any) -> Page:
    if sort_by is None:
        sort_by = "created_at" if session_id is None else "run_index"
        sort_order = "asc" if sort_order is None else sort_order
    by = (sort_by, "session_id", "run_index") if session_id is None else (sort_by, "run_index")
    return Page.of(by, sort_order, RUN_SORTS, **page)


def _filters(
    session_id: str | None,
    user_id: str | None,
    agent_id: str | None,
    team_id: str | None,
    workflow_id: str | None,
    status: Any,
) -> dict[str, str]:
    asked = {
        "session_id": session_id,
        "user_id": user_id,
        "agent_id": agent_id,
        "team_id": team_id,
        "workflow_id": workflow_id,
        "status": getattr(status, "value", status),
    }
    return {name: rows.id_text(value, name) for name, value in asked.items() if value is not None}
