"""The statements about texts that are kept beside the runs of a session; nothing is run here."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa

from agno_store import apart, tables
from agno_store.dialects.payloads import Holds, Text
from agno_store.statements import Statements


class Parts:
    """The statements of one store and tenant. A text is a session's own: no other session's run can name it."""

    def __init__(self, sql: Statements) -> None:
        self._names, self._media, self._runs = sql.names, sql.media, sql.runs

    @cached_property
    def of_runs(self) -> sa.Select[Any]:
        """Those of ``session_ids`` with one of these ``digests``."""
        m = self._media.c
        sessions = m.session_id.in_(sa.bindparam("session_ids", expanding=True))
        return sa.select(m.session_id, m.digest, m.data, m.place).where(sessions, self._these)

    @cached_property
    def there(self) -> sa.Select[Any]:
        """Which of ``digests`` a session has."""
        m = self._media.c
        return sa.select(m.digest).where(m.session_id == sa.bindparam("key"), self._these)

    @cached_property
    def insert(self) -> sa.Insert:
        return sa.insert(self._media)

    @cached_property
    def marks_of(self) -> sa.Select[Any]:
        """The payloads with marks of a session's runs at ``places``, where anything is kept beside its runs.

        That is asked here, and not where the session is locked: there it may be told as of before the lock was
        waited for.
        """
        m, r = self._media.c, self._runs.c
        places = r.run_index.in_(sa.bindparam("places", expanding=True))
        marked = Text(r.run_data).contains(apart.MARK, autoescape=True)
        any_media = sa.exists().where(m.session_id == sa.bindparam("key"))
        return sa.select(r.run_data).where(r.session_id == sa.bindparam("key"), any_media, places, marked)

    @cached_property
    def unneeded(self) -> sa.Select[Any]:
        """Those of ``digests`` in a session that no run of it names, and where they are."""
        m, r = self._media.c, self._runs.c
        of_session = r.session_id == sa.bindparam("key")
        # Anywhere in the payload: what is taken for a mark and is none keeps a text, and loses nothing.
        # Locked to be seen as it is now, whatever an engine repeats.
        runs = sa.select(r.run_id).where(of_session, Holds(r.run_data, m.digest)).with_for_update()
        named = runs.correlate(self._media).exists()
        of_key = m.session_id == sa.bindparam("key")
        return sa.select(m.digest, m.place).where(of_key, self._these, ~named).with_for_update()

    @cached_property
    def delete(self) -> sa.Delete:
        """Those of ``digests`` in a session."""
        return sa.delete(self._media).where(self._media.c.session_id == sa.bindparam("key"), self._these)

    @cached_property
    def places(self) -> sa.Select[Any]:
        """Where those of ``session_ids``, about to be deleted, are that are in a store of objects now."""
        m = self._media.c
        sessions = m.session_id.in_(sa.bindparam("session_ids", expanding=True))
        return sa.select(m.place).where(sessions, m.place.is_not(None)).with_for_update()

    @cached_property
    def named(self) -> sa.Select[Any]:
        """Which of ``places`` a row names."""
        m = self._media.c
        return sa.select(m.place).where(m.place.in_(sa.bindparam("places", expanding=True)))

    @cached_property
    def begun(self) -> sa.Select[Any]:
        """What the journal noted first: when that was, and how long it took, which is one store's alone."""
        noted = tables.journal(self._names).c
        return sa.select(noted.done_at, noted.microseconds).order_by(noted.entry).limit(1)

    @property
    def _these(self) -> sa.ColumnElement[bool]:
        return self._media.c.digest.in_(sa.bindparam("digests", expanding=True))
