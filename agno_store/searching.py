"""Finding a text in what was said, without an index: the database narrows down, and what it finds is looked into.

Sessions are gone through newest first, some hundred in one transaction. The database tells which of them, and which
of their runs, hold the text in what it stores; those are read one after the other, decoded, and the text is looked for
in their values. So it is never found in the name of a field, one payload is in memory at a time, and what is found
is the same on every database: letters from A to Z in either case, all others as they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.engine import Connection

from agno_store import dialects, encoding, envelope, escapes, owners, rows
from agno_store.errors import InvalidArgument
from agno_store.paging import Page, SessionFilter
from agno_store.reads import Reads
from agno_store.records import SESSION_PAYLOADS
from agno_store.reports import Found, Place, whole_seconds
from agno_store.sending import Row, Sending
from agno_store.survey import Survey

BATCH = 200
"""Sessions that one transaction goes through."""

PLACES = 5
"""Places that are shown of a session."""

LONGEST = 1000
"""Characters of a text to look for: SQLite takes no longer pattern than 50,000 bytes."""

AROUND = 40
"""Characters before and behind the text in an excerpt."""

_CASELESS = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def checked(text: Any) -> str:
    """Return a text to look for.

    Raises InvalidArgument for what is no str, empty, or longer than 1,000 characters.
    """
    if not isinstance(text, str) or not text or len(text) > LONGEST:
        raise InvalidArgument(f"text must be a str of 1 to {LONGEST} characters.")
    return text


def search(
    c: Connection, store: Reads, sql: Survey, which: SessionFilter, page: Page, text: str, most: int
) -> tuple[list[Found], str | None]:
    """Return the sessions of a page in which a text stands, ``most`` at the most, and where to go on."""
    sending = store.sending
    # What is sealed may hold any text: the database cannot tell, so all of it is opened and looked into.
    texts = as_stored(text) + [envelope.BEGINNING] * (sending.key_id is not None)
    keys = sql.keys(which.shape, page.shape, dialects.of(c.engine).read_along)
    sessions = list(sending.named(c, keys, {**which.values, **page.values}))
    among = {"session_ids": [row["session_id"] for row in sessions]}
    themselves = set(c.execute(sql.sessions_holding(texts), among).scalars())
    runs: dict[str, int] = {row.session_id: row.run_index for row in c.execute(sql.runs_holding(texts), among)}
    found: list[Found] = []
    for row in sessions:
        session_id = row["session_id"]
        this = {"session_id": session_id, "session_created_at": row["created_at"], "reader": which.user_id}
        places = _in_session(c, sql, sending, this, text) if session_id in themselves else []
        if session_id in runs:
            there = {**this, "run_index": runs[session_id]}
            places += _in_runs(c, store, sql.next_run_holding(texts), there, text, PLACES - len(places))
        if places:
            found.append(_found(row, places))
        if len(found) == most:
            return found, page._replace(limit=1).next([row])
    return found, page.next(sessions)


def as_stored(text: str) -> list[str]:
    """Return how a text may stand in a column: as it is, as we write it in JSON, and as others may."""
    ours, others = json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]
    return list(dict.fromkeys((escapes.protect(ours), others, escapes.escape(text))))


def _in_session(c: Connection, sql: Survey, sending: Sending, this: Mapping[str, Any], text: str) -> list[Place]:
    row = next(sending.named(c, sql.session, {"session_id": this["session_id"]}), None)
    # Since it was listed, it may have been handed over, or deleted and made anew by another user.
    if row is None or row["created_at"] != this["session_created_at"]:
        return []
    if not owners.may_read(row["user_id"], this["reader"]):
        return []
    unreadable: rows.Unreadable = []
    read = rows.session_dict(row, unreadable)
    values = {name: read[name] for name in (*SESSION_PAYLOADS, "summary")}
    places = [Place(None, None, path, _excerpt(value, text)) for path, value in _strings(values) if _holds(value, text)]
    if unreadable and not places:
        names = (*SESSION_PAYLOADS, "topics", "summary_data")
        stored = ((name, _letters(row[name])) for name in names if not envelope.is_closed(row[name]))
        places = [_unread(None, None, name, value, text) for name, value in stored if value and _is_in(value, text)]
    return places[:PLACES]


def _in_runs(
    c: Connection, store: Reads, statement: Select[Any], there: Mapping[str, Any], text: str, most: int
) -> list[Place]:
    """Return the places in the runs from one on in which the database has found the text, or what may be it."""
    found, at = list[Place](), there["run_index"]
    while len(found) < most:
        next_one = partial(_next, c, store.sending, statement, {**there, "run_index": at})
        row = next(iter(store.whole(c, next_one)), None)
        if row is None:
            break
        found += _in_run(row, text)
        at = row["run_index"] + 1
    return found[:most]


def _next(c: Connection, sending: Sending, statement: Select[Any], asked: Mapping[str, Any]) -> list[Row]:
    return list(sending.named(c, statement, asked))


def _in_run(row: Row, text: str) -> list[Place]:
    key, unreadable = (row["run_id"], row["run_index"]), list[str]()
    data = rows.run_dict(row, unreadable)["run_data"]
    if any(note.endswith("run_data") for note in unreadable):
        return (
            [] if envelope.is_closed(row["run_data"]) else [_unread(*key, "run_data", _letters(row["run_data"]), text)]
        )
    return [
        Place(*key, path, _excerpt(value, text)) for path, value in _strings({"run_data": data}) if _holds(value, text)
    ]


def _letters(stored: Any) -> str:
    """Return what stands in a column as text; SQLite keeps bytes in one of text."""
    return stored.decode(errors="backslashreplace") if isinstance(stored, bytes) else stored or ""


def _unread(run_id: str | None, run_index: int | None, column: str, stored: str, text: str) -> Place:
    written = next((one for one in as_stored(text) if _holds(stored, one)), text)
    return Place(run_id, run_index, column, _excerpt(stored, written), damaged=True)


def _is_in(stored: str, text: str) -> bool:
    return any(_holds(stored, one) for one in as_stored(text))


def _found(row: Row, places: list[Place]) -> Found:
    component = row["agent_id"], row["team_id"], row["workflow_id"]
    return Found(
        row["session_id"],
        row["session_type"],
        next((one for one in component if one is not None), None),
        row["user_id"],
        whole_seconds(row["created_at"]),
        whole_seconds(row["updated_at"]),
        tuple(places),
    )


# -- one value ---------------------------------------------------------------------------------------


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Give each text in a value with its path; a loop and not a recursion, however deep the value is."""
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        path, this = left.pop()
        said = _text(this)
        if said is not None:
            yield path, said
        elif encoding.is_corrupt(this):
            continue  # what it says was said by nobody
        elif isinstance(this, Mapping):
            inside = [(f"{path}.{key}" if path else str(key), item) for key, item in this.items()]
            left += reversed(inside)
        elif isinstance(this, (list, tuple, set, frozenset)):
            left += reversed([(f"{path}[{n}]", item) for n, item in enumerate(_in_order(this))])


def _text(value: Any) -> str | None:
    """Return a value that is stored as a text as that text."""
    if isinstance(value, (date, time)):  # a datetime is a date, too
        return value.isoformat()
    return str(value) if isinstance(value, (str, Decimal, UUID)) else None


def _in_order(items: Collection[Any]) -> Collection[Any]:
    """Return what is in a set in the order in which it is stored, and a list or a tuple as it is."""
    if isinstance(items, (set, frozenset)):
        return sorted(items, key=lambda item: encoding.encode(item, "", []))  # of any depth: too deep is a mark
    return items


def _holds(value: str, text: str) -> bool:
    return text.translate(_CASELESS) in value.translate(_CASELESS)


def _excerpt(value: str, text: str) -> str:
    at = value.translate(_CASELESS).find(text.translate(_CASELESS))
    start, end = max(at - AROUND, 0), at + len(text) + AROUND
    cut = " ".join(value[start:end].split())
    return ("…" if start else "") + cut + ("…" if end < len(value) else "")
