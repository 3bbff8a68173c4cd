"""The statements with which sessions are read and written whole; nothing is run here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import sqlalchemy as sa

from agno_store import rows
from agno_store.records import checked_type
from agno_store.store import Store
from agno_store.transfer.columns import RUN, SESSION, SUMMARY, columns
from agno_store.transfer.conversation import NEVER, Row

if TYPE_CHECKING:
    from typing_extensions import Unpack

_COMPONENTS = ("agent_id", "team_id", "workflow_id")


class Filters(TypedDict, total=False):
    """Which sessions a caller means. Times are seconds or datetimes, of when one was last written to."""

    user_id: str | None
    session_type: Any
    component_id: str | None
    session_ids: Iterable[str] | None
    written_since: Any
    written_before: Any
    """Exclusive."""


@dataclass(frozen=True)
class Which:
    """Which sessions are meant; None leaves nothing out. Times are microseconds, of when something was last written."""

    user_id: str | None = None
    session_type: str | None = None
    component_id: str | None = None
    session_ids: frozenset[str] | None = None
    updated_from: int | None = None
    updated_before: int | None = None

    @classmethod
    def of(cls, **named: Unpack[Filters]) -> Which:
        """Return what a caller has named. Raises InvalidArgument for what can be none of it."""
        since, before = (
            None if value is None else rows.microseconds(value, name, 0)
            for name, value in ((name, named.get(name)) for name in ("written_since", "written_before"))
        )
        kind, component, ids = (named.get(name) for name in ("session_type", "component_id", "session_ids"))
        return cls(
            user_id=rows.owner_filter(named.get("user_id")),
            session_type=None if kind is None else checked_type(kind),
            component_id=None if component is None else rows.id_text(component, "component_id"),
            session_ids=None if ids is None else frozenset(rows.id_texts(ids, "session_id")),
            updated_from=since,
            updated_before=before,
        )

    def fits(self, session: Row) -> bool:
        """Whether a session's row is one of them."""
        return (
            self.user_id in (None, session.get("user_id"))
            and self.session_type in (None, session.get("session_type"))
            and (self.component_id is None or self.component_id in [session.get(name) for name in _COMPONENTS])
            and (self.session_ids is None or session["session_id"] in self.session_ids)
            and (self.updated_from is None or session["updated_at"] >= self.updated_from)
            and (self.updated_before is None or session["updated_at"] < self.updated_before)
        )


