"""Old sessions pruned, a user forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agno_store import rows
from agno_store.clock import now
from agno_store.errors import ConfigurationError
from agno_store.operations.base import Base

if TYPE_CHECKING:
    from collections.abc import Callable

    from agno_store.clearing import Clearing
    from agno_store.counts import Rekeyed, Removed
    from agno_store.dialects import Dialect
    from agno_store.removed import Progress


class TidyOperations(Base):
    """What keeps a store from growing for ever. Nothing of it happens by itself."""

    dialect: Dialect

    def prune(
        self,
        older_than: Any,
        *,
        keep_last: int | None = None,
        user_id: str | None = None,
        dry_run: bool = False,
        on_progress: Progress | None = None,
    ) -> Removed:
        """Delete the sessions without activity for as long as ``older_than``, and return what was deleted.

        ``older_than`` is a timedelta or a text such as ``'90d'``, ``'12h'`` or ``'2w'``. Each user's newest
        ``keep_last`` sessions stay whatever their age, those that nobody owns being one user's. So does one with a
        run that is not over, until nothing has happened in it for 30 days, and one that is written to meanwhile.
        ``dry_run`` counts what would be deleted, and writes nothing.

        It works in small transactions, each of which stays done whatever comes after it: interrupted, or failed,
        it is simply called again. ``on_progress`` is called after each with what has been deleted so far. Objects of a
        ``media_store`` that are a day old and that nothing names are deleted, too; MediaUnavailable where that fails.
        Raises InvalidArgument for an age or a number that is none.
        """
        from agno_store.removed import Which

        which = Which.older(older_than, now(), keep_last=keep_last, user_id=rows.owner_filter(user_id))
        removed = self._clearing(dry_run, on_progress).sessions(which)
        if self._store.objects is not None and not dry_run:
            self._read(self._store.know_objects)
            self._store.objects.sweep(lambda places: self._read(self._store.named_places, places))
        return removed

    def delete_user(self, user_id: str, *, dry_run: bool = False, on_progress: Progress | None = None) -> Removed:
        """Delete all that is a user's, and return what was deleted.

        The user's sessions with all that is in them; and the user's runs in other sessions, with the runs of the
        members that worked for them and the summaries of those sessions. A session that nobody owns goes whole
        where nothing but the user's runs is in it. Otherwise as ``prune``; the user should have stopped writing.
        """
        return self._clearing(dry_run, on_progress).user(rows.new_id(user_id, "user_id"))

    def rekey(self, *, on_progress: Callable[[Rekeyed], None] | None = None) -> Rekeyed:
        """Seal with the codec's current key all that is not, and return how much that was.

        That is what another key has sealed, and what was stored before there was a codec. It works in small
        transactions, each of which stays done whatever comes after it: interrupted, or failed, it is simply called
        again. ``on_progress`` is called after each with what was done so far. What the codec cannot open, or the
        database does not take sealed, is left as it is, and counted; what was kept beside a run is sealed in it. No
        version and no time of a session or run changes.
        Raises ConfigurationError for a store without ``codec=``.
        """
        from agno_store.rekeying import Rekeying

        key_id = self._store.sending.key_id
        if key_id is None:
            raise ConfigurationError("rekey() is for a store with a codec: give it codec= (--codec).")
        rest = self.dialect.notices_after
        return Rekeying(self._store, key_id, self._read, self._put, rest=rest, on_progress=on_progress).run()

    def _clearing(self, dry_run: bool, on_progress: Progress | None) -> Clearing:
        from agno_store.clearing import Clearing

        rest = self.dialect.notices_after
        return Clearing(self._store, self._read, self._put, rest=rest, dry_run=dry_run, on_progress=on_progress)
