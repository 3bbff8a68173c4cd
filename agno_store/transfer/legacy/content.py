"""What was found in an old table, as rows of a store: ready to be written where they are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_store import rows
from agno_store.errors import EncodingError, InvalidArgument
from agno_store.records import SESSION_PAYLOADS, Run, Session
from agno_store.transfer.conversation import Content, Malformed
from agno_store.transfer.legacy.reading import Found


def content(found: Found) -> Content:
    """Return a session with its runs as rows. Raises Malformed for what no store can hold, such as too long an id."""
    session = found.session
    try:
        row = _session(session)
        summary = None if session.summary is None else rows.summary_columns(session.summary)
        runs = [_run(run, session, row["created_at"], row["updated_at"]) for run in found.runs]
    except (EncodingError, InvalidArgument) as error:
        raise Malformed(str(error)) from error
    if summary is not None:
        summary |= {"created_at": row["created_at"], "updated_at": row["updated_at"]}
    return Content(row, summary, [runs] if runs else [], tuple(found.problems))


def _session(session: Session) -> dict[str, Any]:
    row = rows.session_columns(session, SESSION_PAYLOADS)
    del row["name_folded"]  # the target's to make
    moments = {name: rows.microseconds(getattr(session, name), name, 0) for name in ("created_at", "updated_at")}
    return {**row, **moments}


def _run(run: Run, session: Session, begun: int, ended: int) -> Mapping[str, Any]:
    """Return a run's row. One from inside its session was last written with it, and says nothing else of that."""
    row = rows.run_columns(run, session.session_id, None, begun)
    row["user_id"] = row["user_id"] or session.user_id
    row["updated_at"] = rows.microseconds(run.updated_at, "updated_at", ended)
    return row
