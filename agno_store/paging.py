"""Listings: which rows are asked for, in which order, and where a page begins and ends.

A page is found by the place of the last row of the page before it, not by a number of rows to pass over: the
database goes to that place in an index and reads on. The place is made of what the rows are sorted by, as it was
when the page was read; so it stays where it is, whatever becomes of the row.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from agno_store import escapes, types
from agno_store.errors import InvalidArgument

T = TypeVar("T")

SESSION_SORTS = (
    "created_at",
    "updated_at",
    "session_id",
    "session_type",
    "agent_id",
    "team_id",
    "workflow_id",
    "user_id",
)
RUN_SORTS = (
    "created_at",
    "updated_at",
    "run_index",
    "run_id",
    "session_id",
    "run_type",
    "status",
    "agent_id",
    "team_id",
    "workflow_id",
    "user_id",
)

_json = json.JSONEncoder(separators=(",", ":")).encode

_ANY: Any = ""
"""Stands for a value in the shape of a filter."""

_NUMBERS = frozenset({"created_at", "updated_at", "run_index"})


def check_sort(sort_by: Any, sorts: Sequence[str]) -> None:
    """Raise InvalidArgument for what no listing is sorted by."""
    if sort_by not in sorts:
        raise InvalidArgument(f"sort_by={sort_by!r} is not one of {', '.join(sorts)}.")


class Listing(list[T]):
    """A list of what was found, that knows where the next page begins.

    ``next`` is what to give as ``after=``, a text to keep or to send along as it is. It is None where the list is
    shorter than the limit, or had none.
    """

    def __init__(self, found: Iterable[T] = (), next: str | None = None) -> None:
        super().__init__(found)
        self.next = next


def is_count(number: Any, lowest: int) -> bool:
    """Whether a caller's number can be a number of rows."""
    return isinstance(number, int) and not isinstance(number, bool) and lowest <= number <= types.LARGEST


class Page(NamedTuple):
    """Which rows of a listing, in which order: ``by`` these columns, the last of which is different in each row."""

    by: tuple[str, ...]
    descending: bool = True
    limit: int | None = None
    page: int | None = None
    after: tuple[Any, ...] | None = None
    """The values of these columns in the row that the page comes behind."""

    @classmethod
    def of(
        cls,
        by: Sequence[str],
        sort_order: Any,
        sorts: Sequence[str],
        *,
        limit: int | None,
        page: int | None,
        after: str | None,
    ) -> Page:
        """Check what a caller asked for; ``by`` is one of ``sorts``, and what ties are broken by.

        Raises InvalidArgument for a page without a limit or with a place that it comes behind, a limit or page
        below 1, an unknown column or order, and a place that is none in a listing of that order.
        """
        if page is not None and limit is None:
            raise InvalidArgument("page= was given without limit=. Give both to page, or neither for all rows.")
        if page is not None and after is not None:
            raise InvalidArgument("page= and after= were both given: say where a page begins in one way.")
        for name, number in (("limit", limit), ("page", page)):
            if number is not None and not is_count(number, 1):
                raise InvalidArgument(f"{name}={number!r}: it must be a whole number from 1 on.")
        if limit is not None and limit * (page or 1) > types.LARGEST:
            raise InvalidArgument(f"page={page!r} of limit={limit!r} is beyond what a database can count.")
        check_sort(by[0], sorts)
        order = str(getattr(sort_order, "value", sort_order) or "desc").lower()
        if order not in ("asc", "desc"):
            raise InvalidArgument(f"sort_order={sort_order!r} is neither 'asc' nor 'desc'.")
        whole = cls(tuple(dict.fromkeys(by)), order == "desc", limit, page)
        return whole if after is None else whole.behind(after)

    def behind(self, place: str) -> Page:
        """Return the page that begins behind a place.

        Raises InvalidArgument for what is no place in a listing of this order.
        """
        return self._replace(page=None, after=self._place(place))

    @property
    def shape(self) -> Page:
        """The same for all pages that one statement serves: whether there is a limit, and not which."""
        after = None if self.after is None else tuple(None if value is None else 0 for value in self.after)
        return Page(self.by, self.descending, self.limit and 1, 1 if self._before else None, after)

    @property
    def values(self) -> dict[str, Any]:
        """What the statement of this shape is sent with."""
        values = {} if self.limit is None else {"limit": self.limit}
        if self._before:
            values["before"] = self._before
        return values if self.after is None else {**values, **{f"after_{n}": v for n, v in enumerate(self.after)}}

    @property
    def _before(self) -> int:
        """How many rows are passed over."""
        return ((self.page or 1) - 1) * (self.limit or 0)

    def next(self, found: Sequence[Mapping[Any, Any]]) -> str | None:
        """Return where the page behind the rows ``found`` begins; None where there are too few for another."""
        if self.limit is None or len(found) < self.limit:
            return None
        place = [found[-1][name] for name in self.by]
        for n, name in enumerate(self.by):
            if name in _NUMBERS and not _is_number(place[n]):
                # What SQLite keeps there instead comes behind all numbers, so no row that can be read is passed over.
                if not self.descending:
                    return None
                place[n] = types.LARGEST
        # Escaped: JSON makes one character of two halves of a pair.
        said = [escapes.escape(value) if isinstance(value, str) else value for value in (*self._order, *place)]
        text = _json(said)
        return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")

    @property
    def _order(self) -> tuple[str, ...]:
        return ("desc" if self.descending else "asc", *self.by)

    def _place(self, after: Any) -> tuple[Any, ...]:
        order, width = list(self._order), len(self.by)
        try:
            text = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True)
            said = json.loads(text)
            place = tuple(escapes.unescape(value) if isinstance(value, str) else value for value in said[-width:])
            is_one = said[:-width] == order and all(map(self._may_be, range(width), place))
        except (TypeError, ValueError, LookupError, RecursionError):
            is_one = False
        if not is_one:
            raise InvalidArgument(
                f"after={_short(after)} is no place in a listing by {', '.join(self.by)} ({order[0]}). It must be the "
                "next of a listing with the same sort_by and sort_order."
            )
        return place

    def _may_be(self, n: int, value: Any) -> bool:
        if self.by[n] in _NUMBERS:
            return _is_number(value)
        return isinstance(value, str) or (value is None and n == 0 < len(self.by) - 1)


def _is_number(value: Any) -> bool:
    # Not always a whole one: SQLite keeps what it is given.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= types.LARGEST


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


class SessionFilter(NamedTuple):
    """Which sessions a listing is about; times in microseconds."""

    session_type: str | None = None
    user_id: str | None = None
    component_id: str | None = None
    name_folded: str | None = None
    created_from: int | None = None
    created_before: int | None = None

    @property
    def shape(self) -> SessionFilter:
        """The same for all filters that one statement serves; it depends on the type whose component it is."""
        shape = SessionFilter(**dict.fromkeys(self.values, _ANY))
        return shape if self.component_id is None else shape._replace(session_type=self.session_type)

    @property
    def values(self) -> dict[str, Any]:
        """What the statement of this shape is sent with."""
        asked = {name: value for name, value in self._asdict().items() if value is not None}
        if self.name_folded is not None:
            asked["name_folded"] = "%" + re.sub("[/%_]", r"/\g<0>", self.name_folded) + "%"
        return asked
