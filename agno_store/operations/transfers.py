"""Sessions into a file, and from a file or another store."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_store.dialects.waiting import in_task
from agno_store.errors import InvalidArgument
from agno_store.operations.base import Base
from agno_store.schema import MISSING, SchemaStatus

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from agno_store.transfer import Exported, File, Filters, Source, Transferred, Watch, Which


class TransferOperations(Base):
    """Transfers. What they need is imported when one is made."""

    dialect: Any

    @property
    @abc.abstractmethod
    def db_engine(self) -> Any: ...

    @abc.abstractmethod
    def schema_status(self) -> SchemaStatus: ...

    def export(self, file: File, *, watch: Watch | None = None, **which: Unpack[Filters]) -> Exported:
        """Write sessions, with their runs and summaries, into a file, packed where it ends in ``.gz``; say how many.

        ``file`` is a path, or what bytes can be written to; one that is there is replaced when the new one is whole.
        What cannot be read is left out, and in ``problems``. ``watch`` is called with how many sessions are done, and
        how many there are. Writes nothing to the store.

        All sessions are meant, or those that fit: ``user_id``, ``session_type``, ``component_id`` (an agent's, team's
        or workflow's), ``session_ids``, and ``written_since`` and ``written_before`` (seconds or datetimes, the latter
        exclusive) for when a session was last written to.

        Raises SchemaError where the store has no tables that this release works with, InvalidArgument where the file
        is a SQLite database, AgnoStoreError where it cannot be written.
        """
        from agno_store import transfer

        return transfer.export(self, file, transfer.Which.of(**which), watch)

    def import_from(
        self,
        source: Any,
        *,
        plan: bool = False,
        verify: bool = False,
        watch: Watch | None = None,
        **which: Unpack[Filters],
    ) -> Transferred:
        """Store the sessions of an export, a path or what bytes can be read from, or of another store; say how many.

        ``AgnoTables(url)`` stands for those that agno's own storage classes have stored.

        Each session is one transaction. What is not there is added, what is older is replaced, what is there and as
        new or newer is kept, and nothing is deleted; so it may be run again after any failure, and for what came
        since. Sessions that cannot be stored, another user's among them, are left out, and in ``problems``.

        With ``plan`` nothing is written; ``verify`` compares afterwards what both say. Which sessions are meant is
        said as for ``export``. Raises InvalidArgument for a file that is no export, or one of a later release.
        """
        from agno_store import transfer

        conversations = self._conversations(source, transfer.Which.of(**which))
        if verify and not getattr(conversations, "can_be_read_again", True):
            raise InvalidArgument("What comes out of a pipe cannot be read again, to be compared. Give a file.")
        status = self.schema_status()
        if plan and status.state != MISSING:
            status.raise_unless_usable()
        return transfer.bring(self, conversations, plan=plan, verify=verify, watch=watch)

    def _conversations(self, source: Any, which: Which) -> Source:
        """Return where conversations come from. Raises InvalidArgument for what gives none, and for this store."""
        from agno_store import transfer

        if hasattr(source, "into"):
            source = source.into(self, which)
        if hasattr(source, "conversations"):
            found: Source = source
            return found
        if isinstance(source, (str, Path)) or hasattr(source, "read"):
            return transfer.FileSource(source, which)
        if hasattr(source, "_here"):
            if not in_task():
                raise InvalidArgument("An asynchronous store can be read by another asynchronous store only.")
            source = source._here().core
        if not isinstance(source, TransferOperations):
            raise InvalidArgument(f"{source!r} is neither a file nor a store.")
        source.schema_status().raise_unless_usable()
        if source._origin == self._origin:
            raise InvalidArgument("This is the store itself: there is nothing to import from it.")
        if source.db_engine is self.db_engine and not self.dialect.shares(self.db_engine.url):
            raise InvalidArgument("Both stores have one connection to a database in memory. Go by way of a file.")
        return transfer.Reading(source, which)
