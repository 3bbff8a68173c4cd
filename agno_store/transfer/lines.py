"""A session as a line of JSON, and back.

What stands there is what is stored: payloads are the JSON that a column holds, letter by letter, ids and texts are
escaped as they are in the tables (``escapes``), times are microseconds. A column without a value is left out. A
payload that is no JSON object or list as ``encoding.encode`` writes it stands there as a string of its letters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agno_store import escapes
from agno_store.transfer.columns import ID, NUMBER, PAYLOAD, RUN, SESSION, SUMMARY, TIME, columns, complete
from agno_store.transfer.conversation import NEVER, Content, Malformed, Row, Stamp

CHARACTERS_AT_ONCE = 2_000_000
"""About so long a part of a line is read, and its runs given, at once."""

_RUNS_AT_ONCE = 500

_SPACE = re.compile(r"[ \t\r\n]*")
_REFUSED = re.compile("\x00|[\ud800-\udfff]")
_REFUSED_IN_JSON = re.compile("(?<!\\\\)(?:\\\\\\\\)*\\\\u0000|[\ud800-\udfff]")
_SCANNER = json.JSONDecoder()


# -- to a line -----------------------------------------------------------------------------------------


def written(content: Content) -> Iterator[str]:
    """Give a session's line in pieces. Raises Malformed for a row that is none, wherever it stands."""
    yield f'{{"session":{_object(SESSION, content.session)}'
    if content.summary is not None:
        yield f',"summary":{_object(SUMMARY, content.summary)}'
    yield ',"runs":['
    separator = ""
    for piece in content.runs:
        for run in piece:
            yield separator + _object(RUN, run)
            separator = ","
    yield "]}\n"


def dumped(value: Any) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _object(part: str, row: Row) -> str:
    row = complete(part, row)
    entries = [
        f'"{column.name}":{_value(column.kind, row[column.name])}'
        for column in columns(part).values()
        if row[column.name] is not None
    ]
    return f"{{{','.join(entries)}}}"


def _value(kind: str, value: Any) -> str:
    if kind in (NUMBER, TIME):
        return str(value)
    if kind == PAYLOAD:
        return value if _is_as_written(value) else dumped(value)
    return dumped(escapes.escape(value) if kind == ID else value)


def _is_as_written(text: str) -> bool:
    """Whether reading a payload as JSON and writing it again gives the same letters."""
    if not text.startswith(("{", "[")):
        return False
    try:
        return dumped(json.loads(text)) == text
    except (ValueError, RecursionError):
        return False


# -- from a line ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A session's line, looked through from its beginning to its end. Rows are made of it when they are asked for."""

    text: str
    session: dict[str, Any]
    summary: dict[str, Any] | None
    runs_at: int
    """Where the list of runs begins; 0 where there is none."""
    stamp: Stamp | None
    """What it is known by; None where it lacks what that is made of."""

    @classmethod
    def of(cls, text: str) -> Line:
        """Read a line. Raises Malformed where it is none."""
        entries: dict[str, Any] = {}
        runs_at, ages = 0, _Ages()
        at = _after(text, 0, "{")
        while True:
            key, at = _scanned(text, at)
            if not isinstance(key, str):
                raise Malformed(f"it is no JSON: it has a key that is {_said(key)[:60]}")
            at = _after(text, at, ":")
            if key == "runs":
                runs_at, at = at, ages.read(text, at)
            else:
                entries[key], at = _scanned(text, at)
            if text[at : at + 1] != ",":
                break
            at = _after(text, at, ",")
        if _after(text, at, "}") != len(text):
            raise Malformed("there is more behind its end")
        session, summary = (_entry(entries.pop(name, None), name) for name in ("session", "summary"))
        if session is None or not isinstance(session.get("session_id"), str):
            raise Malformed("it is no session: there is no session_id in it")
        if entries:
            raise Malformed(f"it has {', '.join(sorted(entries))}, which this release does not know")
        return cls(text, session, summary, runs_at, ages.stamp(session, summary))

    @property
    def content(self) -> Content:
        """What is in it, as it is stored."""
        summary = None if self.summary is None else _row(SUMMARY, self.summary)
        return Content(_row(SESSION, self.session), summary, _Pieces(self))

    def runs(self) -> Iterator[dict[str, Any]]:
        """Give each run as it stands there. Raises Malformed for what is none."""
        if self.runs_at:
            yield from (run for run, _ in _elements(self.text, self.runs_at))