class Statements:
    """The statements of one store and tenant."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sessions, self.runs, self.summaries = store.sql.sessions, store.sql.runs, store.sql.summaries
        self._is_there, self._is_the_one = store.sql.is_there, store.sql.is_the_one
        self._of_tenant = store.sql.of_tenant

    # -- reading ------------------------------------------------------------------------------

    def count(self, which: Which) -> sa.Select[Any]:
        """How many sessions are meant."""
        return sa.select(sa.func.count()).select_from(self.sessions).where(*self._conditions(which))

    def page(self, which: Which, after: str | None, count: int) -> sa.Select[Any]:
        """The keys of the next sessions behind ``after``, in the order of their keys, with what stamps are made of."""
        key = self.sessions.c.session_id
        # From the tenant's first key on, not from the first of all.
        statement = self._ages.where(*self._conditions(which), key > (after or ""))
        return statement.order_by(key).limit(count)

    @property
    def _ages(self) -> sa.Select[Any]:
        s, u = self.sessions.c, self.summaries.c
        summary_at = sa.func.coalesce(u.updated_at, sa.literal_column(str(NEVER), sa.BigInteger()))
        return sa.select(s.session_id, s.created_at, s.updated_at, s.version, summary_at).select_from(
            self.sessions.outerjoin(self.summaries, u.session_id == s.session_id)
        )

    def _conditions(self, which: Which) -> list[sa.ColumnElement[bool]]:
        s = self.sessions.c
        conditions: list[sa.ColumnElement[bool]] = [self._of_tenant, self._is_there]
        if which.session_type is not None:
            conditions.append(s.session_type == which.session_type)
        if which.user_id is not None:
            conditions.append(s.user_id == which.user_id)
        if which.component_id is not None:
            conditions.append(sa.or_(*(s[name] == which.component_id for name in _COMPONENTS)))
        if which.session_ids is not None:
            conditions.append(s.session_id.in_(sorted(which.session_ids)))
        if which.updated_from is not None:
            conditions.append(s.updated_at >= which.updated_from)
        if which.updated_before is not None:
            conditions.append(s.updated_at < which.updated_before)
        return conditions

    @cached_property
    def stamps(self) -> sa.Select[Any]:
        """Those of ``session_ids`` that are there, with what stamps are made of."""
        these = self.sessions.c.session_id.in_(sa.bindparam("session_ids", expanding=True))
        return self._ages.where(these, self._is_there)

    @cached_property
    def run_stamps(self) -> sa.Select[Any]:
        """What the runs of ``session_ids`` add to their stamps."""
        r = self.runs.c
        counted = sa.select(r.session_id, sa.func.count(), sa.func.sum(r.version), sa.func.max(r.updated_at))
        return counted.where(r.session_id.in_(sa.bindparam("session_ids", expanding=True))).group_by(r.session_id)

    @cached_property
    def session(self) -> sa.Select[Any]:
        """One session's row, by ``session_id``."""
        return _of(self.sessions, SESSION).where(self._is_there)

    @cached_property
    def summary(self) -> sa.Select[Any]:
        """One summary's row, by ``session_id``."""
        return _of(self.summaries, SUMMARY)

    @cached_property
    def piece(self) -> sa.Select[Any]:
        """The next ``count`` runs behind a place, in order, of the session made at ``session_created_at``.

        As long as it is ``reader``'s.
        """
        place = self.runs.c.run_index
        return (
            _of(self.runs, RUN)
            .where(self._is_the_one, place > sa.bindparam("after"))
            .order_by(place)
            .limit(sa.bindparam("count", type_=sa.BigInteger()))
        )

    # -- writing ------------------------------------------------------------------------------

    @cached_property
    def there(self) -> sa.Select[Any]:
        """What has to be known of a session that is there, by ``session_id``."""
        return self._known.where(self._is_there)

    @cached_property
    def locked(self) -> sa.Select[Any]:
        """The same, and the only right to write it until the transaction ends; also of one that is being deleted."""
        return self._known.with_for_update()

    @property
    def _known(self) -> sa.Select[Any]:
        s = self.sessions.c
        known = sa.select(s.user_id, s.updated_at, s.version, s.next_run_index)
        return known.where(s.session_id == sa.bindparam("session_id"))

    @cached_property
    def known_runs(self) -> sa.Select[Any]:
        """Which runs a session has, how old and whose they are, and whether anything is kept beside them.

        Of a session that is locked: what the lock itself tells beside the row may be as of before it was waited for.
        """
        r = self.runs.c
        known = sa.select(r.run_id, r.run_index, r.updated_at, r.version, r.user_id)
        return known.add_columns(self.store.sql.has_media("session_id")).where(
            r.session_id == sa.bindparam("session_id")
        )

    @cached_property
    def known_summary(self) -> sa.Select[Any]:
        """How old a session's summary is."""
        u = self.summaries.c
        return sa.select(u.updated_at).where(u.session_id == sa.bindparam("session_id"))

    @cached_property
    def update_run(self) -> sa.Update:
        """Set the columns given, the version among them, by ``key`` and ``run_key``."""
        r = self.runs.c
        return sa.update(self.runs).where(r.session_id == sa.bindparam("key"), r.run_id == sa.bindparam("run_key"))


def _of(table: sa.Table, part: str) -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in columns(part))).where(table.c.session_id == sa.bindparam("session_id"))
