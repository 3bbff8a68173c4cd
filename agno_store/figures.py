"""How much a store holds, worked out by the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy.engine import Connection

from agno_store.clock import DAY
from agno_store.reports import Day, Share, Sized, Stats, whole_seconds
from agno_store.survey import Survey


def stats(c: Connection, sql: Survey, *, days: int, most: int, now: int) -> Stats:
    """Return the figures of a store: of the last ``days``, and ``most`` of what is listed. Writes nothing."""
    total, count = c.execute(sql.totals).mappings().one(), {"count": most}
    users = c.execute(sql.shares("user_id"), count).mappings()
    components = c.execute(sql.shares("session_type", "component_id"), count).mappings()
    return Stats(
        **_amounts(total),
        users=total["users"],
        created_at=whole_seconds(total["created_at"]),
        updated_at=whole_seconds(total["updated_at"]),
        by_user=tuple(Share(row["user_id"], **_amounts(row)) for row in users),
        by_component=tuple(
            Share(row["component_id"], **_amounts(row), session_type=row["session_type"]) for row in components
        ),
        days=_days(c, sql, days, now),
        largest=_sized(c.execute(sql.first("bytes", descending=True), count).mappings()),
        oldest=_sized(c.execute(sql.first("updated_at", descending=False), count).mappings()),
    )


def _days(c: Connection, sql: Survey, days: int, now: int) -> tuple[Day, ...]:
    today = now // DAY
    since = {"since": (today - days + 1) * DAY}
    sessions = {row["day"]: row["count"] for row in c.execute(sql.sessions_of_days, since).mappings()}
    runs = {row["day"]: row for row in c.execute(sql.runs_of_days, since).mappings()}
    media = {row["day"]: int(row["bytes"]) for row in c.execute(sql.media_of_days, since).mappings()}
    return tuple(
        Day(
            _date(day),
            sessions.get(day, 0),
            runs[day]["count"] if day in runs else 0,
            (int(runs[day]["bytes"]) if day in runs else 0) + media.get(day, 0),
        )
        for day in range(today - days + 1, today + 1)
    )


def _date(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(days=day)).date().isoformat()


def _sized(rows: Iterable[Mapping[Any, Any]]) -> tuple[Sized, ...]:
    return tuple(
        Sized(
            row["session_id"],
            row["session_type"],
            row["user_id"],
            int(row["runs"]),
            int(row["bytes"]),
            whole_seconds(row["created_at"]),
            whole_seconds(row["updated_at"]),
        )
        for row in rows
    )


def _amounts(row: Mapping[Any, Any]) -> dict[str, Any]:
    # PostgreSQL and MySQL answer a sum as a decimal number.
    return {name: int(row[name]) for name in ("sessions", "runs", "bytes")}