@dataclass(frozen=True)
class _Pieces:
    """The runs of a line, made rows whenever they are gone through."""

    line: Line

    def __iter__(self) -> Iterator[list[Row]]:
        piece: list[Row] = []
        size = 0
        for run in self.line.runs():
            row = _row(RUN, run)
            piece.append(row)
            size += len(str(row.get("run_data")))  # it may be anything: what it has to be is looked at by who stores it
            if size > CHARACTERS_AT_ONCE or len(piece) >= _RUNS_AT_ONCE:
                yield piece
                piece, size = [], 0
        if piece:
            yield piece


class _Ages:
    """What the runs of a session add to its stamp."""

    def __init__(self) -> None:
        self._runs: list[tuple[Any, Any]] = []

    def read(self, text: str, at: int) -> int:
        """Look through a list of runs; return where what comes behind it begins."""
        end = _after(text, at, "[")
        for run, behind in _elements(text, at):
            self._runs.append((run.get("version", 1), run.get("updated_at")))
            end = behind
        return _after(text, end, "]")

    def stamp(self, session: dict[str, Any], summary: dict[str, Any] | None) -> Stamp | None:
        """Return the stamp of the session that has this summary and these runs."""
        try:
            versions, last = sum(run[0] for run in self._runs), max((run[1] for run in self._runs), default=0)
            age = (session["created_at"], session["updated_at"], session.get("version", 1))
            summary_at = NEVER if summary is None else summary["updated_at"]
            return Stamp(*age, summary_at, len(self._runs), versions, last)
        except (KeyError, TypeError):
            return None


def _elements(text: str, at: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Give each object of a list, and where it is behind it, at the comma or the end."""
    at = _after(text, at, "[")
    if text[at : at + 1] == "]":
        return
    while True:
        value, at = _scanned(text, at)
        if not isinstance(value, dict):
            raise Malformed(f"a run is {_said(value)[:60]}")
        yield value, at
        if text[at : at + 1] != ",":
            return
        at = _after(text, at, ",")


def _entry(value: Any, name: str) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise Malformed(f"its {name} is {_said(value)[:60]}")


def _scanned(text: str, at: int) -> tuple[Any, int]:
    """Return the value that begins there, and where what comes behind it begins."""
    try:
        value, end = _SCANNER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        said = error.msg.removesuffix(" at")  # with which some of Python's messages end
        raise Malformed(f"it is no JSON: {said} at character {error.pos + 1}") from error
    except (ValueError, RecursionError) as error:  # a number of more digits than Python reads, or too many brackets
        raise Malformed(f"it cannot be read: {error}") from error
    return value, _space(text, end)


def _said(value: Any) -> str:
    """Return what was read as JSON. Raises Malformed for what is read and cannot be said again: 1e400, and NaN."""
    try:
        return dumped(value)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it cannot be written as JSON: {error}") from error


def _after(text: str, at: int, sign: str) -> int:
    """Return where what comes behind a sign begins, which must be there."""
    at = _space(text, at)
    if text[at : at + 1] != sign:
        found = repr(text[at : at + 10]) if at < len(text) else "its end"
        raise Malformed(f"it is no JSON: {found} at character {at + 1}, where there must be {sign!r}")
    return _space(text, at + 1)


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # also of nothing
    return match.end()


def _row(part: str, entries: dict[str, Any]) -> dict[str, Any]:
    """Return what stands in a line as columns; what is no column is left for ``complete`` to refuse."""
    known = columns(part)
    return {name: _column(known[name].kind, value) if name in known else value for name, value in entries.items()}


def _column(kind: str, value: Any) -> Any:
    if kind == PAYLOAD and isinstance(value, (dict, list)):
        text = _said(value)
        _refuse(_REFUSED_IN_JSON, text)
        return text
    if isinstance(value, str):
        _refuse(_REFUSED, value)
        return escapes.unescape(value) if kind == ID else value
    return value


def _refuse(pattern: re.Pattern[str], text: str) -> None:
    if pattern.search(text):
        raise Malformed("it holds a NUL or half of a pair of surrogates, which an export writes behind U+001A")
