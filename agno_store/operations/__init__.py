"""The calls that users and agno make: check, do, give back. One implementation for every database."""

from __future__ import annotations

from typing import Any

from agno_store import filtering, rows, shapes
from agno_store.operations.hooks import HookedOperations
from agno_store.operations.looks import LookOperations
from agno_store.operations.runs import RunOperations
from agno_store.operations.sessions import SessionOperations
from agno_store.operations.tidy import TidyOperations
from agno_store.operations.transfers import TransferOperations
from agno_store.operations.watch import WatchedOperations
from agno_store.records import Receipt, Summary

__all__ = ["Operations"]


class Operations(
    SessionOperations,
    RunOperations,
    LookOperations,
    TransferOperations,
    TidyOperations,
    HookedOperations,
    WatchedOperations,
):
    """What can be asked of a store. Names, arguments and meanings are those of agno's ``BaseDb``.

    Where ``deserialize`` is true, sessions and runs come as agno's own objects if the program uses agno,
    as ``agno_store.Session`` and ``agno_store.Run`` otherwise; where it is false, as dictionaries. Each
    call returns objects of its own. ``user_id`` limits a call to what belongs to that user; None does not.

    Of a session that agno reads again only those runs are read that are new: ``docs/howto/long-sessions.md``.

    Readers return None only for what is not there. Every failure raises an ``AgnoStoreError``; a writer
    that raises has written nothing, except with OutcomeUnknown, where the connection was lost in COMMIT. ``prune``
    and ``delete_user`` are many writes.
    """

    # -- summaries ----------------------------------------------------------------------------

    def get_summary(self, session_id: str, user_id: str | None = None) -> Summary | None:
        """Return the summary of a session, or None. Writes nothing. Raises CorruptRow where it cannot be read."""
        key = rows.id_text(session_id, "session_id")
        row = self._read(self._store.summary, key, rows.owner_filter(user_id))
        return None if row is None else rows.summary_record(row)

    def upsert_summary(self, session_id: str, summary: Any, user_id: str | None = None) -> Receipt:
        """Store the summary of a session: a Summary, a dict with 'summary', or agno's object.

        It takes the place of the one that is there. Raises NotFound where there is no such session, OwnerMismatch
        where it is another user's, InvalidArgument for what has no text, and EncodingError as ``upsert_run`` does.
        """
        columns = shapes.prepared_summary(session_id, summary, self.unstorable)
        key = rows.id_text(session_id, "session_id")
        if self._before_write is not None:
            columns = filtering.summary(self._before_write, columns, key, rows.owner_filter(user_id))
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
