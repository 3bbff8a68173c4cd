"""Reading a session with its runs, of which only those travel that are not known yet."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from agno_store import owners, types
from agno_store.history import Known, Latest, Marks, Seen
from agno_store.reads import Reads
from agno_store.sending import Row
from agno_store.unread import Kept


def session(
    c: Connection, store: Reads, session_id: str, user_id: str | None, known: Known | None, most: int | None
) -> tuple[Row, Known] | None:
    """Return a session and its runs in order, the last ``most`` of them, or None. Writes nothing.

    One statement where all runs are known, two where runs were added, three where one was changed.
    """
    sql, ask = store.sql, store.ask
    row = ask(c, sql.session_with_marks, {"session_id": session_id}).first
    if row is None or not owners.may_read(row["user_id"], user_id):
        return None
    store.quick.saw(session_id)
    marks = Marks.taken(row)
    if known is not None and known.marks == marks:
        return row, known
    # The runs of this very session: since, it may have been handed over, or deleted and made anew by another user.
    this = {"session_id": session_id, "session_created_at": row["created_at"], "reader": user_id}
    first: int | None = 0
    if known is not None and known.marks.come_before(marks):
        known, first = known.as_told(), known.marks.next_run_index
    else:
        known = known if known is not None and known.marks.have_changed_to(marks) else Known(marks)
        if known.runs or most is not None:
            count = types.LARGEST if most is None else most
            there = ask(c, sql.run_versions, {**this, "count": count}).rows
            known, first = known.among([tuple(row.values()) for row in reversed(there)])
    if first is None:
        return row, known.grown(marks, [], most)
    behind = {**this, "first": first}
    found = store.whole(c, lambda: ask(c, sql.session_runs_from, behind).rows)
    return row, known.grown(marks, [Kept(run) for run in found], most)


def latest(
    c: Connection, store: Reads, session_id: str, user_id: str | None, known: Latest | None, count: int
) -> tuple[Row, Latest] | None:
    """Return a session and the last ``count`` of its runs that count as its history, or None. Writes nothing.

    One statement where they are known, two where a run was added or changed since.
    """
    row = store.ask(c, store.sql.session_with_marks, {"session_id": session_id}).first
    if row is None or not owners.may_read(row["user_id"], user_id):
        return None
    store.quick.saw(session_id)
    marks = Marks.taken(row)
    if known is not None and known.marks == marks and known.most >= count:
        return row, known
    this = {"session_id": session_id, "session_created_at": row["created_at"], "reader": user_id}
    last = {**this, "count": count}
    found = store.whole(c, lambda: store.ask(c, store.sql.latest_runs, last).rows)
    return row, Latest(marks, [Seen(run) for run in reversed(found)], count)
