"""Looks over many sessions: how much there is, and where a text stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agno_store.clock import now
from agno_store.errors import InvalidArgument
from agno_store.operations.base import Base, session_filter
from agno_store.paging import SESSION_SORTS, Listing, Page, is_count

if TYPE_CHECKING:
    from agno_store.reports import Found, Stats
    from agno_store.survey import Survey


class LookOperations(Base):
    """What can be asked of all sessions together. It takes as long as reading them, and writes nothing."""

    def stats(self, *, days: int = 30, most: int = 10) -> Stats:
        """Return how much the store holds, in all, by user, by agent, team or workflow, and by day. Writes nothing.

        ``days`` is how many days' growth is told, today included, and ``most`` how many users, components and
        sessions are listed. Every payload is measured: on a large store it takes a while.
        Raises InvalidArgument where one of them is no whole number from 1 to 10,000.
        """
        from agno_store import figures

        for name, number in (("days", days), ("most", most)):
            if not is_count(number, 1) or number > 10_000:
                raise InvalidArgument(f"{name}={number!r}: it must be a whole number from 1 to 10,000.")
        return self._list(figures.stats, self._survey(), days=days, most=most, now=now())

    def search(
        self,
        text: str,
        *,
        session_type: Any = None,
        user_id: str | None = None,
        component_id: str | None = None,
        start_timestamp: int | None = None,
        end_timestamp: int | None = None,
        limit: int = 20,
        after: str | None = None,
    ) -> Listing[Found]:
        """Return the sessions in which a text stands, newest first, each with the first places. Writes nothing.

        It is looked for in the texts in runs, session data, metadata and summaries, and not in the names of
        fields. Letters from A to Z are found in either case, all others as they are written. There is no index
        for it: the database reads the payloads of the sessions that the filters leave, those of ``get_sessions``,
        some hundred sessions at a time. The list's ``next``, given as ``after``, goes on behind it.
        Raises InvalidArgument for a text that is empty or longer than 1,000 characters, and as ``get_sessions``.
        """
        from agno_store import searching

        wanted, survey = searching.checked(text), self._survey()
        which = session_filter(session_type, user_id, component_id, None, start_timestamp, end_timestamp)
        if not is_count(limit, 1):
            raise InvalidArgument(f"limit={limit!r}: it must be a whole number from 1 on.")
        by, found, place = ("created_at", "session_id"), list[Any](), after
        if which.user_id == "":
            return Listing(found, None)
        while len(found) < limit:
            page = Page.of(by, "desc", SESSION_SORTS, limit=searching.BATCH, page=None, after=place)
            some, place = self._list(searching.search, self._store, survey, which, page, wanted, limit - len(found))
            found += some
            if place is None:
                break
        return Listing(found, place)

    def _survey(self) -> Survey:
        from agno_store import survey

        return survey.of(self._store.names, self._store.tenant_id)
